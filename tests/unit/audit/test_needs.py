"""What is known of rules without importing them: as they say it themselves, and enough to leave them out."""

import subprocess
import sys
from pathlib import Path

import pytest

from keylease.audit.model import Inventory, Problem, Record
from keylease.audit.needs import NEEDS
from keylease.audit.policy import AuditPolicy
from keylease.audit.rule import Needs
from keylease.pipelines.audit import can_find, judge
from keylease.registry import RULES
from tests.unit.audit.test_rules import SAMPLES, collected


def test_the_table_says_what_the_rules_say() -> None:
    loaded = [RULES.load(name) for name in RULES]
    assert list(NEEDS.values()) == [Needs(each.id, each.needs, each.alternatives, each.also) for each in loaded]
    assert list(NEEDS) == list(RULES), "run `make docs`"


@pytest.mark.parametrize(("name", "text", "kind"), SAMPLES)
def test_a_rule_finds_nothing_where_none_of_its_records_are(name: str, text: str, kind: str, tmp_path: Path) -> None:
    rule = RULES.load(name)
    inventory = collected(tmp_path, rule.sample, text)
    if kind == "bad":
        assert can_find(NEEDS[name], inventory)
    others = [record for record in inventory.records if record.kind not in rule.needs]
    left = Inventory(others, inventory.kinds | {*rule.needs}, now=inventory.now)
    assert not can_find(NEEDS[name], left)
    assert rule().lacks(left) is None
    assert list(rule().check(left)) == []


def test_what_stands_for_a_rule_is_told_as_the_rule_would_be() -> None:
    """The same verdict, with and without an import."""
    inventory = Inventory(
        [Record("file.env", "file://.env", {"names": [], "empty": []})],
        {"file.env", "file.workflow", "aws.trust_policy", "aws.iam_policy", "vault.policy"},
        [Problem("vault.policy", "it can't be read", "mend it"), Problem("", "a directory can't be read")],
    )
    whole = judge(inventory, [RULES.load(name)() for name in RULES], AuditPolicy())
    lean = judge(
        inventory,
        [RULES.load(name)() if can_find(NEEDS[name], inventory) else NEEDS[name] for name in RULES],
        AuditPolicy(),
    )
    assert lean == whole
    assert "vault-policy-sudo" not in whole.checked
    assert any(each.rule == "vault-policy-sudo" and "can't be read" in each.why for each in whole.not_checked)


def test_an_offline_audit_imports_no_more_than_it_uses(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=\n", encoding="utf-8")
    program = (
        "import sys; from keylease.cli import main; code = main(['audit', '--offline', '.'])\n"
        "print(code, *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    code, *modules = done.stdout.splitlines()[-1].split()
    assert code == "0"
    rules = [each for each in modules if each.startswith("keylease.audit.rules.")]
    assert rules == ["keylease.audit.rules.env_file"]
    heavy = ("requests", "urllib3", "hvac", "cloudsplaining", "botocore", "hcl2", "cryptography", "keylease.http")
    assert [each for each in modules if each.partition(".")[0] in heavy or each in heavy] == []

"""Two repositories with files of every kind but those of the other corpora: each expected finding at its line."""

import re
from pathlib import Path

import pytest

from keylease.audit.collectors.files import collect
from keylease.registry import RULES

CORPUS = Path(__file__).resolve().parents[2] / "data" / "audit" / "trees"
TOKEN = "glpat-" + "aB3dE5gH7jK9mN1pQ2rS"


def copied(tree: Path, to: Path) -> Path:
    """The repository: `_` stands for the dot of a name, ``{token}`` for a credential that opens nothing."""
    for path in sorted(each for each in tree.rglob("*") if each.is_file()):
        target = to / re.sub(r"(^|/)_", r"\1.", path.relative_to(tree).as_posix())
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text(encoding="utf-8").replace("{token}", TOKEN), encoding="utf-8")
    return to


def expected(root: Path) -> list[str]:
    found = []
    for path in sorted(each for each in root.rglob("*") if each.is_file()):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if mark := re.search(r"(?:#|//) <- (.+)$", line):
                where = f"{path.relative_to(root).as_posix()}:{number}"
                found += [f"{where} {each}" for each in mark[1].split(", ")]
    return sorted(found)


@pytest.mark.parametrize("name", ["weak", "kept"])
def test_a_repository(name: str, tmp_path: Path) -> None:
    root = copied(CORPUS / name, tmp_path)
    inventory = collect(root)
    assert inventory.problems == []
    rules = [RULES.load(each)() for each in RULES]
    findings = [found for rule in rules for found in rule.check(inventory) if found.persona != "auditor"]
    assert TOKEN not in repr((findings, inventory.records))
    said = [
        f"{each.location.path}:{each.location.line} {each.rule} {each.severity}" for each in findings if each.location
    ]
    assert sorted(said) == expected(root)
    assert bool(said) == (name == "weak")
    # A kind of which neither tree has a file is in another corpus.
    held = {record.kind for record in inventory.records}
    assert held >= {
        "file.gitlab_ci",
        "file.jenkinsfile",
        "file.env",
        "file.dependabot",
        "vault.jwt_role",
        "vault.policy",
    }
    assert held >= {
        "gcp.provider",
        "gcp.binding",
        "azure.federated_credential",
        "azure.role_assignment",
        "aws.trust_policy",
    }

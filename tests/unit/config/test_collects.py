"""``collect:`` of ``audit:``: what it names, and mistakes in it."""

from pathlib import Path

import pytest

from keylease.config.keyleasefile import load_inventory
from keylease.errors import UsageError
from keylease.pipelines.inventory import InventoryPlan
from keylease.registry import COLLECTORS

HEAD = """\
version: 1
settings: {timeout: 7}
providers:
  vault: {type: vault, url: https://vault.example.com, role: audit}
  second: {type: vault, url: https://second.example.com, role: audit}
  cloud: {type: aws, role_arn: "arn:aws:iam::123456789012:role/audit", region: eu-central-1}
targets:
  github: {type: github, token_env: HUB_TOKEN}
audit:
  fail_on: high
"""


def load(tmp_path: Path, items: str, head: str = HEAD) -> InventoryPlan:
    path = tmp_path / "keylease.yml"
    path.write_text(head + (f"  collect:\n{items}" if items else ""), encoding="utf-8")
    return load_inventory(path, {"HUB_TOKEN": "x", "OPENAI_ADMIN_KEY": "x"})


def test_nothing_is_collected_where_nothing_is_named(tmp_path: Path) -> None:
    assert load(tmp_path, "").collects == []
    assert load(tmp_path, "", "version: 1\n").collects == []


def test_what_an_audit_of_files_does_not_need_need_not_be_there(tmp_path: Path) -> None:
    path = tmp_path / "keylease.yml"
    path.write_text("version: 1\nproviders: {v: {type: vault}}\ntargets: {g: {type: github}}\naudit: {}\n")
    assert load_inventory(path, {}).collects == []
    path.write_text("version: 1\ntargets: {g: {type: github}}\naudit: {collect: [{type: job}]}\n")
    assert len(load_inventory(path, {}).collects) == 1


def test_items(tmp_path: Path) -> None:
    plan = load(
        tmp_path,
        "    - {type: vault, provider: second, tokens: false}\n"
        "    - {type: github, organization: acme}\n"
        "    - {type: openai, admin_key: {secret: 'vault://kv/openai#admin', provider: vault}}\n"
        "    - {type: job}\n",
    )
    vault, github, openai, job = plan.collects
    assert (vault.type, vault.provider, vault.target) == ("vault", "second", "")
    assert (github.target, github.provider) == ("github", ""), "the only one there is"
    assert openai.needs["admin_key"].read.provider == "vault"
    assert (job.provider, job.target) == ("", "")
    assert vault.origin.line == 12


def test_a_run_has_an_hour_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    assert load(tmp_path, "    - type: job\n").plan.deadline == 3600
    shorter = HEAD.replace("timeout: 7", "deadline: 90s")
    assert load(tmp_path, "    - type: job\n", shorter).plan.deadline == 90


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("{type: vaults}", "audit.collect[0].type: nothing collects this"),
        ("{provider: vault}", "audit.collect[0].type: is missing"),
        ("{type: vault}", "audit.collect[0].provider: is missing: several could be meant: vault, second"),
        ("{type: vault, provider: cloud}", "audit.collect[0].provider: there is no provider 'cloud' of type vault"),
        ("{type: vault, provider: [vault]}", "audit.collect[0].provider: must be a name"),
        ("{type: job, provider: vault}", "audit.collect[0].provider"),
        ("{type: github, organization: acme, provider: vault}", "audit.collect[0].provider"),
        ("{type: github, organization: acme, target: gitlab}", "there is no target 'gitlab' of type github"),
        ("{type: vault, provider: vault, tokenz: false}", "tokenz"),
        ("{type: openai, admin_key: sk-admin-abc}", "a secret is never written here"),
    ],
)
def test_mistakes(tmp_path: Path, item: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, f"    - {item}\n")
    assert told in caught.value.summary
    assert "keylease.yml:12" in caught.value.summary
    assert caught.value.change
    assert "sk-admin" not in caught.value.diagnostics(debug=True)


@pytest.mark.parametrize("name", list(COLLECTORS))
def test_each_collector_keeps_the_contract(name: str) -> None:
    kind = COLLECTORS.load(name)
    assert kind.type == name
    assert kind.kinds
    assert all(each.startswith(f"{name}.") or each == "aws.trust_policy" for each in kind.kinds)
    assert bool(kind.via) == bool(kind.via_types)
    assert kind.Settings.__struct_config__.forbid_unknown_fields
    assert kind.permissions or name == "job"

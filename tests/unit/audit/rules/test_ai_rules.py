"""The rules of AI services' keys and federation rules, beyond their samples."""

import random
from typing import Any

import pytest

from keylease.audit.model import Inventory, Record
from keylease.audit.rules.ai_admin_key_in_ci import AiAdminKeyInCi
from keylease.audit.rules.ai_federation_rule_broad import AiFederationRuleBroad
from keylease.audit.rules.ai_federation_rule_open import AiFederationRuleOpen
from keylease.audit.rules.ai_key_all_permissions import AiKeyAllPermissions
from keylease.audit.rules.ai_key_of_user import AiKeyOfUser
from keylease.audit.rules.ai_key_owner_left import AiKeyOwnerLeft
from keylease.audit.rules.ai_key_unscoped import AiKeyUnscoped
from keylease.audit.rules.ai_personal_key_in_ci import AiPersonalKeyInCi
from keylease.audit.rules.ci_copy_outdated import CiCopyOutdated, CopySettings, Pair
from keylease.audit.rules.huggingface_token_writes import HuggingfaceTokenWrites
from keylease.audit.rules.job_static_key import JobStaticKey
from keylease.outputs.console import sanitize
from keylease.registry import RULES
from tests.unit.audit.inventories import inventory_of, judge, record

MINE = (
    AiAdminKeyInCi,
    AiFederationRuleBroad,
    AiFederationRuleOpen,
    AiKeyAllPermissions,
    AiKeyOfUser,
    AiKeyOwnerLeft,
    AiKeyUnscoped,
    AiPersonalKeyInCi,
    CiCopyOutdated,
    HuggingfaceTokenWrites,
    JobStaticKey,
)
GITHUB = "https://token.actions.githubusercontent.com"


@pytest.mark.parametrize("rule", MINE, ids=lambda rule: rule.id)
def test_samples(rule: type[AiKeyOwnerLeft]) -> None:
    assert RULES.load(rule.id) is rule
    for text in rule.good:
        inventory = inventory_of(text)
        assert any(inventory.of(kind) for kind in rule.needs)
        assert list(rule().check(inventory)) == []
    for text in rule.bad:
        findings = list(rule().check(inventory_of(text)))
        assert findings
        for finding in findings:
            assert finding.rule == rule.id
            assert "\n" not in finding.message
            assert finding.change
            assert "\n" not in finding.change.partition("\n\n")[0]
            assert sanitize(finding.change) == finding.change
        assert len({finding.fingerprint for finding in findings}) == len(findings)


ODD: tuple[Any, ...] = (
    None,
    [],
    {},
    7,
    True,
    "",
    "\x1b[31m\nsk-admin-…abcd",
    "x" * 5000,
    ["a", 7],
    {"a": []},
    "2026-99-99",
)


@pytest.mark.parametrize("rule", MINE, ids=lambda rule: rule.id)
def test_odd_facts_are_no_crash(rule: type[AiKeyOwnerLeft]) -> None:
    chance = random.Random(rule.id)
    for _ in range(300):
        inventory = inventory_of(chance.choice((*rule.bad, *rule.good)))
        for number, each in enumerate(inventory.records):
            facts = dict(each.facts)
            for name in chance.sample(sorted(facts), min(2, len(facts))):
                facts[name] = chance.choice(ODD)
            inventory.records[number] = Record(each.kind, each.subject, facts)
        for finding in rule().check(Inventory(inventory.records, inventory.kinds)):
            assert "\n" not in finding.message
            assert "\x1b" not in repr((finding.message, finding.change)).replace("\\x1b", "\x1b")
            assert len(finding.message) < 600


def copy(hint: str, name: str = "KEY", kind: str = "job.variable", **facts: object) -> Record:
    return record(kind, name, hint=hint, **facts)


@pytest.mark.parametrize("kind", ["job.variable", "gitlab.variable", "github.variable"])
def test_admin_keys_wherever_they_are_seen(kind: str) -> None:
    (finding,) = judge("ai-admin-key-in-ci", copy("sk-ant-admin01-…abcd", kind=kind))
    assert finding.severity == "critical"
    assert "type: anthropic" in finding.change
    assert judge("ai-admin-key-in-ci", copy("sk-ant-api03-…abcd", kind=kind)) == []


def test_an_admin_key_names_its_record() -> None:
    key = record("openai.key", "audit", level="admin", hint="sk-admin-x...abcd", last_used_at="2026-01-01T00:00:00Z")
    (finding,) = judge("ai-admin-key-in-ci", copy("sk-admin-…abcd"), key)
    assert "last used 2026-01-01T00:00:00Z" in dict(finding.evidence)["key audit"]


def test_whose_key_it_is_must_be_sure_enough() -> None:
    person = record("openai.key", "a", owner_sort="user", hint="sk-proj-x...abcd")
    account = record("openai.key", "b", owner_sort="service_account", hint="sk-proj-y...abcd")
    (finding,) = judge("ai-personal-key-in-ci", copy("sk-proj-…abcd"), person)
    assert finding.confidence == "high"
    assert judge("ai-personal-key-in-ci", copy("sk-proj-…abcd"), person, account) == [], "it may be the account's"
    other = record("openai.key", "c", owner_sort="user", hint="sk-proj-z...abcd")
    (finding,) = judge("ai-personal-key-in-ci", copy("sk-proj-…abcd"), person, other)
    assert finding.confidence == "low"


@pytest.mark.parametrize(("hint", "persona"), [("ghp_…abcd", "regular"), ("github_pat_…abcd", "pedantic")])
def test_personal_tokens_of_github(hint: str, persona: str) -> None:
    (finding,) = judge("ai-personal-key-in-ci", copy(hint))
    assert finding.persona == persona


def test_the_hub_has_no_service_accounts() -> None:
    token = record("huggingface.token", "ci", owner_sort="user", hint="hf_…abcd")
    (finding,) = judge("ai-personal-key-in-ci", copy("hf_…abcd"), token)
    assert finding.persona == "pedantic"


@pytest.mark.parametrize(
    ("condition", "claims", "severity"),
    [
        ("true", {}, "critical"),
        ("claims.ref == 'refs/heads/main'", {}, "critical"),
        ("claims.ref == 'refs/heads/main'", {"repository_id": "7"}, ""),
        ("claims.repository_id == '7' || claims.ref == 'refs/heads/main'", {}, "critical"),
        ("claims.repository_id == '7' && claims.ref == 'refs/heads/main'", {}, ""),
        ("claims.repository.startsWith('acme/')", {}, "medium"),
        ("claims.repository.startsWith('acme')", {}, "critical"),
        ("claims['repository'] in ['acme/a', 'acme/b']", {}, ""),
        ("claims.repository.matches('.*')", {}, ""),  # can't be told
        ("has(claims.repository)", {}, ""),  # nor this
    ],
)
def test_whom_a_condition_of_anthropic_lets_in(condition: str, claims: dict[str, str], severity: str) -> None:
    facts = {"issuer": "https://token.actions.githubusercontent.com", "condition": condition, "claims": claims}
    found = judge("ai-federation-rule-open", record("anthropic.federation_rule", "ci", subject_prefix="", **facts))
    assert [each.severity for each in found] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("matchers", "severity"),
    [
        ({}, "critical"),
        ({"aud": "x", "ref": "refs/heads/main", "environment": "production"}, "critical"),
        ({"repository": "*"}, "critical"),
        ({"repository": "acme*"}, "critical"),
        ({"sub": "repo:*"}, "critical"),
        ({"sub": "repo:acme*"}, "critical"),
        ({"repository": "acme/*"}, "medium"),
        ({"sub": "repo:acme/*"}, "medium"),
        ({"sub": "repo:acme/train*"}, "medium"),
        ({"repository_owner": "acme", "ref": "refs/heads/main"}, "medium"),
        ({"repository_owner_id": 7}, "medium"),
        ({"repository": "acme/trainer"}, ""),
        ({"repository_id": "7"}, ""),
        ({"repository_owner": "acme", "repository_id": 7}, ""),
        ({"sub": "repo:acme/trainer:*"}, ""),
        ({"sub": "repo:acme@1/trainer@2:ref:refs/heads/main"}, ""),
        ({"sub": "repo:acme/trainer:ref:refs/heads/main"}, ""),
        ({"workflow_ref": "acme/trainer/.github/workflows/a.yml@*"}, ""),
        ({"job_workflow_ref": "acme/shared/.github/workflows/a.yml@refs/heads/main"}, ""),  # can't be told
        ({"sub": "environment:production"}, "critical"),  # any repository can choose this template
        ({"sub": "environment:*"}, "critical"),
        ({"team": "x"}, ""),  # a transformation makes it
    ],
)
def test_whom_a_rule_of_openai_lets_in(matchers: dict[str, object], severity: str) -> None:
    rule = record("openai.federation_rule", "r", issuer=GITHUB, matchers=matchers, transformed=["team"])
    assert [each.severity for each in judge("ai-federation-rule-open", rule)] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("match", "severity"),
    [
        ({"subject_prefix": "repo:acme*"}, "critical"),
        ({"subject_prefix": "repo:acme/*"}, "medium"),
        ({"subject_prefix": "repo:acme/trainer:*"}, ""),
        ({"subject_prefix": "repo:acme/trainer:ref:refs/heads/main"}, ""),
        ({"subject_prefix": "repo:acme/*", "claims": {"repository_id": "7"}}, ""),
        ({"claims": {"repository": "acme/*"}}, ""),  # letter for letter: nobody gets in
        ({"claims": {"ref": "refs/heads/main"}}, "critical"),
        ({"subject_prefix": "repo:*", "condition": "claims.repository_id == '7'"}, ""),
    ],
)
def test_whom_a_rule_of_anthropic_lets_in(match: dict[str, object], severity: str) -> None:
    facts = {"issuer": GITHUB, "claims": {}, "subject_prefix": "", "condition": "", **match}
    found = judge("ai-federation-rule-open", record("anthropic.federation_rule", "r", **facts))
    assert [each.severity for each in found] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("subject", "severity"),
    [
        ("project_path:acme/*", "medium"),
        ("project_path:*", "critical"),
        ("project_path:acme/sub/trainer:ref_type:branch:ref:main", ""),
        ("project_path:acme/trainer:*", ""),
    ],
)
def test_gitlab(subject: str, severity: str) -> None:
    rule = record("openai.federation_rule", "r", issuer="https://gitlab.com/", matchers={"sub": subject})
    found = judge("ai-federation-rule-open", rule)
    assert [each.severity for each in found] == ([severity] if severity else [])
    assert all("project_id" in each.change for each in found)


def test_an_owner_among_service_accounts_makes_a_default_rule_worse() -> None:
    rule = record("openai.federation_rule", "r", permissions="service_account_default", service_account="sa")
    (mild,) = judge("ai-federation-rule-broad", rule, record("openai.service_account", "ci", id="sa", role="member"))
    (bad,) = judge("ai-federation-rule-broad", rule, record("openai.service_account", "ci", id="sa", role="owner"))
    assert (mild.severity, mild.persona) == ("low", "pedantic")
    assert (bad.severity, bad.persona) == ("medium", "regular")


def test_one_finding_for_the_two_halves_of_an_aws_key() -> None:
    halves = [copy("AKIA…WXYZ", "AWS_ACCESS_KEY_ID", sort="aws", static=True)]
    halves += [record("job.variable", "AWS_SECRET_ACCESS_KEY", sort="aws", static=True)]
    (finding,) = judge("job-static-key", *halves)
    assert "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY" in finding.message
    assert "type: aws" in finding.change


@pytest.mark.parametrize("static", [None, False, "yes"])
def test_what_may_be_a_lease_is_no_static_key(static: object) -> None:
    assert judge("job-static-key", copy("sk-ant-oat01-…abcd", sort="anthropic", static=static)) == []


PAIRS = CopySettings(pairs=(Pair(copy="github://*/OPENAI", source="vault://x/vault.secret/ci"),))


@pytest.mark.parametrize(
    ("copied", "changed", "outdated"),
    [
        ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", True),
        ("2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z", False),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:30Z", False),
        (None, "2026-02-01T00:00:00Z", False),
        ("2026-01-01T00:00:00Z", "whenever", False),
    ],
)
def test_copies_that_are_paired(copied: str | None, changed: str, outdated: bool) -> None:
    secret = record("github.secret", "OPENAI", updated_at=copied)
    source = record("vault.secret", "ci", updated_at=changed)
    found = judge("ci-copy-outdated", secret, source, settings=PAIRS)
    assert bool(found) is outdated
    assert judge("ci-copy-outdated", secret, source) == [], "names tell nothing"


def test_a_copy_of_an_older_key() -> None:
    old = record("openai.key", "ci", hint="sk-proj-a...abcd", created_at="2025-01-01T00:00:00Z", owner="ci")
    new = Record(
        "openai.key", "openai://x/new", {**old.facts, "hint": "sk-proj-b...1234", "created_at": "2026-01-01T00:00:00Z"}
    )
    (finding,) = judge("ci-copy-outdated", copy("sk-proj-…abcd"), old, new)
    assert finding.confidence == "medium"
    gone = Record(new.kind, new.subject, {**new.facts, "active": False})
    assert judge("ci-copy-outdated", copy("sk-proj-…abcd"), old, gone) == []
    assert judge("ci-copy-outdated", copy("sk-proj-…1234"), old, new) == []

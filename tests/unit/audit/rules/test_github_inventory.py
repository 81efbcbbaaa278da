"""Rules about GitHub's inventory: what their samples don't show."""

import json
import random
from typing import Any

import msgspec
import pytest

from keylease.audit.github import Visible
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.rules.github_deploy_key_departed import DeployKeyDeparted
from keylease.audit.rules.github_deploy_key_write import DeployKeyWrite
from keylease.audit.rules.github_environment_unprotected import EnvironmentUnprotected
from keylease.audit.rules.github_installation_broad import InstallationBroad
from keylease.audit.rules.github_secret_all_repositories import SecretAllRepositories
from keylease.audit.rules.github_secret_copies import SecretCopies
from keylease.audit.rules.github_secret_many_repositories import ManyRepositories
from keylease.audit.rules.github_secret_shadowed import SecretShadowed
from keylease.audit.rules.github_secret_since_departure import SecretSinceDeparture
from keylease.audit.rules.github_secret_static_key import SecretStaticKey
from keylease.audit.rules.github_secret_unused import SecretUnused
from keylease.audit.rules.github_token_grant_broad import TokenGrantBroad
from keylease.audit.rules.github_variable_credential import VariableCredential
from keylease.audit.rules.github_workflow_write_default import WorkflowWriteDefault
from keylease.collectors.github import GitHubCollector
from keylease.config.keyleasefile import load_text
from keylease.outputs.console import sanitize

RULES: tuple[type[Rule], ...] = (
    DeployKeyDeparted,
    DeployKeyWrite,
    EnvironmentUnprotected,
    InstallationBroad,
    SecretAllRepositories,
    SecretCopies,
    ManyRepositories,
    SecretShadowed,
    SecretSinceDeparture,
    SecretStaticKey,
    SecretUnused,
    TokenGrantBroad,
    VariableCredential,
    WorkflowWriteDefault,
)
SAMPLES = [
    pytest.param(rule, text, kind, id=f"{rule.id}-{kind}{number}")
    for rule in RULES
    for kind in ("bad", "good")
    for number, text in enumerate(getattr(rule, kind))
]
NASTY = "a'; rm -rf / #\x1b[31m\n\u202e`$(id)`" + "x" * 900


def inventory_of(text: str) -> Inventory:
    return Inventory([Record(each["kind"], each["subject"], each["facts"]) for each in json.loads(text)["records"]])


def record(kind: str, path: str, **facts: Any) -> Record:
    return Record(f"github.{kind}", f"github://{path}", facts)


def judge(rule: type[Rule], *records: Record, settings: Any = None) -> list[Finding]:
    return list(rule(settings).check(Inventory(list(records))))


def secret(name: str = "TOKEN", holder: str = "acme/web", **facts: Any) -> Record:
    level = "repository" if "/" in holder else "organization"
    return record(
        "secret",
        f"{holder}/secret/{name}",
        **{"name": name, "store": "actions", "level": level, "holder": holder, **facts},
    )


def usage(repository: str, *names: str, **facts: Any) -> Record:
    whole = {"repository": repository, "names": list(names), "dynamic": False, "inherits": False, "whole": True}
    return record("usage", f"{repository}/usage/workflows", **{**whole, **facts})


@pytest.mark.parametrize(("rule", "text", "kind"), SAMPLES)
def test_samples(rule: type[Rule], text: str, kind: str) -> None:
    inventory = inventory_of(text)
    assert {each.kind for each in inventory.records} <= set(GitHubCollector.kinds)
    assert any(inventory.of(each) for each in rule.needs)
    findings = list(rule().check(inventory))
    assert bool(findings) == (kind == "bad"), [each.message for each in findings]
    for each in findings:
        keeps_the_manner(each)
    assert len({each.fingerprint for each in findings}) == len(findings)


def keeps_the_manner(finding: Finding) -> None:
    assert finding.message
    assert sanitize(finding.message) == finding.message
    assert "\n" not in finding.message
    assert finding.change
    assert "\n" not in finding.change.partition("\n\n")[0]
    assert sanitize(finding.change) == finding.change
    assert len(finding.message) < 600
    assert finding.key


def spoilt(value: Any, chance: random.Random) -> Any:
    """`value` with something in it that no platform would say, or would say in order to harm."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        return {**value, name: spoilt(value[name], chance)}
    if isinstance(value, str) and chance.random() < 0.5:
        return NASTY
    return chance.choice([None, [], {}, 5, -1, True, "", "x", [None], {"a": 1}, [{}], NASTY])


def part_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_odd_records_are_no_crash_and_names_do_no_harm(rule: type[Rule]) -> None:
    chance = random.Random(rule.id)
    for _ in range(300):
        inventory = inventory_of(chance.choice(rule.bad))
        inventory.records = [
            Record(each.kind, each.subject, {**each.facts, **part_of(spoilt(dict(each.facts), chance))})
            for each in inventory.records
        ]
        for each in rule().check(inventory):
            assert sanitize(each.message) == each.message
            assert "\n" not in each.message
            assert sanitize(each.change) == each.change
            assert all(sanitize(value) == value for _, value in each.evidence)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_what_a_rule_says_of_itself(rule: type[Rule]) -> None:
    assert set(rule.needs) | set(rule.also) <= set(GitHubCollector.kinds)
    assert rule.__module__.rpartition(".")[2] == rule.id.replace("-", "_")
    assert rule.sample == "inventory.json"
    assert issubclass(rule.Settings, msgspec.Struct)
    assert all(link.startswith("https://docs.github.com/") for link in rule.links)


# Secrets of an organisation.


def test_a_public_repository_makes_a_secret_that_all_see_worse() -> None:
    everywhere = secret(holder="acme", visibility="all")
    [bad] = judge(SecretAllRepositories, everywhere, record("organization", "acme", name="acme", public=1))
    [less] = judge(SecretAllRepositories, everywhere, record("organization", "acme", name="acme", public=0))
    assert (bad.severity, less.severity) == ("high", "medium")
    assert "1 public ones" in bad.message
    assert judge(SecretAllRepositories, everywhere) == []


def test_how_many_may_share_a_secret_is_a_setting() -> None:
    shared = secret(holder="acme", visibility="selected", repositories=["acme/a", "acme/b"])
    assert judge(ManyRepositories, shared) == []
    settings = msgspec.convert({"most": 1}, ManyRepositories.Settings)
    [finding] = judge(ManyRepositories, shared, settings=settings)
    assert "2 repositories" in finding.message
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"most": 0}, ManyRepositories.Settings)


def repositories(**visibility: str) -> list[Record]:
    return [record("repository", f"acme/{name}", name=f"acme/{name}", visibility=v) for name, v in visibility.items()]


@pytest.mark.parametrize(
    ("facts", "used", "found"),
    [
        ({"visibility": "all"}, "", True),
        ({"visibility": "all"}, "site", False),
        ({"visibility": "private"}, "site", True),  # the public one does not see it
        ({"visibility": "private"}, "web", False),
        ({"visibility": "selected", "repositories": ["acme/web"]}, "site", True),
        ({"visibility": "selected", "repositories": ["Acme/Web"]}, "web", False),
        ({"visibility": "selected"}, "", False),  # it may not be told which
        ({}, "", False),
    ],
)
@pytest.mark.parametrize("known", ["all", "hidden", "another"])
def test_an_organizations_secret_is_unused_only_if_all_that_see_it_are_known(
    facts: dict[str, Any], used: str, known: str, *, found: bool
) -> None:
    organization = record(
        "organization", "acme", name="acme", active=2 + (known == "another"), complete=known != "hidden"
    )
    every = [*repositories(web="private", site="public"), organization]
    usages = [usage(f"acme/{name}", *(["TOKEN"] if name == used else [])) for name in ("web", "site")]
    findings = judge(SecretUnused, secret(holder="acme", **facts), *every, *usages)
    selected = facts.get("visibility") == "selected" and known == "another"
    assert bool(findings) == (found and (known == "all" or selected))


@pytest.mark.parametrize("unknown", [{"dynamic": True}, {"inherits": True}, {"whole": False}, {"dynamic": None}])
def test_a_use_that_may_be_is_one(unknown: dict[str, Any]) -> None:
    assert judge(SecretUnused, secret(), usage("acme/web"))
    assert judge(SecretUnused, secret(), usage("acme/web", **unknown)) == []


def test_archived_repositories_use_nothing_and_copilots_environment_needs_no_workflow() -> None:
    both = secret(holder="acme", visibility="selected", repositories=["acme/web", "acme/old"])
    old = record("repository", "acme/old", name="acme/old", archived=True)
    whole = record("organization", "acme", name="acme", active=1, complete=True)
    [finding] = judge(SecretUnused, both, old, whole, usage("acme/web"))
    assert "gh secret delete TOKEN --org acme" in finding.change
    assert judge(SecretUnused, secret(environment="Copilot", level="environment"), usage("acme/web")) == []
    [finding] = judge(SecretUnused, secret(environment="prod", level="environment"), usage("acme/web"))
    assert finding.change.endswith("gh secret delete TOKEN --repo acme/web --env prod")


def test_shadows() -> None:
    own = secret()
    every = [record("organization", "acme", name="acme"), *repositories(web="private")]
    for seen, found in (("all", True), ("private", True), ("selected", False)):
        assert bool(judge(SecretShadowed, own, secret(holder="acme", visibility=seen), *every)) == found
    public = [record("organization", "acme", name="acme"), *repositories(web="public")]
    assert judge(SecretShadowed, own, secret(holder="acme", visibility="private"), *public) == []
    assert judge(SecretShadowed, own, secret(holder="other", visibility="all"), *every) == []
    inner = secret(environment="prod", level="environment")
    assert judge(SecretShadowed, inner, secret(holder="acme", visibility="all"), *every) == []


def test_who_sees_a_secret() -> None:
    every = [*repositories(web="internal", site="public")]
    organization = record("organization", "acme", name="acme", active=2, complete=True)
    visible = Visible(Inventory([*every, organization]))
    assert visible.to(secret(holder="acme", visibility="private")) == {"acme/web"}
    assert visible.to(secret(holder="acme", visibility="all")) == {"acme/web", "acme/site"}
    assert visible.to(secret(holder="acme", visibility="new kind")) is None


# People.


def test_departures() -> None:
    gone = [
        record("departure", "acme/departure/bob", person="bob", organization="acme", at="2026-05-01T00:00:00Z"),
        record("departure", "acme/departure/eve", person="Eve", organization="acme", at="2026-03-01T00:00:00Z"),
    ]
    old = [
        secret("A", updated_at="2026-01-01T00:00:00Z"),
        secret("B", updated_at="2026-04-01T00:00:00Z"),
        secret("C", updated_at="2026-06-01T00:00:00Z"),
        secret("D", holder="acme", updated_at="2026-01-01T00:00:00Z"),
        secret("E", environment="prod", updated_at="2026-01-01T00:00:00Z"),
    ]
    found = judge(SecretSinceDeparture, *gone, *old)
    assert [each.message.partition(" not ")[0] for each in found] == [
        "2 secrets of acme/web were",
        "the secret D of organisation acme was",
        "the secret E of environment prod of acme/web was",
    ]
    assert {each.persona for each in found} == {"pedantic"}
    settings = msgspec.convert({"who": ["ev*"]}, SecretSinceDeparture.Settings)
    named = judge(SecretSinceDeparture, *gone, *old, settings=settings)
    assert [each.message for each in named if "acme/web" in each.message and "environment" not in each.message] == [
        "the secret A of acme/web was not changed since Eve left on 2026-03-01"
    ]
    assert {(each.persona, each.confidence) for each in named} == {("regular", "medium")}
    assert judge(SecretSinceDeparture, *old) == []


def test_keys_of_people_who_left() -> None:
    def key(**facts: Any) -> Record:
        return record("deploy_key", "acme/web/deploy-key/9", **{"name": "k", "holder": "acme/web", **facts})

    gone = record("departure", "acme/departure/bob", person="Bob", organization="acme", at="2026-05-01T00:00:00Z")
    organization = record("organization", "acme", name="acme", members=["Ada"])
    [finding] = judge(DeployKeyDeparted, key(added_by="bob", read_only=False), gone, organization)
    assert (finding.severity, finding.persona) == ("high", "regular")
    assert "gh repo deploy-key delete 9 --repo acme/web" in finding.change
    [unsure] = judge(DeployKeyDeparted, key(added_by="carl"), gone, organization)
    assert (unsure.persona, unsure.confidence) == ("auditor", "low")
    for nothing in ({"added_by": "ADA"}, {}, {"added_by": "renovate[bot]"}, {"added_by": "bob", "active": False}):
        assert judge(DeployKeyDeparted, key(**nothing), gone, organization) == []
    assert judge(DeployKeyDeparted, key(added_by="carl"), record("organization", "acme", name="acme")) == []


# The rest.


def test_a_timer_and_unknown_rules() -> None:
    facts = {"name": "p r", "repository": "acme/web", "reviewers": 0, "branches": "all", "secrets": 1}
    made = record("environment", "acme/web/environment/p", **facts, custom_rules=0, wait_minutes=30)
    [finding] = judge(EnvironmentUnprotected, made)
    assert '"wait_timer": 30' in finding.change
    assert "environments/p%20r" in finding.change
    unknown = record("environment", "acme/web/environment/p", **facts, custom_rules=None)
    assert judge(EnvironmentUnprotected, unknown) == []
    none = {name: value for name, value in facts.items() if name != "secrets"}
    assert judge(EnvironmentUnprotected, record("environment", "x", **none, custom_rules=0)) == []


def test_an_organizations_default_is_told_once() -> None:
    mine = record("repository", "acme/web", name="acme/web", workflow_permissions="write", can_approve=True)
    above = record("organization", "acme", name="acme", workflow_permissions="write", can_approve=True)
    assert [each.subject for each in judge(WorkflowWriteDefault, mine, above)] == ["github://acme"]
    strict = record("organization", "acme", name="acme", workflow_permissions="read", can_approve=False)
    [finding] = judge(WorkflowWriteDefault, mine, strict)
    assert "write to the repository and approve pull requests" in finding.message
    [less] = judge(
        WorkflowWriteDefault,
        record("repository", "a/b", name="a/b", workflow_permissions="read", can_approve=True),
    )
    assert (less.severity, less.persona) == ("low", "pedantic")


def test_how_bad_a_token_is() -> None:
    def rank(repositories: str, **held: str) -> tuple[str, str] | None:
        facts = {"name": "t", "owner": "ada", "holder": "acme", "repositories": repositories, "active": True}
        found = judge(
            TokenGrantBroad,
            record("token_grant", "acme/token-grant/7", **facts, permissions={"repository": held}),
        )
        return (found[0].severity, found[0].persona) if found else None

    assert rank("all", secrets="write") == ("high", "regular")
    assert rank("all", issues="write") == ("medium", "regular")
    assert rank("all", contents="read") == ("low", "pedantic")
    assert rank("subset", secrets="write") == ("medium", "regular")
    assert rank("subset", secrets="read", contents="write") is None
    assert rank("none") is None


def test_what_an_app_may_not_write_is_a_setting() -> None:
    app = record(
        "installation", "acme/installation/x", app="x", id=5, holder="acme", repositories="all",
        permissions={"contents": "write"},
    )  # fmt: skip
    assert judge(InstallationBroad, app) == []
    settings = msgspec.convert({"permissions": ["contents"]}, InstallationBroad.Settings)
    [finding] = judge(InstallationBroad, app, settings=settings)
    assert finding.change.endswith("https://github.com/organizations/acme/settings/installations/5")


def test_keys_that_are_off_and_variables_without_a_hint() -> None:
    facts = {"name": "k", "holder": "acme/web", "read_only": False}
    [finding] = judge(DeployKeyWrite, record("deploy_key", "acme/web/deploy-key/1", **facts, last_used_at=None))
    assert finding.evidence == (("last used", "never"),)
    assert judge(DeployKeyWrite, record("deploy_key", "x", **facts, active=False)) == []
    found = record(
        "variable", "acme/variable/K", name="K", level="organization", holder="acme", looks_like="private key"
    )
    [finding] = judge(VariableCredential, found)
    assert finding.evidence == ()
    assert finding.change.endswith("gh variable delete K --org acme")


def test_copies_are_of_one_place() -> None:
    found = judge(
        SecretCopies,
        secret("A"),
        secret("A", store="codespaces"),
        secret("A", store="dependabot"),
        secret("A", environment="prod"),
        secret("A", holder="acme/api", store="dependabot"),
    )
    assert [each.message for each in found] == ["acme/web holds A for Actions and Dependabot and Codespaces"]


def test_static_keys_of_one_vendor_are_told_together_with_a_configuration_to_start_from() -> None:
    found = judge(
        SecretStaticKey,
        secret("AWS_SECRET_ACCESS_KEY"),
        secret("AWS_ACCESS_KEY_ID"),
        secret("OPENAI_API_KEY"),
        secret("AWS_ACCESS_KEY_ID", holder="acme"),
        secret("GROQ_OPENAI_API_KEY"),
        secret("AWS_SECRET_ACCESS_KEY", store="dependabot"),
    )
    assert [each.message.partition(":")[0] for each in found] == [
        "acme/web stores a static AWS access key (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
        "acme/web stores a static OpenAI API key (OPENAI_API_KEY)",
        "organisation acme stores a static AWS access key (AWS_ACCESS_KEY_ID)",
    ]
    text = found[0].change.partition("\n\n")[2].replace("ACCOUNT_ID", "111122223333").replace("REGION", "eu-central-1")
    assert list(load_text(text, "keylease.yml", {}).providers) == ["aws"]

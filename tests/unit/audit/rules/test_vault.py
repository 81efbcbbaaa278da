"""The rules of Vault's roles and policies: what they say of whom, and a second evaluator that they are held against."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.audit.collectors.files import collect
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.vault_policies import Stanza, allowed, matches, opened, powers, stanzas
from keylease.audit.vault_roles import reach
from keylease.registry import RULES

GITHUB, GITLAB = "https://token.actions.githubusercontent.com", "https://gitlab.com"
ROLE = {
    "name": "deploy",
    "mount": "jwt",
    "role_type": "jwt",
    "user_claim": "repository",
    "bound_audiences": ["a"],
    "token_policies": ["app"],
    "issuer": GITHUB,
}


def judged(rule: str, *policies: tuple[str, str], settings: Any = None, **role: Any) -> list[Finding]:
    records = [Record("vault.jwt_role", "vault://bao/jwt_role/jwt/deploy", {**ROLE, **role})]
    records += [
        Record("vault.policy", f"vault://bao/policy/{name}", {"name": name, "text": text}) for name, text in policies
    ]
    return list(RULES.load(rule)(settings).check(Inventory(records, {"vault.jwt_role", "vault.policy"})))


ALL = 'path "*" { capabilities = ["create", "update"] }'
SOME = 'path "kv/data/app" { capabilities = ["read"] }'


@pytest.mark.parametrize(
    ("role", "policy", "severity", "confidence"),
    [
        ({}, SOME, "high", "high"),
        ({}, ALL, "critical", "high"),
        ({"token_policies": ["root"]}, SOME, "critical", "high"),
        ({"token_policies": []}, SOME, "medium", "high"),
        ({"issuer": None}, SOME, "high", "medium"),
        ({"issuer": "https://gitlab.example.com"}, SOME, "medium", "high"),
        ({"issuer": "https://gitlab.example.com"}, ALL, "high", "high"),
        ({"issuer": "https://app.terraform.io"}, SOME, "high", "high"),
        ({"issuer": GITLAB}, SOME, "high", "high"),
        ({"issuer": GITLAB}, ALL, "critical", "high"),
        ({"token_bound_cidrs": ["192.0.2.0/24", "0.0.0.0/0"]}, SOME, "high", "high"),
        ({"token_bound_cidrs": "::/0"}, SOME, "high", "high"),
        ({"issuer": None, "keys_url": "https://gitlab.com/oauth/discovery/keys"}, SOME, "high", "high"),
        ({"token_bound_cidrs": ["192.0.2.0/24"]}, SOME, "medium", "high"),
    ],
)
def test_how_bad_any_repository_is(role: dict[str, Any], policy: str, severity: str, confidence: str) -> None:
    (found,) = judged("vault-role-any-repository", ("app", policy), **role)
    assert (found.severity, found.confidence) == (severity, confidence)
    assert ("taken for one that serves everybody" in str(found.evidence)) == (confidence == "medium")


def test_the_change_names_the_platforms_claim_and_keeps_what_is_bound() -> None:
    (found,) = judged("vault-role-any-repository", bound_claims={"ref": "main"}, issuer=GITLAB)
    assert json.loads(found.change.partition("<<'EOF'\n")[2].rpartition("\nEOF")[0])["bound_claims"] == {
        "ref": "main",
        "project_path": "GROUP/PROJECT",
    }
    wild = {"repository": ["acme*"], "ref": "refs/heads/*"}
    (found,) = judged("vault-role-wildcard", bound_claims=wild, bound_claims_type="glob")
    fields = json.loads(found.change.partition("<<'EOF'\n")[2].rpartition("\nEOF")[0])
    assert fields["bound_claims"] == {"repository": "OWNER/REPOSITORY", "ref": "refs/heads/*"}
    assert fields["bound_claims_type"] == "glob"


def test_a_hostile_name_stays_a_word_of_the_shell() -> None:
    (found,) = judged("vault-role-any-repository", name="a'; rm -rf / #\n\x1b[31m", mount="j$(id)")
    assert "'auth/j$(id)/role/a'\"'\"'; rm -rf / # [31m'" in found.change
    assert "\n" not in found.message


@pytest.mark.parametrize(
    ("role", "severity"),
    [
        ({"token_ttl": 900, "token_max_ttl": 3600}, ""),
        ({}, "medium"),
        ({"token_ttl": 7200, "token_max_ttl": 7200}, "low"),
        ({"token_ttl": 900}, "low"),
        ({"token_period": 600}, "medium"),
        ({"token_period": 600, "token_explicit_max_ttl": 3600}, ""),
        ({"token_ttl": "${var.ttl}"}, ""),
    ],
)
def test_long_token(role: dict[str, Any], severity: str) -> None:
    assert [each.severity for each in judged("vault-role-long-token", **role)] == ([severity] if severity else [])


def test_lifetimes_are_a_setting() -> None:
    rule = RULES.load("vault-role-long-token")
    settings = rule.Settings(token=60, most=60)
    assert judged("vault-role-long-token", settings=settings, token_ttl=900, token_max_ttl=900)


@pytest.mark.parametrize(
    ("rule", "role", "severity", "persona"),
    [
        ("vault-role-user-claim", {"user_claim": "/run_id"}, "low", "pedantic"),
        ("vault-role-user-claim", {"user_claim": "sub"}, "", ""),
        ("vault-role-any-ref", {"bound_claims": {"project_id": 20}}, "low", "pedantic"),
        ("vault-role-any-ref", {"bound_claims": {"project_id": 20, "ref": "main"}}, "", ""),
        ("vault-role-any-ref", {"bound_claims": {"ref_type": "tag"}}, "", ""),
        ("vault-role-untraceable", {}, "low", "auditor"),
        ("vault-role-any-address", {}, "info", "auditor"),
        ("vault-role-no-audience", {"bound_audiences": []}, "medium", "regular"),
        ("vault-role-pull-request", {"bound_subject": "repo:a/b:pull_request"}, "medium", "pedantic"),
        ("vault-role-pull-request", {"bound_claims": {"event_name": "pull_request_target"}}, "high", "regular"),
        ("vault-role-pull-request", {"bound_subject": "repo:a/pull_request:ref:x"}, "", ""),
        ("vault-role-admin-policy", {"token_policies": ["app", "root"]}, "high", "regular"),
        ("vault-role-admin-policy", {}, "", ""),
        ("vault-role-any-repository", {"bound_claims": {"job_workflow_ref": "acme/w"}}, "medium", "pedantic"),
    ],
)
def test_the_other_rules_of_roles(rule: str, role: dict[str, Any], severity: str, persona: str) -> None:
    found = [(each.severity, each.persona) for each in judged(rule, ("app", SOME), **role)]
    assert found == ([(severity, persona)] if severity else [])


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (ALL, ["vault-policy-everything"]),
        ('path "sys/*" { capabilities = ["sudo", "list"] }', ["vault-policy-sudo"]),
        ('path "kv/*" { capabilities = ["update"] }', ["vault-policy-whole-mount"]),
        ('path "auth/*" { capabilities = ["sudo", "update"] }', ["vault-policy-escalation"]),
        (SOME, []),
    ],
)
def test_one_rule_tells_of_a_stanza(text: str, rules: list[str]) -> None:
    names = [name for name in RULES if name.startswith("vault-policy-")]
    assert [name for name in names if judged(name, ("a", text))] == rules


def test_roles_of_people_are_left_alone() -> None:
    for name in RULES:
        if name.startswith("vault-role-"):
            assert judged(name, role_type="oidc", user_claim="email", bound_claims={"groups": "admins"}) == []


@pytest.mark.parametrize("name", [name for name in RULES if name.startswith("vault-")])
@pytest.mark.parametrize("odd", [None, 7, "x", [], [None], {"a": None}, {"a": {"b": []}}, [[]]])
def test_odd_facts_are_no_crash(name: str, odd: Any) -> None:
    keys = ("bound_claims", "bound_subject", "token_policies", "issuer", "token_ttl", "name", "mount", "user_claim")
    for key in keys:
        judged(name, ("app", SOME), **{key: odd})
    for kind in RULES.load(name).needs:
        records = [Record(kind, "vault://x/y", dict.fromkeys(("text", "name", "policies", "audit_devices"), odd))]
        list(RULES.load(name)().check(Inventory(records, {kind})))


# What only a server knows.

ASKED = [name for name in RULES if name.startswith("vault-") and RULES.load(name).sample == "inventory.json"]
"""vault-no-audit, vault-audit-clear, vault-root-token, vault-token-forever, and so on:
vault-secret-id-unlimited, vault-static-role-rotation.
"""


def of_sample(text: str) -> Inventory:
    data = json.loads(text)
    records = [Record(each["kind"], each["subject"], each["facts"]) for each in data["records"]]
    return Inventory(records, now=dt.datetime.fromisoformat(data["now"]))


@pytest.mark.parametrize("name", ASKED)
def test_samples_of_an_inventory(name: str) -> None:
    rule = RULES.load(name)
    assert len(ASKED) == 6
    for text in rule.bad:
        (found,) = rule().check(of_sample(text))
        assert found.change.partition("\n\n")[2]
    for text in rule.good:
        assert list(rule().check(of_sample(text))) == []


def test_an_overdue_rotation_is_worse_than_a_seldom_one() -> None:
    rule = RULES.load("vault-static-role-rotation")
    assert [each.severity for text in rule.bad for each in rule().check(of_sample(text))] == ["medium", "low"]
    assert len(list(rule(rule.Settings(most=3600)).check(of_sample(rule.good[0])))) == 1


# Policies.


@pytest.mark.parametrize(
    ("pattern", "path", "does"),
    [
        ("secret/*", "secret/a/b", True),
        ("secret/*", "secret", False),
        ("secret/a*", "secret/ab/c", True),
        ("secret/+/c", "secret/ab/c", True),
        ("secret/+/c", "secret/a/b/c", False),
        ("+/data/*", "kv/data/a/b", True),
        ("secret/a", "secret/ab", False),
        ("*", "sys/seal", True),
    ],
)
def test_matches(pattern: str, path: str, does: bool) -> None:
    assert matches(pattern, path) is does


def test_the_nearest_stanza_decides() -> None:
    text = """
path "sys/*" { capabilities = ["update", "sudo"] }
path "sys/policies/*" { capabilities = ["deny"] }
path "sys/policy/*" { capabilities = ["read"] }
"""
    policy = stanzas(text)
    found = allowed(policy, "sys/policies/acl/x")
    assert found is not None
    assert found[1] == frozenset()
    assert {power.path for _, power in powers(policy)} == {"sys/auth/?", "sys/raw/?", "sys/audit/?"}


@pytest.mark.parametrize(
    "text",
    [
        '{"path": {"auth/+/role/*": {"capabilities": ["update"]}}}',
        '{"path": [{"auth/+/role/*": [{"policy": "write"}]}]}',
        'path "auth/+/role/*" { policy = "write" }',
        'path "/auth/*" { capabilities = ["patch"] }',
        'path "auth/jwt/role/ci" { capabilities = ["create"] }',
        'path "auth/team/jwt/role/ci" { capabilities = ["create"] }',
    ],
)
def test_ways_to_write_an_escalation(text: str) -> None:
    inventory = Inventory([Record("vault.policy", "vault://x/policy/a", {"name": "a", "text": text})])
    assert len(list(RULES.load("vault-policy-escalation")().check(inventory))) == 1
    assert opened(inventory, ["a"]) == ("admin", "a")


def test_the_policies_that_we_tell_to_write_make_no_administrator() -> None:
    """That of the docs, and those of the server itself are checked where it runs."""
    text = (Path(__file__).resolve().parents[4] / "docs" / "inventory" / "vault.md").read_text()
    policy = text.partition("```hcl\n")[2].partition("```")[0]
    assert len(stanzas(policy)) > 15
    for name in RULES:
        if name.startswith("vault-policy-"):
            assert judged(name, ("audit", policy)) == []


def test_what_is_no_policy_opens_nothing() -> None:
    for text in (None, "", "path {", "{", "[]", "{}", '{"path": 3}', 'path "a" { capabilities = 3 }', "{" * 5000):
        assert [stanza for stanza in stanzas(text) if stanza.capabilities] == []


@given(st.lists(st.sampled_from(["a", "b", "+", "ab", "a*"]), min_size=1, max_size=4))
def test_a_stanza_is_about_itself(parts: list[str]) -> None:
    path = "/".join(part if number == len(parts) - 1 else part.rstrip("*") for number, part in enumerate(parts))
    found = allowed([Stanza(path, frozenset({"read"}))], path.replace("+", "x").replace("*", "y"))
    assert found is not None


# Who gets in: held against a second evaluator.


def glob(pattern: str, text: str) -> bool:
    """go-glob: ``*`` is any text."""
    parts = pattern.split("*")
    if len(parts) == 1:
        return pattern == text
    if not text.startswith(parts[0]) or not text[len(parts[0]) :].endswith(parts[-1]):
        return False
    at = len(parts[0])
    for part in parts[1:-1]:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return at <= len(text) - len(parts[-1])


def gets_in(role: dict[str, Any], claims: dict[str, str]) -> bool:
    """As the server compares: all claims, any value of each."""
    same = glob if role.get("bound_claims_type") == "glob" else str.__eq__
    if role.get("bound_subject") and role["bound_subject"] != claims["sub"]:
        return False
    return all(
        any(same(value, claims.get(name, "")) for value in (values if isinstance(values, list) else [values]))
        for name, values in (role.get("bound_claims") or {}).items()
    )


OWNERS = ("evil", "acme-evil", "acmeevil", "ac", "acm", "acmetrainer")
REPOSITORIES = ("x", "trainer", "acme", "x-trainer", "trainerx", "acme-trainer")


def strangers() -> list[dict[str, str]]:
    """Jobs of organisations that aren't acme; what everybody chooses (branch, environment) is as the role wants it."""
    return [
        {
            "repository": f"{owner}/{name}",
            "repository_owner": owner,
            "repository_owner_id": "77",
            "ref": "refs/heads/main",
            "sub": f"repo:{owner}/{name}:{rest}",
            "environment": "production",
        }
        for owner in OWNERS
        for name in REPOSITORIES
        for rest in ("ref:refs/heads/main", "environment:production", "pull_request")
    ]


STRANGERS = strangers()
REPOSITORY = ["acme/trainer", "acme/*", "acme*", "*", "*/trainer", "ac*", "acme*/trainer", "acme/t*", "*trainer", "**"]
SUBJECT = [
    *(f"repo:{each}:ref:refs/heads/main" for each in ("acme/trainer", "acme*", "acme/*", "*", "*/trainer")),
    *("repo:acme/trainer:*", "repo:acme*", "repo:*", "*", "rep*", "*:ref:refs/heads/main", "repo:*/trainer:*"),
]


def some(values: list[str]) -> st.SearchStrategy[Any]:
    return st.one_of(st.sampled_from(values), st.lists(st.sampled_from(values), min_size=1, max_size=2))


ROLES = st.fixed_dictionaries(
    {
        "bound_claims_type": st.sampled_from(["glob", "string"]),
        "bound_claims": st.fixed_dictionaries(
            {},
            optional={
                "repository": some(REPOSITORY),
                "sub": some(SUBJECT),
                "repository_owner": some(["acme", "acme*", "*", "a*e"]),
                "repository_owner_id": some(["6539", "7*"]),
                "ref": st.sampled_from(["refs/heads/main", "refs/*"]),
                "environment": st.just("production"),
            },
        ),
        "bound_subject": st.sampled_from(["", "", "", "repo:acme/trainer:ref:refs/heads/main"]),
    }
)


@given(ROLES)
def test_the_verdict_is_the_evaluators(role: dict[str, Any]) -> None:
    level = reach(role).level
    entered = any(gets_in(role, claims) for claims in STRANGERS)
    bound = role["bound_claims"]
    if role["bound_claims_type"] == "string" and any("*" in str(value) for value in bound.values()):
        # There a star is a star: the role is narrow, or lets nobody in.
        assert not entered or level in ("anyone", "crossing")
        return
    if entered:
        assert level in ("anyone", "crossing"), role
    single = len({"repository", "sub", "repository_owner", "repository_owner_id"} & set(bound)) <= 1
    if single and "a*e" not in str(bound):
        assert entered == (level in ("anyone", "crossing")), role


# The corpus.

CORPUS = Path(__file__).resolve().parents[3] / "data" / "audit" / "vault"


def test_corpus() -> None:
    expected = json.loads((CORPUS / "expected.json").read_text())
    inventory = collect(CORPUS, [path.name for path in sorted(CORPUS.iterdir()) if path.name != "expected.json"])
    assert inventory.problems == []
    found: dict[str, list[str]] = {name: [] for name in expected}
    for name in RULES:
        if name.startswith("vault-") and set(RULES.load(name).needs) <= {"vault.jwt_role", "vault.policy"}:
            for each in RULES.load(name)().check(inventory):
                assert each.location is not None
                if each.persona != "auditor":
                    found[each.location.path].append(f"{each.location.line} {name}")
    assert {name: sorted(each) for name, each in found.items()} == expected
    assert len(expected) >= 10
    assert any(not each for each in expected.values())

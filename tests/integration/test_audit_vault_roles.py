"""Rules of JWT roles and policies against a real OpenBao.

What a rule says of a role is shown by logging in: a stranger's repository gets in, and after the command that the
finding prints it is refused, while the own repository gets in and the rule is silent.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from keylease.audit.model import Finding, Inventory
from keylease.registry import RULES
from tests.integration.test_collect_vault import collected
from tests.servers.openbao import SELF_POLICY
from tests.servers.trust import Trust

Unique = Callable[[str], str]
OWN, REF = "acme/trainer", "refs/heads/main"


def login(trust: Trust, role: str, repository: str, audience: str = "", ref: str = REF, **claims: Any) -> int:
    jwt = trust.issuer.mint(
        audience or trust.audience,
        **{
            "repository": repository,
            "repository_owner": repository.partition("/")[0],
            "sub": f"repo:{repository}:ref:{ref}",
            "ref": ref,
            "workflow_ref": f"{repository}/.github/workflows/a.yml@{ref}",
            "project_path": repository,
            "namespace_path": repository.partition("/")[0],
            **claims,
        },
    )
    return trust.bao.request("POST", f"auth/{trust.mount}/login", {"role": role, "jwt": jwt}, token="").status_code


def judged(trust: Trust, rule: str, role: str) -> list[Finding]:
    """As an audit would: what the collector finds, judged, of this role."""
    inventory = collected(trust, trust.bao.token, auth=[trust.mount], tokens=False, secrets=False)
    assert inventory.problems == []
    return [each for each in RULES.load(rule)().check(inventory) if each.subject.endswith(f"/{role}")]


def mend(trust: Trust, change: str, **words: str) -> None:
    """Run the command that a finding prints, with the reader's own names in the place of the capitals."""
    block = change.partition("\n\n")[2]
    found = re.fullmatch(r"bao write (\S+) - <<'EOF'\n(.*)\nEOF", block, re.DOTALL)
    assert found, block
    body = found[2]
    for word, value in words.items():
        body = body.replace(word.replace("__", "/"), value)
    trust.bao.write(found[1], json.loads(body))


WEAK: dict[str, tuple[dict[str, Any], str, str]] = {
    "no bounds": ({}, "evil/x", "vault-role-any-repository"),
    "a branch": ({"bound_claims": {"ref": REF}}, "evil/x", "vault-role-any-repository"),
    "any by glob": (
        {"bound_claims_type": "glob", "bound_claims": {"repository": "*"}},
        "evil/x",
        "vault-role-any-repository",
    ),
    "one of two": (
        {"bound_claims_type": "glob", "bound_claims": {"repository": [OWN, "*"], "ref": "refs/heads/*"}},
        "evil/x",
        "vault-role-any-repository",
    ),
    "no slash": (
        {"bound_claims_type": "glob", "bound_claims": {"repository": "acme*"}},
        "acme-evil/x",
        "vault-role-wildcard",
    ),
    "subject": (
        {"bound_claims_type": "glob", "bound_claims": {"sub": f"repo:acme*:ref:{REF}"}},
        "acme-evil/x",
        "vault-role-wildcard",
    ),
    "any owner": (
        {"bound_claims_type": "glob", "bound_claims": {"repository": "*/trainer"}},
        "evil/trainer",
        "vault-role-wildcard",
    ),
    "owner": (
        {"bound_claims_type": "glob", "bound_claims": {"repository_owner": "acme*", "ref": REF}},
        "acme2/x",
        "vault-role-wildcard",
    ),
    "GitLab": (
        {"bound_claims_type": "glob", "bound_claims": {"project_path": "acme*"}, "user_claim": "project_path"},
        "acme-evil/x",
        "vault-role-wildcard",
    ),
}


@pytest.mark.parametrize("name", WEAK)
def test_a_stranger_gets_in_until_the_role_is_mended(name: str, trust: Trust, unique: Unique) -> None:
    fields, stranger, rule = WEAK[name]
    role = unique("weak")
    trust.bao.jwt_role(trust.mount, role, {"bound_audiences": [trust.audience], **fields})
    before = trust.bao.read(f"auth/{trust.mount}/role/{role}")["data"]
    assert login(trust, role, stranger) == 200
    (finding,) = judged(trust, rule, role)
    mend(trust, finding.change, OWNER__REPOSITORY=OWN, GROUP__PROJECT=OWN)
    assert login(trust, role, stranger) in (400, 403)
    assert login(trust, role, OWN) == 200
    assert judged(trust, "vault-role-any-repository", role) == []
    assert judged(trust, "vault-role-wildcard", role) == []
    after = trust.bao.read(f"auth/{trust.mount}/role/{role}")["data"]
    changed = {key for key in before if before[key] != after[key]}
    assert changed <= {"bound_claims", "bound_claims_type"}, "it must change no more than it says"


@pytest.mark.parametrize(
    "fields",
    [
        {"bound_claims": {"repository": OWN}},
        {"bound_claims_type": "glob", "bound_claims": {"repository": "acme/*"}},
        {"bound_claims_type": "glob", "bound_claims": {"repository": "acme*", "repository_owner": "acme"}},
        {"bound_claims_type": "glob", "bound_claims": {"sub": f"repo:{OWN}:*"}},
        {"bound_subject": f"repo:{OWN}:ref:{REF}"},
        {"bound_claims": {"workflow_ref": f"{OWN}/.github/workflows/a.yml@{REF}"}},
        {"bound_claims": {"/repository": OWN}},
    ],
)
def test_a_role_that_the_rules_pass_refuses_strangers(fields: dict[str, Any], trust: Trust, unique: Unique) -> None:
    role = unique("good")
    trust.bao.jwt_role(trust.mount, role, {"bound_audiences": [trust.audience], **fields})
    for stranger in ("evil/x", "acme-evil/x", "evil/trainer", "acmeevil/trainer"):
        assert login(trust, role, stranger) in (400, 403)
    assert login(trust, role, OWN) == 200
    for rule in ("vault-role-any-repository", "vault-role-wildcard"):
        assert judged(trust, rule, role) == []


def test_a_role_without_an_audience(trust: Trust, unique: Unique) -> None:
    role = unique("aud")
    trust.bao.jwt_role(trust.mount, role, {"bound_claims": {"repository": OWN}})
    assert login(trust, role, OWN) == 400, "OpenBao insists; older Vaults don't"
    (finding,) = judged(trust, "vault-role-no-audience", role)
    mend(trust, finding.change, AUDIENCE=trust.audience)
    assert login(trust, role, OWN) == 200
    assert login(trust, role, OWN, audience="sts.amazonaws.com") == 400
    assert judged(trust, "vault-role-no-audience", role) == []


def test_a_role_for_pull_requests(trust: Trust, unique: Unique) -> None:
    role = unique("pr")
    fields = {"bound_audiences": [trust.audience], "bound_subject": f"repo:{OWN}:pull_request"}
    trust.bao.jwt_role(trust.mount, role, fields)
    request = {"sub": f"repo:{OWN}:pull_request", "ref": "refs/pull/7/merge", "event_name": "pull_request"}
    assert login(trust, role, OWN, **request) == 200
    (finding,) = judged(trust, "vault-role-pull-request", role)
    mend(trust, finding.change, OWNER__REPOSITORY=OWN)
    assert login(trust, role, OWN, **request) == 400
    assert login(trust, role, OWN) == 200
    assert judged(trust, "vault-role-pull-request", role) == []
    assert judged(trust, "vault-role-any-repository", role) == []


def test_a_role_for_any_branch(trust: Trust, unique: Unique) -> None:
    role = unique("ref")
    fields = {"bound_audiences": [trust.audience], "bound_claims": {"repository": OWN}}
    trust.bao.jwt_role(trust.mount, role, fields)
    assert login(trust, role, OWN, ref="refs/heads/anybodys") == 200
    (finding,) = judged(trust, "vault-role-any-ref", role)
    mend(trust, finding.change)
    assert login(trust, role, OWN, ref="refs/heads/anybodys") == 400
    assert login(trust, role, OWN) == 200
    assert judged(trust, "vault-role-any-ref", role) == []


def lifetime(trust: Trust, role: str) -> int:
    jwt = trust.issuer.mint(trust.audience)
    answer = trust.bao.write(f"auth/{trust.mount}/login", role=role, jwt=jwt)
    return int(answer["auth"]["lease_duration"])


@pytest.mark.parametrize("fields", [{"token_ttl": 0, "token_max_ttl": 0}, {"token_period": "48h", "token_max_ttl": 0}])
def test_a_role_whose_tokens_live_for_a_month(fields: dict[str, Any], trust: Trust, unique: Unique) -> None:
    role = unique("long")
    bound = {"bound_audiences": [trust.audience], "bound_claims": {"repository": OWN}}
    trust.bao.jwt_role(trust.mount, role, {**bound, **fields})
    assert lifetime(trust, role) >= 48 * 3600
    (finding,) = judged(trust, "vault-role-long-token", role)
    assert finding.severity == "medium"
    mend(trust, finding.change)
    assert lifetime(trust, role) == 900
    assert judged(trust, "vault-role-long-token", role) == []


def test_the_rest_of_the_roles_rules_mend_what_they_find(trust: Trust, unique: Unique) -> None:
    role = unique("rest")
    bound = {"bound_audiences": [trust.audience], "bound_claims": {"repository": OWN}, "user_claim": "run_id"}
    admin = trust.bao.policy(unique("admin"), 'path "sys/policies/acl/*" { capabilities = ["update"] }')
    trust.bao.jwt_role(trust.mount, role, {**bound, "token_policies": [admin, "default"]})
    for rule in (
        "vault-role-user-claim",
        "vault-role-untraceable",
        "vault-role-any-address",
        "vault-role-admin-policy",
    ):
        (finding,) = judged(trust, rule, role)
        mend(trust, finding.change, **{"192.0.2.0__24": "127.0.0.0/8"})
        assert judged(trust, rule, role) == []
    assert login(trust, role, OWN) == 200
    data = trust.bao.read(f"auth/{trust.mount}/role/{role}")["data"]
    assert data["token_policies"] == ["default"]


# Policies: a token that has one does what the finding says.


def with_policy(trust: Trust, unique: Unique, text: str) -> tuple[str, list[Finding]]:
    name = trust.bao.policy(unique("policy"), text)
    inventory = collected(trust, trust.bao.token, auth=[], tokens=False, secrets=False)
    mine = Inventory([each for each in inventory.of("vault.policy") if each.facts["name"] == name], inventory.kinds)
    rules = ("vault-policy-everything", "vault-policy-escalation", "vault-policy-sudo", "vault-policy-whole-mount")
    findings = [finding for rule in rules for finding in RULES.load(rule)().check(mine)]
    return trust.bao.new_token(policies=[name]), findings


ESCALATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "policies": ('path "sys/policies/acl/*" { capabilities = ["update"] }', "sys/policies/acl/NAME", {"policy": "# x"}),
    "old policies": ('path "sys/policy/+" { capabilities = ["update"] }', "sys/policy/NAME", {"policy": "# x"}),
    "roles": (
        'path "auth/+/role/*" { capabilities = ["create", "update"] }',
        "auth/MOUNT/role/NAME",
        {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["a"], "token_policies": ["any"]},
    ),
    "tokens": (
        'path "auth/token/create" { capabilities = ["update", "sudo"] }',
        "auth/token/create",
        {"policies": ["any"]},
    ),
    "orphans": (
        'path "auth/token/create-orphan" { capabilities = ["update", "sudo"] }',
        "auth/token/create-orphan",
        {"policies": ["any"]},
    ),
    "identities": (
        'path "identity/*" { capabilities = ["create", "update"] }',
        "identity/entity",
        {"policies": ["any"]},
    ),
    "groups": ('path "identity/gr*" { capabilities = ["update"] }', "identity/group", {"policies": ["any"]}),
    "an AppRole's policies": (
        'path "auth/+/role/+/policies" { capabilities = ["update"] }',
        "auth/APPROLE/role/deploy/policies",
        {"token_policies": ["any"]},
    ),
    "issuers": (
        'path "auth/+/config" { capabilities = ["update"] }',
        "auth/MOUNT/config",
        {"jwks_url": "ISSUER/jwks"},
    ),
    "mounts": (
        'path "sys/auth/*" { capabilities = ["create", "update", "sudo"] }',
        "sys/auth/NAME",
        {"type": "userpass"},
    ),
}


@pytest.mark.parametrize("name", ESCALATIONS)
def test_whoever_has_it_can_give_himself_any_policy(name: str, trust: Trust, unique: Unique) -> None:
    text, path, body = ESCALATIONS[name]
    token, findings = with_policy(trust, unique, text)
    assert [each.rule for each in findings] == ["vault-policy-escalation"]
    approle = unique("approle")
    trust.bao.approle(approle, "deploy", "default")
    path = path.replace("APPROLE", approle).replace("NAME", unique("made")).replace("MOUNT", trust.mount)
    sent = json.loads(json.dumps(body).replace("ISSUER", trust.issuer.url))
    answer = trust.bao.request("POST", path, sent, token=token)
    assert answer.ok, answer.text
    # Without it, or as the finding says to write it, it is refused.
    mended, findings = with_policy(trust, unique, findings[0].change.partition("\n\n")[2])
    assert findings == []
    assert trust.bao.request("POST", path, sent, token=mended).status_code == 403


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('path "auth/token/create" { capabilities = ["update"] }', "auth/token/create"),
        ('path "sys/auth/*" { capabilities = ["create", "update"] }', "sys/auth/NAME"),
        (
            """path "sys/*" { capabilities = ["update"] }
path "sys/policies/*" { capabilities = ["deny"] }
path "sys/policy/*" { capabilities = ["deny"] }""",
            "sys/policies/acl/NAME",
        ),
    ],
)
def test_what_the_server_refuses_is_no_finding(text: str, path: str, trust: Trust, unique: Unique) -> None:
    token, findings = with_policy(trust, unique, text)
    body = {"policies": ["root"], "type": "userpass", "policy": "# x"}
    assert not trust.bao.request("POST", path.replace("NAME", unique("x")), body, token=token).ok
    assert findings == []


def test_everything_and_whole_mounts_are_read(trust: Trust, unique: Unique) -> None:
    trust.kv.put("others", {"k": "v"})
    cases = {
        'path "*" { capabilities = ["read"] }': "vault-policy-everything",
        'path "+/*" { capabilities = ["read"] }': "vault-policy-everything",
        f'path "{trust.kv.mount}/data/*" {{ capabilities = ["read"] }}': "vault-policy-whole-mount",
        f'path "{trust.kv.mount}/*" {{ capabilities = ["read"] }}': "vault-policy-whole-mount",
    }
    for text, rule in cases.items():
        token, findings = with_policy(trust, unique, text)
        assert [each.rule for each in findings] == [rule]
        assert trust.bao.request("GET", trust.kv.api("others"), token=token).ok


def test_sudo_behind_a_wildcard_opens_what_the_server_protects(trust: Trust, unique: Unique) -> None:
    token, findings = with_policy(trust, unique, 'path "auth/token/acc*" { capabilities = ["list", "sudo"] }')
    assert [each.rule for each in findings] == ["vault-policy-sudo"]
    assert trust.bao.request("LIST", "auth/token/accessors", token=token).ok
    token, findings = with_policy(trust, unique, 'path "auth/token/acc*" { capabilities = ["list"] }')
    assert findings == []
    assert trust.bao.request("LIST", "auth/token/accessors", token=token).status_code == 403


def test_the_servers_own_default_policy_is_no_finding(trust: Trust, unique: Unique) -> None:
    text = trust.bao.read("sys/policies/acl/default")["data"]["policy"]
    _, findings = with_policy(trust, unique, text + SELF_POLICY)
    assert findings == []

"""The collector of Vault against a real OpenBao."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keylease.audit.model import Inventory, Record
from keylease.collectors.base import Access
from keylease.collectors.vault import VaultCollector
from keylease.errors import KeyleaseError
from tests.fakes.misbehaving import Misbehaving, reply
from tests.integration.vault_job import Job
from tests.servers.trust import Trust

Unique = Callable[[str], str]


def collected(trust: Trust, token: str, url: str = "", **settings: Any) -> Inventory:
    job = Job(trust, url=url, env={"VAULT_TOKEN": token}, method="token", role="", audience=None)
    lease = job.exchanger().exchange(None)
    made = VaultCollector.complete(VaultCollector.Settings(**settings), {})
    return VaultCollector(made, job.context, Access(lease=lease)).collect()


def one(inventory: Inventory, kind: str, name: str) -> Record:
    (found,) = [each for each in inventory.of(kind) if each.facts["name"].partition(" ")[0] == name]
    return found


def test_everything(trust: Trust, unique: Unique) -> None:
    bao, mount = trust.bao, unique("approle")
    bao.approle(mount, "deploy", "default", secret_id_ttl="1h", secret_id_num_uses=4)
    kv1 = bao.kv1(unique("kv"))
    kv1.put("old/one", {"a": "b"})
    for path in ("ci", "deep/er/two"):
        trust.kv.put(path, {"a": "b"})
    bao.write(f"{trust.kv.mount}/metadata/ci", custom_metadata={"owner": "ml"})
    display = unique("periodic")
    bao.new_token(policies=["default"], period="1h", display_name=display, no_parent=True)
    found = collected(trust, bao.token, auth=[trust.mount, mount], kv=[trust.kv.mount, kv1.mount])
    assert found.problems == []
    assert found.kinds == set(VaultCollector.kinds)

    role = one(found, "vault.jwt_role", trust.role).facts
    assert role["bound_claims"] == {"repository": "acme/trainer"}
    assert role["issuer"] == trust.issuer.url
    assert role["token_ttl"] == 900
    assert role["token_policies"] == [trust.policy]
    assert role["token_no_default_policy"] is True
    assert "deploy" in [each.facts["name"] for each in found.of("vault.approle")]
    (secret_id,) = found.of("vault.approle_secret_id")
    assert secret_id.facts["uses_left"] == 4
    assert secret_id.facts["expires_at"] > secret_id.facts["created_at"]
    assert trust.kv.mount in one(found, "vault.policy", trust.policy).facts["text"]
    token = one(found, "vault.token", display).facts
    assert (token["period"], token["orphan"]) == (3600, True)
    secrets = {each.facts["path"]: each.facts for each in found.of("vault.secret")}
    assert set(secrets) == {"ci", "deep/er/two", "old/one"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", secrets["ci"]["updated_at"])
    assert secrets["ci"]["custom_metadata"] == ["owner"]
    assert "updated_at" not in secrets["old/one"]
    (server,) = found.of("vault.server")
    assert server.facts["audit_devices"] == 1


def stanzas(text: str) -> str:
    (block,) = re.findall(r"```hcl\n(.*?)```", text, re.DOTALL)
    return str(block)


def test_the_policy_of_the_docs_is_enough_and_reads_no_value(trust: Trust, unique: Unique) -> None:
    bao = trust.bao
    trust.kv.put("a/b", {"k": "v"})
    approle = unique("approle")
    bao.approle(approle, "deploy", "default")
    kv1 = bao.kv1(unique("kv"))
    kv1.put("one", {"k": "v"})
    database = bao.mount(unique("db"), "database")
    text = (Path(__file__).parents[2] / "docs" / "inventory" / "vault.md").read_text()
    policy = stanzas(text).replace("KV1", kv1.mount).replace("KV2", trust.kv.mount).replace("JWT", trust.mount)
    policy = policy.replace("DATABASE", database).replace("auth/approle", f"auth/{approle}")
    token = bao.new_token(policies=[bao.policy(unique("audit"), policy)])
    kv = [trust.kv.mount, kv1.mount]
    found = collected(trust, token, auth=[trust.mount, approle], kv=kv, databases=[database])
    assert found.problems == []
    assert len(found.of("vault.secret")) == 2
    assert found.of("vault.token")
    for path in (trust.kv.api("a/b"), kv1.api("one")):
        assert bao.request("GET", path, token=token).status_code == 403


def test_what_may_not_be_read_is_a_problem_with_the_stanza_that_mends_it(trust: Trust, unique: Unique) -> None:
    bao, name, text = trust.bao, unique("audit"), "# nothing yet\n"
    bao.policy(name, text)
    database = bao.mount(unique("db"), "database")
    trust.kv.put("a/b", {"k": "v"})
    token = bao.new_token(policies=[name])
    for _ in range(8):
        found = collected(trust, token, auth=[trust.mount], kv=[trust.kv.mount], databases=[database])
        assert found.kinds == set(VaultCollector.kinds)
        if not found.problems:
            break
        added = [line for each in found.problems for line in re.findall(r'^path "[^\n]+$', each.change, re.MULTILINE)]
        assert added, found.problems
        text += "\n".join(dict.fromkeys(added)) + "\n"
        bao.policy(name, text)
    assert found.problems == []
    assert found.of("vault.jwt_role")
    assert found.of("vault.secret")
    assert found.of("vault.token")
    assert found.of("vault.server")


def test_a_list_that_a_policy_cuts_is_read_to_its_end(trust: Trust, unique: Unique) -> None:
    for number in range(7):
        trust.kv.put(f"s{number}", {"k": "v"})
    rules = f"""
path "sys/mounts" {{ capabilities = ["read"] }}
path "{trust.kv.mount}/metadata/*" {{ capabilities = ["read", "list"]
 pagination_limit = 2 }}
"""
    token = trust.bao.new_token(policies=[trust.bao.policy(unique("cut"), rules)])
    cut = trust.bao.request("LIST", f"{trust.kv.mount}/metadata/", token=token)
    found = collected(trust, token, kv=[trust.kv.mount])
    assert len(found.of("vault.secret")) == 7, cut.text


def test_settings_narrow_it(trust: Trust) -> None:
    trust.kv.put("one", {"k": "v"})
    trust.kv.put("two", {"k": "v"})
    found = collected(trust, trust.bao.token, auth=["none"], kv=[trust.kv.mount], most=1, tokens=False)
    assert len(found.of("vault.secret")) == 1
    assert [each.kind for each in found.problems] == ["vault.secret"]
    assert not found.of("vault.jwt_role")
    assert "vault.token" not in found.kinds
    assert "vault.secret" not in collected(trust, trust.bao.token, auth=[], secrets=False, tokens=False).kinds


def test_a_dead_token_is_an_error(trust: Trust) -> None:
    job = Job(trust, env={"VAULT_TOKEN": trust.bao.new_token()}, method="token", role="", audience=None)
    lease = job.exchanger().exchange(None)
    trust.bao.write("auth/token/revoke", token=job.context.env["VAULT_TOKEN"])
    with pytest.raises(KeyleaseError):
        VaultCollector(VaultCollector.Settings(), job.context, Access(lease=lease)).collect()


def test_a_list_that_is_garbage_is_never_an_empty_one(trust: Trust, misbehaving: Misbehaving) -> None:
    misbehaving.on("/v1/auth/token/lookup-self", reply(200, json={"data": {"policies": [], "ttl": 0}}))
    misbehaving.on("/v1/sys/auth", reply(200, json={"data": {"jwt/": {"type": "jwt"}}}))
    misbehaving.on("/v1/auth/jwt/config", reply(200, json={"data": {}}))
    misbehaving.on("/v1/auth/jwt/role", reply(200, json={"data": {"keys": [None]}}))
    with pytest.raises(KeyleaseError, match="no keys"):
        collected(trust, "s.token", url=misbehaving.url)


@pytest.mark.parametrize("answer", [{}, {"errors": []}, {"data": {}}, {"data": {"jwt/": None}}, {"data": {"jwt/": {}}}])
def test_no_list_of_mounts_is_no_empty_one(trust: Trust, misbehaving: Misbehaving, answer: Any) -> None:
    misbehaving.on("/v1/auth/token/lookup-self", reply(200, json={"data": {"policies": [], "ttl": 0}}))
    misbehaving.on("/v1/sys/auth", reply(200, json=answer))
    with pytest.raises(KeyleaseError, match="no list of mounts"):
        collected(trust, "s.token", url=misbehaving.url)


def test_a_proxys_404_is_not_taken_for_gone(trust: Trust, misbehaving: Misbehaving) -> None:
    misbehaving.on("/v1/auth/token/lookup-self", reply(200, json={"data": {"policies": [], "ttl": 0}}))
    misbehaving.on("/v1/sys/auth", reply(200, json={"data": {"token/": {"type": "token"}}}))
    misbehaving.on("/v1/sys/mounts", reply(200, json={"data": {"sys/": {"type": "system"}}}))
    misbehaving.on("/v1/auth/token/accessors", reply(200, json={"data": {"keys": ["a"]}}))
    misbehaving.on("/v1/auth/token/lookup-accessor", reply(404, body=b"<html>"))
    misbehaving.on("/v1/sys/policies/acl", reply(200, json={"data": {"keys": ["a"]}}))
    misbehaving.on("/v1/sys/policies/acl/a", reply(404, json={"errors": []}))
    misbehaving.on("/v1/sys/audit", reply(200, json={"data": {}}))
    found = collected(trust, "s.token", url=misbehaving.url)
    assert [(problem.kind, "1 of 1" in problem.what) for problem in found.problems] == [("vault.token", True)]


def test_a_policy_that_is_not_understood_is_told(trust: Trust, unique: Unique) -> None:
    inside = Trust.create(trust.bao.namespace(unique("team")), trust.issuer)
    name = unique("odd")
    inside.bao.policy(name, 'path "secret/x" { capabilities = ["sudo", "read"], }')  # the server takes it
    found = collected(inside, trust.bao.token, tokens=False)
    assert [problem.kind for problem in found.problems if name in problem.what] == ["vault.policy"]
    assert name not in [each.facts["name"] for each in found.of("vault.policy")]


def test_a_namespace_is_looked_at_by_itself(trust: Trust, unique: Unique) -> None:
    inside = Trust.create(trust.bao.namespace(unique("team")), trust.issuer)
    found = collected(inside, trust.bao.token, tokens=False)
    (role,) = found.of("vault.jwt_role")
    host = trust.bao.url.partition("//")[2]
    assert role.subject == f"vault://{host}/{inside.bao.namespace_path}/jwt_role/{inside.mount}/{inside.role}"
    assert trust.role not in [each.facts["name"] for each in found.of("vault.jwt_role")]

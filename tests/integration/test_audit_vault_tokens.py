"""Rules of tokens, SecretIDs, static roles and audit devices, against a real OpenBao: found, mended, silent."""

import datetime as dt
from collections.abc import Callable

from keylease.audit.model import Finding, Inventory
from keylease.registry import RULES
from tests.integration.test_collect_vault import collected
from tests.servers.openbao import OpenBao
from tests.servers.postgres import Postgres
from tests.servers.trust import Trust

Unique = Callable[[str], str]


def judged(rule: str, inventory: Inventory, word: str) -> list[Finding]:
    """Findings of one rule whose message has this word."""
    return [each for each in RULES.load(rule)().check(inventory) if word in each.message]


def tokens(trust: Trust) -> Inventory:
    return collected(trust, trust.bao.token, auth=[], secrets=False)


def test_root_and_periodic_tokens(trust: Trust, unique: Unique) -> None:
    bao = trust.bao
    root, forever, ended = unique("root"), unique("forever"), unique("ended")
    made = bao.write("auth/token/create", policies=["root"], display_name=root)["auth"]
    policy = bao.policy(unique("app"), "# nothing")
    bao.new_token(policies=[policy], period="1h", display_name=forever, no_parent=True)
    bao.new_token(policies=[policy], period="1h", explicit_max_ttl="2h", display_name=ended)
    found = tokens(trust)
    (finding,) = judged("vault-root-token", found, root)
    assert ("expires", "never") in finding.evidence
    assert judged("vault-token-forever", found, root) == []
    (finding,) = judged("vault-token-forever", found, forever)
    assert "outlives" in finding.message
    assert judged("vault-token-forever", found, ended) == []
    # `bao token revoke -accessor`, as the finding says.
    bao.write("auth/token/revoke-accessor", accessor=made["accessor"])
    assert judged("vault-root-token", tokens(trust), root) == []


def test_a_secret_id_without_limits(trust: Trust, unique: Unique) -> None:
    bao, mount = trust.bao, unique("approle")
    role_id, secret_id = bao.approle(mount, "deploy", "default")
    login = {"role_id": role_id, "secret_id": secret_id}
    for _ in range(3):
        assert bao.request("POST", f"auth/{mount}/login", login, token="").ok
    (finding,) = judged("vault-secret-id-unlimited", collected(trust, bao.token, auth=[mount], tokens=False), "deploy")
    limit, lists, destroy = finding.change.partition("\n\n")[2].splitlines()
    words = limit.split()
    assert words[:2] == ["bao", "write"]
    bao.write(words[2], dict(word.split("=") for word in words[3:]))
    (accessor,) = bao.list(lists.split()[2])
    bao.write(destroy.split()[2], secret_id_accessor=accessor)
    assert not bao.request("POST", f"auth/{mount}/login", login, token="").ok
    bao.write(f"auth/{mount}/role/deploy/secret-id")
    found = collected(trust, bao.token, auth=[mount], tokens=False)
    assert len(found.of("vault.approle_secret_id")) == 1
    assert judged("vault-secret-id-unlimited", found, "deploy") == []


def test_a_static_role(trust: Trust, postgres: Postgres, openbao: OpenBao, unique: Unique) -> None:
    mount, name = unique("db"), unique("static")
    path = openbao.database_postgres(mount, postgres, unique("role"))
    user = openbao.read(path)["data"]["username"]
    fields = {"db_name": "postgres", "username": user}
    openbao.write(f"{mount}/static-roles/{name}", {**fields, "rotation_period": "8760h"})
    found = collected(trust, openbao.token, auth=[], secrets=False, tokens=False)
    assert [each.facts["name"] for each in found.of("vault.database") if each.facts["mount"] == mount] == ["postgres"]
    (finding,) = judged("vault-static-role-rotation", found, name)
    words = finding.change.partition("\n\n")[2].split()
    openbao.write(words[2], {**fields, **dict(word.split("=") for word in words[3:])})
    found = collected(trust, openbao.token, auth=[], secrets=False, tokens=False)
    assert judged("vault-static-role-rotation", found, name) == []
    found.now += dt.timedelta(days=62)
    assert judged("vault-static-role-rotation", found, name)[0].severity == "medium"


def test_a_server_without_an_audit_device(trust: Trust) -> None:
    """OpenBao takes devices from its configuration; the test bed always has one, so only their number is changed."""
    found = tokens(trust)
    (server,) = found.of("vault.server")
    assert server.facts["audit_devices"] == 1
    assert judged("vault-no-audit", found, "") == []
    server.facts["audit_devices"] = 0  # type: ignore[index]
    assert len(judged("vault-no-audit", found, "")) == 1


def test_a_mount_whose_values_stand_in_the_audit_log(trust: Trust, openbao: OpenBao, unique: Unique) -> None:
    kv, planted = openbao.kv1(unique("kv")), unique("planted")
    kv.put("one", {"password": planted})

    def logged() -> bool:
        before = openbao.audit_size()
        kv.get("one")
        return planted in repr(openbao.audit_lines(before))

    assert not logged()
    openbao.write(f"sys/mounts/{kv.mount}/tune", audit_non_hmac_response_keys="password,note")
    assert logged()
    (finding,) = judged("vault-audit-clear", tokens(trust), kv.mount)
    words = finding.change.partition("\n\n")[2].split()
    openbao.write(words[2], dict(word.split("=") for word in words[3:]))
    assert not logged()
    assert judged("vault-audit-clear", tokens(trust), kv.mount) == []

"""Reading from a real OpenBao: KV of both versions, dynamic secrets, wrapping; and how few requests it takes."""

# long file: every way to read from one real server; the tests share its fixtures.

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from keylease.errors import NotFoundError, RefusedError, UsageError
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Proxy, status
from tests.integration.vault_job import Job, read_of
from tests.leaks import Seeded
from tests.servers.openbao import OpenBao
from tests.servers.postgres import Postgres
from tests.servers.trust import Trust
from tests.servers.valkey import Valkey

Unique = Callable[[str], str]

DETECT = "/v1/sys/internal/ui/mounts/*"


def detections(proxy: Proxy) -> int:
    return sum(count for path, count in proxy.counts.items() if path.startswith("/v1/sys/internal/ui/mounts/"))


# KV.


def test_both_versions_are_told_apart_once_per_mount(trust: Trust, proxy: Proxy, unique: Unique) -> None:
    old = trust.bao.kv1(unique("old"))
    trust.grant(f"{old.mount}/*")
    for kv in (old, trust.kv):
        for n in range(3):
            kv.put(f"team/app{n}", {"k": f"value-{kv.version}-{n}"})
    job = Job(trust, url=proxy.url)
    manager = job.manager()
    for kv in (old, trust.kv):
        for n in range(3):
            document = manager.read(read_of(f"{kv.mount}/team/app{n}"))
            assert document.value(["k"], job.context.seal).reveal() == f"value-{kv.version}-{n}"
            assert document.version == ("1" if kv.version == 2 else None)
            assert document.expires_at is None
    assert detections(proxy) == 2


def test_threads_that_want_the_same_mount_ask_once(trust: Trust, proxy: Proxy) -> None:
    proxy.latency = 0.05
    for n in range(8):
        trust.kv.put(f"n{n}", {"k": "value-1"})
    manager = Job(trust, url=proxy.url).manager()
    threads = [threading.Thread(target=manager.read, args=(read_of(f"{trust.kv.mount}/n{n}"),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert detections(proxy) == 1


def test_one_connection_carries_it_all(trust: Trust, proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    trust.kv.put("ci", {"k": "value-1"})
    job = Job(trust, url=proxy.url)
    with caplog.at_level(logging.DEBUG, logger="urllib3"):
        for _ in range(5):
            job.read(f"{trust.kv.mount}/ci")
    opened = [record for record in caplog.records if "Starting new HTTP connection" in record.getMessage()]
    assert len([record for record in opened if str(proxy.port) in record.getMessage()]) == 1


def test_a_mount_of_several_segments(trust: Trust, unique: Unique) -> None:
    kv = trust.bao.kv2(f"{unique('teams')}/ml/kv")
    trust.grant(f"{kv.mount}/data/*")
    kv.put("app/db", {"k": "value-1"})
    job = Job(trust)
    assert job.value(f"{kv.mount}/app/db", "k") == "value-1"
    assert job.value(f"{kv.mount}/app/db", "k", kv="2", mount=kv.mount) == "value-1"


@pytest.mark.parametrize("version", [1, 2])
def test_a_pinned_version_asks_for_nothing_else(trust: Trust, proxy: Proxy, unique: Unique, version: int) -> None:
    kv = trust.bao.kv1(unique("kv")) if version == 1 else trust.kv
    trust.grant(f"{kv.mount}/*")
    kv.put("ci", {"k": "value-1"})
    job = Job(trust, url=proxy.url)
    assert job.value(f"{kv.mount}/ci", "k", kv=str(version)) == "value-1"
    assert dict(proxy.counts) == {f"/v1/auth/{trust.mount}/login": 1, f"/v1/{kv.api('ci')}": 1}


@pytest.mark.parametrize("version", [1, 2])
def test_where_the_version_can_not_be_asked_for(trust: Trust, proxy: Proxy, unique: Unique, version: int) -> None:
    """A proxy or a policy that refuses `sys/` altogether."""
    proxy.always(DETECT, status(403, errors=("permission denied",)))
    kv = trust.bao.kv1(unique("kv")) if version == 1 else trust.kv
    trust.grant(f"{kv.mount}/*")
    kv.put("ci", {"k": "value-1"})
    kv.put("other", {"k": "value-2"})
    job = Job(trust, url=proxy.url)
    assert job.value(f"{kv.mount}/ci", "k") == "value-1"
    assert job.value(f"{kv.mount}/other", "k") == "value-2"
    with pytest.raises(NotFoundError):
        job.read(f"{kv.mount}/nosuch")
    with pytest.raises(RefusedError, match="permission denied") as caught:
        job.read("secret/ci")
    assert 'path "secret/data/ci"' in caught.value.change
    assert 'path "secret/ci"' in caught.value.change


def test_a_policy_for_one_secret_is_enough(trust: Trust, unique: Unique) -> None:
    """Detection works for whoever may read something below the mount, and needs no policy on `sys/`."""
    kv = trust.bao.kv2(unique("kv"))
    kv.put("only/this", {"k": "value-1"})
    trust.grant(f"{kv.mount}/data/only/this")
    assert Job(trust).value(f"{kv.mount}/only/this", "k") == "value-1"


def test_older_versions(trust: Trust) -> None:
    for n in (1, 2, 3):
        trust.kv.put("ci", {"k": f"value-{n}"})
    path = f"{trust.kv.mount}/ci"
    job = Job(trust)
    assert job.value(path, "k") == "value-3"
    assert job.value(path, "k", version="1") == "value-1"
    assert job.read(path, version="2").version == "2"
    with pytest.raises(NotFoundError):
        job.read(path, version="9")


def test_deleted_and_destroyed_versions(trust: Trust) -> None:
    kv, job = trust.kv, Job(trust)
    kv.put("ci", {"k": "value-1"})
    kv.put("ci", {"k": "value-2"})
    trust.bao.delete(kv.api("ci"))
    with pytest.raises(NotFoundError, match="version 2 is deleted since") as caught:
        job.read(f"{kv.mount}/ci")
    assert f"bao kv undelete -versions=2 {kv.mount}/ci" in caught.value.change
    trust.bao.write(f"{kv.mount}/destroy/ci", versions=[1])
    with pytest.raises(NotFoundError, match="version 1 is destroyed"):
        job.read(f"{kv.mount}/ci", version="1")


def test_a_version_of_what_has_none(trust: Trust, unique: Unique) -> None:
    kv = trust.bao.kv1(unique("old"))
    trust.grant(f"{kv.mount}/*")
    with pytest.raises(UsageError, match="needs KV version 2"):
        Job(trust).read(f"{kv.mount}/ci", version="1")


def test_api_paths_as_vault_action_takes_them(trust: Trust, proxy: Proxy, unique: Unique) -> None:
    old = trust.bao.kv1(unique("old"))
    trust.grant(f"{old.mount}/*")
    old.put("ci", {"k": "value-old", "data": "value-data"})
    trust.kv.put("ci", {"k": "value-new"})
    job = Job(trust, url=proxy.url)
    assert job.value(f"{trust.kv.mount}/data/ci", "k", raw="true") == "value-new"
    assert job.value(f"{old.mount}/ci", "k", raw="true") == "value-old"
    assert job.value(f"{old.mount}/ci", "data", raw="true") == "value-data"
    assert detections(proxy) == 0


def test_an_api_path_without_data_is_explained(trust: Trust) -> None:
    trust.kv.put("ci", {"k": "value-1"})
    trust.grant(f"{trust.kv.mount}/ci")
    with pytest.raises(NotFoundError, match="KV version 2 mount") as caught:
        Job(trust).read(f"{trust.kv.mount}/ci", raw="true")
    assert f"{trust.kv.mount}/data/ci" in caught.value.change


def test_a_reference_with_data_in_it_is_explained(trust: Trust) -> None:
    trust.kv.put("ci", {"k": "value-1"})
    with pytest.raises(NotFoundError) as caught:
        Job(trust).read(f"{trust.kv.mount}/data/ci")
    assert "part of the API path only" in caught.value.cause


def test_a_secret_called_data_can_be_read(trust: Trust) -> None:
    trust.kv.put("data/ci", {"k": "value-1"})
    assert Job(trust).value(f"{trust.kv.mount}/data/ci", "k") == "value-1"


# The five errors, and the rest.


def test_a_mount_that_is_not_there(trust: Trust) -> None:
    trust.grant("nosuch/*")
    with pytest.raises(NotFoundError, match="nothing is mounted at"):
        Job(trust).read("nosuch/ci")


def test_a_mount_alone(trust: Trust, unique: Unique) -> None:
    kv = trust.bao.kv2(f"{unique('teams')}/kv")
    trust.grant(f"{kv.mount}/data/*")
    with pytest.raises(UsageError, match="is a mount, not a secret"):
        Job(trust).read(kv.mount)


def test_forbidden_names_path_policies_and_stanza(trust: Trust, proxy: Proxy) -> None:
    job = Job(trust, url=proxy.url)
    job.exchange()
    with pytest.raises(RefusedError) as caught:
        job.read("secret/data/ci", raw="true")
    assert "permission denied on secret/data/ci" in caught.value.summary
    assert trust.policy in caught.value.cause
    assert 'path "secret/data/ci" { capabilities = ["read"] }' in caught.value.change
    assert proxy.counts["/v1/secret/data/ci"] == 1


def test_the_stanza_that_is_shown_is_enough(trust: Trust) -> None:
    trust.bao.write("secret/data/shown/stanza", {"data": {"k": "value-1"}})
    job = Job(trust)
    with pytest.raises(RefusedError) as caught:
        job.read("secret/shown/stanza", kv="2")
    assert f"`bao policy read {trust.policy}`" in caught.value.change
    stanza = caught.value.change.partition("\n\n")[2]
    trust.bao.policy(trust.policy, stanza)
    assert job.value("secret/shown/stanza", "k", kv="2") == "value-1"


def test_the_policy_to_mend_is_not_the_one_for_cleaning_up(openbao: OpenBao, issuer: OIDCIssuer) -> None:
    trust = Trust.create(openbao, issuer, token_policies=["keylease-self", "default", "ml-ci"])
    with pytest.raises(RefusedError) as caught:
        Job(trust).read("secret/ci", kv="2")
    assert "to the job's policy ml-ci and keep what is there" in caught.value.change
    trust = Trust.create(openbao, issuer, token_policies=["keylease-self"])
    with pytest.raises(RefusedError) as caught:
        Job(trust).read("secret/ci", kv="2")
    assert "no policy of its own" in caught.value.change


def test_a_line_without_data_is_told_what_to_write(trust: Trust) -> None:
    mount = trust.kv.mount
    trust.kv.put("ci", {"k": "value-1"})
    job = Job(trust)
    with pytest.raises(RefusedError, match=f"Vault: {mount}/ci: permission denied on {mount}/ci") as caught:
        job.read(f"{mount}/ci", raw="true")
    assert f"{mount} is a KV version 2 mount" in caught.value.cause
    assert caught.value.change.startswith(f"{mount}/data/ci in place of {mount}/ci")
    with pytest.raises(RefusedError) as caught:  # one that this token may not know of
        job.read("secret/ci", raw="true")
    assert "where secret is a KV version 2 mount, ask for secret/data/ci" in caught.value.change
    for path in ("secret/data/ci", "database/creds/other", "sys/raw/x"):
        with pytest.raises(RefusedError) as caught:
            job.read(path, raw="true")
        assert "KV version 2" not in caught.value.change


def test_a_field_of_a_line_is_shown_as_a_line(trust: Trust) -> None:
    trust.kv.put("ci", {"k": "value-1"})
    job = Job(trust)
    with pytest.raises(NotFoundError, match=f"^{trust.kv.mount}/data/ci: no field 'nosuch'") as caught:
        job.value(f"{trust.kv.mount}/data/ci", "nosuch", raw="true")
    assert f"`{trust.kv.mount}/data/ci FIELD | NAME`" in caught.value.change
    assert "vault://" not in caught.value.diagnostics()


def test_a_token_that_died_meanwhile_is_told_apart(trust: Trust) -> None:
    trust.kv.put("ci", {"k": "value-1"})
    job = Job(trust)
    job.exchange()
    trust.bao.write("auth/token/revoke", token=job.vault_token)
    with pytest.raises(RefusedError, match="the token is not valid any more"):
        job.read(f"{trust.kv.mount}/ci")


# Other engines.


@pytest.mark.parametrize("kind", ["valkey", "postgres"])
def test_database_credentials_work_and_are_leased(
    trust: Trust, unique: Unique, seeded: Seeded, kind: str, request: pytest.FixtureRequest
) -> None:
    server: Valkey | Postgres = request.getfixturevalue(kind)
    make: Any = trust.bao.database_valkey if kind == "valkey" else trust.bao.database_postgres
    path = make(unique("db"), server, unique("role"))
    trust.grant(path)
    job = Job(trust)
    document = job.read(path)
    username, password = (document.value([n], job.context.seal).reveal() for n in ("username", "password"))
    seeded.add(password)
    assert server.login(username, password)
    assert job.lease is not None
    assert job.lease.revocation is not None
    (lease_id,) = job.lease.revocation.children
    assert lease_id.startswith(f"{path}/")
    assert document.expires_at is not None
    assert document.renewal is not None
    assert document.renewal.ttl == 300
    assert document.renewal.renew() == 300


def test_a_dynamic_secret_of_an_unknown_mount(trust: Trust, proxy: Proxy, valkey: Valkey, unique: Unique) -> None:
    proxy.always(DETECT, status(403))
    path = trust.bao.database_valkey(unique("db"), valkey, unique("role"))
    trust.grant(path)
    job = Job(trust, url=proxy.url)
    assert set(job.read(path).names()) == {"username", "password"}
    assert proxy.counts[f"/v1/{path}"] == 1, "asking twice would make two users"


@pytest.fixture
def pki(trust: Trust, unique: Unique) -> str:
    mount = trust.bao.mount(unique("pki"), "pki")
    trust.bao.write(f"{mount}/root/generate/internal", common_name="ca.example.com", ttl="24h")
    trust.bao.write(f"{mount}/roles/ci", allowed_domains=["ci.example.com"], allow_bare_domains=True, max_ttl="1h")
    trust.grant(f"{mount}/issue/ci", "update")
    return f"{mount}/issue/ci"


def test_pki(trust: Trust, pki: str, proxy: Proxy) -> None:
    job = Job(trust, url=proxy.url)
    document = job.read(pki, {"common_name": "ci.example.com", "ttl": "10m"})
    assert {"certificate", "private_key", "issuing_ca"} <= set(document.names())
    assert document.value(["private_key"], job.context.seal).reveal().startswith("-----BEGIN")
    assert document.expires_at is not None
    assert dict(proxy.counts) == {f"/v1/auth/{trust.mount}/login": 1, f"/v1/{pki}": 1}


def test_pki_without_parameters_is_explained(trust: Trust, pki: str) -> None:
    trust.grant(pki, "update", "read")
    with pytest.raises(RefusedError, match="can't be read") as caught:
        Job(trust).read(pki)
    assert "with: {…}" in caught.value.change


def test_pki_refusals_carry_the_servers_words_only(trust: Trust, pki: str) -> None:
    with pytest.raises(RefusedError, match=r"evil\.example\.com") as caught:
        Job(trust).read(pki, {"common_name": "evil.example.com"})
    assert "{" not in caught.value.summary


def test_pki_forbidden_wants_update(trust: Trust) -> None:
    with pytest.raises(RefusedError) as caught:
        Job(trust).read("pki/issue/nosuch", {"common_name": "x"})
    assert 'path "pki/issue/nosuch" { capabilities = ["update"] }' in caught.value.change


def test_transit_data_keys(trust: Trust, unique: Unique) -> None:
    mount = trust.bao.mount(unique("transit"), "transit")
    trust.bao.write(f"{mount}/keys/ci")
    trust.grant(f"{mount}/datakey/plaintext/ci", "update")
    document = Job(trust).read(f"{mount}/datakey/plaintext/ci", {})
    assert {"plaintext", "ciphertext"} <= set(document.names())


def test_ssh_certificates(trust: Trust, unique: Unique) -> None:
    mount = trust.bao.mount(unique("ssh"), "ssh")
    trust.bao.write(f"{mount}/config/ca", generate_signing_key=True, key_type="ed25519")
    trust.bao.write(
        f"{mount}/roles/ci", key_type="ca", allow_user_certificates=True, allowed_users="*", default_user="ci", ttl="5m"
    )
    trust.grant(f"{mount}/issue/ci", "update")
    job = Job(trust)
    document = job.read(f"{mount}/issue/ci", {"key_type": "ed25519"})
    assert document.value(["signed_key"], job.context.seal).reveal().startswith("ssh-ed25519-cert-v01@openssh.com")
    assert "PRIVATE KEY" in document.value(["private_key"], job.context.seal).reveal()


def test_a_token_that_no_revocation_reaches_is_warned_about(
    trust: Trust, seeded: Seeded, caplog: pytest.LogCaptureFixture
) -> None:
    trust.grant("auth/token/create-orphan", "update", "sudo")
    parameters = {"ttl": "5m", "policies": [trust.policy], "no_default_policy": True}
    document = Job(trust).read("auth/token/create-orphan", parameters)
    assert document.expires_at is not None
    assert "vault://auth/token/create-orphan: a token that does not end with ours is not revoked" in caplog.text
    caplog.clear()
    given = Job(trust, env={"MY_TOKEN": trust.bao.token}, method="token", token_env="MY_TOKEN")
    given.lease = given.exchanger().exchange(None)
    given.read("auth/token/create", parameters)
    trust.kv.put("ci", {"x": seeded.new("x")})
    given.read(trust.kv.api("ci"), wrap_ttl="1m", raw="true")
    assert caplog.text.count("is not revoked at the end of the job") == 2


def test_child_tokens(trust: Trust, caplog: pytest.LogCaptureFixture) -> None:
    """An answer in `auth` instead of `data`."""
    trust.grant("auth/token/create", "update")
    job = Job(trust)
    document = job.read("auth/token/create", {"ttl": "5m", "policies": [trust.policy], "no_default_policy": True})
    child = document.value(["client_token"], job.context.seal).reveal()
    assert trust.bao.token_lookup(child) is not None
    assert "is not revoked" not in caplog.text


def test_a_path_that_hands_out_nothing(trust: Trust) -> None:
    trust.grant("cubbyhole/x", "create", "update")
    with pytest.raises(NotFoundError, match="holds no data"):
        Job(trust).read("cubbyhole/x", {"k": "v"})


# Response wrapping.


def test_an_answer_can_be_wrapped_and_unwrapped(trust: Trust, seeded: Seeded) -> None:
    value = seeded.new("wrapped")
    trust.kv.put("ci", {"k": value})
    job = Job(trust)
    wrapped = job.read(f"{trust.kv.mount}/ci", wrap_ttl="2m")
    assert wrapped.expires_at is not None
    assert wrapped.value(["creation_path"], job.context.seal).reveal() == trust.kv.api("ci")
    token = wrapped.value(["wrapping_token"], job.context.seal).reveal()

    receiver = Job(trust, env={"WRAPPED": token})
    document = receiver.read("sys/wrapping/unwrap", unwrap_env="WRAPPED")
    assert document.value(["k"], receiver.context.seal).reveal() == value
    with pytest.raises(RefusedError, match="wrapping token was refused"):
        receiver.read("sys/wrapping/unwrap", unwrap_env="WRAPPED")
    with pytest.raises(UsageError, match="NOSUCH"):
        receiver.read("sys/wrapping/unwrap", unwrap_env="NOSUCH")


def test_what_is_missing_is_found_missing_when_wrapped(trust: Trust) -> None:
    with pytest.raises(NotFoundError):
        Job(trust).read(f"{trust.kv.mount}/nosuch", wrap_ttl="2m")


@pytest.mark.parametrize(
    ("path", "parameters", "options"),
    [
        ("kv/a", None, {"kv": "3"}),
        ("kv/a", None, {"version": "0"}),
        ("kv/a", None, {"version": "-1"}),
        ("kv/a", None, {"version": "²"}),
        ("kv/a", None, {"kv": "1", "version": "2"}),
        ("kv/a", None, {"raw": "yes"}),
        ("kv/a", {}, {"kv": "2"}),
        ("kv/a", None, {"wrap_ttl": "never"}),
        ("kv/a", None, {"kv": "2", "mount": "other"}),
        ("kv/a", None, {"unwrap_env": "X"}),
        ("kv", None, {}),
    ],
)
def test_requests_that_make_no_sense(trust: Trust, path: str, parameters: Any, options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        Job(trust).read(path, parameters, **options)

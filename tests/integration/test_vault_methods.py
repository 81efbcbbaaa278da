"""Logging in to a real OpenBao without an identity token, handing the token over wrapped, and TLS."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keylease.errors import KeyleaseError, RefusedError, UnreachableError, UsageError
from keylease.exchange.vault import VaultExchanger
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Misbehaving, Proxy, reply
from tests.integration.vault_job import Job, new_context, revoke_elsewhere
from tests.leaks import Seeded
from tests.servers.openbao import OpenBao
from tests.servers.tls import ThrowawayCA
from tests.servers.trust import Trust

Unique = Callable[[str], str]


# Other methods.


def approle(trust: Trust, unique: Unique, **fields: Any) -> tuple[str, str, str]:
    """(mount, role id, path for secret ids)."""
    mount = trust.bao.auth(unique("approle"), "approle")
    trust.bao.write(f"auth/{mount}/role/ci", token_policies=[trust.policy], token_ttl="10m", **fields)
    role_id = trust.bao.read(f"auth/{mount}/role/ci/role-id")["data"]["role_id"]
    return mount, role_id, f"auth/{mount}/role/ci/secret-id"


def by(trust: Trust, env: dict[str, str] | None = None, /, **settings: Any) -> Job:
    job = Job(trust, env=env, role="", **settings)
    job.lease = job.exchanger().exchange(None)
    return job


def test_approle(trust: Trust, unique: Unique, tmp_path: Path) -> None:
    mount, role_id, secrets = approle(trust, unique)

    def issue() -> str:
        return str(trust.bao.write(secrets)["data"]["secret_id"])

    job = by(trust, {"SID": issue()}, method="approle", mount=mount, role_id=role_id, secret_id_env="SID")
    trust.kv.put("ci", {"k": "value-1"})
    assert job.value(f"{trust.kv.mount}/ci", "k") == "value-1"
    path = tmp_path / "secret-id"
    path.write_text(f"{issue()}\n")
    assert by(trust, method="approle", mount=mount, role_id=role_id, secret_id_file=str(path)).lease
    sealed = new_context().seal(issue(), "a need")
    assert by(trust, method="approle", mount=mount, role_id=role_id, secret_id=sealed).lease
    assert job.exchanger(method="approle", mount=mount).audience() is None


def test_approle_without_a_secret_id(trust: Trust, unique: Unique) -> None:
    mount, role_id, _ = approle(trust, unique, bind_secret_id=False, secret_id_bound_cidrs="127.0.0.1/32")
    assert by(trust, method="approle", mount=mount, role_id=role_id).lease


def test_approle_refused(trust: Trust, unique: Unique) -> None:
    mount, role_id, _ = approle(trust, unique)
    with pytest.raises(RefusedError, match="invalid role or secret ID") as caught:
        by(trust, {"SID": "nosuch"}, method="approle", mount=mount, role_id=role_id, secret_id_env="SID")
    assert "used up or expired" in caught.value.cause
    with pytest.raises(UsageError, match="variable SID"):
        by(trust, method="approle", mount=mount, role_id=role_id, secret_id_env="SID")
    with pytest.raises(UsageError, match="role_id"):
        by(trust, method="approle", mount=mount)


def test_approle_with_a_wrapped_secret_id(trust: Trust, unique: Unique) -> None:
    mount, role_id, secrets = approle(trust, unique)
    answer = trust.bao.request("POST", secrets, headers={"X-Vault-Wrap-TTL": "60"})
    env = {"SID": answer.json()["wrap_info"]["token"]}
    settings: dict[str, Any] = {"method": "approle", "mount": mount, "role_id": role_id}
    settings |= {"secret_id_env": "SID", "unwrap": True}
    assert by(trust, env, **settings).lease
    with pytest.raises(RefusedError, match="wrapping token was refused") as caught:
        by(trust, env, **settings)
    assert "SOMEBODY ELSE" in caught.value.cause


def test_a_given_token_is_used_and_stays_alive(trust: Trust, seeded: Seeded) -> None:
    token = trust.bao.new_token(policies=[trust.policy], ttl="10m", no_default_policy=True)
    seeded.add(token)
    job = by(trust, {"VAULT_TOKEN": token}, method="token")
    lease = job.lease
    assert lease is not None
    assert lease.fingerprint is None, "not issued by this run"
    assert lease.revocation is not None
    assert not lease.revocation.own_token
    assert lease.expires_at is not None
    revoke_elsewhere(lease.revocation)
    assert trust.bao.token_lookup(token) is not None


def test_a_given_token_that_may_not_look_itself_up(trust: Trust, unique: Unique) -> None:
    policy = trust.bao.policy(unique("p"), f'path "{trust.kv.mount}/data/ci" {{ capabilities = ["read"] }}')
    token = trust.bao.new_token(policies=[policy], no_default_policy=True)
    trust.kv.put("ci", {"k": "value-1"})
    job = by(trust, {"TOK": token}, method="token", token_env="TOK")
    assert job.value(f"{trust.kv.mount}/ci", "k") == "value-1"


@pytest.mark.parametrize("token", ["s.nosuchtoken", "with blank", "with\nbreak", ""])
def test_a_given_token_that_is_none(trust: Trust, token: str) -> None:
    with pytest.raises(KeyleaseError) as caught:
        by(trust, {"VAULT_TOKEN": token}, method="token")
    assert isinstance(caught.value, RefusedError if token.startswith("s.") else UsageError)


def test_a_wrapped_token_becomes_ours(trust: Trust) -> None:
    answer = trust.bao.request(
        "POST", "auth/token/create", {"policies": [trust.policy], "ttl": "5m"}, headers={"X-Vault-Wrap-TTL": "60"}
    )
    job = by(trust, {"VAULT_TOKEN": answer.json()["wrap_info"]["token"]}, method="token", unwrap=True)
    assert job.lease is not None
    assert job.lease.revocation is not None
    assert job.lease.revocation.own_token
    revoke_elsewhere(job.lease.revocation)
    assert trust.bao.token_lookup(job.vault_token) is None


def test_a_root_token_is_warned_about(trust: Trust) -> None:
    job = by(trust, {"VAULT_TOKEN": trust.bao.token}, method="token")
    assert job.lease is not None
    assert any("root token" in warning for warning in job.lease.warnings)
    assert job.lease.expires_at is None


def test_kubernetes(trust: Trust, misbehaving: Misbehaving, ca: ThrowawayCA, unique: Unique, tmp_path: Path) -> None:
    """A real OpenBao with its real plugin; the TokenReview API behind it is scripted."""
    review = {
        "kind": "TokenReview",
        "apiVersion": "authentication.k8s.io/v1",
        "status": {
            "authenticated": True,
            "audiences": ["https://kubernetes.default.svc"],
            "user": {
                "username": "system:serviceaccount:ci:runner",
                "uid": "8f3b",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:ci"],
            },
        },
    }
    misbehaving.on("/apis/authentication.k8s.io/v1/tokenreviews", reply(201, json=review))
    mount = trust.bao.auth(unique("kubernetes"), "kubernetes")
    trust.bao.write(
        f"auth/{mount}/config",
        kubernetes_host=misbehaving.url,
        token_reviewer_jwt="a.b.c",
        disable_local_ca_jwt=True,
        kubernetes_ca_cert=ca.write(tmp_path).read_text(),
    )
    trust.bao.write(
        f"auth/{mount}/role/ci",
        bound_service_account_names=["runner"],
        bound_service_account_namespaces=["ci"],
        token_policies=[trust.policy],
    )
    claims: dict[str, Any] = {
        "sub": "system:serviceaccount:ci:runner",
        "kubernetes.io": {"namespace": "ci", "serviceaccount": {"name": "runner", "uid": "8f3b"}},
    }
    path = tmp_path / "token"
    path.write_text(trust.issuer.mint(["https://kubernetes.default.svc"], **claims))
    job = Job(trust, method="kubernetes", mount=mount, kubernetes_token_file=str(path), role="ci")
    assert job.exchanger().exchange(None).expires_at
    with pytest.raises(RefusedError) as caught:
        job.exchanger(role="nosuch").exchange(None)
    assert f"auth/{mount}/role/nosuch" in caught.value.change
    with pytest.raises(UsageError, match="kubernetes_token_file"):
        job.exchanger(kubernetes_token_file=str(tmp_path / "nosuch")).exchange(None)


# Wrapped hand-over.


def test_the_token_can_be_handed_over_wrapped(trust: Trust) -> None:
    trust.grant("sys/wrapping/wrap", "update")
    job = Job(trust, wrap_ttl="2m")
    lease = job.exchange()
    assert set(lease.fields) == {"VAULT_WRAPPED_TOKEN"}
    wrapping = lease.fields["VAULT_WRAPPED_TOKEN"].reveal()
    answer = trust.bao.request("POST", "sys/wrapping/unwrap", token=wrapping)
    assert answer.json()["data"] == {"token": job.vault_token}


def test_a_hand_over_that_fails_gives_the_token_back(trust: Trust, proxy: Proxy) -> None:
    job = Job(trust, url=proxy.url, wrap_ttl="2m")
    with pytest.raises(RefusedError, match="permission denied on sys/wrapping/wrap") as caught:
        job.exchange()
    assert 'path "sys/wrapping/wrap" { capabilities = ["update"] }' in caught.value.change
    assert proxy.counts["/v1/auth/token/revoke-self"] == 1


# TLS.


def test_tls_with_the_servers_ca(openbao_tls: OpenBao, issuer: OIDCIssuer) -> None:
    trust = Trust.create(openbao_tls, issuer)
    assert openbao_tls.ca_path is not None
    assert Job(trust, ca_certificate=str(openbao_tls.ca_path)).exchange().warnings == []
    as_text = Job(trust, ca_certificate=openbao_tls.ca_path.read_text())
    lease = as_text.exchange()
    assert lease.revocation is not None
    revoke_elsewhere(lease.revocation)
    assert openbao_tls.token_lookup(as_text.vault_token) is None


def test_tls_with_an_unknown_ca_is_refused(openbao_tls: OpenBao, issuer: OIDCIssuer) -> None:
    trust = Trust.create(openbao_tls, issuer)
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="certificate is not trusted") as caught:
        Job(trust, env={"VAULT_SKIP_VERIFY": "true"}).exchange()
    assert time.monotonic() - started < 1.5
    assert "ca_certificate" in caught.value.change


def test_tls_verification_off_is_said_every_time(
    openbao_tls: OpenBao, issuer: OIDCIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    lease = Job(Trust.create(openbao_tls, issuer), tls_verify=False).exchange()
    assert any("TLS verification" in warning and "OFF" in warning for warning in lease.warnings)
    assert lease.revocation is not None
    revoke_elsewhere(lease.revocation)
    assert any("TLS verification" in record.getMessage() for record in caplog.records)


def test_a_client_certificate_is_shown(trust: Trust, ca: ThrowawayCA, tmp_path: Path, seeded: Seeded) -> None:
    certificate, key = ca.client_files(tmp_path)
    text = key.read_text()
    with Misbehaving(tls=ca.server_context(require_client=True)) as server:
        server.on("*", reply(json={"auth": {"client_token": "s.issued-by-the-fake"}}))
        settings: dict[str, Any] = {"url": server.url, "ca_certificate": str(ca.write(tmp_path)), "retries": 0}
        with pytest.raises(UnreachableError):
            Job(trust, **settings).exchange()
        given: dict[str, Any] = {"client_certificate": str(certificate), "client_key": str(key)}
        assert Job(trust, **settings, **given).exchange().revocation
        job = Job(trust, env={"INPUT_CLIENT-KEY": text}, **settings, **{**given, "client_key": text})
        lease = job.exchange()
        assert lease.revocation is not None
        assert text.splitlines()[1] not in str(lease.revocation.data)
        before = len(server.requests)
        revoke_elsewhere(lease.revocation, {"INPUT_CLIENT-KEY": text})
        assert len(server.requests) == before + 1


def test_a_secret_id_and_a_role_id_that_were_read_elsewhere(trust: Trust, unique: Unique) -> None:
    mount, role_id, secrets = approle(trust, unique)
    job = Job(trust, method="approle", mount=mount, role="")
    seal = job.context.seal
    needs = {"secret_id": seal(trust.bao.write(secrets)["data"]["secret_id"], "x"), "role_id": seal(role_id, "y")}
    settings = VaultExchanger.with_needs(job.exchanger().settings, needs)
    assert VaultExchanger("vault", settings, job.context).exchange(None).expires_at

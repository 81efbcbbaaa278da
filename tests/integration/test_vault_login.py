"""Logging in to a real OpenBao by each method, and what a refusal says."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keylease.errors import NotFoundError, RefusedError
from tests.fakes.github_oidc import OIDCIssuer, github_claims, gitlab_claims
from tests.fakes.misbehaving import Misbehaving, Proxy, reply
from tests.integration.vault_job import Job, paste, read_of, revoke_elsewhere
from tests.servers.openbao import OpenBao
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
    words, _, commands = error.change.partition("\n\n")
    assert f"bao read auth/{trust.mount}/role/{trust.role}" in words
    assert "REPLACE" in words
    assert f"bao write auth/{trust.mount}/role/{trust.role}" in commands


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
    assert "`audience:`" in error.change
    assert f"bao read auth/{trust.mount}/role/{trust.role}" in error.change
    assert "bao write" not in error.diagnostics(), "the role is there: nothing to rewrite"
    assert len(error.diagnostics().splitlines()) <= 6
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
    """What is printed, pasted as it is into a shell, with the real `bao`: the job logs in and reads, in one go."""
    trust.issuer.claims = claims
    trust.kv.put("ci", {"k": "value-1"})
    reads = [read_of(f"{trust.kv.mount}/ci"), read_of(f"{trust.kv.mount}/data/ci", raw="true")]
    job = Job(trust, role=unique("advised"), reads=reads)
    shown = refused(job).diagnostics()
    assert "commands below" in "".join(shown.splitlines()[:6])
    paste(trust, shown.partition("\n\n")[2], tmp_path)
    lease = job.exchange()
    for read in reads:
        assert job.manager().read(read).names() == ["k"]
    with pytest.raises(RefusedError):
        job.read(f"{trust.kv.mount}/other")
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
    job, before = Job(trust), trust.bao.audit_size()  # type: ignore[attr-defined]
    job.exchange(run_id="990017")
    job.value(f"{trust.kv.mount}/ci", "k")
    paths = {f"{trust.kv.mount}/data/ci", f"auth/{trust.mount}/login"}
    lines = [line for line in trust.bao.audit_lines(before) if line["request"]["path"] in paths]  # type: ignore[attr-defined]
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

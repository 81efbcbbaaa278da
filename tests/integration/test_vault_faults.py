"""Servers that can't serve, and networks that misbehave: what is survived, and what each failure is called."""

import time
from typing import Any

import pytest

from keylease.errors import DeadlineError, KeyleaseError, UnreachableError
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import (
    Behaviour,
    Misbehaving,
    Proxy,
    cut_off,
    drop,
    garbage_json,
    hang,
    huge,
    redirect,
    reply,
    slow_body,
    slow_headers,
    status,
    too_many,
    wrong_content_type,
)
from tests.integration.vault_job import Job
from tests.leaks import Seeded
from tests.servers.openbao import OpenBao
from tests.servers.trust import Trust

HEALTH = "/v1/sys/health"


def failure(job: Job, kind: type[KeyleaseError] = UnreachableError) -> KeyleaseError:
    with pytest.raises(kind) as caught:
        job.exchange()
    return caught.value


def login_path(trust: Trust) -> str:
    return f"/v1/auth/{trust.mount}/login"


# States of the server: each has a name of its own.


def test_not_initialised_then_sealed_then_fine(new_openbao: OpenBao, issuer: OIDCIssuer, trust: Trust) -> None:
    job = Job(trust, url=new_openbao.url, retries=0)
    error = failure(job)
    assert "is not initialised" in error.summary
    assert error.docs.endswith("#vault-uninitialised")
    new_openbao.initialise()
    error = failure(job)
    assert "is sealed" in error.summary
    assert error.docs.endswith("#vault-sealed")
    new_openbao.unseal()
    assert Job(Trust.create(new_openbao, issuer)).exchange().expires_at


def test_a_server_that_is_sealed_between_login_and_read(new_openbao: OpenBao, issuer: OIDCIssuer) -> None:
    new_openbao.initialise()
    new_openbao.unseal()
    trust = Trust.create(new_openbao, issuer)
    job = Job(trust, retries=0)
    job.exchange()
    new_openbao.seal()
    for options in ({"kv": "2"}, {}):
        with pytest.raises(UnreachableError, match="is sealed"):
            job.read(f"{trust.kv.mount}/ci", None, **options)


@pytest.mark.parametrize(
    ("code", "health", "words", "docs"),
    [
        (503, {"initialized": True, "sealed": False, "standby": True}, "standby node", "vault-standby"),
        (473, {"initialized": True, "sealed": False, "standby": True}, "standby node", "vault-standby"),
        (472, {"initialized": True, "sealed": False, "standby": True}, "standby node", "vault-standby"),
        (429, {"initialized": True, "sealed": False, "standby": False}, "is throttling", "vault-throttled"),
        (412, {"initialized": True, "sealed": False, "standby": False}, "has not caught up", "vault-replica"),
        (500, {"initialized": True, "sealed": False, "standby": False}, "status 500", "vault-5xx"),
        (502, None, "status 502", "vault-5xx"),
        (501, {"initialized": False, "sealed": True}, "is not initialised", "vault-uninitialised"),
    ],
)
def test_states_that_one_server_alone_can_not_be_in(
    misbehaving: Misbehaving, trust: Trust, code: int, health: dict[str, object] | None, words: str, docs: str
) -> None:
    """Standby, replication and quotas need a cluster: their answers are scripted."""
    misbehaving.on("/v1/auth/*", status(code, errors=("some words",)))
    misbehaving.on(HEALTH, reply(json=health) if health else status(404))
    error = failure(Job(trust, url=misbehaving.url, retries=0))
    assert words in error.summary
    assert error.docs.endswith(f"#{docs}")
    assert len(misbehaving.to(HEALTH)) == 1
    assert not misbehaving.to(HEALTH)[0].header("X-Vault-Token")
    assert not misbehaving.to(HEALTH)[0].header("X-Vault-Namespace"), "it is served in the root namespace only"


def test_a_health_endpoint_that_hangs_does_not_hide_the_failure(misbehaving: Misbehaving, trust: Trust) -> None:
    misbehaving.on("/v1/auth/*", status(500, errors=("some words",)))
    misbehaving.on(HEALTH, hang())
    error = failure(Job(trust, url=misbehaving.url, retries=0, timeout=0.5))
    assert "status 500: some words" in error.summary


def test_a_real_rate_limit_quota(trust: Trust, new_openbao: OpenBao, issuer: OIDCIssuer) -> None:
    new_openbao.initialise()
    new_openbao.unseal()
    mine = Trust.create(new_openbao, issuer)
    new_openbao.write("sys/quotas/rate-limit/ci", path=f"auth/{mine.mount}/", rate=0.01, interval="60s")
    Job(mine).exchange()
    error = failure(Job(mine, seconds=3))
    assert "is throttling" in error.summary


# What is survived.


@pytest.mark.parametrize("path", ["/v1/auth/*/login", "/v1/sys/internal/ui/mounts/*", "/v1/kv-*/data/*"])
@pytest.mark.parametrize(
    "fault",
    [status(503), status(500), status(412), status(429), drop(), cut_off(), cut_off(chunked=True)],
    ids=["503", "500", "412", "429", "drop", "cut off", "cut off chunk"],
)
def test_one_fault_on_any_call_is_survived(trust: Trust, proxy: Proxy, path: str, fault: Behaviour) -> None:
    trust.kv.put("ci", {"k": "value-1"})
    proxy.fail(path, fault)
    assert Job(trust, url=proxy.url).value(f"{trust.kv.mount}/ci", "k") == "value-1"
    assert sum(proxy.counts.values()) == 4


def test_an_attempt_that_hangs_is_cut_and_tried_again(trust: Trust, proxy: Proxy) -> None:
    proxy.fail(login_path(trust), hang(), slow_headers(0.05))
    started = time.monotonic()
    Job(trust, url=proxy.url, timeout=0.5).exchange()
    assert 1.0 <= time.monotonic() - started < 2.5


def test_retry_after_is_honoured(trust: Trust, proxy: Proxy) -> None:
    proxy.fail(login_path(trust), too_many("1"))
    started = time.monotonic()
    Job(trust, url=proxy.url).exchange()
    assert 1.0 <= time.monotonic() - started < 2.0


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(trust: Trust, proxy: Proxy) -> None:
    proxy.always(login_path(trust), too_many("3600"))
    started = time.monotonic()
    assert "is throttling" in failure(Job(trust, url=proxy.url)).summary
    assert time.monotonic() - started < 1.0


def test_retries_are_counted(trust: Trust, proxy: Proxy) -> None:
    proxy.always(login_path(trust), status(503))
    failure(Job(trust, url=proxy.url, retries=2))
    assert proxy.counts[login_path(trust)] == 3


# What is not.


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (garbage_json(), "is not JSON"),
        (wrong_content_type(), "is not JSON"),
        (reply(body=b"[1, 2]"), "is not JSON"),
        (reply(body=b'"text"'), "is not JSON"),
        (reply(body=b"[" * 200_000), "is not JSON"),
        (reply(body=b"\xff\xfe\x00"), "is not JSON"),
        (huge(32), "is larger than"),
        (huge(32, chunked=True), "is larger than"),
        (reply(body=b""), "without a token"),
        (reply(json={"auth": None}), "without a token"),
        (reply(json={"auth": {"client_token": 7}}), "without a token"),
        (reply(json={"auth": {"client_token": "", "mfa_requirement": {"x": 1}}}), "second factor"),
    ],
    ids=[
        "garbage",
        "html",
        "list",
        "string",
        "deep",
        "binary",
        "huge",
        "huge chunks",
        "empty",
        "null",
        "number",
        "mfa",
    ],
)
def test_answers_that_are_none(misbehaving: Misbehaving, trust: Trust, fault: Behaviour, words: str) -> None:
    misbehaving.on("*", fault)
    error = failure(Job(trust, url=misbehaving.url, retries=0), KeyleaseError)
    assert words in error.summary
    assert "sign in" not in error.diagnostics(debug=True)


def test_an_error_page_is_not_quoted(misbehaving: Misbehaving, trust: Trust, seeded: Seeded) -> None:
    page = f"<html>internal: password={seeded.new('page')}</html>".encode()
    misbehaving.on("*", reply(400, body=page, content_type="text/html"))
    failure(Job(trust, url=misbehaving.url), KeyleaseError)


def test_a_server_that_echoes_what_we_sent_is_scrubbed(misbehaving: Misbehaving, trust: Trust, seeded: Seeded) -> None:
    job = Job(trust, url=misbehaving.url)
    token = job.token()
    seeded.add(token.jwt.reveal())
    misbehaving.on("*", status(400, errors=(f"bad jwt: {token.jwt.reveal()}", "x" * 5000, "a\x1b[31m\nb\r\n::c::d")))
    with pytest.raises(KeyleaseError) as caught:
        job.exchanger().exchange(token)
    text = caught.value.summary
    assert "***" in text
    assert len(text) < 2000
    assert text.isprintable()


def test_errors_of_odd_types_do_no_harm(misbehaving: Misbehaving, trust: Trust) -> None:
    for errors in ("text", [1, None, {"a": 1}, ["b"]], {"a": "b"}, None):
        misbehaving.on("*", reply(400, json={"errors": errors}))
        assert "refused the login" in failure(Job(trust, url=misbehaving.url), KeyleaseError).summary


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_takes_nothing_along(
    trust: Trust, proxy: Proxy, misbehaving: Misbehaving, code: int
) -> None:
    trust.kv.put("ci", {"k": "value-1"})
    job = Job(trust, url=proxy.url)
    job.exchange()
    proxy.always("/v1/kv-*", redirect(f"{misbehaving.url}/v1/stolen", code))
    with pytest.raises(UnreachableError, match="never sent along") as caught:
        job.read(f"{trust.kv.mount}/ci")
    assert misbehaving.url in caught.value.summary
    proxy.always(login_path(trust), redirect(f"{misbehaving.url}/v1/stolen", code))
    failure(Job(trust, url=proxy.url))
    assert not misbehaving.requests


def test_a_redirect_with_a_token_in_it_is_not_quoted(misbehaving: Misbehaving, trust: Trust, seeded: Seeded) -> None:
    value = seeded.new("location")
    misbehaving.on("*", redirect(f"https://user:{value}@elsewhere.example.com/{value}?t={value}"))
    assert "elsewhere.example.com" in failure(Job(trust, url=misbehaving.url)).summary


@pytest.mark.parametrize("slow", [hang(), slow_headers(), slow_body()], ids=["hang", "headers", "body"])
def test_no_attempt_outlives_its_timeout(misbehaving: Misbehaving, trust: Trust, slow: Behaviour) -> None:
    misbehaving.on("*", slow)
    started = time.monotonic()
    assert "no complete answer within 0.5 s" in failure(Job(trust, url=misbehaving.url, retries=0, timeout=0.5)).summary
    assert time.monotonic() - started < 1.5


def test_nothing_outlives_the_deadline(misbehaving: Misbehaving, trust: Trust) -> None:
    misbehaving.on("*", hang())
    started = time.monotonic()
    failure(Job(trust, url=misbehaving.url, retries=20, timeout=10, seconds=1.0))
    assert time.monotonic() - started < 2.0
    with pytest.raises(DeadlineError):
        Job(trust, url=misbehaving.url, seconds=0).exchange()


def test_an_unknown_ca_is_not_tried_again(unknown_ca: Misbehaving, trust: Trust) -> None:
    started = time.monotonic()
    error = failure(Job(trust, url=unknown_ca.url, retries=10))
    assert "certificate is not trusted" in error.summary
    assert time.monotonic() - started < 1.5
    assert not unknown_ca.requests


def test_a_name_that_does_not_resolve(trust: Trust) -> None:
    error = failure(Job(trust, url="http://vault.invalid", retries=0))
    assert "host name is unknown" in error.summary


def test_a_wrong_server_at_the_address(trust: Trust, issuer: OIDCIssuer) -> None:
    """The issuer's own address given as the Vault's: a server that knows no such path."""
    error = failure(Job(trust, url=issuer.url), KeyleaseError)
    assert "a 404 that is not the server's own" in error.summary
    assert "url" in error.change


def test_reading_survives_what_logging_in_does(trust: Trust, proxy: Proxy, seeded: Seeded) -> None:
    """Garbage instead of a secret: nothing of it is shown."""
    value = seeded.new("half")
    half: Any = reply(body=f'{{"data": {{"data": {{"k": "{value}'.encode())
    proxy.always("/v1/kv-*", half)
    with pytest.raises(UnreachableError, match="is not JSON"):
        Job(trust, url=proxy.url).read(f"{trust.kv.mount}/ci")


def test_a_page_that_says_404_is_no_missing_secret(trust: Trust, proxy: Proxy) -> None:
    """A load balancer's page must not pass for a secret that may be missing (`required: false`)."""
    job = Job(trust, url=proxy.url)
    job.exchange()
    page = reply(404, body=b"<html>404</html>", content_type="text/html")
    proxy.fail(f"/v1/{trust.kv.api('ci')}", page)
    with pytest.raises(UnreachableError, match="a 404 that is not the server's own"):
        job.read(trust.kv.api("ci"), raw="true")

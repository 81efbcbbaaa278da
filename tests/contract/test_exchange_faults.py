"""What every exchanger does when the network or the vendor goes wrong. One harness each, as in test_exchange.

Each identity token that is minted here, and each credential that is issued, is searched for in all that came out
(`seeded`): errors, logs, output.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from keylease.context import Context
from keylease.errors import ExitCode, KeyleaseError, RefusedError, UnreachableError
from keylease.http import Deadline
from keylease.model import IdentityToken, Lease
from tests.contract.harness import Harness
from tests.contract.test_exchange import harness as harness
from tests.fakes.misbehaving import (
    Behaviour,
    Misbehaving,
    close_quietly,
    cut_headers,
    cut_off,
    drop,
    garbage_json,
    gzip_bomb,
    hang,
    huge,
    redirect,
    reply,
    slow_body,
    slow_headers,
    status,
    too_many,
)
from tests.leaks import Seeded

RETRIES = 2
"""What the harnesses set; so many requests more than one are made where another try could help."""

SERVER = 0.25
"""Seconds that the fakes and proxies may need for one request on a busy machine."""


@pytest.fixture(autouse=True)
def _tokens_are_secret(harness: Harness, seeded: Seeded, monkeypatch: pytest.MonkeyPatch) -> None:
    make, check = harness.token, harness.is_alive

    def token(**claims: Any) -> IdentityToken:
        made = make(**claims)
        seeded.add(made.jwt.reveal())
        # A prefix of a token is none, but its signature is what a thief lacks.
        seeded.add(made.jwt.reveal().rpartition(".")[2])
        return made

    def is_alive(lease: Lease) -> bool:
        seeded.add(*harness.secret_values(lease))
        return check(lease)

    monkeypatch.setattr(harness, "token", token)
    monkeypatch.setattr(harness, "is_alive", is_alive)


def fails(harness: Harness, *kinds: type[KeyleaseError], **settings: Any) -> KeyleaseError:
    """The error of an exchange."""
    exchanger = harness.exchanger(**settings)
    with pytest.raises(kinds) as caught:
        exchanger.exchange(harness.token())
    error = caught.value
    assert error.summary
    assert error.docs, "each leads to its section"
    return error


def posts(harness: Harness) -> int:
    """How often a login was tried; some ask for the server's health afterwards."""
    return sum(request.method == "POST" for request in harness.proxy.requests)


FAULTS: dict[str, Behaviour] = {
    "500": status(500),
    "502": reply(502, body=b"<html>Bad Gateway</html>", content_type="text/html"),
    "503": status(503),
    "504": reply(504, body=b""),
    "429": status(429),
    "429 with Retry-After": too_many("0"),
    "cut before the answer": close_quietly(),
    "reset before the answer": drop(),
    "cut in the headers": cut_headers(),
    "cut in the body": cut_off(),
    "cut in a chunk": cut_off(chunked=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_one_fault_is_survived(harness: Harness, fault: Behaviour) -> None:
    harness.proxy.fail(harness.login_pattern, fault)
    assert harness.is_alive(harness.exchanger().exchange(harness.token()))
    assert len(harness.proxy.requests) == 2


@pytest.mark.parametrize("name", ["throttled", "unavailable"])
def test_what_the_vendor_says_when_it_is_busy_is_survived_and_told(harness: Harness, name: str) -> None:
    fault: Behaviour = getattr(harness, name)
    harness.proxy.fail(harness.login_pattern, fault)
    assert harness.is_alive(harness.exchanger().exchange(harness.token()))
    harness.proxy.always(harness.login_pattern, fault)
    error = fails(harness, UnreachableError)
    assert error.exit_code is ExitCode.UNREACHABLE
    assert posts(harness) == 2 + 1 + RETRIES


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_that_stays_ends_it(harness: Harness, fault: Behaviour) -> None:
    harness.proxy.always(harness.login_pattern, fault)
    error = fails(harness, UnreachableError)
    assert error.exit_code is ExitCode.UNREACHABLE
    assert posts(harness) == 1 + RETRIES
    assert "Bad Gateway" not in error.diagnostics(debug=True)


def test_retry_after_is_waited_for(harness: Harness) -> None:
    harness.proxy.fail(harness.login_pattern, too_many("1"))
    started = time.monotonic()
    harness.exchanger().exchange(harness.token())
    assert 1.0 <= time.monotonic() - started < 2.5


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(harness: Harness) -> None:
    harness.proxy.always(harness.login_pattern, too_many("3600"))
    started = time.monotonic()
    fails(harness, UnreachableError)
    assert time.monotonic() - started < 0.5 + SERVER
    assert posts(harness) == 1


SLOW: dict[str, Callable[[], Behaviour]] = {
    "no answer": hang,
    "headers drip": lambda: slow_headers(0.1),
    "body drips": lambda: slow_body({"access_token": "x"}, seconds_per_byte=0.1),
}


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
def test_the_timeout_holds_for_each_attempt(harness: Harness, slow: Callable[[], Behaviour]) -> None:
    harness.proxy.always(harness.login_pattern, slow())
    started = time.monotonic()
    error = fails(harness, UnreachableError, timeout=0.4, retries=1)
    # Two attempts and the pause between them.
    assert 0.8 <= time.monotonic() - started < 0.8 + 1.0 + SERVER
    assert error.exit_code is ExitCode.UNREACHABLE
    assert "0.4 s" in error.summary
    assert posts(harness) == 2


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
def test_the_deadline_holds_over_all(harness: Harness, slow: Callable[[], Behaviour]) -> None:
    harness.proxy.always(harness.login_pattern, slow())
    exchanger = harness.exchanger(timeout=30.0, retries=5)
    context = exchanger.context
    exchanger.context = Context(context.env, context.masker, Deadline(1.0))
    token = harness.token()
    started = time.monotonic()
    with pytest.raises(UnreachableError) as caught:
        exchanger.exchange(token)
    assert time.monotonic() - started < 1.0 + 0.5
    assert caught.value.exit_code is ExitCode.UNREACHABLE


@pytest.mark.parametrize("code", [400, 401, 403, 404])
def test_a_no_is_final(harness: Harness, code: int) -> None:
    harness.proxy.always(harness.login_pattern, harness.refusal(code, "no"))
    started = time.monotonic()
    error = fails(harness, RefusedError)
    assert time.monotonic() - started < 0.5 + SERVER
    assert posts(harness) == 1
    assert error.cause or error.change
    assert not error.retry_with_new_token


def test_a_no_that_is_a_page_is_final(harness: Harness) -> None:
    page = reply(403, body=b"<html>Forbidden by policy S3CR3T</html>", content_type="text/html")
    harness.proxy.always(harness.login_pattern, page)
    error = fails(harness, RefusedError, UnreachableError)
    assert posts(harness) == 1
    assert "S3CR3T" not in error.diagnostics(debug=True)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_the_token_follows_no_redirect(harness: Harness, misbehaving: Misbehaving, code: int) -> None:
    misbehaving.on("*", reply(json={"access_token": "eyJ-of-a-stranger", "token_type": "Bearer", "expires_in": 60}))
    harness.proxy.always(harness.login_pattern, redirect(f"{misbehaving.url}/oauth/token", code))
    fails(harness, UnreachableError, RefusedError)
    assert misbehaving.requests == []
    assert posts(harness) == 1


GARBAGE: dict[str, Behaviour] = {
    "a page": reply(body=b"<html>Sign in S3CR3T</html>", content_type="text/html"),
    "nothing": reply(body=b""),
    "half an object": garbage_json(),
    "a list": reply(json=[1, 2]),
    "null": reply(body=b"null"),
    "a number": reply(body=b"1e999"),
    "a number of 5000 digits": reply(body=b"9" * 5000),
    "deep objects": reply(body=b'{"access_token":' * 100_000),
    "deep lists": reply(body=b"[" * 200_000),
    "bytes that are no text": reply(body=b"\xff\x00" * 100),
    "text in Latin-1": reply(body='{"access_token": "é", "token_type": "Bearer", "expires_in": 60}'.encode("latin-1")),
    "XML with entities": reply(
        body=b'<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>', content_type="text/xml"
    ),
    "no content": reply(204, body=b""),
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_no_lease(harness: Harness, answer: Behaviour) -> None:
    harness.proxy.always(harness.login_pattern, answer)
    error = fails(harness, UnreachableError, RefusedError)
    assert "S3CR3T" not in error.diagnostics(debug=True)
    assert posts(harness) == 1


def strings(node: object) -> Iterator[str]:
    """Each value in a JSON document that could be a credential."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name not in ("token_type", "expires_in"):
                yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)
    elif isinstance(node, str) and len(node) > 5:
        yield node


def test_answers_that_are_no_credential_of_this_vendor_are_none(harness: Harness) -> None:
    for body in harness.garbage:
        harness.proxy.fail(harness.login_pattern, reply(json=body))
        error = fails(harness, UnreachableError, RefusedError)
        shown = error.diagnostics(debug=True)
        assert [value for value in strings(body) if value in shown] == []


@pytest.mark.parametrize(
    "answer",
    [huge(64), huge(64, chunked=True), huge(64, code=400), gzip_bomb(), gzip_bomb(code=403)],
    ids=["plain", "chunked", "a refusal", "gzip", "gzip of a refusal"],
)
def test_an_answer_of_any_size_is_bounded(harness: Harness, answer: Behaviour) -> None:
    import tracemalloc

    exchanger, token = harness.exchanger(), harness.token()
    harness.proxy.always(harness.login_pattern, answer)
    tracemalloc.start()
    try:
        with pytest.raises(UnreachableError, match="larger than") as caught:
            exchanger.exchange(token)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.docs
    # The fake's own copies are in it: half a MiB of a bomb, one MiB of a long answer at a time.
    assert peak < 64 * 1024 * 1024
    assert posts(harness) == 1, "it would be as large again"


@pytest.mark.parametrize("lifetime", [-1, -3600, -10 * 365 * 86400])
def test_what_had_expired_on_arrival_is_no_lease(harness: Harness, seeded: Seeded, lifetime: int) -> None:
    value = seeded.new("token")
    harness.proxy.fail(harness.login_pattern, harness.issued(value, lifetime))
    error = fails(harness, RefusedError, UnreachableError)
    assert "clock" in error.cause + error.change or "garbage" in error.docs


def test_what_ends_in_the_far_future_is_no_lease(harness: Harness, seeded: Seeded) -> None:
    for lifetime in harness.absurd:
        harness.proxy.fail(harness.login_pattern, harness.issued(seeded.new("token"), lifetime))
        fails(harness, RefusedError, UnreachableError)


def test_what_the_battery_issues_itself_would_be_taken(harness: Harness, seeded: Seeded) -> None:
    value = seeded.new("token")
    harness.proxy.fail(harness.login_pattern, harness.issued(value, 600))
    exchanger = harness.exchanger()
    lease = exchanger.exchange(harness.token())
    assert lease.expires_at is not None
    assert 500 < lease.expires_at - time.time() < 700
    assert value not in exchanger.context.masker.scrub(f"x {value} y")


def test_a_token_that_comes_back_in_a_refusal_is_not_shown(harness: Harness) -> None:
    token = harness.token()
    jwt = token.jwt.reveal()
    harness.proxy.fail(harness.login_pattern, harness.refusal(400, f"bad token {jwt}"))
    exchanger = harness.exchanger()
    with pytest.raises(RefusedError) as caught:
        exchanger.exchange(token)
    shown = exchanger.context.masker.scrub(caught.value.diagnostics(debug=True))
    assert jwt.rpartition(".")[2] not in shown


def test_a_clock_that_is_wrong_here_is_no_obstacle(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    # Lifetimes count from our clock, whichever it is; the vendor's clock decides on the identity token.
    token = harness.token()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 20)
    assert harness.is_alive(harness.exchanger().exchange(token))

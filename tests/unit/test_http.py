"""http.py against servers that go wrong on purpose, over real sockets."""

import threading
import time
from pathlib import Path

import pytest

from keylease.errors import DeadlineError, UnreachableError, UsageError
from keylease.http import Deadline, HttpFactory, HttpSettings, Session
from tests.fakes.misbehaving import (
    Misbehaving,
    close_quietly,
    cut_off,
    delayed,
    drop,
    hang,
    huge,
    redirect,
    reply,
    slow_body,
    slow_headers,
    status,
    too_many,
)
from tests.servers.process import free_port
from tests.servers.tls import ThrowawayCA


def session(deadline: float = 20.0, env: dict[str, str] | None = None, **settings: object) -> Session:
    return HttpFactory(Deadline(deadline), env or {}).session("Vault", HttpSettings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", [drop(), close_quietly(), cut_off(), cut_off(chunked=True), status(503), status(500)])
def test_one_transient_fault_is_survived(misbehaving: Misbehaving, fault: object) -> None:
    misbehaving.on("/v1/x", fault, reply(json={"ok": True}))  # type: ignore[arg-type]
    assert session().request("POST", f"{misbehaving.url}/v1/x", json={"a": 1}).json() == {"ok": True}
    assert [r.method for r in misbehaving.to("/v1/x")] == ["POST", "POST"]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 409, 422])
def test_a_refusal_is_an_answer_and_never_retried(misbehaving: Misbehaving, code: int) -> None:
    misbehaving.on("/v1/x", status(code))
    assert session().request("GET", f"{misbehaving.url}/v1/x").status_code == code
    assert len(misbehaving.to("/v1/x")) == 1


def test_the_last_answer_is_given_when_retries_are_used_up(misbehaving: Misbehaving) -> None:
    misbehaving.on("/v1/x", status(503))
    assert session(retries=2).request("GET", f"{misbehaving.url}/v1/x").status_code == 503
    assert len(misbehaving.to("/v1/x")) == 3


def test_retry_after_is_honoured(misbehaving: Misbehaving) -> None:
    misbehaving.on("/v1/x", too_many("1"), reply())
    start = time.monotonic()
    assert session().request("GET", f"{misbehaving.url}/v1/x").status_code == 200
    assert time.monotonic() - start >= 1.0


def test_retry_after_beyond_the_deadline_is_not_waited_for(misbehaving: Misbehaving) -> None:
    misbehaving.on("/v1/x", too_many("3600"), reply())
    start = time.monotonic()
    assert session(deadline=5).request("GET", f"{misbehaving.url}/v1/x").status_code == 429
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("fault", [slow_headers(0.1), slow_body(seconds_per_byte=0.1), hang()])
def test_no_attempt_outlives_its_timeout(misbehaving: Misbehaving, fault: object) -> None:
    """Dripping bytes restart a socket's own timeout; the attempt as a whole must end all the same."""
    misbehaving.on("/v1/x", fault)  # type: ignore[arg-type]
    start = time.monotonic()
    with pytest.raises(UnreachableError, match=r"no complete answer within 0\.5 s"):
        session(timeout=0.5, retries=0).request("GET", f"{misbehaving.url}/v1/x")
    assert time.monotonic() - start < 3


def test_retries_end_with_the_deadline(misbehaving: Misbehaving) -> None:
    misbehaving.on("/v1/x", hang())
    start = time.monotonic()
    with pytest.raises(UnreachableError):
        session(deadline=1.0, timeout=0.4, retries=50).request("GET", f"{misbehaving.url}/v1/x")
    assert time.monotonic() - start < 4
    assert len(misbehaving.to("/v1/x")) > 1


def test_nothing_is_sent_after_the_deadline(misbehaving: Misbehaving) -> None:
    made = session(deadline=0.0)
    with pytest.raises(DeadlineError, match="deadline of 0 s"):
        made.request("GET", f"{misbehaving.url}/v1/x")
    assert not misbehaving.requests


@pytest.mark.parametrize("chunked", [True, False])
def test_a_huge_body_is_not_read(misbehaving: Misbehaving, chunked: bool) -> None:
    misbehaving.on("/v1/x", huge(64, chunked=chunked))
    with pytest.raises(UnreachableError, match="larger than 1048576 bytes"):
        session(max_body=1024 * 1024).request("GET", f"{misbehaving.url}/v1/x")
    assert len(misbehaving.to("/v1/x")) == 1


def test_a_redirect_to_another_host_is_not_followed(misbehaving: Misbehaving) -> None:
    with Misbehaving() as other:
        misbehaving.on("/v1/x", redirect(f"{other.url}/steal"))
        answer = session().request("POST", f"{misbehaving.url}/v1/x", headers={"X-Vault-Token": "t"}, json={"jwt": "j"})
        assert answer.status_code == 307
        assert not other.requests


def test_a_redirect_that_parsers_read_differently_is_not_followed(misbehaving: Misbehaving) -> None:
    # urlsplit takes what stands before @ for a user; urllib3, which connects, takes the backslash for the host's end.
    with Misbehaving() as other:
        ours = misbehaving.url.partition("://")[2]
        misbehaving.on("/v1/x", redirect(f"{other.url}\\@{ours}/steal"))
        answer = session().request("POST", f"{misbehaving.url}/v1/x", headers={"X-Vault-Token": "t"}, json={"jwt": "j"})
        assert not other.requests
        assert answer.status_code == 307


def test_a_redirect_within_the_origin_is_followed_with_its_method(misbehaving: Misbehaving) -> None:
    misbehaving.on("/v1/x", redirect("/v1/y"))
    misbehaving.on("/v1/y", reply(json={"ok": 1}))
    assert session().request("PUT", f"{misbehaving.url}/v1/x", json={"a": 1}).json() == {"ok": 1}
    assert [r.method for r in misbehaving.to("/v1/y")] == ["PUT"]


def test_a_redirect_loop_ends(misbehaving: Misbehaving) -> None:
    misbehaving.on("/v1/x", redirect("/v1/x"))
    assert session().request("GET", f"{misbehaving.url}/v1/x").status_code == 307
    assert len(misbehaving.to("/v1/x")) == 4


def test_netrc_does_not_replace_our_authorization(
    misbehaving: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password nothing\n")
    monkeypatch.setenv("NETRC", str(netrc))
    misbehaving.on("/v1/x", reply())
    session().request("GET", f"{misbehaving.url}/v1/x", headers={"Authorization": "Bearer mine"})
    assert misbehaving.to("/v1/x")[0].headers["Authorization"] == "Bearer mine"


def test_an_unknown_ca_is_refused_once_and_explained(unknown_ca: Misbehaving) -> None:
    with pytest.raises(UnreachableError, match="certificate is not trusted") as caught:
        session().request("GET", f"{unknown_ca.url}/v1/x")
    assert "ca_certificate" in caught.value.change
    assert "after 1 attempt:" in caught.value.summary


def test_a_ca_from_the_settings_or_the_environment_is_used(
    unknown_ca: Misbehaving, ca: ThrowawayCA, tmp_path: Path
) -> None:
    path = str(ca.write(tmp_path))
    unknown_ca.on("/v1/x", reply())
    for made in (session(ca_certificate=path), session(env={"SSL_CERT_FILE": path}), session(verify=False)):
        if made.verify is False:
            with pytest.warns(match="Unverified HTTPS request"):
                made.request("GET", f"{unknown_ca.url}/v1/x")
        else:
            assert made.request("GET", f"{unknown_ca.url}/v1/x").status_code == 200


def test_a_bundle_of_the_environment_that_is_not_here_is_passed_over(unknown_ca: Misbehaving) -> None:
    """In the container it may name a file of the host; an unknown CA stays unknown."""
    with pytest.raises(UnreachableError, match="certificate is not trusted"):
        session(env={"SSL_CERT_FILE": "/nowhere/ca.pem"}).request("GET", f"{unknown_ca.url}/v1/x")


def test_a_missing_ca_file_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"can.t read the CA certificate ./nowhere/ca\.pem"):
        session(ca_certificate="/nowhere/ca.pem")


def test_a_refused_connection_is_explained_without_the_query() -> None:
    with pytest.raises(UnreachableError, match="connection refused") as caught:
        session(retries=1).request("GET", f"http://127.0.0.1:{free_port()}/token?secret=abcdef")
    assert "abcdef" not in caught.value.diagnostics(debug=True)
    assert "after 2 attempts" in caught.value.summary


def test_an_unknown_host_is_explained() -> None:
    with pytest.raises(UnreachableError, match="host name is unknown"):
        session(retries=0).request("GET", "http://no-such-host.invalid/x")


def test_a_proxy_from_the_environment_is_used_and_bypassed(misbehaving: Misbehaving) -> None:
    misbehaving.on("/v1/x", reply(json={"via": "proxy"}))
    env = {"HTTP_PROXY": misbehaving.url}
    assert session(env=env).request("GET", "http://vault.invalid/v1/x").json() == {"via": "proxy"}
    with pytest.raises(UnreachableError):
        session(env={**env, "NO_PROXY": "vault.invalid"}, retries=0).request("GET", "http://vault.invalid/v1/x")


def test_one_session_serves_threads_side_by_side(misbehaving: Misbehaving) -> None:
    misbehaving.on("/v1/x", delayed(0.2, reply(json={"ok": 1})))
    made = session()
    answers: list[int] = []

    def call() -> None:
        answers.append(made.request("GET", f"{misbehaving.url}/v1/x").status_code)

    threads = [threading.Thread(target=call) for _ in range(8)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    assert time.monotonic() - start < 1.2


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_what_is_for_this_machine_goes_through_no_proxy(misbehaving: Misbehaving, host: str) -> None:
    with pytest.raises(UnreachableError):
        session(env={"HTTP_PROXY": misbehaving.url}, retries=0).request("GET", f"http://{host}:{free_port()}/v1/x")
    assert misbehaving.requests == []


def test_no_cookies_are_kept(misbehaving: Misbehaving) -> None:
    misbehaving.on("/v1/x", reply(headers={"Set-Cookie": "id=1; Path=/"}))
    made = session()
    for _ in range(2):
        made.request("GET", f"{misbehaving.url}/v1/x")
    assert ["Cookie" in request.headers for request in misbehaving.requests] == [False, False]


def test_threads_behind_a_proxy_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """requests looks at `no_proxy` by setting and deleting the process's own variable."""
    inside: list[int] = []
    crowded: list[int] = []

    def look(url: str, no_proxy: str) -> bool:
        inside.append(1)
        time.sleep(0.02)
        crowded.append(len(inside))
        inside.pop()
        return True

    monkeypatch.setattr("requests.utils.should_bypass_proxies", look)
    made = session(env={"HTTPS_PROXY": "http://127.0.0.1:9"}, retries=0)
    url = "https://vault.invalid/v1/x"

    def call() -> None:
        with pytest.raises(UnreachableError):
            made.get(url)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert crowded == [1] * 4

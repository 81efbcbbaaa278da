"""identity/github.py against a real socket: what arrives at the token endpoint counts."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from keylease.errors import IdentityError, KeyleaseError, UnreachableError
from keylease.identity.github import MAX_EVENT, TOKEN, URL, GitHubIdentity
from tests.fakes.github_oidc import OIDCIssuer, github_claims
from tests.fakes.misbehaving import Misbehaving, huge, redirect, reply, wrong_content_type
from tests.leaks import Seeded
from tests.unit.identity.support import AUDIENCE, Recorder, token_text

JOB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_JOB": "train",
    "GITHUB_WORKFLOW_REF": "acme/trainer/.github/workflows/train.yml@refs/heads/main",
}


def identity(env: dict[str, str], seconds: float = 20.0) -> GitHubIdentity:
    return GitHubIdentity(Recorder(env, seconds).context)


def failure(env: dict[str, str], audience: str = AUDIENCE) -> KeyleaseError:
    with pytest.raises(KeyleaseError) as caught:
        identity(env).token(audience)
    assert caught.value.summary.startswith("GitHub: ")
    assert caught.value.change
    return caught.value


# Asking.


@pytest.mark.parametrize(
    "audience",
    [AUDIENCE, "vault", "a b&c=d+e/é?#%20", "api://AzureADTokenExchange", "//iam.googleapis.com/projects/1/x"],
)
def test_the_audience_arrives_and_is_in_the_token(issuer: OIDCIssuer, audience: str) -> None:
    recorder = Recorder(issuer.github_env())
    token = GitHubIdentity(recorder.context).token(audience)
    assert token is not None
    [request] = issuer.token_requests()
    assert request.query == {"api-version": ["2.0"], "audience": [audience]}
    assert request.method == "GET"
    assert request.header("Authorization") == f"Bearer {issuer.request_token}"
    assert token.claims["aud"] == audience
    assert token.claims["repository"] == "acme/trainer"
    assert (token.platform, token.audience) == ("github", audience)
    # Masked, the request token before the token.
    assert recorder.announced == [issuer.request_token, token.jwt.reveal()]


def test_others_can_ask_at_the_endpoint_for_the_same_audience(issuer: OIDCIssuer, seeded: Seeded) -> None:
    seeded.add(issuer.request_token)
    token = identity(issuer.github_env()).token("a b&c")
    assert token is not None
    again = token.endpoint
    assert again is not None
    assert issuer.request_token not in repr(token)
    answer = requests.get(again.url, headers={"Authorization": again.authorization.reveal()}, timeout=5)
    minted = answer.json()[again.field]
    assert minted != token.jwt.reveal()
    assert jwt.decode(minted, options={"verify_signature": False})["aud"] == "a b&c"


def test_without_an_audience_github_takes_its_default(issuer: OIDCIssuer) -> None:
    token = identity(issuer.github_env()).token("")
    assert token is not None
    assert issuer.token_requests()[0].query == {"api-version": ["2.0"]}
    assert token.audience == "https://github.com/acme"


@pytest.mark.parametrize(
    ("query", "arrived"),
    [
        ("", "audience=vault"),
        ("?", "audience=vault"),
        ("?api-version=2.0", "api-version=2.0&audience=vault"),
        ("?api-version=2.0&", "api-version=2.0&audience=vault"),
        ("?a=%20%2F&b", "a=%20%2F&b&audience=vault"),
        ("?audience=other&x=1&audience=", "x=1&audience=vault"),
        ("?x=1#fragment", "x=1&audience=vault"),
    ],
)
def test_the_urls_own_query_is_kept_as_it_is(misbehaving: Misbehaving, query: str, arrived: str) -> None:
    text = token_text({"aud": "vault"})
    misbehaving.on("/token", reply(json={"value": text}))
    env = {**JOB, URL: f"{misbehaving.url}/token{query}", TOKEN: "request-token"}
    token = identity(env).token("vault")
    assert token is not None
    assert token.jwt.reveal() == text
    assert misbehaving.requests[0].target == f"/token?{arrived}"


def test_it_is_not_our_environment() -> None:
    nobody = identity({"CI": "true", "GITHUB_ACTIONS": "false"})
    assert not nobody.detect()
    assert nobody.token(AUDIENCE) is None


def test_the_request_variables_alone_are_enough(issuer: OIDCIssuer) -> None:
    token = identity(issuer.actions_env()).token(AUDIENCE)
    assert token is not None
    assert token.claims["aud"] == AUDIENCE


# Faults that heal, and those that don't.


def test_two_503_are_survived(issuer: OIDCIssuer) -> None:
    issuer.fail_next(2, 503)
    assert identity(issuer.github_env()).token(AUDIENCE) is not None
    assert len(issuer.token_requests()) == 3


def test_a_dropped_connection_is_survived(issuer: OIDCIssuer) -> None:
    issuer.drop_next()
    assert identity(issuer.github_env()).token(AUDIENCE) is not None
    assert [request.query["audience"] for request in issuer.token_requests()] == [[AUDIENCE], [AUDIENCE]]


def test_retry_after_is_kept(issuer: OIDCIssuer) -> None:
    issuer.fail_next(1, 429, retry_after="1")
    start = time.monotonic()
    assert identity(issuer.github_env()).token(AUDIENCE) is not None
    assert time.monotonic() - start >= 1


def test_an_endpoint_that_stays_down_is_unreachable(issuer: OIDCIssuer) -> None:
    issuer.fail_next(5, 503)
    error = failure(issuer.github_env())
    assert isinstance(error, UnreachableError)
    assert error.summary == "GitHub: the token endpoint answered 503, also when asked again"
    assert len(issuer.token_requests()) == 5


def test_an_endpoint_that_hangs_ends_with_the_deadline(issuer: OIDCIssuer) -> None:
    issuer.hang_next(5)
    start = time.monotonic()
    with pytest.raises(UnreachableError):
        identity(issuer.github_env(), seconds=0.5).token(AUDIENCE)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 422])
def test_a_refusal_is_final_and_fast(misbehaving: Misbehaving, seeded: Seeded, code: int) -> None:
    body = {"message": seeded.new("body")}
    misbehaving.on("/token", reply(code, json=body))
    start = time.monotonic()
    error = failure({**JOB, URL: f"{misbehaving.url}/token?x=1", TOKEN: seeded.new("request")})
    assert time.monotonic() - start < 2
    assert isinstance(error, IdentityError)
    assert str(code) in error.summary
    assert error.detail == {"status": code}
    assert len(misbehaving.requests) == 1
    assert body["message"] not in error.diagnostics(debug=True)


def test_a_wrong_request_token_is_refused_by_the_issuer(issuer: OIDCIssuer, seeded: Seeded) -> None:
    wrong = seeded.new("wrong")
    error = failure({**issuer.github_env(), TOKEN: wrong})
    assert "(401)" in error.summary
    assert issuer.token_requests()[0].header("Authorization") == f"Bearer {wrong}"


def test_a_redirect_to_another_host_does_not_get_the_request_token(issuer: OIDCIssuer) -> None:
    with Misbehaving() as elsewhere:
        elsewhere.on("*", reply(json={"value": "x"}))
        issuer.fault(redirect(f"{elsewhere.url}/login"))
        error = failure(issuer.github_env())
        assert elsewhere.requests == []
    assert isinstance(error, IdentityError)
    assert "(307)" in error.summary


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (reply(body=b'{"value": '), "not a JSON object"),
        (reply(json=["value"]), "not a JSON object"),
        (reply(body=b"[" * 100_000), "not a JSON object"),
        (reply(body=b"\xff\xfe\x00"), "not a JSON object"),
        (reply(body=b""), "not a JSON object"),
        (wrong_content_type(), "not a JSON object"),
        (huge(8), "larger than"),
        (reply(json={}), "no token in `value`"),
        (reply(json={"value": ""}), "no token in `value`"),
        (reply(json={"value": 5}), "no token in `value`"),
        (reply(json={"value": "hello-there"}), "not an identity token"),
        (reply(json={"value": "A" * 70_000}), "more than"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_with_no_token(misbehaving: Misbehaving, behaviour: Any, words: str) -> None:
    misbehaving.on("/token", behaviour)
    env = {**JOB, URL: f"{misbehaving.url}/token?x=1", TOKEN: "request-token"}
    with pytest.raises(KeyleaseError) as caught:
        identity(env).token(AUDIENCE)
    assert words in caught.value.summary
    assert "hello-there" not in caught.value.diagnostics(debug=True)
    assert len(misbehaving.requests) == 1


def test_a_token_for_another_audience_is_not_used(issuer: OIDCIssuer) -> None:
    issuer.token_next(audience="something else")
    assert "another audience" in failure(issuer.github_env()).summary


def test_a_new_token_that_is_expired_shows_a_wrong_clock(issuer: OIDCIssuer) -> None:
    issuer.expired_next()
    assert "clock" in failure(issuer.github_env()).cause


@pytest.mark.parametrize(
    "url", ["token", "ftp://127.0.0.1/token", "http://", "http://[::1", "http://h:99999/", "http://h/\nx", "file:///x"]
)
def test_a_url_that_is_none_is_not_asked(url: str) -> None:
    error = failure({**JOB, URL: url, TOKEN: "request-token"})
    assert error.summary == f"GitHub: {URL} is not a URL"


@pytest.mark.parametrize("token", ["two words", "line\nInjected: x", "é" * 9, "nul\0byte"])
def test_a_request_token_that_is_none_is_not_sent(issuer: OIDCIssuer, seeded: Seeded, token: str) -> None:
    seeded.add(token)
    error = failure({**issuer.github_env(), TOKEN: token})
    assert "can't be sent" in error.summary
    assert issuer.token_requests() == []


# Missing permission, and why.


def event(tmp_path: Path, content: object) -> dict[str, str]:
    path = tmp_path / "event.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return {**JOB, "GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": str(path)}


def pull(head: object, base: str = "acme/trainer") -> dict[str, object]:
    return {"pull_request": {"head": {"repo": head}, "base": {"repo": {"full_name": base}}}}


def test_a_missing_permission_shows_the_yaml() -> None:
    start = time.monotonic()
    error = failure(JOB)
    assert time.monotonic() - start < 2
    assert "permissions:\n  id-token: write\n" in error.change
    assert "'train' of acme/trainer/.github/workflows/train.yml" in error.cause
    assert "reusable workflow" in error.change
    assert error.docs.endswith("#github-id-token")


@pytest.mark.parametrize(
    ("head", "named"),
    [({"full_name": "mallory/trainer", "fork": True}, "mallory/trainer"), (None, "deleted since")],
)
def test_a_pull_request_from_a_fork(tmp_path: Path, head: object, named: str) -> None:
    error = failure(event(tmp_path, pull(head)))
    assert "pull request from a fork" in error.summary
    assert named in error.cause
    assert "head.repo.full_name == github.repository" in error.change
    assert "id-token: write" not in error.change
    assert error.docs.endswith("#github-fork")


@pytest.mark.parametrize(
    "content",
    [
        pull({"full_name": "acme/trainer", "fork": True}),  # the repository itself is a fork of something
        pull({"full_name": "acme/trainer", "fork": False}),
        pull({"full_name": 5}),
        pull("acme"),
        pull({"full_name": "evil\n::warning::x"}),
        {"pull_request": None},
        {},
        [],
        b"",
        b"not json",
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_fork_or_can_not_be_told_gets_the_permission(tmp_path: Path, content: object) -> None:
    error = failure(event(tmp_path, content))
    assert error.summary == "GitHub: this job may not ask for an identity token"
    assert "id-token: write" in error.change
    assert "::warning" not in error.diagnostics()


def test_a_huge_absent_or_strange_event_file_is_not_read(tmp_path: Path) -> None:
    big = json.dumps({**pull({"full_name": "mallory/x"}), "padding": "x" * MAX_EVENT}).encode()
    for env in (
        event(tmp_path, big),
        {**event(tmp_path, b""), "GITHUB_EVENT_PATH": str(tmp_path / "absent")},
        {**event(tmp_path, b""), "GITHUB_EVENT_PATH": str(tmp_path)},
        {**event(tmp_path, b""), "GITHUB_EVENT_PATH": ""},
        {**event(tmp_path, b""), "GITHUB_EVENT_PATH": "/dev/zero"},
        {**event(tmp_path, b""), "GITHUB_EVENT_PATH": "nul\0"},
    ):
        assert failure(env).summary == "GitHub: this job may not ask for an identity token"


def test_pull_request_target_runs_the_bases_code_and_is_no_fork(tmp_path: Path) -> None:
    env = {**event(tmp_path, pull({"full_name": "mallory/trainer"})), "GITHUB_EVENT_NAME": "pull_request_target"}
    assert "fork" not in failure(env).summary


def test_dependabot() -> None:
    error = failure({**JOB, "GITHUB_ACTOR": "dependabot[bot]"})
    assert "started by Dependabot" in error.summary
    assert "id-token: write" in error.change
    assert "github.actor != 'dependabot[bot]'" in error.change


@pytest.mark.parametrize("name", ["INPUT_JOB-WORKFLOW-REF", "INPUT_JOB_WORKFLOW_REF"])
def test_a_reusable_workflow_shows_the_callers_yaml(name: str) -> None:
    called = "acme/shared/.github/workflows/lease.yml@refs/tags/v1"
    error = failure({**JOB, name: called})
    assert "the one that called it" in error.summary
    assert called in error.cause
    assert "acme/trainer/.github/workflows/train.yml" in error.cause
    assert f"    uses: {called}" in error.change


def test_the_same_workflow_at_another_ref_is_not_called_reusable() -> None:
    env = {**JOB, "INPUT_JOB-WORKFLOW-REF": "acme/trainer/.github/workflows/train.yml@refs/pull/7/merge"}
    assert failure(env).summary == "GitHub: this job may not ask for an identity token"


@pytest.mark.parametrize(("there", "missing"), [(URL, TOKEN), (TOKEN, URL)])
def test_half_an_environment_says_which_half(there: str, missing: str) -> None:
    error = failure({there: "https://token.example.com/x?y=1"})
    assert error.summary == f"GitHub: {there} is set, but {missing} is not"
    assert "docker run" in error.change


# Explaining.


def test_explain_tells_the_subjects_form() -> None:
    rows = {name: (value, meaning) for name, value, meaning in GitHubIdentity.explain(github_claims())}
    assert "form with names only" in rows["sub"][1]
    assert rows["repository_owner_id"][1]
    rows = {
        name: (value, meaning) for name, value, meaning in GitHubIdentity.explain(github_claims(immutable_subject=True))
    }
    assert "owner id 6539, repository id 817264" in rows["sub"][1]


def test_recognises_its_tokens_whichever_way_they_come() -> None:
    assert GitHubIdentity.recognises({"iss": "https://token.actions.githubusercontent.com"})
    assert GitHubIdentity.recognises({"iss": "https://ghes.example.com/_services/token"})
    assert GitHubIdentity.recognises(github_claims())
    assert not GitHubIdentity.recognises({"iss": "https://gitlab.com", "sub": "x"})

"""identity/source.py: the order of platforms, caching, renewal, and what is said when there is none."""

import threading
from pathlib import Path

import pytest

from keylease.errors import ExitCode, IdentityError
from keylease.identity.source import WAYS, IdentitySource
from tests.fakes.github_oidc import OIDCIssuer, github_claims, gitlab_claims
from tests.fakes.loopback import Exchange
from tests.fakes.misbehaving import delayed
from tests.unit.identity.support import AUDIENCE, Recorder, good_claims, token_text


def source(env: dict[str, str], variables: tuple[str, ...] = ()) -> IdentitySource:
    return IdentitySource(Recorder(env).context, variables)


def test_one_token_is_minted_per_audience(issuer: OIDCIssuer) -> None:
    tokens = source(issuer.github_env())
    first = tokens.token("a")
    assert tokens.token("a") is first
    assert tokens.token("b").claims["aud"] == "b"
    assert tokens.token("a") is first
    assert [request.query["audience"] for request in issuer.token_requests()] == [["a"], ["b"]]


@pytest.mark.parametrize(("lifetime", "requests"), [(20, 2), (90, 1)])
def test_a_token_about_to_expire_is_fetched_anew(issuer: OIDCIssuer, lifetime: int, requests: int) -> None:
    tokens = source(issuer.github_env())
    issuer.token_next(lifetime=lifetime)
    first = tokens.token("a")
    second = tokens.token("a")
    assert (second is first) == (requests == 1)
    assert len(issuer.token_requests()) == requests


def test_a_fresh_token_is_asked_for_and_kept(issuer: OIDCIssuer) -> None:
    tokens = source(issuer.github_env())
    first = tokens.token("a")
    second = tokens.token("a", fresh=True)
    assert second.jwt != first.jwt
    assert tokens.token("a") is second
    assert len(issuer.token_requests()) == 2


def test_a_failure_is_not_kept(issuer: OIDCIssuer) -> None:
    tokens = source(issuer.github_env())
    issuer.answer_next({"value": ""})
    with pytest.raises(IdentityError):
        tokens.token("a")
    assert tokens.token("a").audience == "a"


def test_many_threads_mint_one_token(issuer: OIDCIssuer) -> None:
    tokens = source(issuer.github_env())
    issuer.fault(delayed(0.2, issuer._token))
    barrier, got = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        got.append(tokens.token("a"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert len({id(token) for token in got}) == 1
    assert len(issuer.token_requests()) == 1


def test_two_audiences_do_not_wait_for_each_other(issuer: OIDCIssuer) -> None:
    tokens = source(issuer.github_env())
    hold = threading.Event()

    def held(exchange: Exchange) -> None:
        hold.wait(10)
        issuer._token(exchange)

    issuer.fault(held)
    slow = threading.Thread(target=tokens.token, args=("slow",))
    slow.start()
    while not issuer.token_requests():
        hold.wait(0.01)
    try:
        assert tokens.token("fast").audience == "fast"
        assert slow.is_alive()
    finally:
        hold.set()
        slow.join()
    assert tokens.token("slow").audience == "slow"


def test_the_file_is_read_at_each_use(tmp_path: Path) -> None:
    path = tmp_path / "token"
    tokens = source({"KEYLEASE_ID_TOKEN_FILE": str(path)})
    for turn in (1, 2):
        path.write_text(token_text(good_claims(turn=turn)))
        assert tokens.token(AUDIENCE).claims["turn"] == turn


def test_an_explicit_token_wins_over_the_platform(issuer: OIDCIssuer) -> None:
    tokens = source({**issuer.github_env(), "KEYLEASE_ID_TOKEN": token_text()})
    assert tokens.token(AUDIENCE).platform == "explicit"
    assert tokens.platform() == "explicit"
    assert issuer.token_requests() == []


def test_an_empty_explicit_token_does_not(issuer: OIDCIssuer) -> None:
    tokens = source({**issuer.github_env(), "KEYLEASE_ID_TOKEN": ""})
    assert tokens.token(AUDIENCE).platform == "github"


def test_a_broken_platform_does_not_fall_through_to_the_next() -> None:
    env = {"GITHUB_ACTIONS": "true", "GITLAB_CI": "true", "VAULT_ID_TOKEN": token_text()}
    with pytest.raises(IdentityError, match=r"^GitHub: "):
        source(env).token(AUDIENCE)


def test_the_configured_variables_are_handed_on() -> None:
    assert source({"GITLAB_CI": "true", "MINE": token_text()}, ("MINE",)).token(AUDIENCE).source == "MINE"


@pytest.mark.parametrize(
    ("env", "platform"),
    [
        ({}, None),
        ({"CI": "true", "JENKINS_URL": "https://jenkins"}, None),
        ({"GITHUB_ACTIONS": "true"}, "github"),
        ({"GITLAB_CI": "true"}, "gitlab"),
        ({"CIRCLECI": "true"}, "circleci"),
        ({"BITBUCKET_BUILD_NUMBER": "1"}, "bitbucket"),
        ({"BUILDKITE": "true"}, "buildkite"),
        ({"TF_BUILD": "True"}, "azure-devops"),
        ({"KEYLEASE_ID_TOKEN_FILE": "/x"}, "explicit"),
    ],
)
def test_platform(env: dict[str, str], platform: str | None) -> None:
    assert source(env).platform() == platform


def test_nowhere_all_ways_are_shown_in_two_or_three_lines_each() -> None:
    with pytest.raises(IdentityError) as caught:
        source({"HOME": "/root"}).token(AUDIENCE)
    error = caught.value
    assert error.exit_code == ExitCode.IDENTITY
    assert error.summary == "Identity: no OIDC token found for this job"
    lines = error.change.splitlines()[1:]
    heads = [line.removesuffix(":") for line in lines if not line.startswith("  ")]
    assert heads == list(WAYS)
    assert len(lines) <= 3 * len(WAYS)
    for needed in ("id-token: write", "id_tokens:", "KEYLEASE_ID_TOKEN=", "KEYLEASE_ID_TOKEN_FILE=", "oidc-provider"):
        assert needed in error.change


def test_on_jenkins_its_way_comes_first() -> None:
    with pytest.raises(IdentityError) as caught:
        source({"JENKINS_URL": "https://jenkins", "JOB_NAME": "x", "KEYLEASE_ID_TOKEN": ""}).token(AUDIENCE)
    assert caught.value.summary.endswith("for this job of Jenkins")
    assert caught.value.change.splitlines()[1] == "Jenkins:"
    assert caught.value.cause == "KEYLEASE_ID_TOKEN is set, but empty"


def test_explain_speaks_the_language_of_the_tokens_maker() -> None:
    tokens = source({"KEYLEASE_ID_TOKEN": "x"})
    github = {name: meaning for name, _, meaning in tokens.explain(github_claims())}
    assert "form with names only" in github["sub"]
    rows = source({"GITLAB_CI": "true"}).explain({**gitlab_claims(), "exp": 0, "new": {"a": [1]}, "evil": "a\nb"})
    gitlab = {name: (value, meaning) for name, value, meaning in rows}
    assert gitlab["project_id"] == ("20", "the project's number: survives renames")
    assert gitlab["runner_id"][0] == "1"
    assert gitlab["exp"][1] == "expires: 1970-01-01 00:00:00 UTC"
    assert gitlab["new"] == ('{"a": [1]}', "")
    assert gitlab["evil"][0] == "a?b"
    assert tokens.explain({}) == []

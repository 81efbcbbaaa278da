"""GitLab's variables when things go wrong: tokens, limits, lost answers, others at work."""

import datetime as dt
import logging
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from keylease.errors import NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.sync.model import Wanted
from keylease.targets.base import Place
from keylease.targets.gitlab import GitLabTarget
from keylease.vendors.gitlab_settings import GitLabSettings
from keylease.vendors.gitlab_to import GitLabTo
from tests.fakes.gitlab_rest import Answer, GitLab, reply
from tests.fakes.loopback import Exchange
from tests.integration.gitlab_sync import (
    LONG,
    PATHS,
    Sync,
    at_once,
    bad_gateway,
    connected,
    lose,
    served,
    twice,
)
from tests.leaks import Seeded

__all__ = ["at_once"]  # a fixture

TRAINER = GitLabTo(project="acme/trainer")


@pytest.fixture
def server() -> Iterator[GitLab]:
    with served() as made:
        yield made


def wanted(target: GitLabTarget, name: str, value: str, to: GitLabTo = TRAINER) -> tuple[Place, Wanted]:
    [place] = target.places(to)
    sealed = target.context.seal(value, name)
    return place, Wanted(target.slot(place, name), sealed, "vault://kv/x", "vault://kv/*", options=place.options)


def once(method: str, pattern: str, does: Callable[[Exchange, Callable[[], Answer]], None]) -> Any:
    """A fault for the first matching request."""
    left = [True]

    def fault(exchange: Exchange, answered: Callable[[], Answer]) -> bool:
        request = exchange.request
        if not left or request.method != method or not re.search(pattern, request.path):
            return False
        left.clear()
        does(exchange, answered)
        return True

    return fault


# Settings and tokens.


@pytest.mark.parametrize(
    ("given", "env", "why"),
    [
        ({}, {}, "there is no token"),
        ({"token_env": "CI_JOB_TOKEN"}, {}, "CI_JOB_TOKEN may not"),
        ({"token_env": "T", "url": "https://evil.example"}, {}, "KEYLEASE_ALLOW_HOSTS=evil.example"),
        ({"token_env": "T", "url": "http://gitlab.com"}, {}, "plain http"),
        ({"token_env": "T", "url": "https://gitlab.com/api/v4"}, {}, "leave /api/v4 out"),
        ({"token_env": "T", "timeout": "soon"}, {}, "timeout"),
        (
            {"token_env": "T", "url": "https://gitlab.com.evil.example"},
            {"CI_SERVER_URL": "https://x.example"},
            "own hosts",
        ),
    ],
)
def test_settings_that_cannot_be(given: dict[str, Any], env: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError) as caught:
        GitLabTarget.complete(GitLabSettings(**given), env)
    assert why in caught.value.diagnostics()


def test_the_jobs_own_gitlab_is_the_default() -> None:
    made = GitLabTarget.complete(GitLabSettings(token_env="T"), {"CI_SERVER_URL": "https://git.acme.com:8443/"})
    assert (made.url, made.host) == ("https://git.acme.com:8443", "git.acme.com:8443")
    assert GitLabTarget.complete(GitLabSettings(token_env="T"), {}).host == ""
    allowed = {"KEYLEASE_ALLOW_HOSTS": "git.acme.com"}
    assert GitLabTarget.complete(GitLabSettings(token_env="T", url="https://git.acme.com"), allowed).url


def test_two_gitlabs_have_two_addresses(server: GitLab) -> None:
    target = connected(server)
    [place] = target.places(TRAINER)
    assert place.address == f"gitlab://acme/trainer?host=127.0.0.1:{server.port}"
    with pytest.raises(UsageError, match="is not that of the target"):
        target.places(GitLabTarget.parse("gitlab://acme/trainer?host=elsewhere.example"))


def test_a_token_that_may_read_plans_and_writes_nothing(server: GitLab) -> None:
    server.token("glpat-reads", ["read_api"], roles=PATHS)
    target = connected(server, "glpat-reads")
    place, each = wanted(target, "A", LONG)
    assert target.list(place).remotes == {}
    writes: list[Callable[[], None]] = [
        lambda: target.record(place, "one", {1: "{}"}, {}),
        lambda: target.put(place, each, exists=False),
        lambda: target.delete(place, each.slot),
    ]
    for write in writes:
        with pytest.raises(RefusedError, match="scopes read_api") as caught:
            write()
        assert "role Maintainer" in caught.value.change
    assert {request.method for request in server.requests} == {"GET"}, "nothing was tried"
    assert sum(request.path.endswith("/self") for request in server.requests) == 1, "asked once"


@pytest.mark.parametrize(
    ("to", "role"),
    [(TRAINER, "role Maintainer"), (GitLabTo(group="acme"), "role Owner"), (GitLabTo(instance=True), "administrator")],
)
def test_the_role_that_lacks_is_named(server: GitLab, to: GitLabTo, role: str) -> None:
    server.token("glpat-developer", ["api"], roles=dict.fromkeys(PATHS, 30))
    target = connected(server, "glpat-developer")
    with pytest.raises(RefusedError, match="403") as caught:
        target.list(target.places(to)[0])
    assert role in caught.value.change
    assert role in " ".join(target.permissions([to]))


def test_tokens_that_are_none(server: GitLab, seeded: Seeded) -> None:
    target = connected(server, seeded.new("glpat-unknown"))
    with pytest.raises(RefusedError, match="401") as caught:
        target.list(target.places(TRAINER)[0])
    assert "expired" in caught.value.cause
    empty = connected(server, "")
    with pytest.raises(UsageError, match="SYNC_TOKEN is empty"):
        empty.list(empty.places(TRAINER)[0])
    for odd in ("two words", "glpat-\u00fc"):
        odd_one = connected(server, odd)
        with pytest.raises(UsageError, match="no token has"):
            odd_one.list(odd_one.places(TRAINER)[0])


def test_the_end_of_a_token_is_announced(server: GitLab, caplog: pytest.LogCaptureFixture) -> None:
    ends = (dt.datetime.now(dt.UTC) + dt.timedelta(days=3)).date().isoformat()
    server.tokens["glpat-of-the-sync"].expires_at = ends
    Sync(server, TRAINER).run({"A": LONG})
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        f"GitLab: the token ends on {ends}, in 3 days: make a new one"
    ]


# Limits and lists.


@pytest.mark.parametrize("told", [{"Retry-After": "1"}, {"RateLimit-Remaining": "0", "RateLimit-Reset": "+1"}, {}])
@pytest.mark.parametrize("doing", ["list", "create", "update"])
def test_limits_are_waited_for(server: GitLab, told: dict[str, str], doing: str) -> None:
    target = connected(server)
    place, each = wanted(target, "A", LONG)
    target.list(place)
    if doing == "update":
        server.set(server.project("acme/trainer"), "A", "before")
    target._api.check_may_write(target._of(place))
    headers = {k: str(int(time.time()) + 1) if v == "+1" else v for k, v in told.items()}
    server.throttle = [headers] * (1 if told else 2)
    started = time.monotonic()
    if doing == "list":
        target.list(place)
    else:
        target.put(place, each, exists=doing == "update")
        assert server.value(server.project("acme/trainer"), "A") == LONG
    assert not server.throttle
    if "Retry-After" in told:
        assert 0.9 < time.monotonic() - started < 5


def test_a_limit_beyond_the_deadline_is_told(server: GitLab) -> None:
    target = connected(server, deadline=2)
    server.throttle = [{"Retry-After": "600"}] * 9
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="429"):
        target.list(target.places(TRAINER)[0])
    assert time.monotonic() - started < 2


def test_a_list_that_changes_while_it_is_read_is_read_again(server: GitLab) -> None:
    project = server.project("acme/trainer")
    for number in range(250):
        server.set(project, f"N{number:03}", "value")

    def deletes(exchange: Exchange, answered: Callable[[], Answer]) -> None:
        reply(exchange, answered())
        del project.variables[0]

    server.fault = once("GET", "/variables$", deletes)
    target = connected(server)
    found = sorted(slot.name for slot in target.list(target.places(TRAINER)[0]).remotes)
    assert found == [f"N{number:03}" for number in range(1, 250)]


def test_a_proxy_that_drops_headers_hides_nothing(server: GitLab) -> None:
    project = server.project("acme/trainer")
    for number in range(250):
        server.set(project, f"N{number:03}", "value")

    def bare(exchange: Exchange, answered: Callable[[], Answer]) -> bool:
        answer = answered()
        exchange.answer_json(answer.status, answer.body)
        return True

    server.fault = bare
    target = connected(server)
    assert len(target.list(target.places(TRAINER)[0]).remotes) == 250


# Lost answers, and others at work.


@pytest.mark.parametrize("fault", [lose, twice, bad_gateway])
@pytest.mark.parametrize(("method", "exists"), [("POST", False), ("PUT", True)])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_lost_answer_is_no_second_variable(
    server: GitLab, fault: Any, method: str, exists: bool, hidden: bool, at_once: None
) -> None:
    to = GitLabTo(project="acme/trainer", hidden=hidden)
    project = server.project("acme/trainer")
    if exists:
        server.set(project, "A", "before-before", hidden=hidden, masked=True, raw=True)
    target = connected(server)
    place, each = wanted(target, "A", LONG, to)
    target.list(place)
    server.fault = once(method, "/variables", fault)
    if fault is twice and hidden and not exists:
        # It might be anybody's: said, and not taken for ours.
        with pytest.raises(RefusedError, match="already been taken"):
            target.put(place, each, exists=exists)
    else:
        target.put(place, each, exists=exists)
    assert [(v["value"], v["hidden"]) for v in project.variables if v["key"] == "A"] == [(LONG, hidden)]


@pytest.mark.parametrize("fault", [None, "dropped"])
def test_what_somebody_adds_at_the_same_time_is_theirs(server: GitLab, fault: str | None, at_once: None) -> None:
    project = server.project("acme/trainer")

    def theirs(exchange: Exchange, answered: Callable[[], Answer]) -> None:
        server.set(project, "A", "of-somebody-else")
        if fault:
            exchange.reset()
        else:
            reply(exchange, answered())

    server.fault = once("POST", "/variables", theirs)
    target = connected(server)
    place, each = wanted(target, "A", LONG)
    with pytest.raises(RefusedError, match="another value"):
        target.put(place, each, exists=False)
    assert server.value(project, "A") == "of-somebody-else"


def test_an_end_that_is_not_known_is_not_called_a_refusal(server: GitLab, at_once: None) -> None:
    target = connected(server)
    place, each = wanted(target, "A", LONG)
    target.list(place)
    dropped = [0]

    def fault(exchange: Exchange, answered: Callable[[], Answer]) -> bool:
        if exchange.request.method == "POST" or dropped[0]:
            dropped[0] += 1
            exchange.reset()
            return True
        return False

    server.fault = fault
    with pytest.raises(UnreachableError):
        target.put(place, each, exists=False)


def test_what_is_gone_meanwhile(server: GitLab) -> None:
    target = connected(server)
    place, each = wanted(target, "A", LONG)
    with pytest.raises(NotFoundError, match="Variable Not Found"):
        target.put(place, each, exists=True)
    target.delete(place, each.slot)


def test_a_project_that_is_gone_is_no_variable_that_is_gone(server: GitLab) -> None:
    target = connected(server)
    place, each = wanted(target, "A", LONG)
    target.put(place, each, exists=False)
    project = server.containers.pop(("project", "acme/trainer"))
    with pytest.raises(NotFoundError, match="Project Not Found"):
        target.delete(place, each.slot)
    assert server.value(project, "A") == LONG


def test_a_scope_that_is_not_to_be_had_takes_nothing_over() -> None:
    with served(premium=False) as server:
        group = server.containers["group", "acme"]
        server.set(group, "A", LONG, "*")
        target = connected(server)
        place, each = wanted(target, "A", LONG, GitLabTo(group="acme", scope="production"))
        with pytest.raises(RefusedError, match="already been taken"):
            target.put(place, each, exists=False)
        assert sum(request.method == "POST" for request in server.requests) == 2
        assert [v["environment_scope"] for v in group.variables] == ["*"]


def test_an_old_gitlabs_narrow_rule_is_explained() -> None:
    with served(version=(15, 8)) as server:
        target = connected(server)
        place, each = wanted(target, "A", "pa$$word-1234")
        with pytest.raises(RefusedError, match="is invalid") as caught:
            target.put(place, each, exists=False)
        assert "before 15.10" in caught.value.cause

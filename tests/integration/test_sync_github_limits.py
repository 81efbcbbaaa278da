"""GitHub's limits, and what conditional requests save."""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from keylease.errors import RefusedError, UnreachableError, UsageError
from keylease.parallel import parallel
from keylease.sync.model import Listing, Slot
from keylease.vendors.github_settings import Select
from tests.fakes.github_rest import GitHubRest
from tests.fakes.misbehaving import reply
from tests.integration.github_sync import place_of, put, target_of, to
from tests.leaks import Seeded


@pytest.fixture
def github() -> Iterator[GitHubRest]:
    """One organisation with a repository; all requests and answers are held against GitHub's description."""
    with GitHubRest() as server:
        server.add_repository("acme/trainer", environments={"prod"})
        yield server
        assert server.problems == []


def test_reads_stop_before_the_hour_is_used_up_and_go_on_in_the_next(github: GitHubRest) -> None:
    github.limits.primary, github.limits.window = 12, 3.0
    target = target_of(github)
    place = place_of(target, repository="acme/trainer")
    threads = [threading.Thread(target=target.list, args=(place,)) for _ in range(9)]
    github.before = lambda request: request.headers.__delitem__("If-None-Match")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(github.requests) == 18
    assert github.limits.hits == 0, "no request was sent in vain"


def test_a_used_up_hour_that_ends_after_the_deadline_is_said_at_once(github: GitHubRest) -> None:
    github.limits.primary = 2
    target = target_of(github, seconds=30)
    place = place_of(target, repository="acme/trainer")
    target.list(place)
    github.put("acme/trainer", "secret", "NEW", "value")
    started = time.monotonic()
    with pytest.raises(UnreachableError, match=r"GMT.*deadline") as caught:
        target.list(place)
    assert time.monotonic() - started < 1
    assert "cache" in caught.value.diagnostics()


@pytest.mark.parametrize("code", [403, 429])
def test_a_secondary_limit_is_waited_for(github: GitHubRest, code: int) -> None:
    github.limits.writes, github.limits.retry_after, github.limits.status = 3, 1, code
    target = target_of(github)
    place = place_of(target, repository="acme/trainer")
    started = time.monotonic()
    for number in range(5):
        put(target, place, f"N{number}")
    assert len(github.held("acme/trainer", "secret")) == 5
    assert time.monotonic() - started > 1
    assert github.limits.hits == 1, "it is not asked again before the time"


def test_a_secondary_limit_without_a_time_is_a_minute(github: GitHubRest) -> None:
    github.limits.writes, github.limits.retry_after = 1, None
    target = target_of(github, seconds=20)
    place = place_of(target, repository="acme/trainer")
    put(target, place, "A")
    with pytest.raises(UnreachableError, match="secondary"):
        put(target, place, "B")


def test_writes_are_paced_and_one_at_a_time(github: GitHubRest) -> None:
    target = target_of(github, writes_per_minute=600)
    place = place_of(target, repository="acme/trainer")
    started = time.monotonic()
    threads = [threading.Thread(target=put, args=(target, place, f"N{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started >= 0.7
    assert github.overlapping == 0
    assert len(github.held("acme/trainer", "secret")) == 8


def test_a_place_that_is_full_says_so(github: GitHubRest) -> None:
    target = target_of(github)
    for number in range(100):
        github.put("acme/trainer", "secret", f"N{number}", "value")
    place = place_of(target, repository="acme/trainer")
    limits = {next(iter(limit.kinds)): limit.most for limit in target.list(place).limits}
    assert limits == {"secret": 100, "variable": 499, "codespaces": 100}
    with pytest.raises(RefusedError):
        put(target, place, "ONE_MORE")


# Conditional requests.


def test_what_has_not_changed_costs_nothing(github: GitHubRest, seeded: Seeded, tmp_path: Path) -> None:
    cache, token = tmp_path / "cache.db", github.add_token()
    seeded.add(token)
    github.put("acme/trainer", "secret", "S", seeded.new("secret"))
    github.put("acme/trainer", "variable", "V", seeded.new("variable"))
    given = {"cache": str(cache), "token": token}

    def used() -> int:
        return github.limits.primary - github.limits.standing(token)[0]

    def listing(kind: str = "secret", **more: Any) -> Mapping[Slot, Any]:
        target = target_of(github, **{**given, **more})
        return target.list(place_of(target, repository="acme/trainer", kind=kind)).remotes

    first = listing()
    assert used() == 2
    assert listing().keys() == first.keys() == {Slot("secret", "S"), Slot("variable", "V")}
    assert used() == 2, "two 304s"
    assert cache.stat().st_mode & 0o777 == 0o600
    # A variable's value is never in the file (`seeded` looks), so who wants it asks.
    value = listing("variable")[Slot("variable", "V")].value
    assert value.reveal().encode() == github.value("acme/trainer", "variable", "V")
    assert used() == 3
    github.put("acme/trainer", "secret", "NEW", "value")
    assert Slot("secret", "NEW") in listing()
    # Another credential's answers are not used; nor is what somebody has written into the file.
    other = github.add_token()
    seeded.add(other)
    assert listing(token=other).keys() == listing().keys()
    with sqlite3.connect(cache) as file:
        file.execute("UPDATE pages SET body = replace(body, 'NEW', 'OLD')")
    file.close()
    assert Slot("secret", "NEW") in listing()


def test_a_broken_cache_is_made_anew(github: GitHubRest, tmp_path: Path) -> None:
    cache = tmp_path / "cache.db"
    target = target_of(github, cache=str(cache))
    place = place_of(target, repository="acme/trainer")
    target.list(place)
    head = cache.read_bytes()[:100]
    cache.write_bytes(head + b"no database" * 1000)
    target_of(github, cache=str(cache)).list(place)
    assert cache.read_bytes().startswith(b"SQLite format 3")
    assert b"no database" not in cache.read_bytes()
    with pytest.raises(UsageError, match="cache"):
        target_of(github, cache=str(tmp_path / "no" / "such")).list(place)


def test_no_other_file_is_taken_for_the_cache(github: GitHubRest, tmp_path: Path) -> None:
    """`cache: keylease.yml`, say: it would be emptied."""
    document, database = tmp_path / "keylease.yml", tmp_path / "app.db"
    document.write_text("version: 1\n" * 10)
    with sqlite3.connect(database) as file:
        file.execute("CREATE TABLE users (name TEXT)")
    file.close()
    for path in (document, database):
        before, mode = path.read_bytes(), path.stat().st_mode
        target = target_of(github, cache=str(path))
        with pytest.raises(UsageError, match="holds something else"):
            target.list(place_of(target, repository="acme/trainer"))
        assert (path.read_bytes(), path.stat().st_mode) == (before, mode)


def test_a_limit_that_never_ends_is_no_missing_permission(github: GitHubRest) -> None:
    said = {"message": "You have exceeded a secondary rate limit."}
    github.before = lambda _: reply(403, json=said, headers={"Retry-After": "0"})
    target = target_of(github)
    with pytest.raises(UnreachableError, match="still a rate limit"):
        target.list(place_of(target, repository="acme/trainer"))
    with pytest.raises(UnreachableError, match="still a rate limit"):
        put(target, place_of(target, repository="acme/trainer", kind="variable"), "NAME")


def test_a_thousand_repositories_take_two_requests_each(tmp_path: Path) -> None:
    with GitHubRest(validate=False) as github:
        for number in range(1000):
            github.add_repository(f"acme/r{number}")
            for name in range(10):
                github.put(f"acme/r{number}", "secret", f"N{name}", "value")
        token = github.add_token()
        for used in (2010, 2020):
            target = target_of(github, token=token, cache=str(tmp_path / "cache.db"))
            places = target.places(to(organization="acme", select=Select(names="r*")))
            listings = parallel(target.list, places, target.context.deadline, "listing")
            assert all(isinstance(each, Listing) and len(each.remotes) == 10 for each in listings)
            # The second time all lists are 304s; that of the repositories itself is not kept.
            assert github.limits.primary - github.limits.standing(token)[0] == used
        assert github.statuses[304] == 2000
        assert len(github.requests) == 2 * 2010

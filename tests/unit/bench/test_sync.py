"""The sync benchmark counts what was asked, checks what was written, and knows the least that must be asked."""

from collections import Counter
from collections.abc import Iterator

import pytest
import requests

from bench import sync
from bench.github import ORGANIZATION, OTHERS, Fake, kind_of
from bench.measure import Sample
from bench.sync import KINDS, Bound, Run


@pytest.fixture
def github() -> Iterator[Fake]:
    with Fake(3) as started:
        yield started


def ask(github: Fake, path: str, **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {github.token}"
        return session.get(github.url + path, timeout=10, headers=headers)


def test_requests_are_counted_once_and_by_kind(github: Fake) -> None:
    listed = ask(github, f"/orgs/{ORGANIZATION}/repos")
    assert len(listed.json()) == 3 + OTHERS
    path = f"/repos/{listed.json()[0]['full_name']}/actions/secrets"
    again = ask(github, path, **{"If-None-Match": ask(github, path).headers["ETag"]})
    assert again.status_code == 304
    assert github.counts() == Counter({"list repositories": 1, "list secrets": 2, "304": 1})
    assert github.counts() == Counter({"304": 0})


def test_empty_repositories_are_right_for_no_values_and_wrong_for_any(github: Fake) -> None:
    assert github.right({}) == 3
    assert github.right({"A": "1"}) == 0


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("GET", "/orgs/acme/repos?page=2", "list repositories"),
        ("GET", "/repos/acme/a/actions/secrets?per_page=100", "list secrets"),
        ("GET", "/repos/acme/a/actions/variables", "list variables"),
        ("GET", "/repos/acme/a/actions/variables/X", "get one of variables"),
        ("GET", "/repos/acme/a/actions/secrets/public-key", "public key"),
        ("PUT", "/repos/acme/a/actions/secrets/X", "write secret"),
        ("POST", "/repos/acme/a/actions/variables", "write ledger"),
        ("PATCH", "/repos/acme/a/actions/variables/X", "write ledger"),
        ("DELETE", "/repos/acme/a/actions/secrets/X", "delete"),
    ],
)
def test_what_a_request_is_for(method: str, target: str, kind: str) -> None:
    assert kind_of(method, target) == kind


def test_the_least_that_must_be_asked() -> None:
    bound = Bound(1000, 10)
    assert bound.listing == 11 + 1000 + 1000  # 1,020 repositories are 11 pages
    assert bound.writing(10) == 1000 * (1 + 10 + 2)
    assert bound.others()["Terraform"] == {
        "nothing there": 40_000,
        "nothing changed": 10_000,
        "one value changed": 13_000,
    }


def test_the_table_shows_each_request() -> None:
    asked = Counter({"list repositories": 1, "list secrets": 7, "304": 5, "get one of secrets": 2})
    run = Run("a run", Sample(1.5, 0.5, 40.0, 0), asked, least=8)
    text = sync.table([run], Bound(7, 1), {"cores": "2"})
    row = next(line for line in text.splitlines() if line.startswith("a run"))
    assert row.split()[2:] == ["1.5", "0.5", "40", "10", "8", "5", *("1", "7", "0", "0", "0", "0")]
    assert "besides: {'get one of secrets': 2}" in text
    assert all(kind in text for kind in KINDS)

"""Facts that all credentials share."""

import datetime as dt

import pytest

from keylease.audit.credentials import SORTS, age, days, is_active, moment, of_sorts, stamp, utc
from keylease.audit.model import Inventory, Record

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize("text", ["", "soon", "2026-01-01", "2026-01-01T00:00:00", 5, None, "2026-13-01T00:00:00Z"])
def test_what_is_no_time(text: object) -> None:
    assert moment(text) is None


@pytest.mark.parametrize("text", ["2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00", "2026-03-01T12:00:00.000Z"])
def test_times(text: str) -> None:
    assert moment(text) == NOW


@pytest.mark.parametrize("seconds", [0, -1, True, "5", None, 1e18, float("nan"), float("inf")])
def test_seconds_that_are_no_time(seconds: object) -> None:
    assert stamp(seconds) is None


def test_seconds() -> None:
    assert moment(stamp(NOW.timestamp())) == NOW


def test_an_age_is_of_the_value_not_of_its_name() -> None:
    facts = {"created_at": "2020-01-01T00:00:00Z", "updated_at": "2026-02-27T12:00:01Z"}
    assert age(Record("github.secret", "x", facts), NOW) == 1
    assert age(Record("github.secret", "x", {**facts, "updated_at": "nonsense"}), NOW) == 2251
    assert age(Record("gitlab.variable", "x", facts), NOW) is None
    assert days({"expires_at": "2026-03-02T11:00:00Z"}, "expires_at", NOW) == -1


def test_what_is_switched_off_is_not_judged() -> None:
    on, off = Record("github.secret", "a", {}), Record("aws.access_key", "b", {"active": False})
    assert (is_active(on), is_active(off)) == (True, False)
    assert of_sorts(Inventory([on, off, Record("file.env", "c")])) == [on]


def test_each_sort_is_a_vendors() -> None:
    assert all(kind.count(".") == 1 and sort.label for kind, sort in SORTS.items())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("2026-01-31", None),
        ("soon", None),
        (1769860800, None),
        (None, None),
    ],
)
def test_a_vendors_time_is_written_in_one_way(text: object, found: str | None) -> None:
    """Zero times of Go and .NET are none: else a credential was last used two thousand years ago."""
    assert utc(text) == found

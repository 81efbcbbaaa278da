"""When a request may be sent, on a clock that does not wait."""

import email.utils
import time

import pytest

from keylease.context import Context
from keylease.errors import UnreachableError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.vendors.github_pace import Pace, pace_of


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.at += seconds


def pace(clock: Clock, writes: int = 60, points: int = 0, deadline: float = 10_000) -> Pace:
    return Pace(Context({}, Masker(), Deadline(deadline)), writes, points, clock.now, clock.sleep)


def send(made: Pace, *, write: bool = False, who: str = "me") -> None:
    with made.turn(who, write=write):
        pass


def headers(remaining: int, resets_in: float, **more: str) -> dict[str, str]:
    now = int(time.time())
    date = email.utils.formatdate(now, usegmt=True)
    return {
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(int(now + resets_in)),
        "date": date,
        **more,
    }


def test_writes_have_their_distance_and_reads_have_none() -> None:
    clock = Clock()
    made = pace(clock, writes=80)
    for _ in range(5):
        send(made, write=True)
    assert clock.slept == [0.75] * 4
    for _ in range(100):
        send(made)
    assert len(clock.slept) == 4


def test_points_of_a_minute() -> None:
    clock = Clock()
    made = pace(clock, writes=6000, points=10)
    for _ in range(10):
        send(made)
    assert clock.slept == []
    send(made)
    assert clock.at == 1060
    clock.at = 2000
    send(made, write=True)
    send(made, write=True)
    assert clock.at < 2001
    send(made)
    assert clock.at == pytest.approx(2060)


def test_nothing_is_sent_when_nothing_is_left_and_others_have_their_own() -> None:
    clock = Clock()
    made = pace(clock)
    made.told("me", headers(2, 100))
    send(made)  # not yet answered by headers: two are left still
    made.told("me", headers(0, 100))
    made.told("me", headers(5, 100))  # an older answer that comes late
    send(made, who="another")
    assert clock.slept == []
    send(made)
    assert clock.slept == [pytest.approx(101, abs=1)]
    made.told("me", headers(5000, 3600))
    send(made)
    assert len(clock.slept) == 1


def test_what_is_under_way_counts() -> None:
    clock = Clock()
    made = pace(clock)
    made.told("me", headers(1, 50))
    with made.turn("me", write=False):
        send(made)
        assert clock.slept == [pytest.approx(51, abs=1)]


@pytest.mark.parametrize(
    ("status", "more", "message", "waits"),
    [
        (403, {"retry-after": "7"}, "", 7),
        (429, {"retry-after": "7"}, "", 7),
        (429, {}, "", 60),
        (403, {}, "You have exceeded a secondary rate limit.", 60),
        (403, {}, "Resource not accessible by integration", None),
        (404, {"retry-after": "7"}, "", None),
        (200, headers(0, 30), "", None),
    ],
)
def test_answers_that_only_say_later(status: int, more: dict[str, str], message: str, waits: float | None) -> None:
    clock = Clock()
    made = pace(clock)
    assert made.limited(status, more, message, 0) == (waits is not None)
    send(made, who="another")
    assert clock.slept == ([pytest.approx(waits, abs=1)] if waits else [])


def test_a_used_up_hour_is_one_credentials_own() -> None:
    clock = Clock()
    made = pace(clock)
    answer = headers(0, 30)
    made.told("me", answer)
    assert made.limited(403, answer, "API rate limit exceeded", 0)
    send(made, who="another")
    assert clock.slept == []
    send(made)
    assert clock.slept == [pytest.approx(31, abs=1)]


def test_a_write_may_need_another_first() -> None:
    clock = Clock()
    made = pace(clock)
    with made.turn("me", write=True):
        send(made, write=True, who="the App")
    assert clock.slept == [1]


def test_later_than_the_deadline_is_said_with_the_time() -> None:
    clock = Clock()
    made = pace(clock, deadline=30)
    made.limited(403, {"retry-after": "3600"}, "", 0)
    with pytest.raises(UnreachableError, match=r"in 3600 s, at .* GMT"):
        send(made)
    assert clock.slept == []


def test_one_pace_per_host_and_run() -> None:
    one, two = (Context({}, Masker(), Deadline(10)) for _ in range(2))
    assert pace_of(one, "github.com", 80, 900) is pace_of(one, "github.com", 60, 0)
    assert pace_of(one, "github.com", 80, 900) is not pace_of(one, "ghe.example.com", 80, 900)
    assert pace_of(one, "github.com", 80, 900) is not pace_of(two, "github.com", 80, 900)


def test_zero_is_no_pace_until_somebody_sets_one() -> None:
    clock = Clock()
    made = pace(clock, writes=0)
    for _ in range(1000):
        send(made, write=True)
    assert clock.slept == []
    made.slow_down(60, 0)
    send(made, write=True)
    assert clock.slept == [1.0]


@pytest.mark.parametrize("odd", ["\xb2", "9" * 400, "9" * 5000, "-1", "1e9", "1 2", ""])
def test_odd_numbers_in_headers_are_no_defect(odd: str) -> None:
    """`"²".isdigit()` is true, and headers are Latin-1."""
    made = pace(Clock())
    given = {"x-ratelimit-remaining": odd, "x-ratelimit-reset": odd, "retry-after": odd, "date": odd}
    made.told("me", given)
    made.told("me", {**given, "x-ratelimit-remaining": "0"})
    assert made.limited(429, given, "", 0)
    assert not made.limited(403, {**given, "x-ratelimit-remaining": "5"}, "no", 0)
    send(made)

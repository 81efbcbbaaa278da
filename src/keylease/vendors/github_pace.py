"""How fast GitHub's REST API may be asked.

https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api and
https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api: a primary limit that the headers
``x-ratelimit-*`` tell; secondary ones that are told when they are hit: 900 points a minute (a read is 1, a write 5),
80 requests a minute that create content, writes one after the other.
"""

import email.utils
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from keylease.context import Context
from keylease.errors import DeadlineError

READ, WRITE = 1, 5
"""Points of a request, towards the secondary limit."""

_MINUTE = 60.0
_AT_LEAST = 60.0
"""Seconds to wait at a secondary limit that does not say for how long."""

_pacers: "weakref.WeakKeyDictionary[Context, dict[str, Pace]]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def pace_of(context: Context, host: str, writes_per_minute: int, points_per_minute: int) -> "Pace":
    """The one pace of a host within a run, whoever asks; the slowest settings count."""
    with _lock:
        found = _pacers.setdefault(context, {}).setdefault(host, Pace(context, writes_per_minute, points_per_minute))
        found.slow_down(writes_per_minute, points_per_minute)
        return found


class Pace:
    """When the next request to a host may be sent. Used by many threads.

    now, sleep: the clock, for tests.
    """

    def __init__(
        self,
        context: Context,
        writes_per_minute: int,
        points_per_minute: int,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        # Not the context itself: it is the key of a weak dictionary that holds this object.
        self._deadline = context.deadline
        self._spacing = _spacing(writes_per_minute)
        self._points = points_per_minute
        self._now, self._sleep = now, sleep
        self._lock = threading.Lock()
        # Whoever writes may have to get a new token first, which is a write too.
        self._writing = threading.RLock()
        self._last_write = -_MINUTE
        self._spent: deque[tuple[float, int]] = deque()
        self._blocked_until = 0.0
        self._budgets: dict[str, _Budget] = {}

    def slow_down(self, writes_per_minute: int, points_per_minute: int) -> None:
        """Keep to these limits too. 0 is none."""
        self._spacing = max(self._spacing, _spacing(writes_per_minute))
        if points_per_minute:
            self._points = min(self._points or points_per_minute, points_per_minute)

    @contextmanager
    def turn(self, who: str, *, write: bool) -> Iterator[None]:
        """Wait until one request may be sent, and send it within. who: the credential's fingerprint.

        Raises :class:`DeadlineError` when that would be after the deadline.
        """
        if not write:
            yield from self._counted(who, READ)
            return
        with self._writing:
            self.wait(self._last_write + self._spacing - self._now(), "writes are paced")
            self._last_write = self._now()
            yield from self._counted(who, WRITE)

    def _counted(self, who: str, points: int) -> Iterator[None]:
        budget = self._budgets.setdefault(who, _Budget())
        while True:
            with self._lock:
                pause, why = self._pause(budget, points)
                if pause <= 0:
                    self._spent.append((self._now(), points))
                    budget.under_way += 1
                    break
            self.wait(pause, why)
        try:
            yield
        finally:
            with self._lock:
                budget.under_way -= 1

    def _pause(self, budget: "_Budget", points: int) -> tuple[float, str]:
        now = self._now()
        if self._blocked_until > now:
            return self._blocked_until - now, "GitHub asked to wait (secondary rate limit)"
        if budget.resets_at > now and budget.remaining - budget.under_way <= 0:
            return budget.resets_at - now, "the credential's requests of this hour are used up (primary rate limit)"
        while self._spent and self._spent[0][0] <= now - _MINUTE:
            self._spent.popleft()
        if self._points and sum(each for _, each in self._spent) + points > max(self._points, points):
            return self._spent[0][0] + _MINUTE - now, f"{self._points} points a minute are used up (secondary limit)"
        return 0.0, ""

    def told(self, who: str, headers: Mapping[str, str]) -> None:
        """Learn from an answer's headers what is left."""
        remaining, window = number_of(headers, "x-ratelimit-remaining"), number_of(headers, "x-ratelimit-reset")
        if remaining is None or window is None:
            return
        with self._lock:
            budget = self._budgets.setdefault(who, _Budget())
            # Answers overtake each other: of one window, the least counts.
            budget.remaining = min(budget.remaining, remaining) if window == budget.window else remaining
            budget.window = window
            budget.resets_at = self._now() + max(0.0, window - _date(headers)) + 1

    def limited(self, status: int, headers: Mapping[str, str], message: str, attempt: int) -> bool:
        """Whether an answer only says: later. The caller asks again; everybody waits. To be called after `told`."""
        if status not in (403, 429):
            return False
        after = number_of(headers, "retry-after")
        used_up = headers.get("x-ratelimit-remaining") == "0"
        if not (status == 429 or after is not None or used_up or "rate limit" in message.lower()):
            return False
        if used_up and after is None and number_of(headers, "x-ratelimit-reset") is not None:
            return True  # of this credential alone: `told` has noted when its next hour begins
        pause = float(after) if after is not None else _AT_LEAST * 2**attempt
        with self._lock:
            self._blocked_until = max(self._blocked_until, self._now() + pause)
        return True

    def wait(self, seconds: float, why: str) -> None:
        """Raises :class:`UnreachableError` at once when the deadline comes first."""
        if seconds <= 0:
            return
        if seconds >= self._deadline.remaining:
            at = email.utils.formatdate(time.time() + seconds, usegmt=True)
            raise DeadlineError(
                f"GitHub: {why}: the next request may be sent in {seconds:.0f} s, at {at}; the deadline comes first",
                cause="too much is asked for in too short a time",
                change="give the run more time (`deadline: 30m`), split it with --shard, keep answers from one run to "
                "the next (`cache:` of the target), or take a GitHub App: its limit grows with the organisation",
                docs="github-rate-limit",
            )
        self._sleep(seconds)


def number_of(headers: Mapping[str, str], name: str) -> int | None:
    """What a header says in decimal digits; None if it says something else, or a number that no clock has."""
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None


def _spacing(writes_per_minute: int) -> float:
    return _MINUTE / writes_per_minute if writes_per_minute else 0.0


class _Budget:
    """Of one credential. window: GitHub's own name for the hour, ``x-ratelimit-reset``."""

    def __init__(self) -> None:
        self.remaining = 1
        self.window = 0
        self.resets_at = 0.0
        self.under_way = 0


def _date(headers: Mapping[str, str]) -> float:
    # GitHub's own clock, where it tells: this machine's may be wrong.
    try:
        return email.utils.parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return time.time()

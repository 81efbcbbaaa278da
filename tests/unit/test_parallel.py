"""parallel(): order, bounds, exceptions, deadline."""

import threading
import time

import pytest

from keylease.errors import DeadlineError
from keylease.http import Deadline
from keylease.parallel import parallel


def test_results_in_order_and_exceptions_as_values() -> None:
    def work(n: int) -> int:
        time.sleep(0.02 * (5 - n))
        if n == 2:
            raise ValueError("two")
        return n * n

    results = parallel(work, range(5), Deadline(10), "testing")
    assert results[:2] == [0, 1]
    assert isinstance(results[2], ValueError)
    assert results[3:] == [9, 16]


def test_at_most_so_many_at_once() -> None:
    lock = threading.Lock()
    running = highest = 0

    def work(_: int) -> None:
        nonlocal running, highest
        with lock:
            running += 1
            highest = max(highest, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    parallel(work, range(20), Deadline(10), "testing", workers=3)
    assert highest == 3


def test_a_call_that_hangs_does_not_hold_us() -> None:
    release = threading.Event()
    start = time.monotonic()
    with pytest.raises(DeadlineError, match=r"^reading secrets: not done within the step's deadline of 0\.3 s"):
        parallel(lambda _: release.wait(20), [1, 2], Deadline(0.3), "reading secrets")
    assert time.monotonic() - start < 2
    release.set()


def test_nothing_to_do() -> None:
    assert parallel(lambda n: n, [], Deadline(1), "testing") == []

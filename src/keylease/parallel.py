"""Run independent calls side by side, bounded in number and time."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from keylease.http import Deadline, deadline_error

T = TypeVar("T")
R = TypeVar("R")


def parallel(
    work: Callable[[T], R], items: Sequence[T], deadline: Deadline, doing: str, workers: int = 8
) -> list[R | Exception]:
    """`work` done on each item by at most `workers` threads; results and exceptions in the order of `items`.

    Threads are daemons and the wait is bounded: a call that hangs where no timeout reaches (name resolution)
    can't hold the process beyond its deadline. Raises :class:`DeadlineError` then.
    """
    if len(items) == 1:
        workers = 1
    results: dict[int, R | Exception] = {}
    todo = iter(range(len(items)))
    lock = threading.Lock()

    def run() -> None:
        while True:
            with lock:
                index = next(todo, None)
            if index is None or deadline.remaining <= 0:
                return
            try:
                results[index] = work(items[index])
            except Exception as error:  # noqa: BLE001  # handed to the caller, who decides
                results[index] = error

    threads = [threading.Thread(target=run, name=f"keylease-{n}", daemon=True) for n in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(deadline.remaining)
    if len(results) < len(items):
        raise deadline_error(doing, deadline.seconds)
    return [results[index] for index in range(len(items))]


def given(result: R | Exception) -> R:
    """The result of one call of :func:`parallel`; raises what it raised."""
    if isinstance(result, Exception):
        raise result
    return result

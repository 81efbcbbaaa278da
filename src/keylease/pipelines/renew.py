"""Keep leases alive while a command runs that may outlast them."""

import threading
import time
from collections.abc import Sequence
from typing import Self

from keylease.context import Context
from keylease.defects import defect
from keylease.errors import KeyleaseError
from keylease.model import Renewal
from keylease.pipelines.signals import start_beside

SAFETY = 2 / 3
"""The part of a lease's life after which it is renewed: two more tries fit in what is left."""

LATE = 0.1
"""The part of a lease's life that is left when it is told that nothing newer was to be had so far. The kubelet, for
one, replaces a projected token after four fifths of its life: asking earlier than that proves nothing."""

SHORTEST = 1.0
"""Seconds between two tries for one lease."""


class NothingNewerError(KeyleaseError):
    """Asked in time, but what there is ends no later than what we have. It may be another time."""


class Renewer:
    """A background thread that renews each lease in time. Use as a context manager around the command.

    restart: each renewal gets the whole deadline anew: of a run that goes on for as long as its command does.
    """

    def __init__(self, renewals: Sequence[Renewal], context: Context, *, restart: bool = True) -> None:
        self._context = context
        self._restart = restart
        self._stop = threading.Event()
        now = time.time()
        self._due = [(now + max(SHORTEST, (r.expires_at - now) * SAFETY), r) for r in renewals]
        self._told: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="keylease-renew", daemon=True)

    def __enter__(self) -> Self:
        if self._due:
            start_beside(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while self._due:
            self._due.sort(key=lambda entry: entry[0])
            at, renewal = self._due[0]
            if self._stop.wait(max(0.0, at - time.time())):
                return
            following = self._renewed(renewal)
            self._due[0:1] = [(following, renewal)] if following is not None else []

    def _renewed(self, renewal: Renewal) -> float | None:
        """When to renew next; None when there is no use in trying again."""
        now = time.time()
        if self._restart:
            self._context.deadline.restart()
        try:
            granted = renewal.renew()
        except NothingNewerError as none:
            left = renewal.expires_at - now
            if left <= max(SHORTEST, renewal.ttl * LATE) and renewal.label not in self._told:
                self._told.add(renewal.label)
                self._context.log.warning("%s ends in %.0f s: %s", renewal.label, max(0.0, left), none.summary)
            return now + max(SHORTEST, left / 2) if left > SHORTEST else None
        except Exception as problem:  # noqa: BLE001  # a traceback would print what it holds; others must be renewed
            error = problem if isinstance(problem, KeyleaseError) else defect(problem)
            left = renewal.expires_at - now
            if left <= SHORTEST:
                self._context.log.warning("%s", error.summary)
                self._context.log.warning("%s could not be renewed and has expired", renewal.label)
                return None
            self._context.log.warning("%s: renewing failed, %.0f s left: %s", renewal.label, left, error.summary)
            return now + max(SHORTEST, left / 2)
        if granted < renewal.ttl * (1 - SAFETY) or granted <= SHORTEST:
            # The server shortens what it grants as the lease's maximum life comes near.
            self._context.log.warning("%s reaches its maximum lifetime: it ends in %.0f s", renewal.label, granted)
            renewal.expires_at = now + granted
            return None
        renewal.expires_at = now + granted
        self._context.log.debug("%s renewed for %.0f s", renewal.label, granted)
        return now + max(SHORTEST, granted * SAFETY)

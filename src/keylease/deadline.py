"""The one clock of a run."""

import time

from keylease.errors import DeadlineError


class Deadline:
    """A moment on the monotonic clock that nothing of this run may outlive.

    reserve: seconds of `seconds` kept back for giving back what was taken when the rest runs out.
    """

    def __init__(self, seconds: float, reserve: float = 0.0) -> None:
        self.seconds = seconds
        self.reserve = reserve
        self.restart()

    def restart(self) -> None:
        """Begin anew: a command run by `exec` goes on for as long as it likes, each renewal has the full time."""
        self._at = time.monotonic() + self.seconds - self.reserve

    @classmethod
    def with_reserve(cls, seconds: float) -> "Deadline":
        """A fifth of the time, 10 s at most, is kept back for giving back."""
        return cls(seconds, min(10.0, seconds / 5))

    @property
    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._at - time.monotonic())

    def check(self, doing: str) -> None:
        """Raise :class:`DeadlineError` when the time is up."""
        if self.remaining <= 0:
            raise deadline_error(doing, self.seconds)


def deadline_error(doing: str, seconds: float) -> DeadlineError:
    """The error for a step that ran out of time while `doing` something."""
    return DeadlineError(
        f"{doing}: not done within the step's deadline of {seconds:g} s",
        cause="the server is slow, or unreachable from this runner",
        change="raise `deadline` (seconds for the whole step) if the server is known to be slow",
        docs="deadline",
    )

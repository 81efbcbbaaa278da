"""Progress of long work."""

import logging
import sys
import time

from keylease.model import Env
from keylease.outputs import console

EVERY = 60.0
"""Seconds between lines of progress, where there is no terminal."""


class ProgressLine:
    """A line that is written over, on a terminal; elsewhere one a minute: some CIs end jobs that say nothing."""

    def __init__(self, env: Env, log: logging.Logger, *, quiet: bool) -> None:
        self._stream = sys.stderr if sys.stderr.isatty() and not quiet and env.get("TERM") != "dumb" else None
        self._log = log
        self._next = time.monotonic() + EVERY
        self._shown = False

    def __call__(self, what: str, done: int, of: int) -> None:
        if self._stream is None and time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            self._log.info("%s: %s of %s", what, done, of)
        if self._stream and of > 1:
            console.emit(self._stream, f"\r\x1b[K{what}: {done} of {of}")
            self._shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self._stream and self._shown:
            console.emit(self._stream, "\r\x1b[K")
            self._shown = False

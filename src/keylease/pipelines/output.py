"""Carry a command's output through the masker while it runs."""

import array
import errno
import fcntl
import os
import select
import termios
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO

from keylease.masking.redactor import Redactor
from keylease.pipelines.signals import start_beside

DRAIN = 5.0
"""Seconds to wait for output after the command has ended: a process it left behind may hold the pipe for ever."""

_READ = 64 * 1024


READER_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN})
"""Nobody wants the rest of the output (`| head`): no fault. Other errors lose output that somebody waits for."""


def write_all(sink: IO[bytes], data: bytes) -> None:
    """Write and flush, waiting where `sink` was made non-blocking by a program that shares it (Node.js does)."""
    try:
        descriptor = sink.fileno()
    except OSError:  # io.BytesIO
        sink.write(data)
        return
    sink.flush()
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


class Channel:
    """One stream of the command: read from the descriptor `source`, shown on `sink`. Closes `source` at its end."""

    def __init__(self, source: int, sink: IO[bytes], redactor: Redactor) -> None:
        self.source = source
        self.failure: Exception | None = None
        """What went wrong in hiding: from then on nothing is shown."""
        self.unwritten: OSError | None = None
        """Why output was lost, such as a full disk."""
        self._sink: IO[bytes] | None = sink
        self._redactor = redactor

    def copy(self) -> int:
        """Read once, show what can be shown; the number of bytes read, 0 at the end."""
        try:
            chunk = os.read(self.source, _READ)
        except OSError:  # EIO: the last program has closed its end of a pseudo-terminal (Linux)
            chunk = b""
        if chunk:
            self._show(lambda: self._redactor.feed(chunk))
        else:
            self.close()
        return len(chunk)

    def close(self) -> None:
        """Read no more. What was held back is shown as at the end: nothing comes behind it any more."""
        self._show(self._redactor.flush)
        os.close(self.source)

    def waiting(self) -> int:
        """Bytes that were written and not yet read."""
        size = array.array("i", [0])
        try:
            fcntl.ioctl(self.source, termios.FIONREAD, size)
        except OSError:
            return 0
        return size[0]

    def _show(self, hide: Callable[[], bytes]) -> None:
        if self.failure is not None:
            return
        try:
            shown = hide()
        except Exception as error:  # noqa: BLE001  # whatever it was, going on could show a value
            self.failure = error
            return
        if shown and self._sink is not None:
            try:
                write_all(self._sink, shown)
            except (OSError, ValueError) as error:
                self._sink = None  # nobody reads; keep on reading ourselves: a full pipe would stop the command
                if isinstance(error, OSError) and error.errno not in READER_GONE:
                    self.unwritten = error


class Pump:
    """Serves all channels from one thread, so that what was written first is shown first, as far as pipes tell."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = channels
        self._failure: Exception | None = None
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._run, name="keylease-output", daemon=True)
        start_beside(self._thread)

    @property
    def failure(self) -> Exception | None:
        """What went wrong in hiding, if something did."""
        failures = [self._failure, *(channel.failure for channel in self._channels)]
        return next((failure for failure in failures if failure is not None), None)

    @property
    def unwritten(self) -> OSError | None:
        """Why output was lost, if some was."""
        return next((channel.unwritten for channel in self._channels if channel.unwritten is not None), None)

    def finish(self, interrupted: Callable[[], bool]) -> None:
        """The command has ended: show all that it wrote, and what others write to its streams until `DRAIN` is over.

        A reader that does not read holds us as it would hold the command, but not once we are asked to end.
        """
        os.close(self._woken)
        until = time.monotonic() + DRAIN
        while self._thread.is_alive():
            self._thread.join(0.2)
            if interrupted() and time.monotonic() > until + 1:
                return

    def _run(self) -> None:
        channels = {channel.source: channel for channel in self._channels}
        try:
            self._serve(channels)
        except Exception as error:  # noqa: BLE001  # told by `failure`
            self._failure = error
            # A command that writes to a pipe which nobody reads would wait for ever, with all that it leased.
            for channel in channels.values():
                channel.failure = error
                channel.close()

    def _serve(self, channels: dict[int, Channel]) -> None:
        poll = select.poll()
        for channel in self._channels:
            poll.register(channel.source, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        until = float("inf")
        owed: dict[int, int] = {}  # by descriptor: bytes that the command itself can have written
        while channels and (time.monotonic() < until or any(size > 0 for size in owed.values())):
            ready = poll.poll(None if until == float("inf") else max(0.0, until - time.monotonic()) * 1000)
            for descriptor, _ in ready:
                if descriptor == self._wake:
                    poll.unregister(self._wake)
                    until = time.monotonic() + DRAIN
                    owed = {source: channel.waiting() for source, channel in channels.items()}
                    continue
                size = channels[descriptor].copy()
                owed[descriptor] = owed.get(descriptor, 0) - size if size else 0
                if not size:
                    poll.unregister(descriptor)
                    del channels[descriptor]
        for channel in channels.values():
            channel.close()
        os.close(self._wake)

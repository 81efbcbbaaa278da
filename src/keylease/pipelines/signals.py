"""Signals that end a job: what was leased must be given back first."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
FORWARDED = (*ENDING, signal.SIGUSR1, signal.SIGUSR2)


def start_beside(thread: threading.Thread) -> None:
    """Start a thread that leaves signals to the main one.

    Python runs handlers in the main thread only, and does not wake it for a signal that the kernel gave to another
    thread: it would be handled when the command has ended.
    """
    ours = signal.pthread_sigmask(signal.SIG_BLOCK, (*FORWARDED, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH))
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, ours)


class Interrupted(BaseException):
    """A signal that asks us to end arrived while no command was running yet."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Signals:
    """Catches the signals that end a job: raised as :class:`Interrupted` until there is a command, then passed on.

    Raised once only, and not at all while `holding` (a command is being started, leases are being revoked): a
    second Ctrl-C must not leave a lease or a command alive. In a container we are process 1, to which the kernel
    delivers no signal that is not caught.
    """

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self.interrupt: Callable[[int], bool] | None = None
        self.holding = False
        self.received: int | None = None
        self._wake = -1
        """Readable when a signal came: one that comes just before a blocking call would not interrupt it."""

    def hold(self) -> None:
        """Raise nothing from now on: what is being done must not be left half-way."""
        self.holding = True

    @contextmanager
    def caught(self) -> Iterator["Signals"]:
        """Install the handlers for the block."""
        self._wake, woken = os.pipe()
        for end in (self._wake, woken):
            os.set_blocking(end, False)
        previous_wakeup = signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        previous = {number: signal.signal(number, self._handle) for number in FORWARDED}
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(previous_wakeup)
            for end in (self._wake, woken):
                os.close(end)
            self._wake = -1

    def wait_for(self, child: "subprocess.Popen[bytes]") -> int:
        """The child's return code when it ends; signals are handled meanwhile."""
        if self._wake < 0:
            return child.wait()
        previous = signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            while (code := child.poll()) is None:
                self.until_readable()
        finally:
            signal.signal(signal.SIGCHLD, previous)
        return code

    def until_readable(self, descriptor: int | None = None) -> None:
        """Wait until a signal was handled, or there is something to read from `descriptor`."""
        if self._wake < 0:
            return
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake in ready:
                with suppress(BlockingIOError):
                    os.read(self._wake, 512)
            if descriptor is None or descriptor in ready:
                return

    def attach(self, child: "subprocess.Popen[bytes] | None", interrupt: Callable[[int], bool] | None = None) -> None:
        """From now on signals go to `child`; what came while it was being started is passed on now.

        interrupt: how to send SIGINT and SIGQUIT to a command that has a terminal of its own; True if it did.
        """
        self.child, self.interrupt = child, interrupt
        if child is not None and self.received is not None:
            child.send_signal(self.received)

    def _handle(self, signum: int, _: object) -> None:
        again = self.received is not None
        if signum in ENDING:
            self.received = self.received or signum
        if self.child is not None:
            if signum in (signal.SIGINT, signal.SIGQUIT) and self.interrupt is not None and self.interrupt(signum):
                return
            # The terminal sends Ctrl-C and Ctrl-\ to the whole foreground group: the command has it already.
            from_terminal = self.interrupt is None and sys.stdin is not None and sys.stdin.isatty()
            if signum in (signal.SIGINT, signal.SIGQUIT) and from_terminal:
                return
            self.child.send_signal(signum)
        elif not self.holding and not again and self.received is not None:
            raise Interrupted(signum)

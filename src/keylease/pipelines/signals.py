"""Signals that end a job: what was leased must be given back first."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

    def hold(self) -> None:
        """Raise nothing from now on: what is being done must not be left half-way."""
        self.holding = True

    @contextmanager
    def caught(self) -> Iterator["Signals"]:
        """Install the handlers for the block."""
        previous = {number: signal.signal(number, self._handle) for number in FORWARDED}
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

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

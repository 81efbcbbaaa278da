"""A pseudo-terminal for a command, so that it shows colours and progress as it does for people.

Started from a terminal, the command gets one of its own in full: the controlling terminal of its session, with the
keys that are typed, Ctrl-C and the window's size. Without one (a CI job), only its standard output and error are a
terminal; standard input stays what it is and there is no controlling terminal, so that a password prompt fails instead
of waiting for nobody. pty(7), tty_ioctl(4), termios(3).
"""

import fcntl
import logging
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from keylease.pipelines.signals import start_beside

SIZE = (24, 80)
"""Rows and columns where there is no terminal to take them from (LINES and COLUMNS go before)."""


class Terminal:
    """`master` is our end, `slave` the command's; `interactive` says whether a person sits at ours."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._outer = _outer_input()
        self._watched = next((fd for fd in (0, 1, 2) if os.isatty(fd)), None)
        self.interactive = self._outer is not None
        self.master, self.slave = os.openpty()  # the slave with O_NOCTTY
        self._resize(env)
        if not (self.interactive and os.isatty(1)):
            # No terminal in raw mode will show this, so no CR is wanted before each newline.
            modes = termios.tcgetattr(self.slave)
            modes[1] &= ~termios.OPOST
            termios.tcsetattr(self.slave, termios.TCSANOW, modes)

    def popen_arguments(self) -> dict[str, Any]:
        """How to start the command."""
        if not self.interactive:
            return {"stdout": self.slave, "stderr": self.slave}
        # preexec_fn is safe while there is no second thread that could hold a lock at the fork.
        ours = {"stdin": self.slave, "stdout": self.slave, "stderr": self.slave}
        return {**ours, "start_new_session": True, "preexec_fn": _take_terminal}

    def started(self) -> None:
        """The command has its end; the stream ends when the last program closes it."""
        os.close(self.slave)
        self.slave = -1

    def close(self) -> None:
        """Hang up."""
        for descriptor in {self.master, self.slave} - {-1}:
            os.close(descriptor)

    def interrupt(self, signum: int) -> bool:
        """Send `signum` where the keys Ctrl-C and Ctrl-\\ would: to the foreground group of this terminal."""
        try:
            os.killpg(os.tcgetpgrp(self.master), signum)
        except OSError:
            return False
        return True

    @contextmanager
    def forwarding(self, log: logging.Logger) -> Iterator[None]:
        """While the command runs: our terminal in raw mode, typed bytes and window sizes passed on.

        log: its lines end with CR LF meanwhile. Our terminal is put back whatever happens, also while we are stopped
        (SIGTSTP).
        """
        handlers: dict[int, Any] = {}
        if self._watched is not None:
            handlers[signal.SIGWINCH] = lambda *_: self._resize({})
        if self._outer is None:
            with _handling(handlers):
                self._resize({})
                yield
            return
        outer = self._outer
        saved = termios.tcgetattr(outer)

        def take(*_: object) -> None:
            with suppress(termios.error):  # the terminal has gone: SIGHUP and SIGCONT come together
                if _in_foreground(outer):
                    tty.setraw(outer, termios.TCSADRAIN)
            self._resize({})

        def stop(*_: object) -> None:
            with suppress(termios.error):
                termios.tcsetattr(outer, termios.TCSADRAIN, saved)
            os.kill(os.getpid(), signal.SIGSTOP)
            take()

        handlers |= {signal.SIGTSTP: stop, signal.SIGCONT: take}
        ended, end = os.pipe()
        keys = threading.Thread(target=self._type, args=(outer, ended), name="keylease-keys", daemon=True)
        with _handling(handlers):
            take()
            try:
                start_beside(keys)
                _end_lines(log, "\r\n")
                yield
            finally:
                _end_lines(log, "\n")
                os.close(end)
                keys.join(1.0)
                with suppress(termios.error):  # the terminal has gone
                    termios.tcsetattr(outer, termios.TCSADRAIN, saved)

    def _type(self, outer: int, ended: int) -> None:
        """Pass on what is typed until the command ends."""
        poll = select.poll()
        poll.register(outer, select.POLLIN)
        poll.register(ended, select.POLLIN)
        try:
            while not any(descriptor == ended for descriptor, _ in poll.poll()):
                typed = os.read(outer, 4096)
                if not typed:
                    return
                while typed:
                    typed = typed[os.write(self.master, typed) :]
        except OSError:  # either terminal has gone; the command notices by itself
            return
        finally:
            os.close(ended)

    def _resize(self, env: Mapping[str, str]) -> None:
        try:
            if self._watched is None:
                if not env:
                    return
                raise OSError
            size = fcntl.ioctl(self._watched, termios.TIOCGWINSZ, b"\0" * 8)
            if size[:4] == b"\0" * 4:
                raise OSError
        except OSError:
            size = _size(env)
        with suppress(OSError):
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)


def _size(env: Mapping[str, str]) -> bytes:
    rows, columns = (
        int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 10_000 else default
        for text, default in zip((env.get("LINES", ""), env.get("COLUMNS", "")), SIZE, strict=True)
    )
    return b"".join(number.to_bytes(2, sys.byteorder) for number in (rows, columns, 0, 0))


def _outer_input() -> int | None:
    return 0 if os.isatty(0) and _in_foreground(0) else None


def _in_foreground(terminal: int) -> bool:
    """Whether the terminal is ours to use: changing it from the background would stop us (SIGTTOU)."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # not our controlling terminal: nobody competes for it
        return True


def _end_lines(log: logging.Logger, end: str) -> None:
    for handler in log.handlers:
        if hasattr(handler, "terminator"):
            handler.terminator = end


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def _handling(handlers: Mapping[int, Any]) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

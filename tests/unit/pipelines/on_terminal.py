"""A program on a terminal, as a person would use it: what it shows, what is typed, and the state of the terminal.

Run as a module, it is `keylease exec --tty` without the lease: it hides the value of the variable VALUE.
"""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[3]


class Person:
    """Starts `argv` as the foreground program of a new terminal. `type()` keys, `until()` a text is shown.

    what: which of the program's streams are the terminal; the others are pipes, in `process`.
    """

    def __init__(
        self, argv: list[str], env: Mapping[str, str], *, rows: int = 33, columns: int = 111, out: Any = None
    ) -> None:
        self.master, slave = os.openpty()
        self.resize(rows, columns)
        self.shown = b""

        def take() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            argv,
            env=dict(env),
            cwd=ROOT,
            stdin=slave,
            stdout=slave if out is None else out,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take,  # noqa: PLW1509  # the tests have no second thread here
        )
        self._slave = slave  # kept, so that the modes can be asked for when the program has ended
        self.modes_before = termios.tcgetattr(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        if self.master >= 0:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the window: the terminal is gone."""
        os.close(self._slave)
        os.close(self.master)
        self.master = self._slave = -1

    @property
    def modes(self) -> list[Any]:
        """The terminal's modes now (termios(3))."""
        return termios.tcgetattr(self._slave)

    def resize(self, rows: int, columns: int) -> None:
        """Change the window; the kernel tells the foreground program."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.master, keys)

    def until(self, text: bytes, timeout: float = 20) -> bytes:
        """Read until `text` has been shown; all that was shown since the last call."""
        return self._read(lambda: text in self.shown, text, timeout, text)

    def end(self, timeout: float = 20) -> tuple[int, bytes]:
        """Wait for the program to end; its exit code and the rest of what it showed."""
        rest = self._read(lambda: self.process.poll() is not None, b"(its end)", timeout, None)
        return self.process.returncode, rest

    def _read(self, done: Any, what: bytes, timeout: float, cut: bytes | None) -> bytes:
        until = time.monotonic() + timeout
        while True:
            ready, _, _ = select.select([self.master], [], [], 0.05)
            if ready:
                self.shown += os.read(self.master, 65536)
            elif done():
                break
            if cut is not None and done():
                break
            if time.monotonic() > until:
                raise TimeoutError(f"waiting for {what!r}, shown so far: {self.shown!r}")
        size = len(self.shown) if cut is None else self.shown.index(cut) + len(cut)
        taken, self.shown = self.shown[:size], self.shown[size:]
        return taken


def exec_on_tty(*command: str) -> list[str]:
    """The arguments that start this module with a command."""
    return [sys.executable, "-m", "tests.unit.pipelines.on_terminal", *command]


def main(command: list[str]) -> int:
    """Run the command as `exec --tty` would."""
    from keylease.context import Context
    from keylease.http import Deadline
    from keylease.masking import Masker
    from keylease.outputs.console import set_up_logging
    from keylease.pipelines.exec import Streams, run_command
    from keylease.pipelines.renew import Renewer
    from keylease.pipelines.signals import Signals

    masker = Masker()
    log = set_up_logging(masker, {}, sys.stderr)
    context = Context({}, masker, Deadline(10), log)
    masker.seal(os.environ["VALUE"], "value")
    if os.environ.get("LOG_AFTER"):
        import threading

        threading.Timer(float(os.environ["LOG_AFTER"]), lambda: log.warning("one\ntwo")).start()
    streams = Streams(out=sys.stdout.buffer, err=sys.stderr.buffer, tty=True)
    signals = Signals()
    with signals.caught():
        return run_command(command, dict(os.environ), context, Renewer([], context), signals, streams)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))

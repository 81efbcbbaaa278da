"""Start a server program, wait until it answers, stop it by its pid, remove its files."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 30.0
STOP_SECONDS = 10.0


class ServerError(Exception):
    """A server of the test bed did not start or refused a request of the bed itself."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago.

    Another process can take it before the server does, so `Server.start` tries again with another one.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def package_directory(package: str) -> Path:
    """Directory of an installed package that carries a server program. Raises ServerError without it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ServerError(f"{package} is not installed: run `make venv`")
    return Path(spec.origin).parent


def traversable(path: Path) -> bool:
    """Whether a user with no rights of their own can reach `path`."""
    resolved = path.resolve()
    return all(os.stat(part).st_mode & 0o001 for part in (resolved, *resolved.parents))


def temporary_root() -> Path:
    """Where server directories go: TMPDIR when every user can walk into it, else /tmp."""
    root = Path(tempfile.gettempdir())
    return root if traversable(root) else Path("/tmp")


def wait_until(ready: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll `ready` until it is true; raises ServerError after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while not ready():
        if time.monotonic() > deadline:
            raise ServerError(f"{what}: not there after {seconds:.0f} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


class Server:
    """Base of the real servers: one process, one temporary directory, one port.

    Subclasses give the command in `command()`, write what it needs in `prepare()`, and tell in `ready()`
    whether it answers. Use as a context manager, or call `start()` and `stop()`.
    """

    name = "server"

    def __init__(self) -> None:
        self.port = 0
        self.directory = Path()
        self.log_path = Path()
        self.process: subprocess.Popen[bytes] | None = None

    # What a subclass supplies.

    def prepare(self) -> None:
        """Write configuration below `self.directory`; `self.port` is set already."""

    def command(self) -> Sequence[str]:
        """The program and its arguments."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """The whole environment of the program: nothing of the caller's gets in."""
        return {
            "PATH": os.defpath,
            "HOME": str(self.directory),
            "LC_ALL": "C",
            "TZ": "UTC",
        }

    def ready(self) -> bool:
        """Whether the server answers; may raise anything while it does not."""
        raise NotImplementedError

    def after_start(self) -> None:
        """Run once when the server answers."""

    def close(self) -> None:
        """Close clients, before the process is stopped."""

    def user(self) -> int | None:
        """The uid (and gid) to run as, or None for the caller's own."""
        return None

    stop_signal = signal.SIGTERM

    # Life cycle.

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self.process is None:
            raise ServerError(f"{self.name} is not running")
        return self.process.pid

    def start(self) -> Self:
        """Start and wait until it answers. Raises ServerError with the end of its log otherwise."""
        for attempt in range(3):
            self.directory = Path(tempfile.mkdtemp(prefix=f"keylease-{self.name}-", dir=temporary_root()))
            self.log_path = self.directory / f"{self.name}.log"
            self.port = free_port()
            try:
                self._start_once()
                self.after_start()
            except ServerError:
                taken = "in use" in self.log()
                self.stop()
                if attempt == 2 or not taken:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return self
        raise AssertionError("unreachable")

    def _start_once(self) -> None:
        self.prepare()
        self.spawn()
        wait_until(self._answers, START_SECONDS, f"{self.name} on port {self.port}")

    def _tied_to_us(self) -> list[str]:
        # A test run that is killed can't clean up, so the kernel ends its servers. The signal comes when the
        # *thread* that started the server ends, hence only from the main thread.
        tool = shutil.which("setpriv")
        if tool is None or threading.current_thread() is not threading.main_thread():
            return []
        return [tool, "--pdeathsig", "KILL", "--"]

    def spawn(self) -> None:
        """Start the process without waiting for it."""
        uid = self.user()
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._tied_to_us(), *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=dict(self.environment()),
                # Its own session: a Ctrl-C at the terminal reaches us first, and we stop it in order.
                start_new_session=True,
                user=uid,
                group=uid,
                extra_groups=[] if uid is not None else None,
            )

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise ServerError(f"{self.name} ended with code {self.process.returncode}:\n{self.log()[-3000:]}")
        try:
            return self.ready()
        except ServerError:
            raise
        except Exception:  # any client's way of saying "not yet"
            return False

    def log(self) -> str:
        """What the server wrote to stdout and stderr."""
        try:
            return self.log_path.read_text(errors="replace")
        except OSError:
            return ""

    def kill(self) -> None:
        """End the process and keep the directory (`stop` removes it)."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """End the process and remove its files; safe to call twice."""
        self.close()
        self.kill()
        if self.directory != Path():
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = Path()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

"""Run a command with leased values in its environment and nowhere else."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from keylease.context import Context
from keylease.errors import UsageError
from keylease.masking.redactor import Redactor
from keylease.model import Export
from keylease.pipelines.renew import Renewer
from keylease.pipelines.signals import Signals

COMMAND_NOT_FOUND = 127
COMMAND_NOT_EXECUTABLE = 126
"""Exit codes of a POSIX shell for the same two cases (POSIX.1-2024, XCU 2.8.2)."""

DRAIN = 5.0
"""Seconds to wait for output after the command has ended: a process it left behind may hold the pipe for ever."""

_READ = 64 * 1024


def find_command(argv: Sequence[str], path: str | None) -> int | None:
    """None when the command can be started, otherwise the exit code a shell would give. Asked before leasing."""
    if shutil.which(argv[0], path=path) is not None:
        return None
    has_directory = os.path.dirname(argv[0]) != ""
    return COMMAND_NOT_EXECUTABLE if has_directory and os.path.exists(argv[0]) else COMMAND_NOT_FOUND


def run_command(
    argv: Sequence[str],
    environment: Mapping[str, str],
    context: Context,
    renewer: Renewer,
    signals: Signals,
    out: IO[bytes],
    err: IO[bytes],
) -> int:
    """Start `argv`, pass its output through the masker, and return its exit code (128 + n for signal n)."""
    patterns = list(context.masker.patterns())
    signals.holding = True
    with renewer:
        try:
            child = subprocess.Popen(argv, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except FileNotFoundError:
            return COMMAND_NOT_FOUND
        except OSError as error:
            context.log.error("exec: can't start %s: %s", argv[0], error.strerror)
            return COMMAND_NOT_EXECUTABLE
        signals.attach(child)
        try:
            pumps = [
                _pump(stream, sink, Redactor(patterns))
                for stream, sink in ((child.stdout, out), (child.stderr, err))
                if stream is not None
            ]
            code = child.wait()
            until = time.monotonic() + DRAIN
            for pump in pumps:
                pump(max(0.0, until - time.monotonic()))
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            signals.attach(None)
    return 128 - code if code < 0 else code


def _pump(source: IO[bytes], sink: IO[bytes], redactor: Redactor) -> Callable[[float], None]:
    """Copy `source` to `sink` through the masker in a thread; returns what waits for its end so many seconds."""

    def run() -> None:
        broken = False
        with source:
            while True:
                chunk = os.read(source.fileno(), _READ)
                shown = redactor.feed(chunk) if chunk else redactor.flush()
                if shown and not broken:
                    try:
                        sink.write(shown)
                        sink.flush()
                    except (BrokenPipeError, ValueError):
                        broken = True  # keep reading: a full pipe would stop the command
                if not chunk:
                    return

    thread = threading.Thread(target=run, name="keylease-output", daemon=True)
    thread.start()
    return thread.join


def child_environment(base: Mapping[str, str], exports: Sequence[Export], drop: Sequence[str]) -> dict[str, str]:
    """The command's environment: ours, without what only we need, plus the leased values."""
    environment = {name: value for name, value in base.items() if name not in drop}
    for export in exports:
        if export.env:
            if not export.value.is_text:
                raise UsageError(
                    f"{export.origin}: {export.name}: the value is binary and can't be an environment variable",
                    change="deliver it with `file:`, or as text with `decode: none`",
                    docs="binary",
                )
            environment[export.name] = export.value.reveal()
    return environment

"""Run a command with leased values in its environment and nowhere else."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import IO

import msgspec

from keylease.context import Context
from keylease.errors import ExitCode, UsageError
from keylease.masking.redactor import REPLACEMENT, Redactor, scanner_for
from keylease.model import Export
from keylease.pipelines.output import Channel, Pump
from keylease.pipelines.renew import Renewer
from keylease.pipelines.signals import Signals
from keylease.pipelines.terminal import Terminal

COMMAND_NOT_FOUND = 127
COMMAND_NOT_EXECUTABLE = 126
"""Exit codes of a POSIX shell for the same two cases (POSIX.1-2024, XCU 2.8.2)."""


def find_command(argv: Sequence[str], path: str | None) -> int | None:
    """None when the command can be started, otherwise the exit code a shell would give. Asked before leasing."""
    if shutil.which(argv[0], path=path) is not None:
        return None
    has_directory = os.path.dirname(argv[0]) != ""
    return COMMAND_NOT_EXECUTABLE if has_directory and os.path.exists(argv[0]) else COMMAND_NOT_FOUND


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """Where the command's output goes, and how.

    replacement: stands for each value. tty: give the command a pseudo-terminal; `err` then stays unused, since a
    terminal has one stream.
    """

    out: IO[bytes]
    err: IO[bytes]
    replacement: bytes = REPLACEMENT.encode()
    tty: bool = False


def run_command(
    argv: Sequence[str],
    environment: Mapping[str, str],
    context: Context,
    renewer: Renewer,
    signals: Signals,
    streams: Streams,
) -> int:
    """Start `argv`, pass its output through the masker, and return its exit code (128 + n for signal n).

    If hiding values fails, nothing more is shown, and the code is that of a defect unless the command failed itself.
    If output can't be written (a full disk), the command goes on, and the code is EX_IOERR unless it failed itself.
    """
    scanner = scanner_for(context.masker.patterns())
    terminal = None
    try:
        terminal = Terminal(environment) if streams.tty else None
        signals.holding = True
        sinks = [streams.out] if terminal else [streams.out, streams.err]
        redactors = [Redactor(scanner, streams.replacement) for _ in sinks]
        context.masker.added = lambda: _hide_more(context, redactors)
        code, pump = _run(argv, environment, context, renewer, signals, sinks, redactors, terminal)
    finally:
        context.masker.added = lambda: None
        if terminal:
            terminal.close()
    if pump is not None and pump.failure is not None:
        context.log.error(
            "exec: %s in hiding values: from there on the command's output was not shown; the command itself went on",
            type(pump.failure).__name__,
        )
        return code or ExitCode.INTERNAL
    if pump is not None and pump.unwritten is not None:
        context.log.error(
            "exec: the command's output can't be written: %s; from there on it is lost; the command itself went on",
            pump.unwritten.strerror,
        )
        return code or os.EX_IOERR
    return code


def _hide_more(context: Context, redactors: Sequence[Redactor]) -> None:
    scanner = scanner_for(context.masker.patterns())
    for redactor in redactors:
        redactor.use(scanner)


def _run(
    argv: Sequence[str],
    environment: Mapping[str, str],
    context: Context,
    renewer: Renewer,
    signals: Signals,
    sinks: Sequence[IO[bytes]],
    redactors: Sequence[Redactor],
    terminal: Terminal | None,
) -> tuple[int, Pump | None]:
    how = terminal.popen_arguments() if terminal else {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        child = subprocess.Popen(argv, env=dict(environment), **how)
    except FileNotFoundError:
        return COMMAND_NOT_FOUND, None
    except OSError as error:
        context.log.error("exec: can't start %s: %s", argv[0], error.strerror)
        return COMMAND_NOT_EXECUTABLE, None
    if terminal:
        terminal.started()
        sources = [os.dup(terminal.master)]
    else:
        # The channels close them, so they must not belong to the file objects as well.
        sources = [os.dup(stream.fileno()) for stream in (child.stdout, child.stderr) if stream is not None]
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()
    try:
        signals.attach(child, terminal.interrupt if terminal and terminal.interactive else None)
        with terminal.forwarding(context.log) if terminal else nullcontext(), renewer:
            # All of the output, the last of it too, belongs on our terminal while that is in raw mode.
            pump = Pump([Channel(*each) for each in zip(sources, sinks, redactors, strict=True)])
            code = signals.wait_for(child)
            pump.finish(lambda: signals.received is not None)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        signals.attach(None)
    return (128 - code if code < 0 else code), pump


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

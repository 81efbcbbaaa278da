"""`keylease redact`: hide known values in any stream or file."""

import argparse
import logging
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from keylease.defects import defect
from keylease.errors import DOCS, ExitCode, KeyleaseError, PartialError, UsageError
from keylease.masking import Masker, Redactor
from keylease.masking.scanner import Scanner
from keylease.model import Env
from keylease.outputs import console
from keylease.pipelines.output import write_all
from keylease.pipelines.signals import ENDING, Interrupted, Signals

_READ = 256 * 1024
STDIN = "-"


def replacement_for(text: str, masker: Masker) -> bytes:
    """What stands for each value. Raises :class:`UsageError` for text that would hide badly."""
    why = ""
    if not text:
        why = "it is empty: what stands around a value would grow together, and nobody would see that one was there"
    elif not text.isprintable():
        why = "it has control characters"
    elif masker.scrub(text) != text:
        why = "it contains a value that is to be hidden"
    if why:
        raise UsageError(f"--replace-with: {why}", change="take a short plain text, such as ***", docs="redact")
    return text.encode("utf-8")


def redact(options: argparse.Namespace, env: Env, masker: Masker, log: logging.Logger, signals: Signals) -> int:
    """Run the command; returns the exit code. No secret at all is an error: the log would only look clean."""
    _seal_all(options, env, masker, log)
    replacement = replacement_for(options.replace_with, masker)
    for label in masker.unmaskable:
        log.warning("%s: too short or too common to be hidden; it can be seen in the output", label)
    scanner = _scanner(masker)
    work = _Redaction(scanner, replacement, options.files or [STDIN], signals)
    try:
        code = work.in_place() if options.in_place else work.to_stdout()
    except (KeyleaseError, BrokenPipeError):
        raise
    except Interrupted as stop:
        log.warning("redact: stopped by signal %s; the output is not complete", stop.signum)
        return 128 + stop.signum
    except Exception as error:  # noqa: BLE001  # whatever it was, going on could show a value
        fault = defect(error)
        fault.cause = "the output stops here; nothing that was not looked through has been written"
        raise fault from None
    if options.stats:
        for name, count in work.counts:
            text = f"{_shown(name)}, values hidden: {count}"
            console.emit(sys.stderr, f"keylease: {masker.scrub(console.one_line(text))}\n")
    return code


def _seal_all(options: argparse.Namespace, env: Env, masker: Masker, log: logging.Logger) -> None:
    from keylease.config.known import seal_file, seal_state, seal_variables

    if not (options.env or options.secrets_files or options.state or options.leases):
        raise UsageError(
            "redact: there is nothing to hide",
            cause="passing everything through would look as if it were clean",
            change="name the values: --env NAME, --secrets-file FILE, --state FILE or --leases",
            docs="redact",
        )
    if options.in_place and (not options.files or STDIN in options.files):
        raise UsageError("redact: --in-place needs files", change="keylease redact … --in-place FILE", docs="redact")
    seal_variables(options.env, env, masker.seal, "--env")
    for path in options.secrets_files:
        seal_file(path, masker.seal, lambda text: log.warning("%s", text))
    for path in options.state:
        seal_state(path, masker.seal)
    if options.leases:
        from keylease.outputs.state import default_path

        seal_state(str(default_path(env)), masker.seal)
    if not (options.env or options.secrets_files):
        log.warning(
            "the state holds the leases' own tokens only; name the values that were read: --env, --secrets-file"
        )


def _scanner(masker: Masker) -> Scanner:
    from keylease.masking.redactor import scanner_for

    patterns = list(masker.patterns())
    if not patterns:
        raise UsageError(
            "redact: none of the values can be hidden",
            cause="they are too short or too common: hiding them would make the log unreadable",
            change=f"use longer secrets; see the forms and limits in {DOCS}/masking.md",
            docs="redact",
        )
    return scanner_for(patterns)


class _Redaction:
    """counts: by file, how many values were hidden."""

    def __init__(self, scanner: Scanner, replacement: bytes, files: Sequence[str], signals: Signals) -> None:
        self._scanner = scanner
        self._replacement = replacement
        self._files = files
        self._signals = signals
        self.counts: list[tuple[str, int]] = []

    def _redactor(self) -> Redactor:
        return Redactor(self._scanner, self._replacement)

    def to_stdout(self) -> int:
        """All files as one stream, as `cat` would: a value that begins in one and ends in the next is hidden too."""
        redactor = self._redactor()
        totals = [0]
        with _patient(enabled=STDIN in self._files and not os.isatty(0)) as received:
            for name in self._files:
                for chunk in _chunks(name, self._signals):
                    _show(redactor.feed(chunk))
                totals.append(redactor.count)
            _show(redactor.flush())
        totals[-1] = redactor.count
        self.counts = [(name, totals[n + 1] - totals[n]) for n, name in enumerate(self._files)]
        return 128 + received[0] if received else ExitCode.OK

    def in_place(self) -> int:
        """Each file by itself; one that fails stays as it is, and does not keep the others from being done."""
        from keylease.outputs.rewrite import rewrite

        errors: list[KeyleaseError] = []
        for name in self._files:
            redactor = self._redactor()
            try:
                rewrite(name, redactor.feed, redactor.flush)
            except KeyleaseError as error:
                errors.append(error)
            else:
                self.counts.append((name, redactor.count))
        if not errors:
            return ExitCode.OK
        first, *others = errors
        if len(errors) < len(self._files):
            first, others = PartialError(f"redact: {len(errors)} of {len(self._files)} files stay as they were"), errors
        first.also = others
        raise first


def _chunks(name: str, signals: Signals) -> Iterator[bytes]:
    try:
        descriptor = 0 if name == STDIN else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"redact: {name} can't be read: {error.strerror}", docs="redact") from None
    try:
        if _is_output(descriptor):
            raise UsageError(
                f"redact: {_shown(name)} is the output as well: it would be read and appended to without end",
                change="keylease redact … --in-place FILE, or write to another file",
                docs="redact",
            )
        while True:
            try:
                signals.until_readable(descriptor)
                chunk = os.read(descriptor, _READ)
            except OSError as error:
                raise PartialError(f"redact: {_shown(name)} can't be read: {error.strerror}", docs="redact") from None
            if not chunk:
                return
            yield chunk
    finally:
        if descriptor:
            os.close(descriptor)


def _shown(name: str) -> str:
    return "standard input" if name == STDIN else name


def _is_output(descriptor: int) -> bool:
    """Whether what we write to this file is read again, as by ``redact LOG >> LOG``; an empty one is none (``>``)."""
    one, other = os.fstat(descriptor), os.fstat(1)
    return stat.S_ISREG(one.st_mode) and os.path.samestat(one, other) and one.st_size > 0


def _show(data: bytes) -> None:
    try:
        write_all(sys.stdout.buffer, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PartialError(
            f"redact: the output can't be written: {error.strerror}", cause="it is not complete", docs="redact"
        ) from None


@contextmanager
def _patient(*, enabled: bool) -> Iterator[list[int]]:
    """Let the first signal pass, and end with the second.

    Ctrl-C and a cancelled job reach every program of a pipe. The one that we read from may have work to clean up and
    to tell of; without a reader, SIGPIPE would end it in the middle (`tee -i` is for the same).
    """
    received: list[int] = []

    def handle(signum: int, _: object) -> None:
        received.append(signum)
        if len(received) > 1 or not enabled:
            raise Interrupted(signum)

    handlers: dict[int, Callable[[int, object], None]] = dict.fromkeys(ENDING, handle)
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield received
    finally:
        for number, old in previous.items():
            signal.signal(number, old)

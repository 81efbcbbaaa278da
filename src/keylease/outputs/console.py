"""The log: what people and the CI platform read on standard output and standard error."""

import logging
import re
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TextIO

from keylease.masking import LoggingFilter, Masker
from keylease.model import Env, Origin

LOGGER = "keylease"

STREAM_LOCK = threading.RLock()
"""Held for each line, whatever part writes it: a mask must not be torn by a message of another thread."""

QUIET = ("urllib3", "requests", "hvac", "charset_normalizer", "botocore", "github", "gitlab")
"""Libraries whose loggers print URLs and headers."""

MAX_ANNOTATION = 4000
"""Characters. The runner cuts an annotation at 4096 (ExecutionContext.cs)."""

_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS …: titles, links
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)
_COMMAND = re.compile(r"(?m)^(\s*):(?=:)")
_BRACKET_COMMAND = re.compile(r"##(?=\w*\[)")


def sanitize(text: str) -> str:
    """Foreign text (a claim, a server's message, a path) made safe to print.

    Terminal escapes, control, format and bidirectional characters go; newline and tab stay. What the log of GitHub,
    Azure DevOps or TeamCity takes for a command (``::`` at the start of a line, ``##[`` and ``##vso[`` anywhere) is
    broken up by a space.
    """
    if text.isascii() and text.replace("\n", "").isprintable() and "::" not in text and "##" not in text:
        return text
    text = _ANSI.sub("", text.replace("\r\n", "\n"))
    text = "".join(_safe(c) for c in text)
    return _BRACKET_COMMAND.sub("## ", _COMMAND.sub(r"\1: ", text))


def _safe(character: str) -> str:
    if character in "\n\t":
        return character
    kind = unicodedata.category(character)
    if kind in ("Zl", "Zp") or character in "\r\x0b\x0c\x85":
        return "\n"
    return "" if kind in ("Cc", "Cf") else "?" if kind == "Cs" else character


def one_line(text: str, limit: int = MAX_ANNOTATION) -> str:
    """`text` sanitized and on one line, cut to `limit` characters."""
    flat = " ".join(sanitize(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def escape_data(text: str) -> str:
    """The message of a workflow command. `%` first: the runner undoes CR, LF, `%` in that order (ActionCommand.cs)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """A property of a workflow command: also `:` and `,`."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def command(name: str, message: str, properties: Mapping[str, str] | None = None) -> str:
    """One workflow command, one line, without its newline."""
    pairs = ",".join(f"{key}={escape_property(value)}" for key, value in (properties or {}).items() if value)
    return f"::{name}{' ' + pairs if pairs else ''}::{escape_data(message)}"


def emit(stream: TextIO, text: str) -> None:
    """Write whole lines and flush, as UTF-8 whatever the locale says: a mask in Latin-1 would mask nothing."""
    with STREAM_LOCK:
        buffer = getattr(stream, "buffer", None)
        if buffer is None:
            stream.write(text)
        else:
            stream.flush()
            buffer.write(text.encode("utf-8", "backslashreplace"))
        stream.flush()


def location(origin: Origin | None) -> dict[str, str]:
    """``file=``/``line=`` of an annotation, where the origin is a place in a file."""
    if origin is None or not origin.line or not origin.source.endswith((".yml", ".yaml")):
        return {}
    return {"file": origin.source, "line": str(origin.line)}


class _Scrub(LoggingFilter):
    """Makes every record safe to print too, whoever logged it."""

    def filter(self, record: logging.LogRecord) -> bool:
        super().filter(record)
        # One text: a formatter would add the traceback behind the workflow command.
        record.msg = "\n".join(filter(None, (record.msg, record.exc_text)))
        record.exc_text = record.stack_info = None
        return True

    def clean_extra(self, value: object) -> object:
        # The formatters below print an Origin only; text in its place would not be one.
        return value if super().clean_extra(value) is value else None

    def clean(self, text: str) -> str:
        # Twice: a value can be broken up by an escape sequence that sanitize takes out.
        return super().clean(sanitize(super().clean(text)))


class GitHubFormatter(logging.Formatter):
    """Warnings and errors as annotations (at `extra={"origin": Origin}` if given), debug as ``::debug::``."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        level = record.levelno
        if level < logging.INFO:
            return command("debug", text)
        if level < logging.WARNING:
            return text
        name = "warning" if level < logging.ERROR else "error"
        origin = getattr(record, "origin", None)
        return command(name, text[:MAX_ANNOTATION], {"title": "Keylease", **location(origin)})


class PlainFormatter(logging.Formatter):
    """``keylease: warning: …`` for people; colour only where it was found to be wanted."""

    _COLOURS = ((logging.ERROR, "31"), (logging.WARNING, "33"), (logging.INFO, ""), (logging.DEBUG, "2"))

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.levelno != logging.INFO:
            text = f"{record.levelname.lower()}: {text}"
        origin = getattr(record, "origin", None)
        text = f"keylease: {origin}: {text}" if origin and str(origin) else f"keylease: {text}"
        code = next((code for level, code in self._COLOURS if record.levelno >= level), "")
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code else text


class _Handler(logging.Handler):
    terminator = "\n"  # as in logging.StreamHandler; a terminal in raw mode needs CR LF

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream: TextIO | None = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._stream is not None:
                emit(self._stream, (self.format(record) + "\n").replace("\n", self.terminator))
        except (OSError, ValueError):  # nobody reads our log any more; revoking must go on
            self._stream = None


def colour_wanted(stream: TextIO, env: Env) -> bool:
    """On a terminal only, and not where NO_COLOR (https://no-color.org) or a dumb terminal says no."""
    return not env.get("NO_COLOR") and env.get("TERM") != "dumb" and stream.isatty()


def set_up_logging(
    masker: Masker, env: Env, stream: TextIO, *, github: bool = False, debug: bool = False, quiet: bool = False
) -> logging.Logger:
    """Send the logger ``keylease`` to `stream`, every record scrubbed by `masker`.

    github: as workflow commands. Give it the stream that the masks go to: the runner reads standard output and
    standard error apart, and a message could overtake its mask.
    """
    log = logging.getLogger(LOGGER)
    for old in log.handlers[:]:
        log.removeHandler(old)
    handler = _Handler(stream)
    handler.addFilter(_Scrub(masker))
    handler.setFormatter(GitHubFormatter() if github else PlainFormatter(colour=colour_wanted(stream, env)))
    log.addHandler(handler)
    log.propagate = False
    log.setLevel(logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO)
    for name in QUIET:
        library = logging.getLogger(name)
        library.setLevel(logging.CRITICAL + 1)
        library.propagate = False
    return log


def table(rows: Sequence[Sequence[str]], *, indent: str = "  ", limit: int = 120) -> str:
    """Rows of foreign text as aligned columns, one line per row; the first row is the heading.

    limit: characters of the last column; the others have 120.
    """
    cells = [[*(one_line(cell, 120) for cell in row[:-1]), one_line(row[-1], limit)] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)) for row in cells
    ]
    return "".join(f"{indent}{line.rstrip()}\n" for line in lines)


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)

"""The check that no secret value planted by a test turns up where it must not.

A test registers the values it plants (`seeded.add(value)`); when it is over, everything that came out of it is
searched for them, plain and encoded. The message says where and in which form, never the value.
"""

import base64
import json
import re
import shlex
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from secrets import token_hex
from urllib.parse import quote, quote_plus

PLACES = ("stdout", "stderr", "log", "exception", "file", "add-mask")
# Shorter values occur by chance.
SHORTEST = 6

_ADD_MASK = re.compile(rb"^::add-mask::[^\r\n]*", re.MULTILINE)


@lru_cache(maxsize=4096)
def forms(value: str) -> tuple[tuple[str, bytes], ...]:
    """The value as it may appear: plain, each of its lines, base64 at 3 alignments, URL, hex, JSON, ..."""
    raw = value.encode("utf-8", "surrogateescape")
    text = raw.decode("utf-8", "backslashreplace")
    found: dict[bytes, str] = {}

    def add(name: str, form: str | bytes) -> None:
        data = form if isinstance(form, bytes) else form.encode()
        if len(data) >= SHORTEST:
            found.setdefault(data, name)

    add("plain", raw)
    for line in text.splitlines():
        add("line", line.strip())
    add("JSON", json.dumps(text)[1:-1])
    add("JSON", json.dumps(text, ensure_ascii=False)[1:-1])
    add("Python repr", repr(text)[1:-1])
    add("Python repr", repr(raw)[2:-1])
    add("shell", shlex.quote(text))
    add("URL", quote(raw, safe=""))
    add("URL", quote(raw))
    add("URL", quote_plus(raw))
    add("URL", re.sub(r"%[0-9A-F]{2}", lambda hit: hit[0].lower(), quote(raw, safe="")))
    add("workflow command", text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))
    add("hex", raw.hex())
    add("hex", raw.hex().upper())
    for skipped in range(3):
        # The characters that a neighbouring byte shares are left out: they depend on what stands beside.
        first = (0, 2, 3)[skipped]
        encoded = base64.b64encode(b"\0" * skipped + raw).rstrip(b"=")
        last = len(encoded) - (1 if (skipped + len(raw)) % 3 else 0)
        plain = encoded[first:last]
        add("base64", plain)
        add("base64", plain.replace(b"+", b"-").replace(b"/", b"_"))
    return tuple((name, data) for data, name in found.items())


def find(data: bytes, values: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (value, form) for each value that `data` contains."""
    for value in values:
        for name, form in forms(value):
            if form in data:
                yield value, name
                break


def redact(text: str, values: Iterable[str]) -> str:
    """`text` with the values and their encoded forms taken out."""
    for value in values:
        for _, form in sorted(forms(value), key=lambda item: -len(item[1])):
            text = text.replace(form.decode("utf-8", "surrogateescape"), "[seeded value]")
    return text


def describe(error: BaseException) -> str:
    """All that an exception and those shown with it say: text, notes, arguments; of itself, attributes too.

    No tracebacks: those quote the test's own source, where planted values stand as literals.
    """
    parts: list[str] = []
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        current = todo.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        parts += traceback.format_exception_only(current)
        parts.append(repr(current.args))
        if current is error:
            parts.append(repr(getattr(current, "__dict__", {})))
        todo.append(current.__cause__)
        if not current.__suppress_context__:
            todo.append(current.__context__)
        if isinstance(current, BaseExceptionGroup):
            todo += current.exceptions
    return "\n".join(parts)


@dataclass
class Seeded:
    """The values planted by one test, what it let out, and what it may let out."""

    values: set[str] = field(default_factory=set, repr=False)
    _seen: list[tuple[str, str, bytes]] = field(default_factory=list, repr=False)
    _directories: list[Path] = field(default_factory=list)
    _allowed: list[tuple[str, str | None]] = field(default_factory=list, repr=False)
    _allowed_files: list[tuple[Path, str | None]] = field(default_factory=list, repr=False)

    # For tests.

    def add(self, *values: str) -> None:
        """Plant values of at least 6 characters. Several lines count one by one as well."""
        for value in values:
            if len(value) < SHORTEST:
                raise ValueError(f"a seeded value needs {SHORTEST} characters or more: shorter ones occur by chance")
            self.values.add(value)

    def new(self, label: str = "seeded") -> str:
        """A new random value, planted already."""
        value = f"{label}-{token_hex(12)}"
        self.add(value)
        return value

    def allow(self, place: str, *values: str) -> None:
        """This test lets values out at `place` on purpose (only the given ones, if any are given).

        Places: stdout, stderr, log, exception, file, and add-mask, which are `::add-mask::` lines on stdout.
        """
        if place not in PLACES:
            raise ValueError(f"{place!r} is none of {', '.join(PLACES)}")
        self._allowed += [(place, value) for value in values or (None,)]

    def allow_file(self, path: Path, *values: str) -> None:
        """This test writes values to this file, or below this directory, on purpose."""
        self._allowed_files += [(path.resolve(), value) for value in values or (None,)]

    def saw(self, place: str, text: str | bytes, what: str = "") -> None:
        """Hand in output that pytest did not capture, such as a child process's stdout, for the search."""
        if place not in PLACES:
            raise ValueError(f"{place!r} is none of {', '.join(PLACES)}")
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        self._seen.append((place, what or place, data))

    def watch(self, directory: Path) -> None:
        """Search the files below this directory as well (tmp_path and HOME are searched anyway)."""
        self._directories.append(directory)

    # For conftest.py.

    def leaks(self) -> list[str]:
        """One line per leak: where, and in which form."""
        values = self.values | SESSION_VALUES
        found = [line for place, what, data in self._seen for line in self._search(place, what, data, values)]
        for directory in self._directories:
            found += self._search_files(directory, values)
        return list(dict.fromkeys(found))

    def _search(self, place: str, what: str, data: bytes, values: set[str]) -> Iterator[str]:
        if place == "stdout":
            masks = b"\n".join(_ADD_MASK.findall(data))
            yield from self._search("add-mask", f"{what} (::add-mask:: lines)", masks, values)
            data = _ADD_MASK.sub(b"", data)
        for value, form in find(data, values):
            if (place, None) not in self._allowed and (place, value) not in self._allowed:
                yield f"{what}: {form} form of {_name(value)}"

    def _search_files(self, directory: Path, values: set[str]) -> Iterator[str]:
        for path in sorted(directory.rglob("*")):
            parts = [str(path.relative_to(directory)).encode("utf-8", "surrogateescape")]
            if path.is_symlink():
                parts.append(str(path.readlink()).encode("utf-8", "surrogateescape"))
            elif path.is_file():
                parts.append(_read(path))
            for value, form in find(b"\0".join(parts), values):
                if ("file", None) in self._allowed or ("file", value) in self._allowed:
                    continue
                if not self._file_allowed(path, value):
                    yield f"file {path.relative_to(directory)}: {form} form of {_name(value)}"

    def _file_allowed(self, path: Path, value: str) -> bool:
        resolved = path.resolve()
        return any(
            (allowed == resolved or allowed in resolved.parents) and only in (None, value)
            for allowed, only in self._allowed_files
        )


def _read(path: Path) -> bytes:
    """A file's bytes, even where the test took its own right to read away; nothing when it is just gone."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except PermissionError:
        mode = path.stat().st_mode
        path.chmod(0o400)
        try:
            return path.read_bytes()
        finally:
            path.chmod(mode)


def _name(value: str) -> str:
    """Which value it was, without telling it: its label, if `Seeded.new` made it, and its length."""
    label, dash, rest = value.rpartition("-")
    known = label if dash and len(rest) == 24 else "a value"
    return f"{known} ({len(value)} characters)"


# Passwords and root tokens of servers that live as long as the session.
SESSION_VALUES: set[str] = set()

# The test that runs now: for output that is taken away before the report is made (readouterr, raises).
current = Seeded()

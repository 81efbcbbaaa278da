"""Look for known values in files and streams, by the forms that are masked in logs: where, never what stands around."""

import io
import json
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any, Protocol

from msgspec import Struct

from keylease.audit.model import Inventory, Location, Problem, Record
from keylease.masking.colours import Uncoloured
from keylease.masking.forms import forms, is_maskable, lines_of, named_forms, text_of
from keylease.masking.redactor import scanner_for

KIND = "scan.leak"

LEAST = 8
"""Bytes of a value, or of one of its forms: shorter ones stand in files by chance, and by no fault."""

CHUNK = 1 << 20
"""Bytes that are looked through at once."""

_HEX = re.compile(r"[0-9a-fA-F-]{32,}")


class Source(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size`; none at the end."""


class Hit(Struct, frozen=True):
    """secret: its label. form: ``raw``, ``base64`` … line: from 1; 0 in what is no text."""

    secret: str
    form: str
    line: int


class Search:
    """values: value → label. Raises nothing for values that can't be told apart.

    looked: streams that were looked through. unchecked: values, and parts of values, that are not looked for although
        they are secret: too short or too common to be told apart. left_out: parts that are not, as a region or host.
    """

    def __init__(self, values: Mapping[bytes, str]) -> None:
        self.looked = 0
        self.unchecked: list[str] = []
        self.left_out: list[str] = []
        self._known: dict[bytes, tuple[str, str]] = {}
        self._values = [(value, label) for value, label in values.items() if len(value) >= LEAST]
        for value, label in values.items():
            found = self._patterns(value, label)
            if not found:
                self.unchecked.append(label)
            for pattern, name in found.items():
                self._known.setdefault(pattern, (label, name))
        self._labels = len({label for label, _ in self._known.values()})
        self._scanner = scanner_for(self._known) if self._known else None
        self._longest = max(map(len, self._known), default=0)

    def __bool__(self) -> bool:
        return self._scanner is not None

    def _patterns(self, value: bytes, label: str) -> dict[bytes, str]:
        if len(value.strip()) < LEAST:
            return {}
        plain: set[bytes] = set()
        parts = list(parts_of(value))
        if parts and all(part.is_plain for part in parts):
            self.unchecked.append(label)
        for part in parts:
            if not part.is_plain:
                continue
            if part.is_secret:
                self.unchecked.append(f"{part.name} of {label}")
            elif part.name:
                self.left_out.append(f"{part.name} of {label}")
            plain.update(_forms_of(part))
        for part in parts:
            if not part.is_plain:
                plain.difference_update(_forms_of(part))  # a user may be called as the password is
        found: dict[bytes, str] = {}
        alone = [part.text.encode("utf-8", "surrogatepass") for part in parts if not part.is_plain]
        for form in chain(named_forms(value), *map(named_forms, alone)):
            if len(form.pattern) < LEAST or form.pattern in plain:
                continue
            found.setdefault(form.pattern, form.name)
            text = text_of(form.pattern)
            if form.name in ("raw", "line") and text is not None and not text.isascii():
                # Windows' tools write files so; a log has no such form, so the masker has none. (ASCII: see `_Folded`.)
                for encoding in ("utf-16-le", "utf-16-be", "cp1252", "latin-1"):
                    with suppress(UnicodeEncodeError):
                        found.setdefault(text.encode(encoding), encoding)
        return found

    def within(self, name: str | bytes) -> list[Hit]:
        """What is in a name or another short text; it counts as no stream."""
        return self._through(io.BytesIO(os.fsencode(name)))

    def through(self, source: Source) -> list[Hit]:
        """Each secret once, where it stands first. Raises what `source` raises."""
        self.looked += bool(self)
        return self._through(source)

    def _through(self, source: Source) -> list[Hit]:
        scanner = self._scanner
        size = max(CHUNK, _WIDER * self._longest)
        found: dict[str, Hit] = {}
        seen: set[bytes] = set()
        data, lines, is_text = b"", 0, None
        while chunk := source.read(size):
            if is_text is None:
                is_text = b"\0" not in chunk[:8192]
            if scanner is None or len(found) == self._labels:
                continue  # there is no more to learn; a stream is read to its end all the same
            data += chunk
            places, end = scanner.scan(data)
            folded = _Folded(data)
            views = [(data, places, "")]
            if folded.text != data:
                views.append((folded.text, scanner.scan(folded.text)[0], ", broken up"))
            for view, there, how in views:
                for start, stop in there:
                    text = view[start:stop]
                    if text in seen:
                        continue
                    seen.add(text)
                    for label, form in self._of(text):
                        if label not in found:
                            at = folded.place(start) if how else start
                            line = lines + data.count(b"\n", 0, at) + 1 if is_text else 0
                            found[label] = Hit(label, form + how, line)
            # What may become an occurrence, or begins one that reaches beyond: looked at again with the next chunk.
            end = min(end, max(0, len(data) - _WIDER * self._longest))
            lines += data.count(b"\n", 0, end)
            data = data[end:]
        return list(found.values())

    def _of(self, text: bytes) -> Iterator[tuple[str, str]]:
        known = self._known.get(text) or self._known.get(Uncoloured(text).text)
        if known:
            yield known
        # One value may be part of another; an occurrence of the longer one stands for both.
        for value, label in self._values:
            if value in text and (not known or label != known[0]):
                yield label, "raw"


class _Folded:
    """text: `data` without line ends (and the backslash before, the space behind them) and zeros.

    So what is broken into lines, and UTF-16, is in one piece.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.text = self._fold(data)

    @staticmethod
    def _fold(data: bytes) -> bytes:
        data = data.translate(None, b"\0").replace(b"\\\r\n", b"\n").replace(b"\\\n", b"\n")
        return b"".join([line.lstrip(b" \t") for line in data.splitlines()])

    def place(self, at: int) -> int:
        """Where in `data` the byte `at` of `text` is."""
        return bisect_right(range(len(self._data)), at, key=lambda end: len(self._fold(self._data[:end]))) - 1


_WIDER = 4
"""Times that a value may be as long when it is broken up: each byte has a zero in UTF-16, lines are indented."""


class Part(Struct, frozen=True):
    """A part of a value. name: its key in a document, or its line; empty for what needs no telling (a key's frame).

    is_plain: it may stand anywhere by chance, so that it is not looked for. is_secret: which would be a gap.
    """

    name: str
    text: str
    is_plain: bool
    is_secret: bool


def _forms_of(part: Part) -> Iterable[bytes]:
    return forms(part.text.encode("utf-8", "surrogatepass"))


def parts_of(value: bytes) -> Iterator[Part]:
    """The leaves of a JSON document and their lines, or the lines of a text; none for a value of one line."""
    text = text_of(value)
    if text is None:
        return
    leaves = list(_named_leaves(text))
    if not leaves:
        is_key = "-----BEGIN " in text
        for number, line in enumerate(lines_of(text), 1):
            given = _SETTING.fullmatch(line)
            named = given is not None and _is_named(given[1], given[2].strip("\"' "))
            plain = not (named and len(line) >= LEAST and is_maskable(line)) and not is_telling(line)
            yield Part("" if is_key else f"line {number}", line, plain, named)
            if given is not None and named:
                alone = given[2].strip("\"' ")
                if len(alone) >= LEAST and is_maskable(alone):
                    yield Part("", alone, False, True)
        return
    for name, leaf in leaves:
        named = _is_named(name, leaf.strip()) and not (
            isinstance(leaf, _Number) and len(leaf) < LEAST
        )  # a time, a size
        lines = lines_of(leaf)
        whole = leaf.strip()
        # By its name it is secret, so that it is looked for whatever it looks like, if it is long enough.
        plain = not (named and len(whole) >= LEAST and is_maskable(whole)) and not is_telling(whole)
        yield Part(name, whole, plain and not lines, named)
        for line in lines:
            yield Part("", line, not is_telling(line), False)


def _is_named(name: str, value: str) -> bool:
    """Whether a value is secret by what it is called."""
    return bool(_SECRET_NAME.search(name)) and not _PLACE.fullmatch(value)


def _named_leaves(text: str, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """(the nearest key, text) of each text in a JSON document, JSON within JSON too; nothing for what is none."""
    if depth > _DEEPEST or text.lstrip("\ufeff \t\r\n")[:1] not in ("{", "[", '"'):
        return
    try:
        todo: list[tuple[str, object]] = [(name, _read_json(text.lstrip("\ufeff")))]
    except (ValueError, RecursionError):
        return
    while todo:
        key, node = todo.pop()
        if isinstance(node, _Pairs):
            todo += [(str(inner), each) for inner, each in node]
        elif isinstance(node, list):
            todo += [(key, each) for each in node]
        elif isinstance(node, str):
            yield key, node
            yield from _named_leaves(node, key, depth + 1)


def _read_json(text: str) -> object:
    """Numbers as they are written."""
    return json.loads(text, object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number)


class _Number(str):
    __slots__ = ()


class _Pairs(list[tuple[str, object]]):
    """An object's entries, of a name that is there twice both."""


_DEEPEST = 20
_SETTING = re.compile(r"(?:export )?([\w.-]+) ?[:=] ?(.+)")
_SECRET_NAME = re.compile(
    r"(?i)pass|pwd|secret|token|cred|priv|sign|salt|seed|dsn|conn|hook|cookie|session|auth|api|(?<!public)[_-]?key(?!_?id)|^key|pin$"
)
_PLACE = re.compile(r"(?:[a-z][a-z0-9+.-]*://[^@\s]*|/[\w./-]*|[\w.+-]+@[\w.-]+|(?:[\w-]+\.)+[\w-]+(?::\d+)?)")
"""An address or a path, an e-mail's, a host's: without a password in it, it is no secret whatever it is called."""


def is_telling(text: str) -> bool:
    """Whether a part of a value is secret by itself, as far as one can tell: nobody calls a region so."""
    if len(text) < LEAST or not is_maskable(text):
        return False
    if _HEX.fullmatch(text) or re.search(r"://[^/\s]*:[^/\s]+@", text):
        return True
    sorts = (str.islower, str.isupper, str.isdigit)
    return sum(any(map(sort, text)) for sort in sorts) == len(sorts) and not re.search(r"\s|://|^/", text)


class Findings:
    """What comes of a scan, as an inventory. shown: makes a text safe to show: a path may have a value in it."""

    def __init__(self, shown: Callable[[str], str] = lambda text: text) -> None:
        self.inventory = Inventory(kinds={KIND})
        self._shown = shown

    def problem(self, what: str, change: str = "", path: str = "") -> None:
        """Something that could not be looked at."""
        place = Location(self._shown(path)) if path else None
        self.inventory.problems.append(Problem(KIND, self._shown(what), change, place))

    def add(self, hits: Iterable[Hit], subject: str, path: str, place: str, inside: str = "", **more: Any) -> None:
        """`hits` at one place. inside: what of the file, where it is an archive."""
        path, where = self._shown(path), self._shown(f"{path}!{inside}" if inside else path)
        for hit in hits:
            facts = {"secret": hit.secret, "form": hit.form, "path": where, "line": hit.line, "place": place, **more}
            is_file = place == "file" and not os.path.isabs(path)
            location = Location(path, 0 if inside else hit.line) if is_file else None
            self.inventory.records.append(Record(KIND, self._shown(subject), facts, location))

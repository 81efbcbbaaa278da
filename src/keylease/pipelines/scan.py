"""Look for known values in files and streams, by the forms that are masked in logs: where, never what stands around."""

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from keylease.audit.collectors.listing import listing
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
        for form in named_forms(value):
            if len(form.pattern) < LEAST or form.pattern in plain:
                continue
            found[form.pattern] = form.name
            if form.name == "raw" and (text := text_of(form.pattern)) is not None:
                # Windows' tools write files so; a log has no such form, so the masker has none.
                for encoding in ("utf-16-le", "utf-16-be"):
                    found.setdefault(text.encode(encoding), "utf-16")
        return found

    def through(self, source: Source) -> list[Hit]:
        """Each secret once, where it stands first. Raises what `source` raises."""
        scanner = self._scanner
        if scanner is None:
            return []
        self.looked += 1
        size = max(CHUNK, 2 * self._longest)
        found: dict[str, Hit] = {}
        seen: set[bytes] = set()
        data, lines, is_text = b"", 0, None
        while chunk := source.read(size):
            if is_text is None:
                is_text = b"\0" not in chunk[:8192]
            if len(found) == self._labels:
                continue  # there is no more to learn; a stream is read to its end all the same
            data += chunk
            places, end = scanner.scan(data)
            for start, stop in places:
                text = data[start:stop]
                if text in seen:
                    continue
                seen.add(text)
                for label, form in self._of(text):
                    if label not in found:
                        line = lines + data.count(b"\n", 0, start) + 1 if is_text else 0
                        found[label] = Hit(label, form, line)
            # What may become an occurrence, or begins one that reaches beyond: looked at again with the next chunk.
            end = min(end, max(0, len(data) - self._longest + 1))
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
        return
    for name, leaf in leaves:
        named = _is_named(name, leaf.strip())
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
        todo: list[tuple[str, object]] = [(name, json.loads(text.lstrip("\ufeff"), object_pairs_hook=_Pairs))]
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

    def add(self, hits: Iterable[Hit], subject: str, path: str, place: str, **more: Any) -> None:
        """`hits` at one place."""
        for hit in hits:
            path = self._shown(path)
            facts = {"secret": hit.secret, "form": hit.form, "path": path, "line": hit.line, "place": place, **more}
            location = Location(path, hit.line) if place == "file" and not os.path.isabs(path) else None
            self.inventory.records.append(Record(KIND, self._shown(subject), facts, location))


def files_below(root: Path, prefix: str, search: Search, found: Findings) -> None:
    """All files of a directory that git knows or would add; all, where there is no repository."""
    names = listing(root, (".git",))
    for path, why in names.problems:
        found.problem(why, "check out the whole of it", path)
    for path in names.absent:
        found.problem("a sparse checkout left it out", "check out the whole of it", path)
    absent = set(names.absent)
    for path in names.paths:
        if path not in absent:
            one_file(root / path, prefix + path, search, found)


def one_file(file: Path, shown: str, search: Search, found: Findings) -> None:
    """One file; a symbolic link is not followed: what it leads to is looked at where it lies."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # deleted, and still in git's index
    except (OSError, ValueError) as error:
        if not file.is_symlink():
            found.problem(getattr(error, "strerror", None) or "its name can't be used", "let it be read", shown)
        return
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            why = "a submodule, or a repository of its own" if stat.S_ISDIR(mode) else "it is no regular file"
            found.problem(why, "scan it by itself", shown)
            return
        try:
            found.add(search.through(stream), f"file://{shown}", shown, "file")
        except OSError as error:
            found.problem(error.strerror or "it can't be read", "let it be read", shown)

"""Look for known values in files and streams, by the forms that are masked in logs: where, never what stands around."""

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
from keylease.masking.forms import forms, is_maskable, leaves_of, lines_of, named_forms, text_of
from keylease.masking.redactor import scanner_for

KIND = "scan.leak"

LEAST = 8
"""Bytes of a value, or of one of its forms: shorter ones stand in files by chance, and by no fault."""

CHUNK = 1 << 20
"""Bytes that are looked through at once."""

_HEX = re.compile(r"[0-9a-fA-F-]{32,}")
_MANY = 10_000
"""Places after which no further ones of a stream are noted."""


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
    """values: value → label. Raises nothing for values that can't be told apart: they are in `unchecked`."""

    def __init__(self, values: Mapping[bytes, str]) -> None:
        self.unchecked: list[str] = []
        self._known: dict[bytes, tuple[str, str]] = {}
        self._values = [(value, label) for value, label in values.items() if len(value) >= LEAST]
        for value, label in values.items():
            found = self._patterns(value)
            if not found:
                self.unchecked.append(label)
            for pattern, name in found.items():
                self._known.setdefault(pattern, (label, name))
        self._scanner = scanner_for(self._known) if self._known else None
        self._longest = max(map(len, self._known), default=0)

    def __bool__(self) -> bool:
        return self._scanner is not None

    def _patterns(self, value: bytes) -> dict[bytes, str]:
        if len(value.strip()) < LEAST:
            return {}
        # A region, a project's name, a line of a certificate's frame: parts of a value that stand in files by right.
        plain: set[bytes] = set()
        text = text_of(value)
        if text is not None:
            parts = leaves_of(text) or lines_of(text.strip())
            for part in parts if len(parts) > 1 or leaves_of(text) else []:
                for line in {part, *lines_of(part)}:
                    if not is_telling(line.strip()):
                        plain.update(forms(line.encode("utf-8", "surrogatepass")))
        return {
            form.pattern: form.name
            for form in named_forms(value)
            if len(form.pattern) >= LEAST and form.pattern not in plain
        }

    def through(self, source: Source) -> list[Hit]:
        """Each secret once, where it stands first. Raises what `source` raises."""
        scanner = self._scanner
        if scanner is None:
            return []
        size = max(CHUNK, 2 * self._longest)
        found: dict[str, Hit] = {}
        data, lines, is_text = b"", 0, None
        while chunk := source.read(size):
            if is_text is None:
                is_text = b"\0" not in chunk[:8192]
            data += chunk
            places, end = scanner.scan(data)
            for start, stop in places[:_MANY]:
                for label, form in self._of(data[start:stop]):
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


def is_telling(text: str) -> bool:
    """Whether a part of a value is secret by itself, as far as one can tell: nobody calls a region so."""
    if len(text) < LEAST or not is_maskable(text):
        return False
    if _HEX.fullmatch(text):
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

"""The forms in which a value can appear in a log, and which of them are safe to hide."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, Self

from keylease.masking import encodings

MINIMUM = 4
"""Characters. Shorter texts hit innocent text so often that the log becomes unreadable: three letters stand in every
second line, four of a random value by chance in one of a hundred thousand lines."""

MINIMUM_DIGITS = 6
"""Characters of a text of digits alone: shorter ones are years, ports, times and sizes as well."""

MINIMUM_SIGNS = 7
"""Different characters of a text without letters and digits: fewer are brackets, rules and frames of tables."""

MINIMUM_ENCODED = 5
"""Characters of base64: five random ones occur once in a billion places. Less is left of a value of four bytes at one
of the three alignments, which is then not hidden."""

PIECES_FROM = 32
"""Characters of base64 from which on a value is also hidden piece by piece: a shorter one is rarely wrapped."""

LONG = 512
"""Bytes from which on a value is not looked for in encodings that are made for short ones: UTF-16 in base64 (commands
for PowerShell), hexadecimal with separators."""

LARGE = 16 * 1024
"""Bytes (of a line: characters) from which on a value is looked for in the usual forms only: raw, JSON, URL, base64 as
a whole. Megabytes in a hundred forms would take longer to prepare than the job to run."""

NEVER = frozenset([
    "true", "false", "null", "none", "undefined", "default", "test", "prod", "production", "staging", "main",
    "master", "root", "admin", "user", "username", "password", "secret", "token", "http", "https", "localhost",
    "begin", "else", "then", "info", "debug", "warn", "warning", "error", "json", "yaml", "text", "data", "name",
    "value", "type", "string", "number", "object", "array", "bearer", "basic", "auth", "base64", "latest", "build",
    "deploy", "docker", "github", "gitlab", "jenkins", "service_account", "authorized_user", "external_account",
    "googleapis.com", "https://accounts.google.com/o/oauth2/auth", "https://oauth2.googleapis.com/token",
    "https://www.googleapis.com/oauth2/v1/certs",
])  # fmt: skip
"""Words too common to hide, whoever calls them a secret (compared without case; shorter ones never reach it), and what
stands in every service-account key."""

_ARMOUR = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")
"""First and last line of a PEM block: no secret, and in every certificate that a log shows."""

_JSON_KEY = re.compile(r'^"(?:[^"\\]|\\.)*" *: *')

_NEWLINE = re.compile(r"\r\n|\n|\r")

_SPACES = frozenset(" \t")


class Form(NamedTuple):
    """One byte pattern to hide. name: what it is, for tests and tables: ``raw``, ``base64``, ``URL`` …"""

    pattern: bytes
    name: str


class Announcement(str):
    """A text for a platform's masker, with the forms of it that the platform may not derive by itself.

    forms: one line each.
    """

    __slots__ = ("forms",)
    forms: tuple[Form, ...]

    def __new__(cls, text: str, forms: Iterable[Form] = ()) -> Self:
        made = super().__new__(cls, text)
        made.forms = tuple(forms)
        return made


def announcement(text: str) -> Announcement:
    """`text` with its own forms; not those of its lines and strings."""
    return Announcement(text, filter(_is_announced, _whole(text.strip(), pieces=False)))


def is_maskable(text: str) -> bool:
    """Whether hiding `text` everywhere leaves a readable log: not too short, too common, or mere punctuation."""
    stripped = text.strip()
    bare = _NEWLINE.sub("", stripped)
    return (
        len(bare) >= (MINIMUM_DIGITS if bare.isdecimal() else MINIMUM)
        and bare.lower() not in NEVER
        and len(set(bare)) > 1  # 0000, xxxx
        and (any(c.isalnum() for c in bare) or (bare == stripped and len(set(bare) - _SPACES) >= MINIMUM_SIGNS))
        and not _ARMOUR.fullmatch(bare)
    )


def text_of(data: bytes) -> str | None:
    """`data` as text, or None where it is binary."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def lines_of(text: str) -> list[str]:
    """The lines of a value that has several, stripped, without the empty ones; nothing for a one-line value.

    Only CR and LF end a line: that is what splits a log. (str.splitlines also splits at form feeds and U+2028.)
    """
    lines = [line.strip() for line in _NEWLINE.split(text.strip())]
    return [line for line in lines if line] if len(lines) > 1 else []


def leaves_of(text: str) -> list[str]:
    """The string values inside a value that is itself a JSON document, however deep, JSON within JSON too."""
    found: list[str] = []
    todo: list[object] = [text]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo.extend(node)
        elif isinstance(node, str):
            if node is not text:
                found.append(node)
            node = node.lstrip("\ufeff \t\r\n")
            if node[:1] in ("{", "[", '"'):
                # Of a name that is there twice both values; numbers are no strings, and may be too long to convert.
                with suppress(ValueError, RecursionError):  # no JSON, or nested beyond what the parser follows
                    todo.append(json.loads(node, object_pairs_hook=_values, parse_int=len))
    return found


def _values(pairs: list[tuple[str, object]]) -> list[object]:
    return [value for _, value in pairs]


def _parts(text: str, leaves: Sequence[str]) -> list[str]:
    """What of a value is looked for: itself, its JSON strings, and the lines of each that is kept on one line.

    A PEM key often stands in a variable with ``\\n`` for each line end; programs, and many an `echo`, make lines of it.
    """
    folded = [part for part in leaves or [text] if "\\n" in part]
    return [text, *leaves, *(part.replace("\\r\\n", "\n").replace("\\n", "\n") for part in folded)]


def short_lines(data: bytes) -> tuple[int, int]:
    """How many lines of a value of several can't be hidden by themselves, and how many there are.

    They are still hidden beside the line before them. Brackets, PEM's first and last lines and the lines of a JSON
    document (whose strings count instead) hold nothing to hide.
    """
    text = text_of(data)
    if text is None or leaves_of(text):
        return 0, 0
    lines = lines_of(text)
    return sum(map(_is_short, lines)), len(lines)


def _hidden_lines(bare: str, *, is_document: bool) -> list[str]:
    """The lines of a value that are hidden each by itself; of a JSON document those whose value alone would be."""
    lines = [line for line in lines_of(bare) if is_maskable(line)]
    if is_document:
        return [line for line in lines if is_maskable(_JSON_KEY.sub("", line).strip(' ",[]{}'))]
    return lines


def _is_short(line: str) -> bool:
    return not is_maskable(line) and any(c.isalnum() for c in line) and not _ARMOUR.fullmatch(line)


def announcements(data: bytes) -> list[Announcement]:
    """The texts that a platform's masker must be told for this value: itself, its lines, its JSON leaves.

    A binary value has no text of its own: the texts are its encodings.
    """
    text = text_of(data)
    if text is None:
        binary = list(_binary_forms(data)) if len(data) >= MINIMUM else []
        return [Announcement(f.pattern.decode("ascii")) for f in binary if f.name not in ("raw", "base64 piece")]
    texts: dict[str, Announcement] = {}
    leaves = leaves_of(text)
    for part in _parts(text, leaves):
        bare = part.strip()
        if is_maskable(bare):
            # With its white space for what encodes all of it, without for what prints it.
            texts.setdefault(part, Announcement(part))
            known = texts[part] if part == bare else texts.setdefault(bare, Announcement(bare))
            known.forms = tuple(form for form in _whole(bare, pieces=False) if _is_announced(form))
        for line in _hidden_lines(bare, is_document=bool(leaves) and part is text):
            if line not in texts:
                texts[line] = Announcement(line, filter(_is_announced, _line(line, pieces=False)))
    return list(texts.values())


def _is_announced(form: Form) -> bool:
    return form.name not in ("raw", "line", "base64 piece") and b"\n" not in form.pattern and b"\r" not in form.pattern


def forms(data: bytes) -> Iterator[bytes]:
    """Every byte pattern to hide for the value `data`, once each."""
    return iter(dict.fromkeys(form.pattern for form in named_forms(data)))


def plain_forms(data: bytes) -> Iterator[bytes]:
    """What :func:`announcements` leaves out of the value as it is: binary data, short lines beside their neighbours."""
    text = text_of(data)
    if text is None:
        yield from [data] if len(data) >= MINIMUM else []
        return
    for part in _parts(text, leaves_of(text)):
        yield from (form.pattern for form in _joined(part))


def named_forms(data: bytes) -> Iterator[Form]:
    """Every form to hide: raw, lines, JSON leaves; each also escaped and encoded. The same pattern may come twice.

    White space around a value is no secret and is not hidden: a pattern that began with a newline would hold
    back the end of every line.
    """
    text = text_of(data)
    if text is None:
        if len(data) >= MINIMUM:
            yield from _binary_forms(data)
        return
    leaves = leaves_of(text)
    for part in _parts(text, leaves):
        bare = part.strip()
        is_document = bool(leaves) and part is text
        if is_maskable(bare):
            yield from _whole(bare, pieces=not is_document)
        for line in _hidden_lines(bare, is_document=is_document):
            yield from _line(line, pieces=not is_document and len(bare) < LARGE)
        yield from _joined(part)


def _whole(bare: str, *, pieces: bool) -> Iterator[Form]:
    """The forms of a value, JSON leaf or document as a whole."""
    lines = lines_of(bare)
    if not lines:
        yield Form(bare.encode("utf-8"), "raw")
        yield from _escaped(bare)
    elif any(map(_is_short, lines)):
        # Otherwise there is nothing between the lines, which are hidden one by one, that needs hiding.
        # How the same text is written after passing Windows, or coming from there.
        for written in dict.fromkeys([bare, *(end.join(_NEWLINE.split(bare)) for end in ("\n", "\r\n"))]):
            yield from _escaped(written)
    data = bare.encode("utf-8")
    yield from _base64(data, pieces=pieces and not lines)
    yield from _base64_ends(data, pieces=pieces and not lines)
    yield from _encoded(data)
    in_json = json.dumps(bare)[1:-1]
    if in_json != bare:
        for core in encodings.base64_cores(in_json.encode("ascii")):
            yield from _checked([core], "base64 of JSON")
    if len(bare) <= LONG:
        for core in encodings.base64_cores(bare.encode("utf-16-le")):
            yield from _checked([core], "base64 of UTF-16")


def _line(line: str, *, pieces: bool) -> Iterator[Form]:
    """The forms of one line of a value of several."""
    data = line.encode("utf-8")
    yield Form(data, "line")
    yield from _escaped(line)
    yield from _base64(data, pieces=pieces)


def _joined(text: str) -> Iterator[Form]:
    """Lines too short to be hidden by themselves, with the line before (or behind) them.

    As they stand in the value, empty lines and all, and with the usual separators; not with every white space, for
    patterns with a newline cost the search more.
    """
    spans = _spans(text)
    lines = [text[start:end] for start, end in spans]
    for first, last in _runs(lines):
        whole = text[spans[first][0] : spans[last][1]]
        joined = lines[first : last + 1]
        found = [whole, *(end.join(_NEWLINE.split(whole)) for end in ("\n", "\r\n"))]
        found += [between.join(joined) for between in ("\n", "\r\n", " ", "")]
        found += [between.join(json.dumps(line)[1:-1] for line in joined) for between in ("\\n", "\\r\\n")]
        yield from (Form(form.encode("utf-8"), "line") for form in dict.fromkeys(found) if is_maskable(form))


def _runs(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First and last line of each run of short ones, with the one before (or behind) it."""
    if lines and not any(map(is_maskable, lines)):
        yield 0, len(lines) - 1
        return
    at = 0
    while at < len(lines):
        if not _is_short(lines[at]):
            at += 1
            continue
        first = max(0, at - 1)
        while at + 1 < len(lines) and _is_short(lines[at + 1]):
            at += 1
        last = min(at + 1, len(lines) - 1) if first == 0 and _is_short(lines[0]) else at
        yield first, last
        at = last + 1


def _spans(text: str) -> list[tuple[int, int]]:
    """Where the lines of :func:`lines_of` stand; nothing for a one-line value."""
    spans = []
    at = 0
    for line in _NEWLINE.split(text):
        start = text.index(line, at)
        at = start + len(line)
        if bare := line.strip():
            start += line.index(bare)
            spans.append((start, start + len(bare)))
    return spans if len(lines_of(text)) else []


def _escaped(text: str) -> Iterator[Form]:
    if encodings.NEVER_ESCAPED.fullmatch(text):
        return
    found = encodings.escapes(text) if len(text) < LARGE else encodings.usual_escapes(text)
    for name, form in found:
        # With a newline left in it, it is no more than its lines, which are there already.
        if form != text and "\n" not in form and "\r" not in form and is_maskable(form):
            yield Form(form.encode("utf-8"), name)


def _binary_forms(data: bytes) -> Iterator[Form]:
    yield Form(data, "raw")
    yield from _base64(data, pieces=True)
    yield from _base64_ends(data, pieces=True)
    yield from _encoded(data)
    bare = repr(data).lstrip("b")[1:-1]
    yield Form(bare.encode("ascii"), "Python")


def _encoded(data: bytes) -> Iterator[Form]:
    """What encodes all of a value, besides base64 of it."""
    yield from _checked(encodings.hexadecimal(data)[: 2 if len(data) > LONG else None], "hex")
    if len(data) >= LARGE:
        return
    encoded = encodings.base64_cores(data)[0]
    for width in (64, 76):
        if len(encoded) > width:
            yield from _checked(encodings.rows(encoded, width), "base64, wrapped")
    if len(data) > 30:
        yield from _checked(encodings.rows(data.hex().encode("ascii"), 60), "hex, wrapped")
    cores = encodings.base64_cores(data)
    alone = base64.b64encode(data)
    for inner in dict.fromkeys(form for core in (*cores, alone) for form in (core, encodings.url_safe(core))):
        yield from _checked(encodings.base64_cores(inner), "base64 of base64")
    yield from _checked([base64.b64encode(alone)], "base64 of base64")


def _base64(data: bytes, *, pieces: bool) -> Iterator[Form]:
    """Base64 and base64url at the three alignments; a long one in pieces, which cover the whole."""
    for core in encodings.base64_cores(data):
        for form in dict.fromkeys((core, encodings.url_safe(core))):
            cut = encodings.pieces(form) if pieces and len(form) >= PIECES_FROM and len(data) < LARGE else []
            # Not a run of zeros, of spaces …
            good = [piece for piece in cut if len(set(piece)) > encodings.PIECE // 2]
            yield from (Form(piece, "base64 piece") for piece in good)
            if not good or len(good) < len(cut):
                yield from _checked([form], "base64")


def _base64_ends(data: bytes, *, pieces: bool) -> Iterator[Form]:
    """What :func:`_base64` leaves of the last characters where the value ends the text."""
    for whole in encodings.base64_ends(data):
        for form in dict.fromkeys((whole, encodings.url_safe(whole))):
            # What comes before is in the pieces.
            in_pieces = pieces and len(form) >= PIECES_FROM and len(data) < LARGE
            end = form[-encodings.PIECE - 2 :] if in_pieces else form
            yield from _checked([end if len(set(end)) > encodings.PIECE // 2 else form], "base64 end")


def _checked(patterns: Iterable[bytes], name: str) -> Iterator[Form]:
    for pattern in patterns:
        if len(pattern) >= MINIMUM_ENCODED and len(set(pattern)) > 1 and pattern.decode("ascii").lower() not in NEVER:
            yield Form(pattern, name)

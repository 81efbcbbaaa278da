"""The forms in which a value can appear in a log, and which of them are safe to hide."""

import base64
import json
import re
from collections.abc import Iterator
from urllib.parse import quote

MINIMUM = 4
"""Characters. Shorter patterns hit innocent text so often that the log becomes unreadable."""

NEVER = frozenset(
    [
        "true",
        "false",
        "null",
        "none",
        "undefined",
        "default",
        "test",
        "prod",
        "main",
        "master",
        "root",
        "admin",
        "user",
        "http",
        "https",
        "localhost",
        "begin",
        "else",
        "then",
        "info",
        "debug",
        "warn",
        "error",
        "json",
        "text",
        "data",
        "name",
        "value",
    ]
)
"""Words too common to hide, whoever calls them a secret (compared without case; shorter ones never reach it)."""

_NEWLINE = re.compile(r"\r\n|\n|\r")


def is_maskable(text: str) -> bool:
    """Whether hiding `text` everywhere leaves a readable log: not too short, too common, or mere punctuation."""
    bare = text.strip()
    return (
        len(bare) >= MINIMUM
        and bare.lower() not in NEVER
        and len(set(bare)) > 1  # 0000, xxxx
        and any(c.isalnum() for c in bare)
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
        if isinstance(node, dict):
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)
        elif isinstance(node, str):
            if node is not text:
                found.append(node)
            if node.lstrip()[:1] in ("{", "[", '"'):
                try:
                    todo.append(json.loads(node))
                except (ValueError, RecursionError):  # no JSON, or nested beyond what the parser follows
                    continue
    return found


def announcements(data: bytes) -> list[str]:
    """The texts that a platform's masker must be told for this value: itself, its lines, its JSON leaves.

    Encoded forms are left to the platform, except for a binary value, which has no text of its own.
    """
    text = text_of(data)
    if text is None:
        return [form.decode("ascii") for form in _binary_forms(data)] if len(data) >= MINIMUM else []
    texts = []
    for part in (text, *leaves_of(text)):
        # With its white space for what encodes all of it, without for what prints it.
        texts += [part, part.strip(), *lines_of(part)]
    return [text for text in dict.fromkeys(texts) if is_maskable(text)]


def forms(data: bytes) -> Iterator[bytes]:
    """Every byte pattern to hide for the value `data`: raw, lines, JSON leaves; each also escaped and encoded.

    White space around a value is no secret and is not hidden: a pattern that began with a newline would hold
    back the end of every line.
    """
    text = text_of(data)
    if text is None:
        if len(data) >= MINIMUM:
            yield data
            yield from _binary_forms(data)
        return
    for part in announcements(data):
        bare = part.strip()
        raw = bare.encode("utf-8")
        yield raw
        yield json.dumps(bare)[1:-1].encode("ascii")
        yield json.dumps(bare, ensure_ascii=False)[1:-1].encode("utf-8")
        yield quote(bare, safe="").encode("ascii")
        yield from _binary_forms(raw)


def _binary_forms(data: bytes) -> Iterator[bytes]:
    yield from base64_forms(data)
    yield data.hex().encode("ascii")


def base64_forms(data: bytes) -> Iterator[bytes]:
    """`data` in base64, standard and URL-safe, at each of the three places where it may start in a larger text.

    Characters that also encode neighbouring bytes are uncertain and left out.
    """
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data)
        core = encoded[(0, 2, 3)[offset] : (len(data) + offset) * 8 // 6]
        if len(core) > MINIMUM:
            yield core
            if b"+" in core or b"/" in core:
                yield core.translate(bytes.maketrans(b"+/", b"-_"))

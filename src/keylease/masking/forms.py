"""The forms in which a value can appear in a log, and which of them are safe to hide."""

import base64
import json
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
        "nil",
        "yes",
        "no",
        "on",
        "off",
        "undefined",
        "default",
        "test",
        "prod",
        "dev",
        "main",
        "master",
        "root",
        "admin",
        "http",
        "https",
        "localhost",
        "{}",
        "[]",
        "()",
        "begin",
        "end",
        "else",
        "then",
    ]
)
"""Words too common to hide, whoever calls them a secret."""


def is_maskable(text: str) -> bool:
    """Whether hiding `text` everywhere leaves a readable log."""
    bare = text.strip()
    return len(bare) >= MINIMUM and bare.lower() not in NEVER and any(c.isalnum() for c in bare)


def lines_of(data: bytes) -> Iterator[str]:
    """The value, and each of its lines if it has several. Binary values have no text form to announce."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    yield text
    lines = text.splitlines()
    if len(lines) > 1 or (lines and lines[0] != text):
        yield from (line.strip() for line in lines)


def forms(data: bytes) -> Iterator[bytes]:
    """Every byte pattern to hide for the value `data`: raw, its lines, JSON, URL and base64 at all alignments."""
    texts = [text for text in lines_of(data) if is_maskable(text)]
    for text in texts:
        raw = text.encode("utf-8")
        yield raw
        yield json.dumps(text)[1:-1].encode("ascii")
        yield json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
        yield quote(text, safe="").encode("ascii")
    if len(data) >= MINIMUM and (texts or not _is_text(data)):
        if not _is_text(data):
            yield data
        yield from _base64_forms(data)
        yield data.hex().encode("ascii")


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _base64_forms(data: bytes) -> Iterator[bytes]:
    # The value may start at any of three offsets within a larger encoded text. Characters that also encode
    # neighbouring bytes are uncertain and dropped.
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data).rstrip(b"=")
        start = (0, 2, 3)[offset]
        certain = (len(data) + offset) * 8 // 6
        core = encoded[start:certain]
        if len(core) >= MINIMUM + 2:
            yield core
            yield core.translate(bytes.maketrans(b"+/", b"-_"))

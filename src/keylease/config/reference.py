"""``vault://mount/path#field``: which secret, and which value of it."""

import re
from urllib.parse import unquote

from msgspec import Struct

from keylease.config import selector
from keylease.model import Wildcard

_REFERENCE = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<path>[^#]*)(?:#(?P<fragment>.*))?", re.DOTALL)


class BadReferenceError(ValueError):
    """A reference that is not one; the text says why, without quoting it."""


class Reference(Struct, frozen=True):
    """A reference taken apart; path and selector are percent-decoded (RFC 3986 §2.1)."""

    scheme: str
    path: str
    selector: tuple[str, ...] | Wildcard | None


def parse(text: str) -> Reference:
    """Take `text` apart. Raises :class:`BadReferenceError`."""
    found = _REFERENCE.fullmatch(text)
    if not found:
        raise BadReferenceError("not a reference such as vault://secret/ci#password")
    if "?" in found["path"]:
        raise BadReferenceError("a reference has no ?; a version goes into `version:`")
    path = _decoded(found["path"]).rstrip("/")
    # One slash in front may belong to the name (of a parameter in AWS); the manager says whether it takes that.
    if any(part in ("", ".", "..") for part in path.removeprefix("/").split("/")):
        raise BadReferenceError("the path has an empty, . or .. part")
    fragment = found["fragment"]
    if fragment is None:
        return Reference(found["scheme"], path, None)
    if fragment == "*":
        return Reference(found["scheme"], path, "*")
    if fragment == "**":
        return Reference(found["scheme"], path, "**")
    try:
        steps = selector.parse(fragment)
    except selector.SelectorError as error:
        raise BadReferenceError(f"what follows # is {error}") from None
    return Reference(found["scheme"], path, tuple(_decoded(step) for step in steps))


def _decoded(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise BadReferenceError("a % must start an escape such as %20; write %25 for a percent sign")
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        plain = "\0"
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in plain):
        raise BadReferenceError("it decodes to control characters, or not to UTF-8")
    return plain

"""What collectors share: facts out of answers that are read with distrust."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from keylease.audit.credentials import moment, stamp, utc

_LONGEST = 200


def text(node: Any, *path: str) -> str:
    """The text at `path`, printable and cut to 200 signs; empty if there is none."""
    for step in path:
        node = node.get(step) if isinstance(node, Mapping) else None
    if not isinstance(node, str):
        return ""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in node[: 2 * _LONGEST]).split())[:_LONGEST]


def uncut(node: Any) -> str:
    """A text that is judged, and so is whole; empty if it is none."""
    return node.encode("utf-8", "replace").decode() if isinstance(node, str) else ""


def compared(matchers: Mapping[str, Any]) -> dict[str, Any]:
    """Claims that a federation rule compares: whole, and of any form: a part of them would be another rule."""
    return {uncut(name): uncut(value) if isinstance(value, str) else value for name, value in matchers.items()}


def unjudged(vendor: str, rule: Mapping[str, Any], matchers: Mapping[str, Any]) -> str:
    """Why a federation rule is not judged: what it compares a claim with is neither text nor number. Empty: it is."""
    odd = [name for name, value in matchers.items() if not isinstance(value, str | int)]
    named = text(rule, "name") or text(rule, "id")
    return f"{vendor}: the federation rule {named} compares {text(odd[0])} with what is no text" if odd else ""


def elements(node: Any) -> list[Any]:
    """A list; empty if it is none."""
    return node if isinstance(node, list) else []


def mapped(node: Any) -> dict[str, Any]:
    """An object; empty if it is none."""
    return node if isinstance(node, dict) else {}


def objects(node: Any) -> list[dict[str, Any]]:
    """All objects of a list."""
    return [each for each in elements(node) if isinstance(each, dict)]


def texts(node: Any) -> list[str]:
    """All texts of a list."""
    return [text(each) for each in elements(node) if isinstance(each, str)]


def hint(node: Any) -> dict[str, str]:
    """A redacted value as the fact `hint`; nothing for what may be a whole one."""
    found = text(node)
    hidden = any(mark in found for mark in ("...", "…", "***"))
    return {"hint": found} if hidden and len(found.replace("*", "")) <= 40 else {}


def times(item: Mapping[str, Any], names: Mapping[str, str], divisor: int = 1) -> dict[str, str | None]:
    """Facts of times. names: fact → field. A field that is not there, or is no time, is no fact; null is None.

    divisor: 1000 for milliseconds.
    """
    found: dict[str, str | None] = {}
    for fact, field in names.items():
        if field not in item:
            continue
        given = item[field]
        if given is None:
            found[fact] = None
        elif isinstance(given, str):
            when = utc(given)
            if when is not None:
                found[fact] = when
        elif isinstance(given, int | float) and abs(given) < 1e18:
            when_text = stamp(given / divisor)
            if when_text is not None:
                found[fact] = when_text
    return found


def ended(expires_at: str | None, now: dt.datetime) -> bool:
    """Whether it has expired."""
    when = moment(expires_at)
    return when is not None and when <= now


def last_four(value: str, prefix: str) -> str:
    """The hint of a value in hand: its public beginning and its last four signs."""
    return f"{prefix}…{value[-4:]}"

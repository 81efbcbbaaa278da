"""Durations, booleans and the other texts that stand for something else. Nothing heavy is imported here."""

import re

from keylease.errors import UsageError

_DURATION = re.compile(r"(?:(?P<h>[0-9]+)h)?(?:(?P<m>[0-9]+)m)?(?:(?P<s>[0-9]+(?:\.[0-9]+)?)s)?(?:(?P<ms>[0-9]+)ms)?")

DURATION_PATTERN = r"^([0-9]+h)?([0-9]+m)?([0-9]+(\.[0-9]+)?s)?([0-9]+ms)?$"
"""The same for a JSON Schema (ECMA-262)."""

TRUE = ("true", "True", "TRUE")
FALSE = ("false", "False", "FALSE")


def seconds(text: str) -> float:
    """Seconds in ``90``, ``1.5``, ``90s``, ``2m``, ``1h30m``, ``250ms``. Raises ValueError (without `text`)."""
    if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", text):
        return float(text)
    found = _DURATION.fullmatch(text) if 0 < len(text) <= 30 else None
    if not found:
        raise ValueError("a duration: seconds, or like 90s, 2m or 1h30m")
    hours, minutes, secs, milliseconds = (float(found[unit] or 0) for unit in ("h", "m", "s", "ms"))
    return hours * 3600 + minutes * 60 + secs + milliseconds / 1000


def boolean(text: str) -> bool:
    """The six words of the YAML 1.2 core schema, as actions/toolkit's getBooleanInput has it. Raises ValueError."""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError("neither true nor false")


def words(text: str) -> list[str]:
    """A list written in one text: separated by spaces, commas or lines."""
    return [word for word in re.split(r"[\s,]+", text) if word]


def deadline_of(text: str, prefix: str) -> float | None:
    """Seconds; None for an empty text. Raises :class:`UsageError`."""
    try:
        return seconds(text) if text else None
    except ValueError as error:
        change = "write it like 90s, 10m or 1h"
        raise UsageError(f"{prefix}deadline: must be {error}", change=change, docs="configuration") from None


def shard_of(text: str, prefix: str, docs: str) -> tuple[int, int]:
    """``2/4`` as numbers; all of it for an empty text. Raises :class:`UsageError`."""
    if not text:
        return 1, 1
    match = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text)
    if match and 1 <= int(match[1]) <= int(match[2]):
        return int(match[1]), int(match[2])
    raise UsageError(
        f"{prefix}shard: must be like 1/4: which, of how many",
        change="for four parts write 1/4, 2/4, 3/4 and 4/4",
        docs=docs,
    )


def nearest(name: str, known: object) -> str:
    """The one of `known` that `name` was probably meant to be, or an empty text."""
    import difflib

    found = difflib.get_close_matches(name, list(known), 1)  # type: ignore[call-overload]
    return str(found[0]) if found else ""

"""Facts of records, whatever a snapshot, a file or a server has put there."""

from collections.abc import Mapping
from typing import Any

from keylease.audit.model import Location, Record


def text(record: Record, name: str) -> str:
    """A fact that is a text; else nothing."""
    found = record.facts.get(name)
    return found if isinstance(found, str) else ""


def number(record: Record, name: str) -> int | None:
    """A fact that is a whole number; else None."""
    found = record.facts.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def texts(record: Record, name: str) -> list[str]:
    """A fact that is a list of texts; what else stands in it is left out."""
    found = record.facts.get(name)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list | tuple) else []


def items(given: Any) -> list[Mapping[str, Any]]:
    """A list of mappings, whatever it is."""
    return [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []


def at(record: Record, given: Mapping[str, Any]) -> Location | None:
    """Where a part of a file is, by its `line`."""
    line = given.get("line")
    if record.location is None or not isinstance(line, int) or line < 1:
        return record.location
    return Location(record.location.path, line)

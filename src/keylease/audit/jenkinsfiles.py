"""What rules about Jenkinsfiles have in common."""

from collections.abc import Iterator, Mapping
from typing import Any

from keylease.audit.model import Inventory, Record

KIND = "file.jenkinsfile"


def rows(inventory: Inventory, fact: str) -> Iterator[tuple[Record, Mapping[str, Any], int]]:
    """(file, one row of the fact, its line) of all Jenkinsfiles."""
    for record in inventory.of(KIND):
        found = record.facts.get(fact)
        for row in found if isinstance(found, list) else ():
            if isinstance(row, dict) and isinstance(line := row.get("line"), int):
                yield record, row, line

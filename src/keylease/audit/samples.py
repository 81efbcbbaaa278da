"""Samples of inventories, for rules to show what they find and what not."""

import json
from collections.abc import Mapping
from typing import Any

NOW = "2026-11-01T00:00:00Z"

Row = tuple[str, str, Mapping[str, Any]]
"""Kind, subject and facts of a record."""


def these(*rows: Row) -> str:
    """The text of an inventory with these records, collected at :data:`NOW`."""
    records = [{"kind": kind, "subject": subject, "facts": facts} for kind, subject, facts in rows]
    return json.dumps({"now": NOW, "records": records}, indent=1, ensure_ascii=False)


def listed(kind: str, subject: str, **facts: Any) -> str:
    """The text of an inventory with one record."""
    return these((kind, subject, facts))

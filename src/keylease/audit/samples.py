"""Samples of inventories, for rules to show what they find and what not."""

import json
from typing import Any

NOW = "2026-11-01T00:00:00Z"


def listed(kind: str, subject: str, **facts: Any) -> str:
    """The text of an inventory with one record."""
    return all_listed((kind, subject, facts))


def all_listed(*records: tuple[str, str, dict[str, Any]]) -> str:
    """The text of an inventory, collected at :data:`NOW`."""
    rows = [{"kind": kind, "subject": subject, "facts": facts} for kind, subject, facts in records]
    return json.dumps({"now": NOW, "records": rows}, indent=1, ensure_ascii=False)

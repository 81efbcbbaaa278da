"""Inventories as texts, judged by one rule."""

import datetime as dt
import json
from typing import Any

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.registry import RULES


def inventory_of(text: str) -> Inventory:
    """What a rule's sample stands for."""
    data = json.loads(text)
    records = [Record(each["kind"], each["subject"], each["facts"]) for each in data["records"]]
    return Inventory(
        records, {record.kind for record in records}, now=dt.datetime.fromisoformat(data["now"]).astimezone(dt.UTC)
    )


def judge(rule: str, *records: Record, settings: Any = None) -> list[Finding]:
    """Findings about these records."""
    made: Rule = RULES.load(rule)(settings)
    return list(made.check(Inventory(list(records), {record.kind for record in records})))


def record(kind: str, name: str, **facts: Any) -> Record:
    """One that is called `name`, of `project P`."""
    return Record(kind, f"{kind.partition('.')[0]}://x/{kind}/{name}", {"name": name, "holder": "project P", **facts})

"""Collectors of AI services against a fake, made as the program makes them."""

from typing import Any

import msgspec

from keylease.audit.model import Inventory, Record
from keylease.collectors.base import Access, Collector
from keylease.context import Context
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.registry import COLLECTORS


def collector(
    name: str, settings: dict[str, Any], env: dict[str, str], access: Access | None = None, seconds: float = 10.0
) -> Collector:
    """Ready to collect. env: the job's."""
    found = COLLECTORS.load(name)
    fields = found.Settings.__struct_fields__
    made = found.complete(
        msgspec.convert({**({"retries": 0} if "retries" in fields else {}), **settings}, found.Settings), env
    )
    if found.via and access is None:
        found.alone(made, env)
    return found(made, Context(env, Masker(), Deadline(seconds)), access or Access())


def one(inventory: Inventory, kind: str, name: str) -> Record:
    """The record of this kind that is called so."""
    (found,) = [record for record in inventory.of(kind) if record.facts["name"] == name]
    return found


def as_json(inventory: Inventory) -> str:
    """All of it as it is stored; fails for facts that are no JSON."""
    return msgspec.json.encode([inventory.records, inventory.problems]).decode()

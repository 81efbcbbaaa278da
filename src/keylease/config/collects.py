"""``collect:`` of ``audit:`` in keylease.yml."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from keylease.collectors.base import Collector
from keylease.config.assemble import Assembler
from keylease.config.convert import fields_of, mapping, sequence, struct, unknown
from keylease.config.document import NeededSecret, RunSettings
from keylease.config.leases import check_secret_keys, needed
from keylease.config.values import nearest
from keylease.config.yamltree import Node, fail
from keylease.errors import UsageError, located
from keylease.model import Env, Origin, Plan, Provider
from keylease.pipelines.inventory import Collect, InventoryPlan
from keylease.registry import COLLECTORS

OWN = ("type", "provider", "target")
"""The keys of an item that are not its collector's."""


class Item(Struct, frozen=True):
    """One item, as far as it can be checked by itself. needs: setting → what is read for it, and where that stands."""

    node: Node
    path: str
    kind: type[Collector]
    settings: Any
    needs: Mapping[str, tuple[NeededSecret, Origin]]

    @property
    def has(self) -> Mapping[str, Node]:
        """Its keys."""
        keys: Mapping[str, Node] = self.node.value
        return keys


def items(sections: Mapping[str, Node], source: str, env: Env) -> list[Item]:
    """All items; none where the file has no ``collect:``. Raises :class:`UsageError` with file, line and key."""
    audit = mapping(sections["audit"], source, "audit") if "audit" in sections else {}
    nodes = sequence(audit["collect"], source, "audit.collect") if "collect" in audit else []
    return [_item(node, source, f"audit.collect[{number}]", env) for number, node in enumerate(nodes)]


def _item(node: Node, source: str, path: str, env: Env) -> Item:
    keys = mapping(node, source, path)
    name = keys["type"].value if "type" in keys else None
    if not isinstance(name, str) or name not in COLLECTORS:
        near = nearest(str(name), COLLECTORS)
        raise fail(
            source,
            node.lines.get("type", node.line),
            f"{path}.type",
            "is missing" if name is None else "nothing collects this",
            f"use one of: {', '.join(COLLECTORS)}",
            f"did you mean {near!r}?" if near else "",
        )
    kind = COLLECTORS.load(name)
    own = Node({k: v for k, v in keys.items() if k not in OWN}, node.line, node.lines)
    fields = fields_of(kind.Settings)
    unknown(own, {**fields, **({kind.via: None} if kind.via else {})}, source, path)
    for key in ("provider", "target"):
        if key in keys and kind.via != key:
            change = f"it takes `{kind.via}:`" if kind.via else "leave it out"
            raise fail(source, node.lines[key], f"{path}.{key}", f"{name} is asked without one", change)
    needs, given = check_secret_keys(own, fields, source, path, env)
    return Item(node, path, kind, struct(own, kind.Settings, source, path, given), needs)


def target_types(found: Sequence[Item]) -> frozenset[str]:
    """Types of targets whose credential an item may ask with."""
    return frozenset(each for item in found if item.kind.via == "target" for each in item.kind.via_types)


class Collects:
    """Makes plans of items. Every method raises :class:`UsageError` with file, line and key."""

    def __init__(
        self,
        source: str,
        env: Env,
        assembler: Assembler,
        defaults: RunSettings,
        plan: Plan,
        targets: Mapping[str, Provider],
    ) -> None:
        self._source = source
        self._env = env
        self._assembler = assembler
        self._defaults = defaults
        self._plan = plan
        self._targets = targets

    def plan(self, found: Sequence[Item]) -> InventoryPlan:
        """All of it, checked."""
        return InventoryPlan(self._plan, [self._collect(item) for item in found], self._targets)

    def _collect(self, item: Item) -> Collect:
        kind, settings, fields = item.kind, item.settings, item.kind.Settings.__struct_fields__
        shared = {"timeout": self._defaults.timeout, "retries": self._defaults.retries}
        settings = replace(
            settings, **{k: v for k, v in shared.items() if v is not None and k in fields and k not in item.has}
        )
        origin = Origin(self._source, item.node.line, item.path)
        via = self._via(kind, item)
        try:
            settings = kind.complete(settings, self._env)
            if not via and kind.via:
                kind.alone(settings, self._env)
        except UsageError as error:
            raise located(error, origin) from None
        needs = {key: needed(need, at, "", self._assembler) for key, (need, at) in item.needs.items()}
        return Collect(
            kind.type,
            settings,
            needs,
            via if kind.via == "provider" else "",
            via if kind.via == "target" else "",
            origin,
        )

    def _via(self, kind: type[Collector], item: Item) -> str:
        """Whose lease or credential it asks with: the one that is named, or the only one there is."""
        if not kind.via:
            return ""
        keys, path, node = item.has, item.path, item.node
        there = self._plan.providers if kind.via == "provider" else self._targets
        able = [name for name, each in there.items() if each.type in kind.via_types]
        types = " or ".join(kind.via_types)
        if kind.via in keys:
            name, line = keys[kind.via].value, node.lines[kind.via]
            if isinstance(name, str) and name in able:
                return name
            what = "must be a name" if not isinstance(name, str) else f"there is no {kind.via} {name!a} of type {types}"
            near = nearest(name, able) if isinstance(name, str) else None
            change = f"use one of: {', '.join(able)}" if able else f"add one under `{kind.via}s:`, with `type: {types}`"
            raise fail(
                self._source, line, f"{path}.{kind.via}", what, change, f"did you mean {near!r}?" if near else ""
            )
        if kind.optional:
            return ""
        if len(able) == 1:
            return able[0]
        what = f"is missing: several could be meant: {', '.join(able)}" if able else "is missing"
        change = (
            f"say which one: `{kind.via}: {able[0]}`"
            if able
            else f"add one under `{kind.via}s:`, with `type: {types}`, and name it here"
        )
        raise fail(self._source, node.line, f"{path}.{kind.via}", what, change)

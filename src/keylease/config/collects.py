"""``collect:`` of ``audit:`` in keylease.yml."""

from collections.abc import Mapping
from typing import Any

from keylease.config.assemble import Assembler, located
from keylease.config.convert import fields_of, mapping, sequence, struct, unknown
from keylease.config.document import RunSettings
from keylease.config.leases import check_secret_keys, needed
from keylease.config.values import nearest
from keylease.config.yamltree import Node, fail
from keylease.errors import UsageError
from keylease.model import Env, Origin, Plan, Provider
from keylease.pipelines.inventory import Collect, InventoryPlan
from keylease.registry import COLLECTORS

OWN = ("type", "provider", "target")
"""The keys of an item that are not its collector's."""


def wanted(sections: Mapping[str, Node], source: str) -> list[Node]:
    """The items; none where the file has no ``collect:``."""
    audit = mapping(sections["audit"], source, "audit") if "audit" in sections else {}
    return sequence(audit["collect"], source, "audit.collect") if "collect" in audit else []


def target_types(sections: Mapping[str, Node], source: str) -> frozenset[str]:
    """Types of targets whose credential an item may ask with."""
    names = [node.value["type"].value for node in wanted(sections, source) if _has_type(node)]
    kinds = [COLLECTORS.load(name) for name in names if isinstance(name, str) and name in COLLECTORS]
    return frozenset(each for kind in kinds if kind.via == "target" for each in kind.via_types)


def _has_type(node: Node) -> bool:
    return isinstance(node.value, dict) and "type" in node.value


class Collects:
    """Reads the items. Every method raises :class:`UsageError` with file, line and key."""

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

    def plan(self, sections: Mapping[str, Node]) -> InventoryPlan:
        """All items; none where the file has no ``collect:``."""
        nodes = wanted(sections, self._source)
        items = [self._item(node, f"audit.collect[{number}]") for number, node in enumerate(nodes)]
        return InventoryPlan(self._plan, items, self._targets)

    def _item(self, node: Node, path: str) -> Collect:
        keys = mapping(node, self._source, path)
        name = keys["type"].value if "type" in keys else None
        if not isinstance(name, str) or name not in COLLECTORS:
            near = nearest(str(name), COLLECTORS)
            raise fail(
                self._source,
                node.lines.get("type", node.line),
                f"{path}.type",
                "is missing" if name is None else "nothing collects this",
                f"use one of: {', '.join(COLLECTORS)}",
                f"did you mean {near!r}?" if near else "",
            )
        kind = COLLECTORS.load(name)
        own = Node({k: v for k, v in keys.items() if k not in OWN}, node.line, node.lines)
        fields = fields_of(kind.Settings)
        unknown(own, {**fields, **({kind.via: None} if kind.via else {})}, self._source, path)
        for key in ("provider", "target"):
            if key in keys and kind.via != key:
                change = f"it takes `{kind.via}:`" if kind.via else "leave it out"
                raise fail(self._source, node.lines[key], f"{path}.{key}", f"{name} is asked without one", change)
        needs, given = check_secret_keys(own, fields, self._source, path, self._env)
        shared = {"timeout": self._defaults.timeout, "retries": self._defaults.retries}
        given |= {k: v for k, v in shared.items() if v is not None and k in fields and k not in own.value}
        settings: Any = struct(own, kind.Settings, self._source, path, given)
        origin = Origin(self._source, node.line, path)
        via = self._via(kind, keys, path, node)
        try:
            settings = kind.complete(settings, self._env)
            if not via and kind.via:
                kind.alone(settings, self._env)
        except UsageError as error:
            raise located(error, origin) from None
        found = {key: needed(need, at, "", self._assembler) for key, (need, at) in needs.items()}
        return Collect(
            name,
            settings,
            found,
            via if kind.via == "provider" else "",
            via if kind.via == "target" else "",
            origin,
        )

    def _via(self, kind: Any, keys: Mapping[str, Node], path: str, node: Node) -> str:
        """Whose lease or credential it asks with: the one that is named, or the only one there is."""
        if not kind.via:
            return ""
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

"""``sync:``, ``targets:`` and ``ledger:`` of keylease.yml."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from keylease.config import reference
from keylease.config.assemble import Assembler
from keylease.config.convert import fields_of, mapping, sequence, struct, unknown
from keylease.config.document import NeededSecret, RunSettings
from keylease.config.leases import check_secret_keys, needed, options_of
from keylease.config.sync_document import FromItem, LedgerSettings, NamingKeys, SyncSettings
from keylease.config.values import nearest
from keylease.config.yamltree import Node, fail, shown
from keylease.errors import UsageError, located
from keylease.model import Env, Origin, Plan, Provider, Read
from keylease.pipelines.sync import Destination, Sync, SyncPlan
from keylease.pipelines.sync_sources import Source
from keylease.registry import MANAGERS, TARGETS
from keylease.sync.ledger import SYNC_NAME
from keylease.sync.model import Policy
from keylease.sync.naming import Naming, is_pattern, pattern_of

_TARGET_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_NAMING = tuple(fields_of(NamingKeys))


class Syncs:
    """Reads the three sections. Every method raises :class:`UsageError` with file, line and key."""

    def __init__(self, source: str, env: Env, assembler: Assembler, defaults: RunSettings) -> None:
        self._source = source
        self._env = env
        self._assembler = assembler
        self._defaults = defaults
        self._targets: dict[str, Provider] = {}
        self._types: dict[str, Any] = {}

    def targets(self, sections: Mapping[str, Node], types: Collection[str] = tuple(TARGETS)) -> Mapping[str, Provider]:
        """``targets:``, checked; those of `types`, for the others need not be complete."""
        targets = sections.get("targets", Node({}, 1))
        for name, node in mapping(targets, self._source, "targets").items():
            if not _TARGET_NAME.fullmatch(name):
                raise fail(
                    self._source,
                    targets.lines[name],
                    f"targets.{shown(name)}",
                    "can't be a target's name",
                    "a name begins with a letter and has letters, digits, - and _ only, 64 at most",
                )
            kind = node.value.get("type") if isinstance(node.value, dict) else None
            if kind is None or kind.value not in TARGETS or kind.value in types:
                self._add_target(name, node)
        return self._targets

    def plan(self, plan: Plan, sections: Mapping[str, Node]) -> SyncPlan:
        """All of it, checked. `plan` holds the providers."""
        self.targets(sections)
        syncs = []
        nodes = sequence(sections["sync"], self._source, "sync")
        for index, node in enumerate(nodes):
            syncs.append(self._sync(node, f"sync[{index}]"))
            first = next(each for each in syncs if each.name == syncs[-1].name)
            if first is not syncs[-1]:
                raise self._fail(node, f"sync[{index}].name", f"is the name of {first.origin} too", "give each its own")
        return SyncPlan(plan, syncs, self._targets, self._key(sections))

    def sources(self, sections: Mapping[str, Node]) -> Mapping[str, Sequence[Source]]:
        """What each item of ``sync:`` reads, wherever to."""
        nodes = sequence(sections["sync"], self._source, "sync")
        return {f"sync[{index}]": self._from_all(node, f"sync[{index}]") for index, node in enumerate(nodes)}

    def _key(self, sections: Mapping[str, Node]) -> Any:
        node = sections.get("ledger")
        if node is None:
            raise fail(
                self._source,
                None,
                "ledger",
                "is missing: a sync must remember what is its own",
                "store a random key (openssl rand -base64 32) in the manager, and name it:\n\n"
                "ledger:\n  key: vault://secret/keylease#sync_key",
            )
        settings = struct(node, LedgerSettings, self._source, "ledger")
        key = settings.key if isinstance(settings.key, NeededSecret) else NeededSecret(secret=settings.key)
        return needed(key, Origin(self._source, node.lines["key"], "ledger.key"), "", self._assembler)

    # Targets.

    def _add_target(self, name: str, node: Node) -> None:
        path = f"targets.{name}"
        settings = mapping(node, self._source, path)
        known = ", ".join(TARGETS)
        kind = settings["type"].value if "type" in settings else None
        if not isinstance(kind, str) or kind not in TARGETS:
            near = nearest(str(kind), TARGETS)
            raise fail(
                self._source,
                node.lines.get("type", node.line),
                f"{path}.type",
                "is missing" if kind is None else "there is no target of this type",
                f"use one of: {known}",
                f"did you mean {near!r}?" if near else "",
            )
        target = TARGETS.load(kind)
        own = Node(
            {key: child for key, child in node.value.items() if key != "type"},
            node.line,
            {key: line for key, line in node.lines.items() if key != "type"},
        )
        fields = fields_of(target.Settings)
        unknown(own, fields, self._source, path)
        needs, given = check_secret_keys(own, fields, self._source, path, self._env)
        shared = {"timeout": self._defaults.timeout, "retries": self._defaults.retries}
        given |= {k: v for k, v in shared.items() if v is not None and k in fields and k not in own.value}
        made = struct(own, target.Settings, self._source, path, given)
        origin = Origin(self._source, node.line, path)
        try:
            made = target.complete(made, self._env)
        except UsageError as error:
            raise located(error, origin) from None
        filled = {key: needed(need, at, "", self._assembler) for key, (need, at) in needs.items()}
        self._targets[name] = Provider(name, kind, made, filled, origin)

    # Items.

    def _sync(self, node: Node, path: str) -> Sync:
        children = mapping(node, self._source, path)
        unknown(node, dict.fromkeys(("from", "to", *fields_of(SyncSettings))), self._source, path)
        sources = self._from_all(node, path)
        if "to" not in children:
            raise self._fail(node, f"{path}.to", "is missing", "add `to:`")
        rest = Node({k: v for k, v in node.value.items() if k not in ("from", "to")}, node.line, node.lines)
        settings = struct(rest, SyncSettings, self._source, path)
        if not SYNC_NAME.fullmatch(settings.name):
            raise UsageError(
                f"{Origin(self._source, node.lines.get('name', node.line), f'{path}.name')}: can't be a sync's name",
                change="like ml-prod: a-z, 0-9, - in between, 48 characters at most",
                docs="sync-name",
            )
        destinations = [self._to(child, at) for child, at in self._items(children["to"], f"{path}.to")]
        adopt = settings.adopt if isinstance(settings.adopt, bool) else frozenset(settings.adopt)
        policy = Policy(adopt, settings.prune, settings.on_drift)
        return Sync(settings.name, sources, destinations, policy, Origin(self._source, node.line, path))

    def _from_all(self, node: Node, path: str) -> Sequence[Source]:
        children = mapping(node, self._source, path)
        if "from" not in children:
            raise self._fail(node, f"{path}.from", "is missing", "add `from:`")
        return [self._from(child, at) for child, at in self._items(children["from"], f"{path}.from")]

    def _items(self, node: Node, path: str) -> list[tuple[Node, str]]:
        if not isinstance(node.value, list):
            return [(node, path)]
        if not node.value:
            raise self._fail(node, path, "is empty", "name at least one")
        return [(child, f"{path}[{index}]") for index, child in enumerate(node.value)]

    def _from(self, node: Node, path: str) -> Source:
        item = (
            FromItem(secret=node.value) if isinstance(node.value, str) else struct(node, FromItem, self._source, path)
        )
        origin = Origin(self._source, node.line, path)
        try:
            parts = reference.parse(item.secret)
        except reference.BadReferenceError as error:
            raise self._fail(node, path, str(error), "write SCHEME://PATH#FIELD") from None
        sample = pattern_of(parts.path, str(origin)).sample if is_pattern(parts.path) else parts.path
        provider = self._assembler.provider_for(parts.scheme, item.provider, origin)
        options = options_of(kv=item.kv, version=item.version, mount=item.mount, stage=item.stage)
        read = Read(provider, parts.scheme, parts.path, options)
        try:
            MANAGERS.load(parts.scheme).check(Read(provider, parts.scheme, sample, options))
        except UsageError as error:
            raise located(error, origin) from None
        # What came by it is pruned by it: another provider's secrets of the same path, or another stage's, are others.
        which = [str(each) for each in (item.provider, item.version, item.stage) if each is not None]
        text = f"{item.secret} ({', '.join(which)})" if which else item.secret
        return Source(text, read, parts.selector, self._naming(item, node, path, "upper"), origin)

    def _to(self, node: Node, path: str) -> Destination:
        origin = Origin(self._source, node.line, path)
        if isinstance(node.value, str):
            kind = node.value.partition("://")[0]
            name = self._target_named(None, kind, origin)
            try:
                return Destination(name, TARGETS.load(kind).parse(node.value), None, origin)
            except UsageError as error:
                raise located(error, origin) from None
        children = mapping(node, self._source, path)
        naming = Node({k: v for k, v in children.items() if k in _NAMING}, node.line, node.lines)
        given = children["target"].value if "target" in children else None
        if given is not None and not isinstance(given, str):
            raise self._fail(node, f"{path}.target", "must be the name of a target")
        rest = {k: v for k, v in children.items() if k not in _NAMING and k != "target"}
        name = self._target_named(given, None, origin, rest)
        target = TARGETS.load(self._targets[name].type)
        own = Node(rest, node.line, node.lines)
        unknown(own, fields_of(target.To) | dict.fromkeys(_NAMING), self._source, path)
        try:
            to = target.checked(struct(own, target.To, self._source, path))
        except UsageError as error:
            raise error if str(origin) in error.summary else located(error, origin) from None
        keys = struct(naming, NamingKeys, self._source, path)
        return Destination(name, to, self._naming(keys, node, path, "keep") if naming.value else None, origin)

    def _target_named(self, name: str | None, kind: str | None, origin: Origin, keys: Collection[str] = ()) -> str:
        if name is not None:
            if name in self._targets:
                return name
            near = nearest(name, self._targets)
            known = f"use one of: {', '.join(self._targets)}" if self._targets else "add it under `targets:`"
            cause = f"did you mean {near!r}?" if near else ""
            raise UsageError(f"{origin}: there is no target {name!a}", cause=cause, change=known, docs="sync-target")
        if kind is not None and kind not in TARGETS:
            change = f"use one of: {', '.join(f'{known}://' for known in TARGETS)}"
            raise UsageError(f"{origin}: {kind!a} is no type of target", change=change, docs="sync-target")
        able = [name for name, target in self._targets.items() if kind in (None, target.type)]
        # Keys that only one platform knows say which one is meant.
        knowing = [
            each for each in able if keys and set(keys) <= set(fields_of(TARGETS.load(self._targets[each].type).To))
        ]
        for found in (able, knowing):
            if len(found) == 1:
                return found[0]
        if not able:
            change = f"targets:\n  {kind or 'github'}: {{type: {kind or 'github'}, token_env: NAME_OF_A_VARIABLE}}"
            what = f"there is no target of type {kind}" if kind else "there are no targets"
            raise UsageError(f"{origin}: {what}", change=f"add one:\n\n{change}", docs="sync-target")
        raise UsageError(
            f"{origin}: several targets could be meant: {', '.join(able)}",
            change=f"say which one, in the long form: `target: {able[0]}`",
            docs="sync-target",
        )

    def _naming(self, keys: NamingKeys, node: Node, path: str, case: Any) -> Naming:
        made = Naming(
            keys.name,
            keys.names,
            keys.case or case,
            keys.prefix,
            keys.suffix,
            _globs(keys.include),
            _globs(keys.exclude),
        )
        problem = made.check()
        if problem:
            raise self._fail(node, f"{path}.name", problem)
        return made

    def _fail(self, node: Node, key: str, problem: str, change: str = "") -> UsageError:
        line = node.lines.get(key.rpartition(".")[2], node.line)
        return fail(self._source, line, key, problem, change)


def _globs(given: str | Sequence[str]) -> Sequence[str]:
    return (given,) if isinstance(given, str) else tuple(given)

"""keylease.yml, from its text to a plan."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from keylease.config import yamltree
from keylease.config.assemble import Assembler
from keylease.config.convert import fields_of, mapping, sequence, struct, unknown
from keylease.config.document import VERSION, NeededSecret, RunSettings
from keylease.config.leases import add_item, check_secret_keys, needed
from keylease.config.values import nearest
from keylease.config.yamltree import Node, fail, shown
from keylease.errors import DOCS, UsageError, located
from keylease.model import Env, Origin, Plan, Provider
from keylease.registry import EXCHANGERS
from keylease.vendors.endpoints import check_audience

if TYPE_CHECKING:
    from keylease.config.syncs import Syncs
    from keylease.pipelines.inventory import InventoryPlan
    from keylease.pipelines.sync import SyncPlan
    from keylease.pipelines.sync_sources import Source

_KEYS = ("version", "settings", "providers", "leases", "targets", "ledger", "sync", "audit")

SYNC_DEADLINE = 3600.0
"""Seconds: platforms take about one write a second."""

_PROVIDER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")

_Needs = dict[str, tuple[NeededSecret, Origin]]


def load_file(path: Path, env: Env) -> Plan:
    """See :func:`keylease.config.load_file`."""
    return load(path, env, frozenset())[0]


def load(path: Path, env: Env, allow_names: frozenset[str]) -> tuple[Plan, frozenset[str]]:
    """The plan, and which of ``settings:`` the file has. allow_names: allowed besides those the file allows."""
    return parse(read(path), str(path), env, allow_names)


def read(path: Path) -> bytes:
    """The file's bytes. Raises :class:`UsageError`."""
    try:
        with path.open("rb") as file:
            return file.read(yamltree.MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(
            f"{path}: there is no such file",
            cause="the path is relative to the working directory, or the repository is not checked out yet",
            change="check the path; on GitHub, put actions/checkout before this step",
            docs="configuration",
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise UsageError(f"{path}: can't be read: {reason}", docs="configuration") from None


def parse(text: str | bytes, source: str, env: Env, allow_names: frozenset[str]) -> tuple[Plan, frozenset[str]]:
    """As :func:`load`, of the text itself. source: what it is called in messages."""
    document = _File(yamltree.parse(text, source), source, env)
    return document.plan(allow_names), document.settings_given


def load_sync(path: Path, env: Env) -> "SyncPlan":
    """See :func:`keylease.config.load_sync`."""
    return parse_sync(read(path), str(path), env)


def load_sources(path: Path, env: Env) -> "tuple[Plan, Mapping[str, Sequence[Source]]]":
    """The providers, and what ``sync:`` reads by them, wherever to. Raises :class:`UsageError`."""
    return _File(yamltree.parse(read(path), str(path)), str(path), env).sources()


def parse_sync(text: str | bytes, source: str, env: Env) -> "SyncPlan":
    """As :func:`load_sync`, of the text itself. source: what it is called in messages."""
    return parse_sync_settings(text, source, env)[0]


def parse_sync_settings(text: str | bytes | Path, source: str, env: Env) -> tuple["SyncPlan", frozenset[str]]:
    """As :func:`parse_sync`, of a file too, with the keys of `settings` that it gives."""
    file = _File(yamltree.parse(read(text) if isinstance(text, Path) else text, source), source, env)
    return file.sync_plan(), file.settings_given


def load_inventory(path: Path, env: Env) -> "InventoryPlan":
    """What ``collect:`` of ``audit:`` names; no item where there is no such. Raises :class:`UsageError`."""
    return _File(yamltree.parse(read(path), str(path)), str(path), env).inventory_plan()


def load_text(text: str | bytes, source: str, env: Env) -> Plan:
    """See :func:`keylease.config.load_text`."""
    return parse(text, source, env, frozenset())[0]


def sections(root: Node, source: str) -> dict[str, Node]:
    """The file's parts, of a version that is known. Raises :class:`UsageError` with file, line and key."""
    found = mapping(root, source, "")
    unknown(root, dict.fromkeys(_KEYS), source, "")
    if "version" not in found:
        raise fail(source, 1, "version", "is missing", f"start the file with `version: {VERSION}`")
    version = found["version"].value
    if version != VERSION or isinstance(version, bool | float):
        raise fail(
            source,
            root.lines["version"],
            "version",
            f"must be {VERSION}",
            f"write `version: {VERSION}`, or use a newer Keylease if the file was made for one",
        )
    return found


class _File:
    def __init__(self, root: Node, source: str, env: Env) -> None:
        self._root = root
        self._source = source
        self._env = env
        self.settings_given: frozenset[str] = frozenset()

    def plan(self, allow_names: frozenset[str]) -> Plan:
        return self._assembled(self._sections(), allow_names)[0]

    def sync_plan(self) -> "SyncPlan":
        plan, syncs, sections = self._for_sync()
        return syncs.plan(plan, sections)

    def sources(self) -> "tuple[Plan, Mapping[str, Sequence[Source]]]":
        plan, syncs, sections = self._for_sync()
        return plan, syncs.sources(sections)

    def _for_sync(self) -> "tuple[Plan, Syncs, Mapping[str, Node]]":
        from keylease.config.syncs import Syncs

        sections = self._sections()
        if "sync" not in sections:
            raise self._fail(None, "sync", "is missing: there is nothing to sync", f"{DOCS}/sync.md shows a first one")
        plan, assembler, settings = self._assembled(sections, frozenset())
        if settings.deadline is None:
            plan = replace(plan, deadline=SYNC_DEADLINE)
        return plan, Syncs(self._source, self._env, assembler, settings), sections

    def inventory_plan(self) -> "InventoryPlan":
        from keylease.config.collects import Collects, items, target_types
        from keylease.config.syncs import Syncs
        from keylease.pipelines.inventory import InventoryPlan

        sections = self._sections()
        # All of them before any provider or target: a key that is misspelt is told before a variable that is not set.
        found = items(sections, self._source, self._env)
        if not found:
            return InventoryPlan(Plan({}), [], {})  # an audit of files needs nothing of what a lease needs
        plan, assembler, settings = self._assembled(sections, frozenset())
        if settings.deadline is None:
            plan = replace(plan, deadline=SYNC_DEADLINE)
        targets = Syncs(self._source, self._env, assembler, settings).targets(sections, target_types(found))
        return Collects(self._source, self._env, assembler, settings, plan, targets).plan(found)

    def _assembled(
        self, sections: Mapping[str, Node], allow_names: frozenset[str]
    ) -> tuple[Plan, Assembler, RunSettings]:
        settings_node = sections.get("settings", Node({}, 1))
        settings = struct(settings_node, RunSettings, self._source, "settings")
        self.settings_given = frozenset(settings_node.value)
        assembler = Assembler(allow_names | frozenset(settings.allow_names))
        pending: dict[str, _Needs] = {}
        for name, node in self._children(sections.get("providers"), "providers"):
            provider, pending[name] = self._provider(name, node, settings)
            assembler.add_provider(provider)
        for name, needs in pending.items():
            assembler.add_needs(name, {key: needed(*need, name, assembler) for key, need in needs.items()})
        if "leases" in sections:
            for index, node in enumerate(sequence(sections["leases"], self._source, "leases")):
                add_item(node, self._source, f"leases[{index}]", assembler)
        plan = assembler.plan()
        plan = replace(
            plan,
            deadline=plan.deadline if settings.deadline is None else settings.deadline,
            identity_variables=tuple(settings.identity_variables),
            strict_revoke=settings.strict_revoke,
            revoke=settings.revoke,
        )
        return plan, assembler, settings

    def _sections(self) -> dict[str, Node]:
        return sections(self._root, self._source)

    def _children(self, node: Node | None, path: str) -> list[tuple[str, Node]]:
        if node is None:
            return []
        children = mapping(node, self._source, path)
        for name in children:
            if not _PROVIDER_NAME.fullmatch(name):
                raise self._fail(
                    node.lines[name],
                    f"{path}.{shown(name)}",
                    "can't be a provider's name",
                    "a name begins with a letter and has letters, digits, - and _ only, 64 at most",
                )
        return list(children.items())

    def _provider(self, name: str, node: Node, defaults: RunSettings) -> tuple[Provider, "_Needs"]:
        path = f"providers.{name}"
        kind = self._type(node, path)
        exchanger = EXCHANGERS.load(kind)
        wanted = exchanger.Settings
        fields = fields_of(wanted)
        own = Node(
            {key: child for key, child in node.value.items() if key != "type"},
            node.line,
            {key: line for key, line in node.lines.items() if key != "type"},
        )
        unknown(own, fields, self._source, path)
        needs, given = check_secret_keys(own, fields, self._source, path, self._env)
        shared = {"timeout": defaults.timeout, "retries": defaults.retries}
        given |= {k: v for k, v in shared.items() if v is not None and k in fields and k not in own.value}
        settings = struct(own, wanted, self._source, path, given)
        try:
            settings = exchanger.complete(settings, self._env)
            if exchanger.any_host:
                check_audience(settings.audience, settings.url, kind, self._env)
        except UsageError as error:
            raise located(error, Origin(self._source, node.line, path)) from None
        return Provider(name, kind, settings, origin=Origin(self._source, node.line, path)), needs

    def _type(self, node: Node, path: str) -> str:
        settings = mapping(node, self._source, path)
        known = ", ".join(EXCHANGERS)
        if "type" not in settings:
            raise self._fail(node.line, f"{path}.type", "is missing", f"add `type:` with one of: {known}")
        kind = settings["type"].value
        if not isinstance(kind, str) or kind not in EXCHANGERS:
            near = nearest(str(kind), EXCHANGERS)
            raise self._fail(
                node.lines["type"],
                f"{path}.type",
                "there is no provider of this type",
                f"use one of: {known}",
                f"did you mean {near!r}?" if near else "",
            )
        return kind

    def _fail(self, line: int | None, key: str, problem: str, change: str = "", cause: str = "") -> UsageError:
        return fail(self._source, line, key, problem, change, cause)

"""What a policy of Vault or OpenBao allows. https://openbao.org/docs/concepts/policies/"""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from keylease.audit import hcl
from keylease.audit.hcl_text import Inner, template
from keylease.audit.in_file import attributes, declared, in_terraform
from keylease.audit.model import Inventory, Location, Record

WRITES = frozenset({"create", "update", "patch"})
_OLD = {"read": ("read", "list"), "write": ("create", "read", "update", "delete", "list"), "deny": ("deny",)}
_OLD_SUDO = (*_OLD["write"], "sudo")


class Stanza(Struct, frozen=True):
    """``path "…" { capabilities = […] }``. line: in the policy's text."""

    path: str
    capabilities: frozenset[str]
    line: int = 0

    @property
    def denied(self) -> bool:
        """Whether it takes instead of giving: ``deny`` wins over all others."""
        return "deny" in self.capabilities

    @property
    def writes(self) -> bool:
        """Whether something can be changed."""
        return not self.denied and bool(self.capabilities & WRITES)


class Power(Struct, frozen=True):
    """A path that makes its holder more than the policy says. sudo: without that the server refuses."""

    path: str
    what: str
    sudo: bool = False


_POWERS: Sequence[Power] = (
    Power("sys/policies/acl/?", "rewrites policies, its own too"),
    Power("sys/policy/?", "rewrites policies, its own too"),
    Power("auth/token/create", "makes tokens with any policy", sudo=True),
    Power("auth/token/create-orphan", "makes tokens with any policy", sudo=True),
    Power("auth/?/role/?", "gives any policy to whoever logs in by a role"),
    Power("auth/?/role/?/policies", "gives any policy to whoever logs in by a role"),
    Power("auth/?/users/?/policies", "gives any policy to a user"),
    Power("auth/?/roles/?", "gives any policy to whoever uses a role"),
    Power("auth/?/users/?", "gives any policy to a user"),
    Power("auth/?/groups/?", "gives any policy to a group"),
    Power("auth/?/certs/?", "gives any policy to a certificate"),
    Power("auth/?/config", "has an auth mount trust another issuer"),
    Power("sys/auth/?", "mounts a way to log in of its own", sudo=True),
    Power("identity/entity", "gives any policy to an identity"),
    Power("identity/entity/id/?", "gives any policy to an identity"),
    Power("identity/entity/name/?", "gives any policy to an identity"),
    Power("identity/entity-alias", "takes over an identity"),
    Power("identity/group", "gives any policy to a group"),
    Power("identity/group/id/?", "gives any policy to a group"),
    Power("identity/group/name/?", "gives any policy to a group"),
    Power("sys/raw/?", "writes to the storage past all policies", sudo=True),
    Power("sys/audit/?", "switches off audit devices", sudo=True),
)
POWERS = (
    *_POWERS,
    # A mount's path can have several segments.
    *(Power(each.path.replace("?", "?/?", 1), each.what, each.sudo) for each in _POWERS if each.path[:7] == "auth/?/"),
)
"""``?``: any name. https://openbao.org/docs/concepts/policies/#root-protected-api-endpoints lists those with sudo."""


_COLLECTIONS = frozenset(each.path.split("/")[2] for each in _POWERS if each.path.startswith("auth/?/"))


def stanzas(text: object) -> list[Stanza]:
    """All of a policy; none where it can't be read."""
    return list(_read(text)) if isinstance(text, str) else []


def is_read(text: str) -> bool:
    """Whether all of it was understood: a policy that was not would look as if it gave nothing."""
    try:
        if text.lstrip().startswith("{"):
            return bool(stanzas(text)) or not json.loads(text)
        root = hcl.parse(text)
    except (hcl.HclError, ValueError, RecursionError):
        return False
    return set(root.attributes) <= {"name"} and all(map(_is_plain, root.blocks))


def _is_plain(block: hcl.Block) -> bool:
    """Whether it is a stanza whose capabilities are there to be read. (Vault's older HCL needs no new lines.)"""
    if block.type != "path" or len(block.labels) != 1:
        return False
    given, old = block.value("capabilities"), block.value("policy")
    listed = given if isinstance(given, list) else [] if given is None else [hcl.Raw("")]
    return not any(isinstance(each, hcl.Raw) for each in (*block.labels, *listed, old))


@functools.lru_cache(maxsize=2000)  # every role asks for those of its policies
def _read(text: str) -> tuple[Stanza, ...]:
    try:
        return tuple(_of_json(json.loads(text)) if text.lstrip().startswith("{") else _of_hcl(hcl.parse(text)))
    except (hcl.HclError, ValueError, RecursionError):
        return ()


def _of_hcl(root: hcl.Block) -> Iterator[Stanza]:
    for block in root.of("path"):
        if block.labels:
            yield _stanza(block.labels[0], block.value("capabilities"), block.value("policy"), block.line)


def _of_json(data: Any) -> Iterator[Stanza]:
    paths = data.get("path") if isinstance(data, Mapping) else None
    for each in paths if isinstance(paths, list) else [paths]:
        for path, body in each.items() if isinstance(each, Mapping) else ():
            for one in body if isinstance(body, list) else [body]:
                if isinstance(one, Mapping):
                    yield _stanza(path, one.get("capabilities"), one.get("policy"), 0)


def _stanza(path: str, given: object, old: object, line: int) -> Stanza:
    found = [str(each) for each in given] if isinstance(given, list) else []
    if isinstance(old, str):
        found += _OLD_SUDO if old == "sudo" else _OLD.get(old, ())
    return Stanza(path.lstrip("/"), frozenset(found), line)


def matches(pattern: str, path: str) -> bool:
    """Whether a stanza's path is about an API path: ``+`` is one segment, ``*`` at the end is whatever follows."""
    open_end = pattern.endswith("*")
    wanted, given = pattern.removesuffix("*").split("/"), path.split("/")
    if len(given) < len(wanted) or (not open_end and len(given) != len(wanted)):
        return False
    last = len(wanted) - 1
    for number, segment in enumerate(wanted):
        if number == last and open_end:
            return given[number].startswith(segment)
        if segment not in ("+", given[number]):
            return False
    return True


def _rank(stanza: Stanza) -> tuple[int, bool, int, int]:
    """The server's order of who wins: the later the first wildcard the better, then no ``*``, fewer ``+``, longer."""
    path = stanza.path
    first = min((at for at in (f"{path}/".find("+"), path.find("*")) if at >= 0), default=len(path) + 1)
    return first, not path.endswith("*"), -path.split("/").count("+"), len(path)


def allowed(policy: Sequence[Stanza], path: str) -> tuple[Stanza, frozenset[str]] | None:
    """The stanza that decides on an API path, and what it and others of the same path give."""
    about = [stanza for stanza in policy if matches(stanza.path, path)]
    if not about:
        return None
    best = max(about, key=_rank)
    same = [stanza for stanza in about if stanza.path == best.path]
    if any(stanza.denied for stanza in same):
        return best, frozenset()
    return best, frozenset().union(*(stanza.capabilities for stanza in same))


def _example(pattern: str, power: str) -> str | None:
    """An API path that is in both; None where there is none."""
    open_end = pattern.endswith("*")
    wanted, given = pattern.removesuffix("*").split("/"), power.split("/")
    if len(given) < len(wanted) and given[-1] != "?":
        return None
    if given[:3:2] == ["auth", "?"] and wanted[2:3] and wanted[2] in _COLLECTIONS:
        return None  # roles of a mount `approle`, not a mount `approle/role`
    if len(wanted) > len(given) and given[-1] == "?" and given[0] != "auth":  # names there can have slashes
        given += ["?"] * (len(wanted) - len(given))
    if len(wanted) < len(given) and not open_end:
        return None
    made = []
    for number, segment in enumerate(given):
        other = wanted[number] if number < len(wanted) else "+"
        if number == len(wanted) - 1 and open_end:
            if segment != "?" and not segment.startswith(other):
                return None
            made.append(f"{other}x" if segment == "?" else segment)
        elif segment == "?":
            made.append("x" if other == "+" else other)
        elif other in ("+", segment):
            made.append(segment)
        else:
            return None
    return "/".join(made)


def powers(policy: Sequence[Stanza]) -> Iterator[tuple[Stanza, Power]]:
    """Each stanza that gives its holder more than it says, with what, once for each."""
    seen = set()
    for stanza in policy:
        for power in POWERS:
            path = _example(stanza.path, power.path)
            if path is None or not stanza.writes or (stanza.path, power.what) in seen:
                continue
            found = allowed(policy, path)
            if found and found[0].path == stanza.path and found[1] & WRITES and (not power.sudo or "sudo" in found[1]):
                seen.add((stanza.path, power.what))
                yield stanza, power


def is_everything(stanza: Stanza) -> bool:
    """Whether its path is that of all there is."""
    return stanza.path in ("*", "+/*", "+*") and bool(stanza.capabilities) and not stanza.denied


Opens = Literal["admin", "something", "nothing", "unknown"]


def opened(inventory: Inventory, given: object) -> tuple[Opens, str]:
    """What policies with these names open, as far as they were collected, and which of them does."""
    names = [str(each) for each in given] if isinstance(given, list) else []
    known = {record.facts.get("name"): record for record in inventory.of("vault.policy")}
    unknown = ""
    for name in names:
        if name == "root":
            return "admin", name
        if name in known:
            policy = stanzas(known[name].facts.get("text"))
            if any(is_everything(each) and each.writes for each in policy) or next(powers(policy), None):
                return "admin", name
        elif name != "default":
            unknown = unknown or name
    if unknown:
        return "unknown", unknown
    return ("something", "") if any(name != "default" for name in names) else ("nothing", "")


def written(record: Record, path: str, capabilities: Sequence[str]) -> str:
    """A stanza as it is written where the policy is."""
    if in_terraform(record) and declared(record).form == "blocks":
        return attributes(record, {"rule": Inner({"path": path, "capabilities": list(capabilities)})})
    fields = {"path": {path: {"capabilities": list(capabilities)}}}
    if record.location and record.location.path.endswith(".json") and not in_terraform(record):
        return attributes(record, fields)
    path = template(path) if in_terraform(record) else path
    return f"path {json.dumps(path)} {{\n  capabilities = {json.dumps(list(capabilities))}\n}}"


def place(record: Record, stanza: Stanza) -> Location | None:
    """Where the stanza is written."""
    where = record.location
    if where is None or not where.path.endswith(".hcl") or not stanza.line:
        return where
    return Location(where.path, stanza.line)

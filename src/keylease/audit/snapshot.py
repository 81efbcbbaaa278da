"""An inventory as a file, to be judged elsewhere and later; shards of one become one again."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from keylease import __version__
from keylease.audit.credentials import moment, written
from keylease.audit.literals import hidden
from keylease.audit.model import Inventory, Location, Problem, Record
from keylease.audit.trees import Tree

FORMAT = "keylease-inventory"
VERSION = 1

_TREE = "$tree"


class SnapshotError(ValueError):
    """The text is no snapshot of this version."""


class Snapshot(Struct):
    """One file.

    shard: which of how many parts of what was to be collected, from 1. plan: what stands for what that was: parts of
    two organisations are not one.
    """

    inventory: Inventory
    shard: tuple[int, int] = (1, 1)
    plan: str = ""


def dumps(inventory: Inventory, shard: tuple[int, int] = (1, 1), plan: str = "") -> str:
    """JSON, a record a line, so that two of them can be compared. Credentials in files' texts are made unusable."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "keylease": __version__,
        "collected_at": written(inventory.now),
        "shard": list(shard),
        "plan": plan,
        "kinds": sorted(inventory.kinds),
        "failed": inventory.failed,
    }
    records = [_record(record) for record in inventory.records]
    problems = [
        {"kind": each.kind, "what": each.what, "change": each.change, **_location(each.location)}
        for each in inventory.problems
    ]
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()]
    return "\n".join(
        [
            "{",
            *lines,
            *_listed("records", sorted(map(json.dumps, records)), ","),
            *_listed("problems", list(map(json.dumps, problems)), ""),
            "}",
            "",
        ]
    )


def _listed(name: str, rows: Sequence[str], end: str) -> list[str]:
    if not rows:
        return [f'  "{name}": []{end}']
    return [f'  "{name}": [', ",\n".join(f"    {row}" for row in rows), f"  ]{end}"]


def loads(text: str | bytes) -> Snapshot:
    """Raises :class:`SnapshotError`: nothing of a snapshot that is not whole is judged."""
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise SnapshotError("it is no inventory of Keylease")
        if data["version"] != VERSION:
            raise SnapshotError(f"it is of version {data['version']!a}, and this Keylease reads version {VERSION}")
        now = moment(data["collected_at"])
        which, of = data["shard"]
        if now is None or not (type(which) is type(of) is int and 1 <= which <= of):
            raise SnapshotError("`collected_at` or `shard` is not what it must be")
        records = [_read(each) for each in data["records"]]
        problems = [Problem(*_problem(each), _place(each)) for each in data["problems"]]
        kinds, failed = data["kinds"], data["failed"]
        for each in (kinds, failed):
            if not isinstance(each, list) or not all(isinstance(text, str) for text in each):
                raise SnapshotError("`kinds` or `failed` is no list of texts")
        if not isinstance(data["plan"], str):
            raise SnapshotError("`plan` is no text")
    except SnapshotError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = "a key is missing or of another type" if not isinstance(error, json.JSONDecodeError) else error.msg
        raise SnapshotError(f"it is no inventory of Keylease: {what}") from None
    return Snapshot(Inventory(records, set(kinds), problems, now, failed), (which, of), data["plan"])


def merged(snapshots: Sequence[tuple[str, Snapshot]]) -> Inventory:
    """One inventory of several (by the names of their files). What is in two of them is taken from the newest.

    Files and a job's variables are not: their subjects say nothing of the repository or job, and two of one name are
    as good as never the same thing. A shard that lacks is a problem of all that could have come of it.
    """
    found = Inventory(now=max(snapshot.inventory.now for _, snapshot in snapshots))
    taken: dict[tuple[str, str], set[str]] = {}
    for _, snapshot in sorted(snapshots, key=lambda each: each[1].inventory.now, reverse=True):
        before = {key: set(texts) for key, texts in taken.items()}
        for record in snapshot.inventory.records:
            key = record.kind, record.subject
            local = record.location is not None or record.subject.startswith(("file://", "job://"))
            text = json.dumps(_record(record), sort_keys=True) if local else ""
            if key not in before or (local and text not in before[key]):
                found.records.append(record)
                taken.setdefault(key, set()).add(text)
        found.kinds |= snapshot.inventory.kinds
        found.problems += snapshot.inventory.problems
        found.failed += snapshot.inventory.failed
    for of, plan in sorted({(snapshot.shard[1], snapshot.plan) for _, snapshot in snapshots}):
        there = {snapshot.shard[0] for _, snapshot in snapshots if (snapshot.shard[1], snapshot.plan) == (of, plan)}
        lacking = [str(number) for number in range(1, min(of, 10_000) + 1) if number not in there]
        if lacking:
            names = ", ".join(lacking[:20]) + (" …" if len(lacking) > 20 else "")
            what = f"of {of} shards of the inventory these lack: {names}"
            found.problems.append(Problem("", what, "collect them, and name their files too"))
    return found


def is_old(inventory: Inventory, now: dt.datetime) -> int:
    """Whole days since it was collected."""
    return max((now - inventory.now).days, 0)


def _record(record: Record) -> dict[str, Any]:
    facts = {
        name: {_TREE: _hidden(value.data), "lines": _hidden(value.numbered())}
        if isinstance(value, Tree)
        else _hidden(value, name)
        for name, value in record.facts.items()
    }
    return {"kind": record.kind, "subject": record.subject, "facts": facts, **_location(record.location)}


def _hidden(node: Any, name: str = "") -> Any:
    """name: of the value. Names are texts that somebody wrote too."""
    if isinstance(node, dict):
        return {hidden(key): _hidden(value, key) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_hidden(each) for each in node]
    return hidden(node, name) if isinstance(node, str) else node


def _location(location: Location | None) -> dict[str, Any]:
    return {} if location is None else {"path": location.path, "line": location.line}


def _read(data: Mapping[str, Any]) -> Record:
    facts = data["facts"]
    if not isinstance(facts, dict):
        raise SnapshotError("a record's `facts` are no mapping")
    made = {
        name: Tree.of_numbered(value[_TREE], value["lines"]) if isinstance(value, dict) and _TREE in value else value
        for name, value in facts.items()
    }
    kind, subject = _texts(data, "kind", "subject")
    return Record(kind, subject, made, _place(data))


def _place(data: Mapping[str, Any]) -> Location | None:
    if "path" not in data:
        return None
    line = data["line"]
    if type(line) is not int or line < 0:
        raise SnapshotError("a `line` is no number")
    return Location(_texts(data, "path")[0], line)


def _problem(data: Mapping[str, Any]) -> tuple[str, str, str]:
    kind, what, change = _texts(data, "kind", "what", "change")
    return kind, what, change


def _texts(data: Mapping[str, Any], *names: str) -> list[str]:
    found = [data[name] for name in names]
    if not all(isinstance(each, str) for each in found):
        raise SnapshotError(f"one of {', '.join(names)} is no text")
    return found

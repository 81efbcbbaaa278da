"""What a sync would do or did: a table for people, JSON for machines, Markdown for a pull request. Never a value."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from keylease import __version__
from keylease.outputs.console import one_line, table
from keylease.outputs.report import escape
from keylease.sync.model import Change

FORMAT = 1
"""Of the JSON. Fields may be added; none is removed or changes its meaning without a new number."""

MAX_ROWS = 400
MAX_MARKDOWN = 60_000
"""Rows of a Markdown table, and its characters: a comment on GitHub holds 65,536."""

MAX_REASON = 600

_COLOURS = {"add": "32", "update": "33", "adopt": "36", "drifted": "35", "orphan": "31", "blocked": "31;1"}
_ORDER = ("add", "update", "adopt", "drifted", "orphan", "blocked", "unchanged")
_EFFECTS = {"write": "write", "delete": "delete", "record": "note in the ledger", "forget": "forget", "none": ""}


class Section(Struct, frozen=True):
    """One place of a report. error: why nothing is known of it. fingerprint: of the plan."""

    sync: str
    address: str
    changes: Sequence[Change]
    error: str = ""
    fingerprint: str = ""


class Report(Struct, frozen=True):
    """problems: what could not be read, one line each. shard: (which, of how many).

    adopt: names that were taken over on request. only: the syncs that were asked for; empty for all.
    """

    sections: Sequence[Section]
    problems: Sequence[str] = ()
    shard: tuple[int, int] = (1, 1)
    adopt: Sequence[str] = ()
    only: Sequence[str] = ()

    def counts(self) -> Mapping[str, int]:
        """{action: number of changes}, all actions."""
        found: Counter[str] = Counter(change.action for section in self.sections for change in section.changes)
        return {action: found[action] for action in _ORDER}

    def summary(self) -> str:
        """``2 add, 1 update, 40 unchanged at 3 places``."""
        deletes = sum(change.effect == "delete" for section in self.sections for change in section.changes)
        named = {"orphan": f" ({deletes} to delete)"} if deletes else {}
        counts = ", ".join(f"{n} {action}{named.get(action, '')}" for action, n in self.counts().items() if n)
        places = len({section.address for section in self.sections})
        failed = sum(bool(section.error) for section in self.sections) + len(self.problems)
        text = f"{counts or 'nothing'} at {places} place{'' if places == 1 else 's'}"
        return text + (f"; {failed} could not be read" if failed else "")


def as_table(report: Report, *, colour: bool, everything: bool = False) -> str:
    """Place by place; what is unchanged is counted only, unless `everything` is shown."""
    lines: list[str] = []
    for section in report.sections:
        shown = [change for change in section.changes if everything or change.action != "unchanged"]
        quiet = len(section.changes) - len(shown)
        if not shown and not section.error and not everything and len(report.sections) > 1:
            continue
        lines.append(f"{one_line(section.address)}  (sync {one_line(section.sync)})\n")
        if section.error:
            lines.append(f"  {one_line(section.error)}\n")
        if shown:
            rows = [[c.action, c.slot.kind, _named(c), c.source, _version(c), _effect(c)] for c in shown]
            text = table([["", "Kind", "Name", "Source", "Version", "Why"], *rows], limit=MAX_REASON)
            lines.append(_coloured(text, shown) if colour else text)
        if quiet and not section.error:
            lines.append(f"  {quiet} unchanged\n")
        lines.append("\n")
    lines += [f"{one_line(problem)}\n" for problem in report.problems]
    return "".join(lines) + f"{report.summary()}\n"


def as_json(report: Report) -> dict[str, Any]:
    """With the fingerprints by which `sync apply --plan` tells whether it still holds."""
    return {
        "format": FORMAT,
        "keylease": __version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "shard": list(report.shard),
        "adopt": list(report.adopt),
        "only": list(report.only),
        "summary": dict(report.counts()),
        "problems": list(report.problems),
        "places": [
            {
                "sync": section.sync,
                "address": section.address,
                "fingerprint": section.fingerprint,
                "error": section.error or None,
                "changes": [
                    {
                        "kind": change.slot.kind,
                        "name": change.slot.name,
                        "scope": change.slot.scope or None,
                        "action": change.action,
                        "effect": change.effect,
                        "reason": change.reason,
                        "source": change.source,
                        "version": change.version or None,
                    }
                    for change in section.changes
                ],
            }
            for section in report.sections
        ],
    }


def as_markdown(report: Report, title: str = "Keylease sync", undone: Sequence[str] = ()) -> str:
    """For a comment or a job's summary: names and sources are text there, whatever is in them.

    undone: what an apply did not do of it, one line each.
    """
    lines = [f"### {escape(title)}", "", escape(report.summary()), ""]
    rows = [
        [section.address, change.action, f"{change.slot.kind} {_named(change)}", change.source, _effect(change)]
        for section in report.sections
        for change in section.changes
        if change.action != "unchanged"
    ]
    shown = ["| " + " | ".join(map(escape, row)) + " |" for row in rows[:MAX_ROWS]]
    if shown:
        kept = _fitting(shown, MAX_MARKDOWN * 3 // 4)
        lines += ["| Place | Action | Name | Source | Why |", "| --- | --- | --- | --- | --- |", *kept]
        if len(kept) < len(rows):
            lines += ["", f"… and {len(rows) - len(kept)} more"]
    errors = [f"{section.address}: {section.error}" for section in report.sections if section.error]
    problems = [f"- {escape(problem)}" for problem in [*report.problems, *errors]]
    kept = _fitting(problems, MAX_MARKDOWN // 5)
    lines += ["", *kept, *([f"- … and {len(problems) - len(kept)} more"] if len(kept) < len(problems) else [])]
    if undone:
        kept = _fitting([f"- {escape(each)}" for each in undone], MAX_MARKDOWN // 20)
        more = [f"- … and {len(undone) - len(kept)} more"] if len(kept) < len(undone) else []
        lines += ["", f"**Not done: {len(undone)}**", "", *kept, *more]
    return "\n".join(lines).rstrip() + "\n"


def _fitting(lines: Sequence[str], most: int) -> list[str]:
    kept: list[str] = []
    for line in lines:
        most -= len(line) + 1
        if most < 0:
            break
        kept.append(line)
    return kept


def _named(change: Change) -> str:
    # `*` is every environment: what there is without a scope.
    return change.slot.name + (f" ({change.slot.scope})" if change.slot.scope not in ("", "*") else "")


def _version(change: Change) -> str:
    return change.version if len(change.version) <= 12 else f"{change.version[:8]}…"


def _effect(change: Change) -> str:
    doing = _EFFECTS[change.effect] if change.action in ("orphan", "unchanged") else ""
    return f"{doing}: {change.reason}" if doing and change.reason else change.reason or doing


def _coloured(text: str, changes: Sequence[Change]) -> str:
    lines = text.splitlines(keepends=True)
    for number, change in enumerate(changes, 1):
        code = _COLOURS.get(change.action)
        if code:
            lines[number] = lines[number].replace(change.action, f"\x1b[{code}m{change.action}\x1b[0m", 1)
    return "".join(lines)

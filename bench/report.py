"""The results as a table for people, and as JSON."""

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.cases import BOTO3, HVAC, OURS, PEER, Case
from bench.measure import Spread, Summary

Results = Mapping[str, Mapping[str, Summary]]
"""Case → command → what it took. The case `floor` holds the interpreters that do nothing."""


def facts(python: str) -> dict[str, str]:
    """The machine, for the reader of the numbers."""
    model = "unknown"
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*: (.+)$", info.read_text(), re.MULTILINE)
        model = found[1] if found else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
    return {"system": f"{platform.system()} {platform.release()}", "processor": model, "cores": str(cores),
            "python": python}  # fmt: skip


def table(
    cases: list[Case], results: Results, about: Mapping[str, str], starts: Mapping[str, Spread] | None = None
) -> str:
    """Everything that was measured, one block per case."""
    lines = ["  ".join(f"{name}: {value}" for name, value in about.items())]
    blocks: list[tuple[str, Case | None, Mapping[str, Summary]]] = [
        ("interpreter start, nothing done", None, results.get("floor", {}))
    ]
    blocks += [(case.title, case, results.get(case.name, {})) for case in cases]
    for title, case, summaries in blocks:
        if summaries:
            lines += ["", title, *_rows(case, summaries)]
    if starts:
        lines += ["", "podman run of the image, wall ms", *(f"  {name}  {_ms(wall)}" for name, wall in starts.items())]
    return "\n".join(lines)


def _rows(case: Case | None, summaries: Mapping[str, Summary]) -> list[str]:
    beside = reference(summaries)
    header = ("", "wall ms", "cpu ms", "peak MiB", f"× {beside}" if beside else "", "exit")
    rows = [header]
    for name, summary in summaries.items():
        ratio = ""
        if beside:
            wall, peak = ratios(summary, summaries[beside])
            ratio = f"{wall:.2f} wall  {peak:.2f} peak"
        codes = ",".join(map(str, summary.codes))
        rows.append((name, _ms(summary.wall), _ms(summary.cpu), _mib(summary.peak), ratio, codes))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [line.rstrip() for line in lines] + [f"  {verdict}" for verdict in verdicts(case, summaries)]


def reference(summaries: Mapping[str, Summary]) -> str:
    """Who the others are compared with: the peer where there is one, else the baseline."""
    return next((name for name in (PEER, HVAC, BOTO3) if name in summaries), "")


def ratios(one: Summary, other: Summary) -> tuple[float, float]:
    """Median wall time and median peak memory, one divided by the other."""
    return one.wall.median / other.wall.median, one.peak.median / other.peak.median


def verdicts(case: Case | None, summaries: Mapping[str, Summary]) -> list[str]:
    """Whether ours is where it wants to be: one line per target that can be judged."""
    if case is None or OURS not in summaries:
        return []
    ours = summaries[OURS]
    said = []
    if PEER in summaries:
        wall, peak = ratios(ours, summaries[PEER])
        for what, is_now, wanted in (("wall", wall, case.target.wall), ("peak", peak, case.target.peak)):
            if wanted is not None:
                said.append(f"target: {what} ≤ {wanted:.2f} × peer: {is_now:.2f} {_word(is_now <= wanted)}")
    others = {name: summary.wall.median for name, summary in summaries.items() if name != OURS}
    if case.target.slowest is not None and others:
        slowest = max(others, key=others.__getitem__)
        is_now, wanted = ours.wall.median / others[slowest], case.target.slowest
        said.append(
            f"target: wall ≤ {wanted:.2f} × the slowest alone ({slowest}): {is_now:.2f} {_word(is_now <= wanted)}"
        )
    if case.seconds is not None:
        took = ours.wall.high
        said.append(f"target: ≤ {case.seconds:g} s: {took:.2f} s {_word(took <= case.seconds)}")
    return said


def as_json(
    cases: list[Case], results: Results, about: Mapping[str, str], starts: Mapping[str, Spread] | None = None
) -> dict[str, Any]:
    """The same for machines; wall and cpu in seconds, peak in MiB, each as [median, low, high]."""
    titles = {case.name: case.title for case in cases}
    named = {case.name: case for case in cases}
    return {
        "about": dict(about),
        "cases": {
            name: {
                "title": titles.get(name, "interpreter start, nothing done"),
                "commands": {command: _plain(summary) for command, summary in summaries.items()},
                "targets": verdicts(named.get(name), summaries),
            }
            for name, summaries in results.items()
        },
        "container": {name: _numbers(wall) for name, wall in (starts or {}).items()},
    }


def _plain(summary: Summary) -> dict[str, Any]:
    return {
        "wall": _numbers(summary.wall),
        "cpu": _numbers(summary.cpu),
        "peak": _numbers(summary.peak),
        "runs": summary.runs,
        "exit": list(summary.codes),
    }


def _numbers(spread: Spread) -> list[float]:
    return [round(value, 4) for value in (spread.median, spread.low, spread.high)]


def _word(met: bool) -> str:
    return "met" if met else "MISSED"


def _ms(spread: Spread) -> str:
    return f"{spread.median * 1000:.0f} [{spread.low * 1000:.0f}–{spread.high * 1000:.0f}]"


def _mib(spread: Spread) -> str:
    return f"{spread.median:.1f}"

"""`make bench`, fourth part: an audit of 1,000 repositories × 10 secrets, and of the files of a large repository.

    python -m bench.audit [--repositories 1000] [--workflows 500] [--runs 9] [--quick]

From a snapshot (rules alone); from the tests' fake GitHub in a process of its own, with GitHub's pace lifted as
bench/sync.py does; offline beside zizmor, in turns. Each run must find exactly what was planted, else all of it fails.
"""

import argparse
import datetime as dt
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench import organization, report, tree
from bench.github import Fake
from bench.layout import ROOT
from bench.measure import BenchError, Launcher, Sample, Summary
from keylease.audit.snapshot import dumps

RATIO = 2.5
"""The most that an offline audit of 500 workflows may take, in zizmor's time."""

PATIENCE = 900.0
"""Seconds until a run counts as hung."""

_COLLECTED = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)

CONFIG = """
version: 1
targets:
  github: {{type: github, url: "{url}", token_env: AUDIT_TOKEN, writes_per_minute: 0, points_per_minute: 0{cache}}}
audit:
  collect:
    - {{type: github, target: github, organization: {organization}}}
"""


@dataclass(frozen=True)
class Run:
    """One run against the fake. least: requests that none could do without."""

    name: str
    sample: Sample
    requests: Counter[str]
    least: int

    @property
    def total(self) -> int:
        """All requests, those that cost nothing (304) too."""
        return sum(number for kind, number in self.requests.items() if kind != "304")


class World:
    """A directory to work in, and the small process that starts what is measured. Use as a context manager."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keylease-bench-")))
            self.empty = self.directory / "empty"
            self.empty.mkdir()
            self._launcher = stack.enter_context(Launcher())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self, argv: list[str], cwd: Path, codes: tuple[int, ...], **env: str) -> tuple[Sample, str]:
        """Measure one command; also what it printed. Raises BenchError unless it ended with one of `codes`."""
        out, err = self.directory / "stdout", self.directory / "stderr"
        given = {"PATH": os.defpath, "HOME": str(self.directory), **env}
        sample = self._launcher.run(argv, given, cwd, out, err, PATIENCE)
        if sample.code not in codes:
            raise BenchError(
                f"{' '.join(argv)}: exit code {sample.code}\n{(out.read_text() + err.read_text())[-2000:]}"
            )
        return sample, out.read_text()

    def audit(self, arguments: list[str], wanted: Counter[str], cwd: Path, code: int, **env: str) -> Sample:
        """Run `keylease audit` for its JSON. Raises BenchError unless it found `wanted`, and looked at all of it."""
        file = self.directory / "report.json"
        form = ["--persona", "auditor", "--format", "json", "--output", str(file)]
        sample, _ = self.run([*KEYLEASE, "audit", *arguments, *form], cwd, (code,), **env)
        must_be(json.loads(file.read_text()), wanted)
        return sample


KEYLEASE = [sys.executable, "-m", "keylease"]


def must_be(found: Mapping[str, Any], wanted: Counter[str]) -> None:
    """Raises BenchError unless a report has just these findings, and leaves out nothing that was asked for."""
    counts = Counter(each["rule"] for each in found["findings"])
    if counts != wanted:
        raise BenchError(f"found {dict(counts - wanted)} too many and {dict(wanted - counts)} too few")
    left = [each["rule"] for each in found["not_checked"] if each["asked"]]
    if left or found["problems"]:
        raise BenchError(f"not all was looked at: {left}, {found['problems'][:3]}")


# From a snapshot, and from GitHub.


def judged(world: World, number: int, runs: int) -> Summary:
    """The rules alone, on a snapshot."""
    file = world.directory / "inventory.json"
    file.write_text(dumps(organization.inventory(number, _COLLECTED)))
    tell(f"{number} repositories from a snapshot of {file.stat().st_size / 1e6:.1f} MB")
    wanted = organization.expected(number)
    return Summary.of(
        [world.audit(["--inventory", str(file)], wanted, world.empty, _failing(wanted)) for _ in range(runs)]
    )


def collected(world: World, number: int) -> Iterator[Run]:
    """The whole program: without a cache, filling one, and with it."""
    with Fake(number, "audit") as github:
        cache = f", cache: {world.directory / 'cache.db'}"
        for name, more, again in (
            ("collect and judge", "", False),
            ("the same, filling the cache", cache, False),
            ("the same, with the cache", cache, True),
        ):
            config = world.directory / "keylease.yml"
            config.write_text(CONFIG.format(url=github.url, cache=more, organization=organization.NAME))
            tell(f"{number} repositories from the fake GitHub: {name}")
            github.counts()
            wanted = organization.expected(number)
            sample = world.audit(
                ["--config", str(config)], wanted, world.empty, _failing(wanted), AUDIT_TOKEN=github.token
            )
            run = Run(name, sample, github.counts(), organization.least(number, again=again))
            must_be_least(run, twice=organization.twice(number), again=again)
            yield run


def must_be_least(run: Run, *, twice: int, again: bool) -> None:
    """Raises BenchError unless nothing else was asked twice, or for what the cache has; the audit log is always new."""
    if run.total != run.least + twice:
        raise BenchError(f"{run.name}: {run.total} requests instead of {run.least + twice}: {dict(run.requests)}")
    if again and run.requests["304"] != run.total - 1:
        raise BenchError(f"{run.name}: {run.total - run.requests['304']} answers were not taken from the cache")


def _failing(wanted: Counter[str]) -> int:
    # Half of the stale ones are high, which is what `fail_on` is by default.
    return 1 if wanted["credential-stale"] else 0


# Offline, beside zizmor.


def zizmor() -> list[str]:
    """Its command line. Raises BenchError where it is not installed."""
    program = shutil.which("zizmor", path=str(Path(sys.executable).parent))
    if program is None:
        raise BenchError("zizmor is not installed: make venv")
    return [program, "--offline", "--quiet", "--format", "plain", "."]  # the fastest of its ways


def beside(
    world: World, root: Path, runs: int, right: Callable[[str, str], bool] = lambda *_: True
) -> dict[str, Summary]:
    """Both on the same tree, in turns; two rounds warm up. Raises BenchError unless each says the same every time.

    right: whether a program (by name) may say so, in the last line.
    """
    commands = {"keylease": ([*KEYLEASE, "audit", "--offline", "."], (0, 1)), "zizmor": (zizmor(), (0, 11, 12, 13, 14))}
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    said: dict[str, set[tuple[int, str]]] = {name: set() for name in commands}
    for turn in range(2 + runs):
        for name, (argv, codes) in commands.items():
            sample, text = world.run(argv, root, codes)
            line = summary(text)
            if not right(name, line):
                raise BenchError(f"{name} says {line!r}, which is not what was planted")
            said[name].add((sample.code, line))
            if turn >= 2:
                samples[name].append(sample)
    for name, each in said.items():
        if len(each) > 1:
            raise BenchError(f"{name} does not say the same every time: {sorted(each)}")
    return {name: Summary.of(taken) for name, taken in samples.items()}


def summary(text: str) -> str:
    """The last line of a report for people."""
    lines = text.split("\n")
    found = [line for line in lines if re.match(r"(?:[0-9]+ findings?|No findings)\b", line)]
    if not found:
        raise BenchError(f"the report has no summary\n{text[-500:]}")
    return found[-1]


def large(world: World, number: int, runs: int) -> dict[str, Summary]:
    """A generated repository of so many workflows."""
    root = world.directory / "large"
    tree.write(root, number)
    tell(f"{number} workflows, in turns with zizmor")
    wanted = tree.expected(number)
    world.audit(["--offline", "."], wanted, root, 0)
    broad, printed = wanted["workflow-permissions"], wanted["workflow-secret-printed"]

    def right(name: str, line: str) -> bool:
        if name == "zizmor":  # has no rule for the other
            return line.endswith(f", {broad} high")
        return re.match(rf"{broad} findings?: .*; {printed} hidden\b", line) is not None

    return beside(world, root, runs, right)


def own(world: World, runs: int) -> dict[str, Summary]:
    """This repository's files that git has; nothing where it is no checkout."""
    if not (ROOT / ".git").exists():
        return {}
    root = world.directory / "own"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(root)], check=True)
    tell("this repository, in turns with zizmor")
    return beside(world, root, runs)


# For people.

COLUMNS = (
    "permissions",
    "list secrets",
    "list variables",
    "environments",
    "deploy keys",
    "workflows",
    "workflow files",
)


def text_of(
    number: int, alone: Summary, runs: list[Run], offline: Mapping[str, Mapping[str, Summary]], about: Mapping[str, str]
) -> str:
    """All that was measured."""
    lines = ["audit", ", ".join(f"{name}: {value}" for name, value in about.items()), ""]
    lines.append(f"{number} repositories × {organization.SECRETS} secrets from a snapshot, {alone.runs} runs")
    lines.append(f"  {_row(alone)}")
    lines += ["", f"{'collected from the fake GitHub':32} {'wall s':>7} {'cpu s':>7} {'peak MiB':>8} {'requests':>9} "
              f"{'least':>7} {'304':>6}   " + "  ".join(COLUMNS)]  # fmt: skip
    for run in runs:
        counts = "  ".join(f"{run.requests[kind]:>{len(kind)}}" for kind in COLUMNS)
        lines.append(
            f"{run.name:32} {run.sample.wall:7.1f} {run.sample.cpu:7.1f} {run.sample.peak:8.0f} {run.total:9} "
            f"{run.least:7} {run.requests['304']:6}   {counts}"
        )
    for title, found in offline.items():
        lines += ["", f"offline: {title}, {found['keylease'].runs} runs in turns"]
        lines += [f"  {name:9} {_row(each)}" for name, each in found.items()]
        wall, peak = report.ratios(found["keylease"], found["zizmor"])
        lines.append(f"  keylease / zizmor: {wall:.2f} wall, {peak:.2f} peak")
        if "workflows" in title:
            lines.append(f"  target: wall ≤ {RATIO:.2f} × zizmor: {wall:.2f} {'met' if wall <= RATIO else 'MISSED'}")
    return "\n".join(lines)


def _row(each: Summary) -> str:
    wall, cpu = each.wall, each.cpu
    return (
        f"wall {wall.median * 1000:.0f} [{wall.low * 1000:.0f}–{wall.high * 1000:.0f}] ms  "
        f"cpu {cpu.median * 1000:.0f} [{cpu.low * 1000:.0f}–{cpu.high * 1000:.0f}] ms  peak {each.peak.median:.0f} MiB"
    )


def tell(what: str) -> None:
    """What goes on, for whoever waits."""
    print(f"bench: {what} …", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """0 when all was measured; 1 when a run did not do what was to be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.audit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repositories", type=int, default=1000, metavar="N", help="default: 1000")
    parser.add_argument(
        "--workflows", type=int, default=500, metavar="N", help="of the large repository (default: 500)"
    )
    parser.add_argument("--runs", type=int, default=9, metavar="N", help="of what takes under a second (default: 9)")
    parser.add_argument("--quick", action="store_true", help="50 repositories, 50 workflows, 3 runs")
    options = parser.parse_args(arguments)
    number, workflows, runs = options.repositories, options.workflows, options.runs
    if options.quick:
        number, workflows, runs = 50, 50, 3
    try:
        with World() as world:
            alone = judged(world, number, runs)
            taken = list(collected(world, number))
            offline = {f"{workflows} workflows": large(world, workflows, runs)}
            if mine := own(world, runs):
                offline["this repository"] = mine
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(text_of(number, alone, taken, offline, {**report.facts(platform.python_version()), "load": load}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

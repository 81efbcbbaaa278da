"""`python -m bench`: measure whole processes, cold, in turns, and say how we stand.

PEER_CMD='node …/dist/index.js' adds a peer, vault-action, run with the very same environment; PEER_AWS_CMD likewise
aws-actions/configure-aws-credentials.
"""

import argparse
import json
import shutil
import signal
import sys
from pathlib import Path

from bench import report
from bench.cases import OURS, Case, Command, Peers, cases, floors
from bench.container import measure as measure_container
from bench.layout import build
from bench.measure import BenchError, Launcher, Sample, Spread, Summary
from bench.world import World

SLOW_SECONDS = 5.0
"""A failing run that takes longer is not repeated: it tells the same each time."""
FAILING_RUNS = 3


def main(arguments: list[str] | None = None) -> int:
    """0 when all was measured; 1 when a run did not do what was to be measured."""
    options = _options(arguments)
    # Leave through the context managers when a CI system ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return _measure(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _options(arguments: list[str] | None) -> argparse.Namespace:
    names = [case.name for case in cases()]
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10, metavar="N", help="measured runs per command (default: 10)")
    parser.add_argument("--warm-ups", type=int, default=2, metavar="N", help="runs before, not counted (default: 2)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT",
        help=f"cases whose name contains it, may be repeated: {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="leave this command out")
    parser.add_argument(
        "--python", default=sys.executable, metavar="PATH", help="interpreter (with pip) to run ours on"
    )
    parser.add_argument("--container", action="store_true", help="also time the step as `podman run` of the image")
    parser.add_argument("--json", action="store_true", help="JSON instead of the table")
    options = parser.parse_args(arguments)
    if options.runs < 1 or options.warm_ups < 0:
        parser.error("--runs is at least 1, --warm-ups at least 0")
    if options.only and not _chosen(options.only):
        parser.error(f"--only matches none of: {', '.join(names)}")
    return options


def _chosen(only: list[str]) -> list[Case]:
    return [case for case in cases() if not only or any(text in case.name for text in only)]


def _measure(options: argparse.Namespace) -> int:
    peers = Peers.given()
    layout = build(options.python)
    chosen = _chosen(options.only)
    results: dict[str, dict[str, Summary]] = {}
    starts: dict[str, Spread] = {}
    with World() as world, Launcher() as launcher:
        idle = floors(layout, peers)
        floor = {name: list[Sample]() for name in idle}
        for turn in range(options.warm_ups + options.runs):
            for name, argv in idle.items():
                job = world.job({})
                sample = launcher.run(argv, {"PATH": job.env["PATH"]}, job.directory, job.out, job.err)
                shutil.rmtree(job.directory)
                if turn >= options.warm_ups:
                    floor[name].append(sample)
        results["floor"] = {name: Summary.of(samples) for name, samples in floor.items()}
        for case in chosen:
            print(f"bench: {case.name} …", file=sys.stderr, flush=True)
            found = [command for command in case.commands(layout, peers) if command.name not in options.without]
            results[case.name] = run_case(case, found, world, launcher, options.runs, options.warm_ups)
        if options.container:
            starts = measure_container(world, options.runs)
    about = report.facts(layout.version())
    if options.json:
        print(json.dumps(report.as_json(chosen, results, about, starts), indent=2, ensure_ascii=False))
    else:
        print(report.table(chosen, results, about, starts))
    return 0


def run_case(
    case: Case, found: list[Command], world: World, launcher: Launcher, runs: int, warm_ups: int
) -> dict[str, Summary]:
    """All commands in turns (A B C A B C …), so that a busy moment of the machine hits all alike.

    Raises BenchError when one did not do what is measured.
    """
    if case.fails or case.name == "one-503":
        runs, warm_ups = min(runs, FAILING_RUNS), min(warm_ups, 1)
    samples: dict[str, list[Sample]] = {command.name: [] for command in found}
    slow: set[str] = set()
    for turn in range(warm_ups + runs):
        for command in found:
            if command.name in slow:
                continue
            sample = _one(case, command, world, launcher)
            if sample.wall > SLOW_SECONDS:
                slow.add(command.name)
                samples[command.name] = [sample]
            elif turn >= warm_ups:
                samples[command.name].append(sample)
    return {name: Summary.of(taken) for name, taken in samples.items()}


def _one(case: Case, command: Command, world: World, launcher: Launcher) -> Sample:
    job = case.prepare(world)
    sample = launcher.run(
        command.argv(job), {**job.env, **command.env}, Path(job.env["GITHUB_WORKSPACE"]), job.out, job.err
    )
    try:
        if case.check is None:
            # The peer for AWS exports the region before it asks for a role.
            if sample.code == 0 or job.delivered().keys() - {"AWS_REGION", "AWS_DEFAULT_REGION"}:
                raise BenchError("it succeeded, but should not")
        elif sample.code == 0:
            case.check(world, job, command)
        elif case.name != "one-503" or command.name == OURS:
            # A failing peer is a result in that case only.
            raise BenchError(f"exit code {sample.code}")
    except BenchError as error:
        raise BenchError(f"{case.name}: {command.name}: {error}\n{world.shown(job)}") from None
    finally:
        shutil.rmtree(job.directory)
    return sample


if __name__ == "__main__":
    sys.exit(main())

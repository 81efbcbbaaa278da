"""`keylease scan`: find values that the job's manager has where they must not be."""

import argparse
import datetime as dt
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from keylease.auditing import FILE_NAME, Asked, Outcome, policy_of
from keylease.errors import ExitCode, PartialError, UsageError
from keylease.gathering import Gathered, Run, hand_over, output_of
from keylease.model import Plan
from keylease.outputs import console
from keylease.outputs.workspace import WorkspaceFile
from keylease.pipelines.audit import judge
from keylease.pipelines.scan import Findings, Search
from keylease.pipelines.scan_files import artifacts, files_below, one_file
from keylease.registry import RULES
from keylease.secret import Secret

if TYPE_CHECKING:
    from keylease.context import Context
    from keylease.pipelines.lease import LeaseRun

RULE = "leaked-secret"

_NAMED = 20


def scan(options: argparse.Namespace, run: Run) -> int:
    """Run the command; returns the exit code. Raises :class:`KeyleaseError`."""
    config = options.config or run.env.get("KEYLEASE_CONFIG") or (FILE_NAME if Path(FILE_NAME).is_file() else "")
    paths = [Path(each) for each in options.paths or ([] if options.artifacts and not options.history else ["."])]
    made = [Path(each) for each in options.artifacts]
    for path in (*paths, *made):
        if not path.exists():
            raise UsageError(f"scan: there is no file or directory {str(path)!a}", docs="scan")
    file = output_of(options)
    found = Findings(run.masker.scrub)
    search = _search(options, run, config, found)
    for label in search.unchecked:
        found.problem(
            f"{label}: the value is too short or too common to be told apart, and was not looked for",
            "use a longer secret",
        )
    for path in paths:
        _look(path, search, found, history=options.history)
    for path in made:
        artifacts(path, search, found)
    run.log.info("%s files and objects looked through", search.looked)
    if search.left_out:
        more = f" and {len(search.left_out) - _NAMED} more" if len(search.left_out) > _NAMED else ""
        named = console.one_line(", ".join(search.left_out[:_NAMED]), 1000)
        run.log.info("parts that are no secret by their name or look were not looked for: %s%s", named, more)
    return _report(options, run, found, config, search.looked, file)


def _look(path: Path, search: Search, found: Findings, *, history: bool) -> None:
    if path.is_dir():
        shown = _from_here(path)
        files_below(path.resolve(), "" if shown == "." else f"{shown.rstrip('/')}/", search, found)
    else:
        one_file(path.resolve(), _from_here(path), search, found)
    if history:
        from keylease.pipelines.scan_git import history as look_back

        look_back(path.resolve() if path.is_dir() else path.resolve().parent, search, found)


def _from_here(path: Path) -> str:
    """As it is called from the working directory, whoever calls it otherwise: findings keep their subjects."""
    absolute, here = path.resolve(), Path.cwd()
    return (absolute.relative_to(here) if absolute.is_relative_to(here) else path).as_posix()


def _search(options: argparse.Namespace, run: Run, config: str, found: Findings) -> Search:
    from keylease.config.known import seal_file, seal_variables

    values: dict[bytes, str] = {}

    def seal(value: str | bytes, label: str) -> Secret:
        secret = run.masker.seal(value, label)
        values.setdefault(secret.reveal_bytes(), label)
        return secret

    seal_variables(options.env, run.env, seal, "--env")
    for path in options.secrets_files:
        seal_file(path, seal, lambda text: run.log.warning("%s", text))
    if config and not options.no_leases:
        _read_leases(config, run, values)
    if options.sync:
        _read_sync(config, run, values, found)
    if not values and not found.inventory.problems:
        raise UsageError(
            "scan: there is nothing to look for",
            cause="finding nothing would look as if all were clean",
            change="name the values: --env NAME, --secrets-file FILE, `leases:` of keylease.yml, its `sync:` by --sync",
            docs="scan",
        )
    return Search(values)


@contextmanager
def _leasing(plan: Plan, run: Run) -> "Iterator[tuple[Context, LeaseRun]]":
    """By the job's identity; nothing is exported, and all is given back."""
    from keylease.context import Context
    from keylease.http import Deadline
    from keylease.identity.source import IdentitySource
    from keylease.pipelines.lease import LeaseRun

    context = Context(run.env, run.masker, Deadline.with_reserve(plan.deadline), run.log)
    tokens = IdentitySource(context, plan.identity_variables)
    leasing = LeaseRun(plan, context, tokens, run.remember, hold=run.signals.hold)
    try:
        yield context, leasing
    finally:
        leasing.abandon()
        context.http.close()


def _read_leases(config: str, run: Run, values: dict[bytes, str]) -> None:
    """What `leases:` reads."""
    from keylease.config import load_file

    plan = load_file(config, run.env)
    plan = replace(plan, uses=[])  # what is made for this job can't have leaked before
    if not plan.deliveries:
        return
    with _leasing(plan, run) as (_, leasing):
        taken = leasing.take()
        for warning in taken.warnings:
            run.log.warning("%s", warning)
        for export in taken.exports:
            value = export.value.reveal_bytes()
            if value.strip():
                values.setdefault(value, f"{export.source} ({export.name})" if export.name else export.source)


def _read_sync(config: str, run: Run, values: dict[bytes, str], found: Findings) -> None:
    """What `sync:` reads, all that its patterns match. No target is asked, and none need be known."""
    from keylease.config import load_sources
    from keylease.pipelines.sync_sources import read_sources

    if not config:
        raise UsageError("scan: --sync needs a keylease.yml with `sync:`", change="name it: --config FILE", docs="scan")
    plan, sources = load_sources(config, run.env)
    with _leasing(plan, run) as (context, leasing):
        leasing.open([each.read.provider for those in sources.values() for each in those])
        read = read_sources(sources, context, leasing)
    for note in read.notes:
        run.log.warning("%s", note)
    for error in read.failures:
        found.problem(f"{error.summary}: its values were not looked for", error.change)
    for named in [each for those in read.values.values() for each in those]:
        value = named.value.reveal_bytes()
        if value.strip():
            values.setdefault(value, named.source)


def _report(
    options: argparse.Namespace, run: Run, found: Findings, config: str, looked: int, file: WorkspaceFile | None
) -> int:
    plan, policy = policy_of(Asked(config=config))
    inventory = found.inventory
    policy = replace(policy, fail_on="info", off=frozenset(), persona="auditor", severities={})
    verdict = judge(inventory, [RULES.load(RULE)()], policy)
    verdict.checked, verdict.judged = {RULE: looked}, looked
    from keylease.audit.policy import sort

    # Whether waivers of other rules cover anything is the audit's to judge.
    others = [name for name in RULES if name != RULE]
    today = dt.datetime.now(dt.UTC).date()
    judged = sort(verdict.findings, policy, today, plan.source or FILE_NAME, others)
    outcome = Outcome(plan, policy, Gathered(inventory), verdict, judged, [RULE])
    colour = options.format == "table" and not options.output and console.colour_wanted(sys.stdout, run.env)
    hand_over(outcome.report(options.format, colour=colour), file, run)
    if judged.failing:
        return ExitCode.FINDINGS
    if not looked and not inventory.problems:
        raise PartialError(
            "scan: there was nothing to look through",
            cause="the directory has no file that git tracks or would add",
            change="name what is to be scanned: keylease scan PATH, --artifacts DIR",
            docs="scan",
        )
    if inventory.problems:
        number = len(inventory.problems)
        raise PartialError(
            f"scan: {number} thing{'' if number == 1 else 's'} could not be looked at, each named in the report",
            change="let them be read, or scan what can be by itself",
            docs="scan",
        )
    return ExitCode.OK

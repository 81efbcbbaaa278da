"""`keylease sync`: plan, apply and adopt."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.json import format as format_json
from msgspec.structs import replace

from keylease.config.values import shard_of
from keylease.context import Context
from keylease.errors import DeadlineError, ExitCode, KeyleaseError, OutdatedError, PartialError, UsageError, can_not
from keylease.identity.source import IdentitySource
from keylease.model import Env, Revocation
from keylease.outputs import console
from keylease.outputs.progress import ProgressLine
from keylease.outputs.sync_report import FORMAT, Report, Section, as_json, as_markdown, as_table
from keylease.outputs.workspace import WorkspaceFile
from keylease.pipelines.lease import LeaseRun
from keylease.pipelines.renew import Renewer
from keylease.pipelines.signals import Signals
from keylease.pipelines.sync import PlacePlan, Planned, Sync, SyncPlan, SyncRun
from keylease.pipelines.sync_apply import Applied, apply
from keylease.pipelines.sync_sources import Progress
from keylease.sync.model import Change

_MAX_PLAN = 64 * 1024 * 1024
_NAMED = 20


class Request(Struct, frozen=True):
    """What is asked for, on the command line or by the action's inputs.

    plan: path of a plan to hold to. names: to adopt. check: a difference is exit code 1. prefix: of what the user calls
    these, `--plan` or the input `sync-plan`.
    """

    command: str
    shard: str = ""
    only: Sequence[str] = ()
    names: Sequence[str] = ()
    plan: str = ""
    check: bool = False
    prefix: str = "--"


class Outcome(Struct):
    """report: what was planned. applied: what was done of it; None for a plan."""

    report: Report
    planned: Planned
    applied: Applied | None = None


def sync(
    plan: SyncPlan, context: Context, options: argparse.Namespace, env: Env, log: logging.Logger, signals: Signals
) -> int:
    """`keylease sync`; returns the exit code. Raises :class:`KeyleaseError`."""
    request = Request(
        options.sync_command,
        options.shard or "",
        options.only,
        getattr(options, "names", ()),
        getattr(options, "plan", None) or "",
        getattr(options, "check", False),
    )
    bar = ProgressLine(env, log, quiet=options.quiet)
    try:
        outcome = carried_out(plan, context, request, signals, bar)
    finally:
        bar.clear()
    _show(outcome.report, options, env)
    return verdict(outcome, request, log, debug=options.debug)


def carried_out(
    plan: SyncPlan,
    context: Context,
    request: Request,
    signals: Signals,
    progress: Progress = lambda *_: None,
    remember: Callable[[Sequence[Revocation]], None] = lambda _: None,
) -> Outcome:
    """Do what `request` says. Raises :class:`KeyleaseError` for what makes all of it impossible.

    remember: told of all leases as soon as there is one, and in the end of those that could not be given back.
    """
    old = _read_plan(request.plan, request.prefix) if request.plan else None
    shard = (old["shard"][0], old["shard"][1]) if old else shard_of(request.shard, request.prefix, "sync-shard")
    if old and request.shard and shard_of(request.shard, request.prefix, "sync-shard") != shard:
        raise UsageError(
            f"{request.prefix}shard: the plan is of part {shard[0]}/{shard[1]}",
            change="leave it out: the plan says which part it is of",
            docs="sync-shard",
        )
    adopt = list(old["adopt"]) if old else list(request.names)
    only = list(old["only"]) if old and not request.only else list(request.only)
    plan = _narrowed(plan, only, adopt)
    tokens = IdentitySource(context, plan.plan.identity_variables)
    lease = LeaseRun(plan.plan, context, tokens, remember, signals.hold)
    run = SyncRun(plan, context, lease, shard=shard, progress=progress)
    try:
        planned = run.planned()
        report = _report(planned, run, shard, adopt, only)
        if request.command == "plan":
            return Outcome(report, planned)
        if request.command == "adopt":
            _must_be_wanted(request.names, planned)
        if old:
            _must_hold(old, report)
        with Renewer(lease.renewals, context, restart=False):  # a target's token may end with the lease it was read by
            applied = apply(planned, run.targets, run.keys, context, progress, _taken_over(plan))
        return Outcome(report, planned, applied)
    finally:
        try:
            remember(lease.abandon())
        finally:
            for target in run.targets.values():
                target.close()
            context.http.close()


def _narrowed(plan: SyncPlan, only: Sequence[str], adopt: Sequence[str]) -> SyncPlan:
    known = [each.name for each in plan.syncs]
    for name in only:
        if name not in known:
            raise UsageError(
                f"--only: there is no sync {name!a}", change=f"use one of: {', '.join(known)}", docs="sync-target"
            )
    syncs = [each for each in plan.syncs if not only or each.name in only]
    return replace(plan, syncs=[_adopting(each, adopt) for each in syncs] if adopt else syncs)


def _adopting(sync: Sync, names: Sequence[str]) -> Sync:
    if sync.policy.adopt is True:
        return sync
    more = frozenset(names) | (frozenset() if sync.policy.adopt is False else sync.policy.adopt)
    return replace(sync, policy=replace(sync.policy, adopt=more))


def _taken_over(plan: SyncPlan) -> Any:
    all_of = {each.name for each in plan.syncs if each.policy.adopt is True}
    return lambda place: place.sync in all_of


# Reports.


def _report(
    planned: Planned, run: SyncRun, shard: tuple[int, int], adopt: Sequence[str], only: Sequence[str]
) -> Report:
    sections = [
        Section(
            place.sync,
            place.address,
            place.changes,
            place.error.summary if place.error else "",
            "" if place.error else place.fingerprint(run.keys),
        )
        for place in planned.places
    ]
    return Report(sections, [error.summary for error in planned.failures], shard, adopt, only)


def _show(report: Report, options: argparse.Namespace, env: Env) -> None:
    if options.format == "json":
        # The encoder's own `indent` is written in Python: with 10,000 values it took a fifth of the run.
        text = format_json(json.dumps(as_json(report)), indent=2) + "\n"
    elif options.format == "markdown":
        text = as_markdown(report)
    else:
        colour = not options.output and console.colour_wanted(sys.stdout, env)
        text = as_table(report, colour=colour, everything=options.all)
    if options.output:
        WorkspaceFile.named(options.output, "--output", "sync-plan").write(text)
    else:
        console.emit(sys.stdout, text)


def verdict(outcome: Outcome, request: Request, log: logging.Logger, *, debug: bool = False) -> int:
    """The exit code, with every failure in the log. Raises :class:`PartialError`."""
    planned, applied = outcome.planned, outcome.applied
    told = _Told(debug=debug)
    for failed in applied.failed if applied else ():
        what = f"{failed.place.address}: {failed.change.slot}: " if failed.change else f"{failed.place.address}: "
        what = "" if f"{failed.place.address}: " in failed.error.summary else what
        log.error("%s%s", what, told(failed.error))
    for note in planned.notes:
        log.warning("%s", note)
    late = [error for error in planned.problems if isinstance(error, DeadlineError)]
    for error in [*(each for each in planned.problems if not isinstance(each, DeadlineError)), *late[:1]]:
        log.error("%s", told(error))
    if len(late) > 1:
        log.error("%s more could not be asked for in time", len(late) - 1)
    for name, least in planned.permissions.items():
        log.error("target %s: the least that its credential needs for what is declared: %s", name, "; ".join(least))
    blocked = [(place, each) for place in planned.places for each in place.changes if each.action == "blocked"]
    if applied is None:
        if planned.problems:
            what, change = "could not be read, each named above; the rest is planned", "mend them and plan again"
            raise _partial(len(planned.problems), what, change)
        return ExitCode.FINDINGS if request.check and not planned.in_line else ExitCode.OK
    for (address, reason), names in _by_reason(blocked).items():
        log.error("%s: %s: %s", address, names, reason)
    done = len(applied.done)
    log.info("%s change%s carried out", done, "" if done == 1 else "s")
    number = len(applied.failed) + len(blocked) + len(planned.problems)
    left = len(applied.left)
    if number:
        rest = f"{left} more were not begun: the deadline came first" if left else "the rest is done"
        raise _partial(number, f"failed, each named above; {rest}")
    if left:
        raise PartialError(
            f"sync: {left} of {left + done} changes are left: the deadline came first",
            cause="platforms take about one write a second",
            change="run it again: it carries on where this one ended; or give it more time (`deadline` of `settings`)",
            docs="sync-partial",
        )
    return ExitCode.OK


def failures(outcome: Outcome) -> list[str]:
    """What of the plan was not done, one line each."""
    applied = outcome.applied
    if applied is None:
        return []
    failed = [
        f"{each.place.address}: {f'{each.change.slot}: ' if each.change else ''}{each.error.summary}"
        for each in applied.failed
    ]
    return [*failed, *(f"{place.address}: {change.slot}: not begun in time" for place, change in applied.left)]


def _partial(
    number: int, what: str, change: str = "mend them and run it again: what is done already is not done twice"
) -> PartialError:
    return PartialError(f"sync: {number} item{'' if number == 1 else 's'} {what}", change=change, docs="sync-partial")


def _by_reason(blocked: Sequence[tuple[PlacePlan, Change]]) -> Mapping[tuple[str, str], str]:
    """{(address, reason): the names it is the reason for}: one ledger that is lost blocks all that it held."""
    found: dict[tuple[str, str], list[str]] = {}
    for place, change in blocked:
        found.setdefault((place.address, change.reason), []).append(str(change.slot))
    return {
        key: ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        for key, names in found.items()
    }


class _Told:
    """An error's whole story; of one that has the same cause and remedy as an earlier one the first line only."""

    def __init__(self, *, debug: bool) -> None:
        self._debug = debug
        self._seen: set[tuple[str, str, str, str]] = set()

    def __call__(self, error: KeyleaseError) -> str:
        key = error.cause, error.change, error.docs, str(error.claims)
        if key in self._seen and error.change and not self._debug:
            return f"{error.summary} (cause and change: as above)"
        self._seen.add(key)
        return error.diagnostics(debug=self._debug)


# Plans in files.


def _read_plan(path: str, prefix: str = "--") -> Mapping[str, Any]:
    try:
        with Path(path).open("rb") as file:
            data = json.loads(file.read(_MAX_PLAN))
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError
        shard, places = data["shard"], data["places"]
        ok = len(shard) == 2 and all(isinstance(each, int) for each in shard)
        ok = ok and 1 <= shard[0] <= shard[1]
        ok = ok and all(isinstance(each, str) for each in [*data["adopt"], *data["only"]])
        ok = ok and all(isinstance(each[key], str) for each in places for key in ("sync", "address", "fingerprint"))
        if not ok:
            raise ValueError
    except OSError as error:
        raise can_not("read", path, error, "sync-plan", part=f"{prefix}plan") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"{prefix}plan: {path!r} is no plan of this version of Keylease",
            change="make one: keylease sync plan --format json --output FILE",
            docs="sync-plan",
        ) from None
    return data


def _must_be_wanted(names: Sequence[str], planned: Planned) -> None:
    wanted = {each.slot.name for place in planned.places for each in place.wanted}
    unknown = [name for name in names if name not in wanted]
    if unknown and not planned.problems:
        raise UsageError(
            f"sync adopt: no sync of the file wants {', '.join(map(ascii, unknown))}",
            cause="names are as they are at the target, with their case",
            change="`keylease sync plan` shows them; nothing has been written",
            docs="sync-target",
        )


def _must_hold(old: Mapping[str, Any], now: Report) -> None:
    then = {(each["sync"], each["address"]): each["fingerprint"] for each in old["places"]}
    found = {(section.sync, section.address): section.fingerprint for section in now.sections}
    changed = sorted(str(key[1]) for key in then.keys() | found.keys() if then.get(key) != found.get(key))
    if changed:
        shown = ", ".join(console.one_line(each, 200) for each in changed[:5])
        raise OutdatedError(
            f"sync: the plan is out of date at {len(changed)} place{'' if len(changed) == 1 else 's'}: {shown}",
            cause="it was applied, or a source, target, the configuration or the ledger has changed since it was made",
            change="make a new plan, look at it, and apply that one; nothing has been written",
            docs="sync-outdated",
        )

"""`keylease sync`: plan, apply and adopt."""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from keylease.context import Context
from keylease.errors import ExitCode, KeyleaseError, OutdatedError, PartialError, UsageError
from keylease.identity.source import IdentitySource
from keylease.model import Env
from keylease.outputs import console
from keylease.outputs.sync_report import FORMAT, Report, Section, as_json, as_markdown, as_table
from keylease.pipelines.lease import LeaseRun
from keylease.pipelines.signals import Signals
from keylease.pipelines.sync import Planned, Sync, SyncPlan, SyncRun
from keylease.pipelines.sync_apply import Applied, apply

_MAX_PLAN = 64 * 1024 * 1024


def sync(
    plan: SyncPlan, context: Context, options: argparse.Namespace, env: Env, log: logging.Logger, signals: Signals
) -> int:
    """Run `sync plan`, `sync apply` or `sync adopt`; returns the exit code. Raises :class:`KeyleaseError`."""
    command: str = options.sync_command
    old = _read_plan(options.plan) if command == "apply" and options.plan else None
    shard = tuple(old["shard"]) if old else _shard(options.shard)
    adopt = list(old["adopt"]) if old else list(options.names) if command == "adopt" else []
    plan = _narrowed(plan, options.only, adopt)
    tokens = IdentitySource(context, plan.plan.identity_variables)
    lease = LeaseRun(plan.plan, context, tokens, hold=signals.hold)
    bar = _Progress(env, quiet=options.quiet)
    try:
        run = SyncRun(plan, context, lease, shard=(shard[0], shard[1]), progress=bar)
        planned = run.planned()
        bar.clear()
        report = _report(planned, run, (shard[0], shard[1]), adopt)
        if command == "plan":
            _show(report, options, env)
            return _verdict_of_plan(planned, options, log)
        if old:
            _must_hold(old, report)
        applied = apply(planned, run.targets, run.keys, context, bar, _taken_over(plan))
        bar.clear()
        _show(report, options, env)
        return _verdict(planned, applied, log)
    finally:
        bar.clear()
        lease.abandon()
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


def _shard(text: str | None) -> tuple[int, int]:
    if not text:
        return 1, 1
    which, _, of = text.partition("/")
    if which.isdigit() and of.isdigit() and len(of) < 6 and 1 <= int(which) <= int(of):
        return int(which), int(of)
    raise UsageError("--shard: must be like 1/4: which, of how many", docs="sync-shard")


# Reports.


def _report(planned: Planned, run: SyncRun, shard: tuple[int, int], adopt: Sequence[str]) -> Report:
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
    return Report(sections, [error.summary for error in planned.failures], shard, adopt)


def _show(report: Report, options: argparse.Namespace, env: Env) -> None:
    if options.format == "json":
        text = json.dumps(as_json(report), indent=2) + "\n"
    elif options.format == "markdown":
        text = as_markdown(report)
    else:
        colour = not options.output and console.colour_wanted(sys.stdout, env)
        text = as_table(report, colour=colour, everything=options.all)
    if options.output:
        try:
            Path(options.output).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--output: can't write {options.output!r}: {error.strerror}", docs="sync-plan") from None
    else:
        console.emit(sys.stdout, text)


def _verdict_of_plan(planned: Planned, options: argparse.Namespace, log: logging.Logger) -> int:
    _told(planned.problems, log, options)
    if planned.problems:
        return ExitCode.PARTIAL
    return ExitCode.FINDINGS if options.check and not planned.in_line else ExitCode.OK


def _verdict(planned: Planned, applied: Applied, log: logging.Logger) -> int:
    for failed in applied.failed:
        what = f"{failed.place.address}: {failed.change.slot}: " if failed.change else f"{failed.place.address}: "
        log.error("%s%s", what, failed.error.diagnostics())
    _told(planned.problems, log, None)
    blocked = [(place, each) for place in planned.places for each in place.changes if each.action == "blocked"]
    for place, change in blocked:
        log.error("%s: %s: %s", place.address, change.slot, change.reason)
    done = len(applied.done)
    log.info("%s change%s carried out", done, "" if done == 1 else "s")
    number = len(applied.failed) + len(blocked) + len(planned.problems)
    if not number:
        return ExitCode.OK
    raise PartialError(
        f"sync: {number} item{'' if number == 1 else 's'} failed, each named above; the rest is done",
        change="mend them and run it again: what is done already is not done twice",
        docs="sync-partial",
    )


def _told(errors: Sequence[KeyleaseError], log: logging.Logger, options: argparse.Namespace | None) -> None:
    for error in errors:
        log.error("%s", error.diagnostics(debug=bool(options and options.debug)))


# Plans in files.


def _read_plan(path: str) -> Mapping[str, Any]:
    try:
        with Path(path).open("rb") as file:
            data = json.loads(file.read(_MAX_PLAN))
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError
        shard, adopt, places = data["shard"], data["adopt"], data["places"]
        ok = len(shard) == 2 and all(isinstance(each, int) for each in shard)
        ok = ok and 1 <= shard[0] <= shard[1] and all(isinstance(each, str) for each in adopt)
        ok = ok and all(isinstance(each["fingerprint"], str) and isinstance(each["address"], str) for each in places)
        if not ok:
            raise ValueError
    except OSError as error:
        raise UsageError(f"--plan: can't read {path!r}: {error.strerror}", docs="sync-plan") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"--plan: {path!r} is no plan of this version of Keylease",
            change="make one: keylease sync plan --format json --output FILE",
            docs="sync-plan",
        ) from None
    return data


def _must_hold(old: Mapping[str, Any], now: Report) -> None:
    then = {(each.get("sync"), each["address"]): each["fingerprint"] for each in old["places"]}
    found = {(section.sync, section.address): section.fingerprint for section in now.sections}
    changed = sorted(str(key[1]) for key in then.keys() | found.keys() if then.get(key) != found.get(key))
    if changed:
        shown = ", ".join(console.one_line(each, 200) for each in changed[:5])
        raise OutdatedError(
            f"sync: the plan is out of date at {len(changed)} place{'' if len(changed) == 1 else 's'}: {shown}",
            cause="a source, a target, the configuration or the ledger has changed since it was made",
            change="make a new plan, look at it, and apply that one; nothing has been written",
            docs="sync-outdated",
        )


class _Progress:
    """A line that is written over, on a terminal; silent elsewhere."""

    def __init__(self, env: Env, *, quiet: bool) -> None:
        self._stream = sys.stderr if sys.stderr.isatty() and not quiet and env.get("TERM") != "dumb" else None
        self._shown = False

    def __call__(self, what: str, done: int, of: int) -> None:
        if self._stream and of > 1:
            console.emit(self._stream, f"\r\x1b[K{what}: {done} of {of}")
            self._shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self._stream and self._shown:
            console.emit(self._stream, "\r\x1b[K")
            self._shown = False

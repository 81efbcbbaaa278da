"""What an audit judges: files, what `collect:` of keylease.yml names, snapshots. And `keylease audit collect`."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from keylease.audit.model import Inventory, Location
from keylease.config.values import deadline_of, shard_of
from keylease.errors import ExitCode, KeyleaseError, PartialError, UsageError, can_not
from keylease.model import Env, Revocation
from keylease.outputs import console
from keylease.outputs.workspace import WorkspaceFile

if TYPE_CHECKING:
    from keylease.masking import Masker
    from keylease.pipelines.signals import Signals

_MAX_SNAPSHOT = 512 * 1024 * 1024
_OLD = 7
"""Days after which a snapshot's age is told."""


class Wanted(Struct, frozen=True):
    """What to judge. path: of files; empty for none. online: what `collect:` names. snapshots: files of inventories.

    config: keylease.yml, if there is one. deadline: of all collecting; empty for the file's. prefix: of what the user
    calls these.
    """

    path: str = "."
    online: bool = True
    snapshots: Sequence[str] = ()
    config: str = ""
    skip: Sequence[str] = ()
    shard: str = ""
    deadline: str = ""
    prefix: str = "--"


class Run(Struct, frozen=True):
    """What all commands are handed. remember: of leases that are held, for whoever comes after a kill."""

    env: Env
    log: logging.Logger
    masker: "Masker"
    signals: "Signals"
    quiet: bool = False
    remember: Callable[[Sequence[Revocation]], None] = lambda _: None


class Gathered(Struct):
    """failures: of what could not be asked at all. place: of files, for people. shard: of the inventory."""

    inventory: Inventory = field(default_factory=Inventory)
    failures: list[KeyleaseError] = field(default_factory=list)
    place: str = ""
    shard: tuple[int, int] = (1, 1)


def gather(wanted: Wanted, run: Run) -> Gathered:
    """All of it. Raises :class:`KeyleaseError`; what one vendor refuses is a problem in the inventory."""
    deadline = deadline_of(wanted.deadline, wanted.prefix)
    found = Gathered(shard=shard_of(wanted.shard, wanted.prefix, "audit-collect"))
    if wanted.snapshots:
        found.inventory = _snapshots(wanted.snapshots, run.log, wanted.prefix)
        found.failures += [KeyleaseError(text, docs="audit-collect") for text in found.inventory.failed]
    if wanted.path and found.shard[0] == 1:
        files, found.place = files_of(wanted.path, wanted.skip)
        found.inventory.add(files)
    if wanted.online and wanted.config:
        _online(wanted, run, found, deadline)
    return found


def _online(wanted: Wanted, run: Run, found: Gathered, deadline: float | None) -> None:
    from keylease.config.keyleasefile import load_inventory

    plan = load_inventory(Path(wanted.config), run.env)
    if not plan.collects:
        return
    from keylease.context import Context
    from keylease.http import Deadline
    from keylease.identity.source import IdentitySource
    from keylease.outputs.progress import ProgressLine
    from keylease.pipelines.inventory import InventoryRun

    if deadline is not None:
        plan = replace(plan, plan=replace(plan.plan, deadline=deadline))
    context = Context(run.env, run.masker, Deadline.with_reserve(plan.plan.deadline), run.log)
    bar = ProgressLine(run.env, run.log, quiet=run.quiet)
    try:
        collected = InventoryRun(
            plan,
            context,
            IdentitySource(context, plan.plan.identity_variables),
            hold=run.signals.hold,
            remember=run.remember,
            shard=found.shard,
            progress=bar,
        ).collected()
    finally:
        bar.clear()
        context.http.close()
    found.inventory.add(collected.inventory)
    found.failures += collected.failures


def files_of(given: str, skip: Sequence[str]) -> tuple[Inventory, str]:
    """What the files of a directory, or one file, hold; and the place, for people. Raises :class:`UsageError`."""
    from keylease.audit.collectors.files import collect

    path = Path(given)
    try:
        if path.is_dir():
            root, here = path.resolve(), Path.cwd()
            found = collect(root, skipped=skip)
            # A checkout of its own has its own paths.
            if root != here and root.is_relative_to(here) and not (root / ".git").exists():
                _below(found, root.relative_to(here).as_posix())
            return found, given
        if path.is_file() or path.is_symlink():
            # Paths are those of the working directory, as in the platforms' reports.
            absolute, here = path.parent.resolve() / path.name, Path.cwd()
            root = here if absolute.is_relative_to(here) else absolute.parent
            return collect(root, [absolute.relative_to(root).as_posix()]), given
    except (OSError, ValueError):
        pass
    raise UsageError(
        f"audit: there is no file or directory {given!a}",
        cause="the path is relative to the working directory, or the repository is not checked out yet",
        change="keylease audit PATH",
        docs="audit",
    )


def _below(inventory: Inventory, prefix: str) -> None:
    """Make paths those of the working directory, as the platforms' reports want them."""

    def moved(location: Location | None) -> Location | None:
        return location and replace(location, path=f"{prefix}/{location.path}")

    for number, record in enumerate(inventory.records):
        rest = record.subject.removeprefix("file://")
        inventory.records[number] = replace(record, subject=f"file://{prefix}/{rest}", location=moved(record.location))
    inventory.problems = [replace(each, location=moved(each.location)) for each in inventory.problems]


# Snapshots.


def _snapshots(paths: Sequence[str], log: logging.Logger, prefix: str) -> Inventory:
    import datetime as dt

    from keylease.audit.snapshot import Snapshot, SnapshotError, is_old, loads, merged

    found: list[tuple[str, Snapshot]] = []
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                text = file.read(_MAX_SNAPSHOT + 1)
            if len(text) > _MAX_SNAPSHOT:
                raise SnapshotError(f"it is larger than {_MAX_SNAPSHOT // 1024 // 1024} MiB")
            found.append((path, loads(text)))
        except OSError as error:
            raise can_not("read", path, error, "audit-collect", part=f"{prefix}inventory") from None
        except SnapshotError as error:
            raise UsageError(
                f"{prefix}inventory: {path!a}: {error}",
                change="make it: keylease audit collect --output FILE",
                docs="audit-collect",
            ) from None
    inventory = merged(found)
    for path, snapshot in found:
        days = is_old(snapshot.inventory, dt.datetime.now(dt.UTC))
        if days >= _OLD:
            log.warning("%s was collected %s days ago: ages are of then", console.one_line(path), days)
    return inventory


def collect(options: argparse.Namespace, run: Run, skip: Sequence[str], config: str) -> int:
    """`keylease audit collect`: the inventory as a file. Raises :class:`KeyleaseError`."""
    path = "" if options.no_files else options.path
    wanted = Wanted(path, config=config, skip=skip, shard=options.shard or "", deadline=options.deadline or "")
    file = output_of(options)
    return snapshot(wanted, run, lambda text: hand_over(text, file, run))


def output_of(options: argparse.Namespace) -> WorkspaceFile | None:
    """The file that ``--output`` names, if any; to be asked for before long work. Raises :class:`UsageError`."""
    return WorkspaceFile.named(options.output, "--output", "audit") if options.output else None


def hand_over(text: str, file: WorkspaceFile | None, run: Run) -> None:
    """Write a report or snapshot to its file, else print it. Raises :class:`UsageError`.

    No value should be in one; one that a vendor's answer or a file brought in all the same is hidden.
    """
    text = run.masker.scrub(text)
    if file is None:
        console.emit(sys.stdout, text)
    else:
        file.write(text)


def _plan_of(wanted: Wanted) -> str:
    """What stands for keylease.yml: parts of one inventory are collected by the same."""
    if not wanted.config:
        return ""
    import hashlib

    from keylease.config.keyleasefile import read

    return hashlib.sha256(read(Path(wanted.config))).hexdigest()[:16]


def snapshot(wanted: Wanted, run: Run, write: Callable[[str], None]) -> int:
    """Hand the inventory's text to `write`; returns the exit code. Raises :class:`KeyleaseError`."""
    from keylease.audit.snapshot import dumps

    found = gather(wanted, run)
    write(dumps(found.inventory, found.shard, _plan_of(wanted)))
    inventory = found.inventory
    for problem in inventory.problems[:20]:
        run.log.warning("not collected: %s", console.one_line(f"{problem.kind}: {problem.what}", 500))
    more = len(inventory.problems) - 20
    if more > 0:
        run.log.warning("… and %s more, each in the snapshot", more)
    records = len(inventory.records)
    run.log.info("%s thing%s of %s kinds collected", records, "" if records == 1 else "s", len(inventory.kinds))
    if found.failures:
        raise not_asked(found.failures)
    return ExitCode.OK


def not_asked(failures: Sequence[KeyleaseError]) -> PartialError:
    """The error for vendors that could not be asked at all: that is never passed over, whatever the policy says."""
    error = PartialError(
        f"audit: {len(failures)} item{'' if len(failures) == 1 else 's'} of `collect:` could not be collected",
        cause="each is named below; the rules that need it were not checked",
        change="mend it, or take it out of `collect:`",
        docs="audit-collect",
    )
    error.also = list(failures)
    return error

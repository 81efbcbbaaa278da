"""Carry a plan out, so that a run that ends anywhere leaves a state from which the next one carries on.

At each place: the ledger says first what is about to be written, then come the writes, then the deletes, then the
ledger says what is there now. A slot whose write has no recorded end is written again by the next run.
"""

import itertools
import threading
import time
from collections.abc import Callable, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from keylease.context import Context
from keylease.deadline import Deadline
from keylease.errors import DeadlineError, KeyleaseError, NotFoundError, OutdatedError, RefusedError, UsageError
from keylease.parallel import parallel
from keylease.pipelines.sync import PlacePlan, Planned
from keylease.pipelines.sync_sources import Progress
from keylease.sync.ledger import Keys, claimed
from keylease.sync.model import ABSENT, Change, Entry, Listing, Slot, Wanted
from keylease.targets.base import Place, Target

FRESH = 15.0
"""Seconds that a listing is believed. A run may write for hours, and PUT replaces what somebody made since its plan."""

LAST_WRITES = 5.0
"""Seconds that a run which is stopped waits for the write under way and the ledger; kept of the deadline for that."""


class Failed(Struct, frozen=True):
    """One change that could not be carried out."""

    place: PlacePlan
    change: Change | None
    error: KeyleaseError


class Applied(Struct):
    """What was done. done: of each place, the changes that were carried out.

    left: those that were not begun, since the deadline came first: the next run carries on there.
    """

    done: list[tuple[PlacePlan, Change]] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    left: list[tuple[PlacePlan, Change]] = field(default_factory=list)


class _Stop(threading.Event):
    """Set by a signal; and when the deadline is so near that what has been written must be noted now."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline
        self._spare = min(LAST_WRITES, deadline.seconds / 10)

    def is_set(self) -> bool:
        return super().is_set() or self._deadline.remaining < self._spare


def apply(
    planned: Planned,
    targets: Mapping[str, Target],
    keys: Keys,
    context: Context,
    progress: Progress = lambda *_: None,
    replace_unknown: Callable[[PlacePlan], bool] = lambda _: False,
) -> Applied:
    """Do what `planned` says. Targets side by side, the places of one target one after the other.

    A place that fails does not stop the others. replace_unknown: whether parts of the ledger that can't be believed are
    deleted (this sync has taken the place over).
    """
    todo = [place for place in planned.places if any(change.effect != "none" for change in place.changes)]
    total = sum(change.effect != "none" for place in todo for change in place.changes)
    by_target: dict[str, list[PlacePlan]] = {}
    for place in todo:
        by_target.setdefault(place.target, []).append(place)
    applied, stops = Applied(), {name: _Stop(context.deadline) for name in by_target}
    ended = {name: threading.Event() for name in by_target}
    steps = itertools.count(1)

    def step() -> None:
        progress("writing", next(steps), total)

    def one(name: str) -> None:
        try:
            for place in by_target[name]:
                apply_place(place, targets[name], keys, applied, replace_unknown(place), stops[name], step)
        finally:
            ended[name].set()

    try:
        results = parallel(one, list(by_target), context.deadline, "writing")
    except BaseException as error:
        # A signal, or the deadline: what is being written is finished and noted, nothing new is begun.
        for stop in stops.values():
            stop.set()
        until = time.monotonic() + LAST_WRITES
        for event in ended.values():
            event.wait(max(0.0, until - time.monotonic()))
        error.add_note(f"{len(applied.done)} of {total} changes were carried out, the next run does the rest")
        raise
    for result in results:
        if isinstance(result, Exception):
            raise result
    return applied


def apply_place(
    place: PlacePlan,
    target: Target,
    keys: Keys,
    applied: Applied,
    replace_unknown: bool = False,
    stop: threading.Event | None = None,
    step: Callable[[], None] = lambda: None,
) -> None:
    """The changes of one place. stop: once it is set, nothing more is begun. step: called after each."""
    stop = stop or threading.Event()
    if stop.is_set():
        applied.left += [(place, change) for change in place.changes if change.effect != "none"]
    else:
        _Place(place, target, keys, applied, replace_unknown, stop, step).apply()


class _Place:
    def __init__(
        self,
        place: PlacePlan,
        target: Target,
        keys: Keys,
        applied: Applied,
        replace_unknown: bool,
        stop: threading.Event,
        step: Callable[[], None],
    ) -> None:
        assert place.listing is not None
        assert place.ledger is not None
        self._place = place
        self._target = target
        self._keys = keys
        self._applied = applied
        self._stop = stop
        self._step = step
        self._listing = place.listing
        self._ledger = place.ledger
        self._records = dict(place.listing.ledgers.get(place.sync, {}))
        self._any = next(iter(place.places.values()))
        # Of several that are the same the first: it is what was planned.
        self._wanted: dict[Slot, Wanted] = {each.slot: each for each in reversed(place.wanted)}
        self._before = {slot: self._ledger.get(slot) for slot in self._ledger.slots()}
        if replace_unknown and self._ledger.unknown:
            self._ledger.parts |= {number: {} for number in self._ledger.unknown}
            self._ledger.unknown = {}

    def apply(self) -> None:
        """All changes of the place; what fails is noted."""
        try:
            changes = self._still_true([change for change in self._place.changes if change.effect != "none"])
        except KeyleaseError as error:
            self._fail(None, error)
            return
        writes = [change for change in changes if change.effect == "write"]
        try:
            for change in writes:
                self._ledger.put(self._entry(change, pending=True))
            if writes:
                self._record()
        except KeyleaseError as error:
            # Nothing has been written: without a ledger it would not be ours.
            self._fail(None, error)
            return
        written = [change for change in writes if self._goes_on(change) and self._write(change)]
        for change in changes:
            if change.effect == "write" or not self._goes_on(change):
                continue
            if change.effect == "delete":
                self._delete(change)
            elif change.effect == "forget":
                self._ledger.drop(change.slot)
                self._done(change)
                self._step()
            elif change.effect == "record":
                self._ledger.put(self._entry(change))
                self._done(change)
                self._step()
        self._finish(written)

    def _goes_on(self, change: Change) -> bool:
        if self._stop.is_set():
            self._applied.left.append((self._place, change))
            return False
        return True

    def _still_true(self, changes: list[Change]) -> list[Change]:
        """Those of `changes` whose slots are as they were planned for; the others are noted as failed.

        Raises KeyleaseError: nothing is known any more, or another run has written this sync's ledger.
        """
        if time.monotonic() - self._place.listed_at < FRESH:
            return changes
        before, now = self._listing, self._target.list(self._any)
        if now.ledgers.get(self._place.sync, {}) != self._records:
            raise _outdated(self._place.address, f"the ledger of the sync {self._place.sync} has changed")
        foreign = self._claims(now) - self._claims(before)
        self._listing, kept = now, []
        for change in changes:
            slot = change.slot
            if slot in foreign or now.remotes.get(slot) != before.remotes.get(slot):
                self._fail(change, _outdated(self._place.address, f"{slot} has changed"))
            else:
                kept.append(change)
        return kept

    def _claims(self, listing: Listing) -> set[Slot]:
        return {
            slot for sync, records in listing.ledgers.items() if sync != self._place.sync for slot in claimed(records)
        }

    def _write(self, change: Change) -> bool:
        slot, before = change.slot, self._before.get(change.slot)
        try:
            self._target.put(self._of(slot), self._wanted[slot], exists=slot in self._listing.remotes)
        except KeyleaseError as error:
            if isinstance(error, RefusedError | NotFoundError | UsageError):
                # It is certain that nothing was written.
                if before is None:
                    self._ledger.drop(slot)
                else:
                    self._ledger.put(before)
            self._fail(change, error)
            return False
        finally:
            self._step()
        return True

    def _delete(self, change: Change) -> None:
        try:
            self._target.delete(self._of(change.slot), change.slot)
        except KeyleaseError as error:
            self._fail(change, error)
            return
        finally:
            self._step()
        self._ledger.drop(change.slot)
        self._done(change)

    def _finish(self, written: list[Change]) -> None:
        try:
            now = self._target.written(self._any, [change.slot for change in written]) if written else {}
            for change in written:
                if change.slot in now:
                    self._ledger.put(replace(self._entry(change), updated_at=now[change.slot]))
            self._record()
        except KeyleaseError as error:
            self._fail(None, error)
            return
        for change in written:
            self._done(change)

    def _entry(self, change: Change, *, pending: bool = False) -> Entry:
        wanted = self._wanted[change.slot]
        remote = self._listing.remotes.get(change.slot)
        return Entry(
            change.slot,
            wanted.source,
            wanted.pattern,
            self._keys.mac(self._place.address, change.slot, wanted.value),
            wanted.version,
            remote.updated_at if remote else ABSENT if pending else "",
            pending,
        )

    def _of(self, slot: Slot) -> Place:
        # An orphan's kind may be one that nothing is written to any more.
        return self._place.places.get(slot.kind, self._any)

    def _record(self) -> None:
        texts = self._ledger.texts(self._keys, self._target.record_size)
        self._target.record(self._any, self._place.sync, texts, self._records)
        self._records = {number: text for number, text in texts.items() if text}

    def _fail(self, change: Change | None, error: KeyleaseError) -> None:
        if isinstance(error, DeadlineError):
            # It would be the same for all that follows.
            self._stop.set()
        self._applied.failed.append(Failed(self._place, change, error))

    def _done(self, change: Change) -> None:
        self._applied.done.append((self._place, change))


def _outdated(address: str, what: str) -> KeyleaseError:
    return OutdatedError(
        f"sync: {address}: {what} since it was planned; it is left alone",
        cause="somebody else, or another run of this sync, writes at the same time",
        change="run it again: the next plan shows what is there now",
        docs="sync-outdated",
    )

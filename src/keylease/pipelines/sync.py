"""Bring CI platforms in line with secrets managers: read both sides, plan."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct, field

from keylease.context import Context
from keylease.errors import KeyleaseError, RefusedError, UsageError
from keylease.model import Deliver, Origin, Plan, Provider
from keylease.pipelines.lease import LeaseRun
from keylease.pipelines.sync_sources import Named, Progress, Source, each_of, located, read_sources, unused
from keylease.registry import TARGETS
from keylease.sync import ledger as ledgers
from keylease.sync.ledger import Keys, Ledger
from keylease.sync.model import Change, Listing, Policy, Slot, Wanted
from keylease.sync.naming import Naming
from keylease.sync.planner import Case, plan_place
from keylease.targets.base import Place, Target

T = TypeVar("T")
R = TypeVar("R")


class Destination(Struct, frozen=True):
    """One `to:`. to: the target's own description. naming: of the names that the source made; None leaves them."""

    target: str
    to: Any
    naming: Naming | None
    origin: Origin


class Sync(Struct, frozen=True):
    """One item of `sync:`."""

    name: str
    sources: Sequence[Source]
    destinations: Sequence[Destination]
    policy: Policy
    origin: Origin


class SyncPlan(Struct, frozen=True):
    """All that a sync is asked to do, checked. key: where the ledgers' key is read. targets: type, settings, needs."""

    plan: Plan
    syncs: Sequence[Sync]
    targets: Mapping[str, Provider]
    key: Deliver


class PlacePlan(Struct):
    """What one sync does at one place. places: by the kind of store. error: why nothing is known of it.

    listed_at: when its listing was begun, by the monotonic clock.
    """

    sync: str
    address: str
    target: str
    places: dict[str, Place] = field(default_factory=dict)
    wanted: list[Wanted] = field(default_factory=list)
    listing: Listing | None = None
    ledger: Ledger | None = None
    changes: list[Change] = field(default_factory=list)
    error: KeyleaseError | None = None
    listed_at: float = field(default_factory=time.monotonic)

    def fingerprint(self, keys: Keys) -> str:
        """Stands for all that the plan was made of: another value, change or ledger gives another one."""
        assert self.listing is not None
        there = [
            [
                *(str(slot), remote.updated_at, sorted(remote.options.items())),
                "" if remote.value is None else keys.mac(self.address, slot, remote.value),
            ]
            for slot, remote in sorted(self.listing.remotes.items())
        ]
        macs = sorted(
            [
                *(str(each.slot), keys.mac(self.address, each.slot, each.value)),
                *(each.source, each.pattern, each.version, sorted(each.options.items())),
            ]
            for each in self.wanted
        )
        steps = [[str(each.slot), each.action, each.effect, each.reason] for each in self.changes]
        records = sorted((self.listing.ledgers.get(self.sync) or {}).items())
        text = json.dumps([self.sync, self.address, there, macs, steps, records])
        return hashlib.sha256(text.encode()).hexdigest()


class Planned(Struct):
    """A plan. failures: of sources and selections; the rest is planned all the same. notes: what looks like a mistake.

    permissions: target → the least that its credential needs; of those that refused something.
    """

    places: list[PlacePlan] = field(default_factory=list)
    failures: list[KeyleaseError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    permissions: dict[str, Sequence[str]] = field(default_factory=dict)

    @property
    def changes(self) -> list[Change]:
        """Of all places."""
        return [change for place in self.places for change in place.changes]

    @property
    def in_line(self) -> bool:
        """Whether nothing differs and everything is known."""
        return not self.problems and all(change.action == "unchanged" for change in self.changes)

    @property
    def problems(self) -> list[KeyleaseError]:
        """What could not be read or listed."""
        return [*self.failures, *(place.error for place in self.places if place.error)]


class SyncRun:
    """Reads both sides and plans. One object per run; :mod:`keylease.pipelines.sync_apply` carries the plan out.

    lease: logs in to the managers; the caller ends what it leased. shard: (which, of how many), from 1.
    """

    def __init__(
        self,
        plan: SyncPlan,
        context: Context,
        lease: LeaseRun,
        *,
        shard: tuple[int, int] = (1, 1),
        progress: Progress = lambda *_: None,
    ) -> None:
        self._plan = plan
        self._context = context
        self._lease = lease
        self._shard = shard
        self._progress = progress
        self.targets: dict[str, Target] = {}
        self._keys: Keys | None = None

    @property
    def keys(self) -> Keys:
        """Those of the ledgers; known once :meth:`planned` has run."""
        assert self._keys is not None
        return self._keys

    def planned(self) -> Planned:
        """Read the sources and the targets, and plan. Raises what makes any plan impossible (logins, the key)."""
        self._open()
        found = Planned()
        sources = {sync.name: sync.sources for sync in self._plan.syncs}
        read = read_sources(sources, self._context, self._lease, self._progress)
        found.failures += read.failures
        found.notes += read.notes
        unknown = self._place_all(found, read.values)
        self._list_all(found)
        wants: dict[tuple[str, Slot], list[str]] = {}
        for place in found.places:
            for slot in {each.slot for each in place.wanted}:
                wants.setdefault((place.address, slot), []).append(place.sync)
        for place in found.places:
            if place.error is None:
                self._plan_one(
                    place, read.broken, wants, "a `to` of this sync is not known" if place.sync in unknown else ""
                )
        return found

    def _open(self) -> None:
        plan = self._plan
        sources = [source.read for sync in plan.syncs for source in sync.sources]
        used = {destination.target for sync in plan.syncs for destination in sync.destinations}
        needs = [need for name in sorted(used) for need in plan.targets[name].needs.values()]
        reads = [*sources, plan.key.read, *(need.read for need in needs)]
        self._lease.open([read.provider for read in reads])
        key = self._lease.value(plan.key)
        self._keys = Keys.of(key, str(plan.key.read))
        for name, wanted in plan.targets.items():
            if name in used:
                kind = TARGETS.load(wanted.type)
                given = {field: self._lease.value(need) for field, need in wanted.needs.items()}
                settings = kind.with_needs(wanted.settings, given) if given else wanted.settings
                self.targets[name] = kind(name, settings, self._context)

    # Where it shall be.

    def _place_all(self, found: Planned, values: Mapping[str, list[Named]]) -> set[str]:
        """Returns the syncs some of whose destinations are not known: what they want there may be missing."""
        unknown: set[str] = set()
        pairs = [(sync, each) for sync in self._plan.syncs for each in sync.destinations]
        selected = self._each(lambda pair: self.targets[pair[1].target].places(pair[1].to), pairs, "selecting targets")
        by_key: dict[tuple[str, str], PlacePlan] = {}
        for (sync, destination), places in zip(pairs, selected, strict=True):
            if isinstance(places, KeyleaseError):
                unknown.add(sync.name)
                found.failures.append(located(places, destination.origin))
                self._permissions(found, destination.target, places)
                continue
            naming, given = destination.naming, [each.name for each in values[sync.name] if each.name]
            if naming and given and all(naming.again(name) is None for name in given):
                unknown.add(sync.name)
                found.notes.append(
                    f"{destination.origin}: `include` and `exclude` leave out every name: nothing goes there, and "
                    f"nothing of the sync {sync.name} is deleted"
                )
            if naming and given:
                found.notes += unused(destination.origin, naming, {naming.key_again(name) for name in given})
            for place in places:
                if not self._is_ours(place.address):
                    continue
                at = by_key.setdefault(
                    (sync.name, place.address), PlacePlan(sync.name, place.address, destination.target)
                )
                if at.target != destination.target:
                    # One ledger, written with one credential; and what the other target was not asked about, it would
                    # not list: another's values would look as if they were not there.
                    if sync.name not in unknown:
                        found.failures.append(_two_targets(at, destination))
                    unknown.add(sync.name)
                    continue
                at.places[place.kind] = place
                at.wanted += self._wanted(place, destination, values[sync.name])
        found.places = [by_key[key] for key in sorted(by_key)]
        return unknown

    def _wanted(self, place: Place, destination: Destination, values: Sequence[Named]) -> list[Wanted]:
        target, naming = self.targets[destination.target], destination.naming
        found = []
        for each in values:
            name = each.name if naming is None or not each.name else naming.again(each.name)
            if name is not None:
                slot = target.slot(place, name)
                found.append(
                    Wanted(slot, each.value, each.source, each.pattern, each.version, place.options, each.origin)
                )
        return found

    def _is_ours(self, address: str) -> bool:
        which, of = self._shard
        return int.from_bytes(hashlib.sha256(address.encode()).digest()[:8]) % of == which - 1

    # What is there.

    def _list_all(self, found: Planned) -> None:
        # A target lists the kinds that it was asked for: what another one lists at the same place may be less.
        first: dict[tuple[str, str], PlacePlan] = {}
        for place in found.places:
            first.setdefault((place.target, place.address), place)
        listed = self._each(self._listing, list(first.values()), "listing targets")
        by_place = dict(zip(first, listed, strict=True))
        for place in found.places:
            result = by_place[place.target, place.address]
            if isinstance(result, KeyleaseError):
                place.error = result
                self._permissions(found, place.target, result)
            else:
                place.listed_at, place.listing = result

    def _permissions(self, found: Planned, target: str, error: KeyleaseError) -> None:
        if isinstance(error, RefusedError):
            every = [each for sync in self._plan.syncs for each in sync.destinations]
            tos = [each.to for each in every if each.target == target]
            found.permissions[target] = self.targets[target].permissions(tos)

    def _listing(self, place: PlacePlan) -> tuple[float, Listing]:
        at = time.monotonic()
        return at, self.targets[place.target].list(next(iter(place.places.values())))

    def _plan_one(
        self,
        place: PlacePlan,
        broken: Mapping[str, set[str]],
        wants: Mapping[tuple[str, Slot], list[str]],
        hold: str,
    ) -> None:
        assert place.listing is not None
        sync = next(each for each in self._plan.syncs if each.name == place.sync)
        own = place.listing.ledgers.get(place.sync, {})
        place.ledger = ledgers.read(place.address, place.sync, own, self.keys)
        others = {
            slot: name
            for name, records in place.listing.ledgers.items()
            if name != place.sync
            for slot in ledgers.claimed(records)
        }
        for slot in {each.slot for each in place.wanted}:
            # Of two syncs that want the same and own neither, none gets it: whoever came last would win each time.
            several = [name for name in wants[place.address, slot] if name != place.sync]
            if several:
                others.setdefault(slot, several[0])
        case = Case(
            place.wanted,
            place.listing,
            place.ledger,
            self.keys,
            sync.policy,
            {source.text for source in sync.sources},
            broken[place.sync],
            others,
            hold,
        )
        target = self.targets[place.target]
        place.changes = plan_place(case, lambda each: target.check(place.places[each.slot.kind], each))

    def _each(self, work: Callable[[T], R], items: Sequence[T], doing: str) -> list[R | KeyleaseError]:
        return each_of(work, items, self._context, doing, self._progress)


def _two_targets(at: PlacePlan, destination: Destination) -> KeyleaseError:
    return UsageError(
        f"{destination.origin}: {at.address} is reached through the target {at.target!a} in the same sync already",
        cause=f"a sync has one ledger at a place, and so one credential there: not {destination.target!a} too",
        change=f"say `target: {at.target}` in both, or make a sync of its own of it; until then nothing is deleted",
        docs="sync-target",
    )

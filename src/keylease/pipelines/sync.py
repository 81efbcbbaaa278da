"""Bring CI platforms in line with secrets managers: read both sides, plan."""

# long file: reading, placing and planning share the state of one run

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct, field

from keylease.context import Context
from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UsageError
from keylease.model import Deliver, Document, Origin, Plan, Provider, Read, Wildcard
from keylease.parallel import parallel
from keylease.pipelines.lease import LeaseRun
from keylease.registry import TARGETS
from keylease.secret import Secret
from keylease.sync import ledger as ledgers
from keylease.sync.ledger import Keys, Ledger
from keylease.sync.model import Change, Listing, Policy, Slot, Wanted
from keylease.sync.naming import Naming, Pattern, is_pattern
from keylease.sync.planner import Case, plan_place
from keylease.targets.base import Place, Target

T = TypeVar("T")
R = TypeVar("R")


class Source(Struct, frozen=True):
    """One `from:`. read: its path may be a pattern. selector: a field, all fields, or None for what there is.

    text: as it is written; what came by it is known by this.
    """

    text: str
    read: Read
    selector: Sequence[str] | Wildcard | None
    naming: Naming
    origin: Origin


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


class Named(Struct, frozen=True):
    """A value with the name that its source gives it, before it has a place."""

    name: str
    value: Secret
    source: str
    pattern: str
    version: str
    origin: Origin


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


Progress = Callable[[str, int, int], None]
"""(what, done, of how many)."""


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
        self._used: defaultdict[Origin, set[str | None]] = defaultdict(set)  # of a source's `names`, the keys that fit

    @property
    def keys(self) -> Keys:
        """Those of the ledgers; known once :meth:`planned` has run."""
        assert self._keys is not None
        return self._keys

    def planned(self) -> Planned:
        """Read the sources and the targets, and plan. Raises what makes any plan impossible (logins, the key)."""
        self._open()
        found = Planned()
        values, broken = self._values(found)
        unknown = self._place_all(found, values)
        self._list_all(found)
        wants: dict[tuple[str, Slot], list[str]] = {}
        for place in found.places:
            for slot in {each.slot for each in place.wanted}:
                wants.setdefault((place.address, slot), []).append(place.sync)
        for place in found.places:
            if place.error is None:
                self._plan_one(
                    place, broken, wants, "a `to` of this sync is not known" if place.sync in unknown else ""
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

    # What shall be there.

    def _values(self, found: Planned) -> tuple[dict[str, list[Named]], dict[str, set[str]]]:
        """{sync: its values}, and per sync the sources that are not known as a whole."""
        broken: dict[str, set[str]] = {sync.name: set() for sync in self._plan.syncs}
        pairs = [(sync, source) for sync in self._plan.syncs for source in sync.sources]
        expanded = self._each(lambda pair: self._expand(pair[1]), pairs, "listing secrets")
        reads: list[Read] = []
        for (sync, source), result in zip(pairs, expanded, strict=True):
            if isinstance(result, KeyleaseError):
                found.failures.append(_of(result, source.origin))
            elif result:
                reads += result
            if isinstance(result, KeyleaseError) or not result:
                broken[sync.name].add(source.text)
                if not isinstance(result, KeyleaseError):
                    found.failures.append(_nothing(source))
        documents = self._lease.documents(reads)
        values: dict[str, list[Named]] = {sync.name: [] for sync in self._plan.syncs}
        for (sync, source), result in zip(pairs, expanded, strict=True):
            listed, told = result if isinstance(result, list) else [], set[int]()
            if is_pattern(source.read.path):
                # Deleted, and still listed (as Vault does), or since then: it is not there. All of them: that is odd.
                there = [read for read in listed if not isinstance(documents[read], NotFoundError)]
                listed = there or listed
            before = len(values[sync.name])
            for read in listed:
                document = documents[read]
                try:
                    if isinstance(document, KeyleaseError):
                        raise document
                    values[sync.name] += self._named(source, read, document)
                except KeyleaseError as error:
                    broken[sync.name].add(source.text)
                    if id(error) not in told:  # one request for many fails once
                        found.failures.append(_of(error, source.origin))
                    told.add(id(error))
            if source.text not in broken[sync.name]:
                found.notes += _unused(source.origin, source.naming, self._used[source.origin])
            if listed and len(values[sync.name]) == before and source.text not in broken[sync.name]:
                broken[sync.name].add(source.text)
                found.failures.append(_left_out(source.origin, f"{source.text}: `include` and `exclude`"))
        return values, broken

    def _expand(self, source: Source) -> list[Read]:
        read = source.read
        if not is_pattern(read.path):
            return [read]
        pattern = Pattern(read.path)
        manager = self._lease.manager(read.provider, read.scheme)
        paths = manager.find(read, pattern.parent, pattern.prefix, deep=pattern.deep)
        return [
            Read(read.provider, read.scheme, path, read.options)
            for path in sorted(dict.fromkeys(paths))
            if pattern.matches(path)
        ]

    def _named(self, source: Source, read: Read, document: Document) -> list[Named]:
        alone = not is_pattern(source.read.path)
        below = read.path.rpartition("/")[2] if alone else Pattern(source.read.path).below(read.path)
        if isinstance(source.selector, str) or (source.selector is None and not document.is_text):
            fields: list[tuple[str | None, Sequence[str] | None]] = [(name, (name,)) for name in document.names()]
        elif source.selector is None:
            fields = [(None, None)]
        else:
            fields = [(source.selector[-1], source.selector)]
        if not fields:
            raise _empty(read)
        made = []
        for shown, selector in fields:
            name = source.naming.name(below, shown, alone=alone)
            self._used[source.origin].add(source.naming.key(below, shown, alone=alone))
            if name is not None:
                value = document.value(selector, self._context.seal)
                label = f"{read}#{'.'.join(selector)}" if selector else str(read)
                made.append(Named(name, value, label, source.text, document.version or "", source.origin))
        return made

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
                found.failures.append(_of(places, destination.origin))
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
                found.notes += _unused(destination.origin, naming, {naming.key_again(name) for name in given})
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
        """`work` on each, side by side. What is no KeyleaseError is a defect, and raised."""
        done = 0

        def one(item: T) -> R:
            nonlocal done
            try:
                return work(item)
            finally:
                done += 1
                self._progress(doing, done, len(items))

        found: list[R | KeyleaseError] = []
        for result in parallel(one, items, self._context.deadline, doing):
            if isinstance(result, Exception) and not isinstance(result, KeyleaseError):
                raise result
            found.append(result)
        return found


def _of(error: KeyleaseError, origin: Origin) -> KeyleaseError:
    """The same error, told where in the configuration it comes from. One error can be that of several places."""
    return type(error)(
        f"{origin}: {error.summary}",
        cause=error.cause,
        change=error.change,
        claims=error.claims,
        docs=error.docs.rpartition("#")[2],
        detail=error.detail,
    )


def _empty(read: Read) -> KeyleaseError:
    return NotFoundError(
        f"{read} has no fields",
        cause="somebody emptied it, or it was made as a folder",
        change="give it fields, delete it, or leave it out of the pattern; what came by it before is kept, not pruned",
        docs="sync-nothing",
    )


def _two_targets(at: PlacePlan, destination: Destination) -> KeyleaseError:
    return UsageError(
        f"{destination.origin}: {at.address} is reached through the target {at.target!a} in the same sync already",
        cause=f"a sync has one ledger at a place, and so one credential there: not {destination.target!a} too",
        change=f"say `target: {at.target}` in both, or make a sync of its own of it; until then nothing is deleted",
        docs="sync-target",
    )


def _unused(origin: Origin, naming: Naming, used: Collection[str | None]) -> list[str]:
    left = [key for key in naming.names if key not in used]
    return [f"{origin}: `names` has {', '.join(map(ascii, left))}, which nothing here is called"] if left else []


def _left_out(origin: Origin, what: str) -> KeyleaseError:
    return UsageError(
        f"{origin}: {what} leave out every name",
        cause="a typing error; they are compared with finished names, with prefix, suffix and case",
        change="mend them; what came by it before is kept, not pruned",
        docs="sync-nothing",
    )


def _nothing(source: Source) -> KeyleaseError:
    return NotFoundError(
        f"{source.origin}: {source.text} matches no secret",
        cause="the path is another one, or the lease may not list it",
        change="check the pattern; what came by it before is kept, not pruned",
        docs="sync-nothing",
    )

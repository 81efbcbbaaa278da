"""Sources and destinations of a sync, with managers and a platform in memory: what is known, and what is kept."""

# long file: one store and one platform in memory, for all of them

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from keylease.context import Context
from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError
from keylease.http import Deadline
from keylease.managers.base import Manager
from keylease.masking import Masker
from keylease.model import Deliver, Document, Lease, Origin, Plan, Provider, Read, Renewal
from keylease.pipelines.lease import LeaseRun
from keylease.pipelines.sync import Destination, Planned, Sync, SyncPlan, SyncRun
from keylease.pipelines.sync_apply import apply
from keylease.pipelines.sync_sources import Source
from keylease.secret import Secret
from keylease.sync.ledger import Keys
from keylease.sync.model import Listing, Policy, Slot
from keylease.sync.naming import Naming
from keylease.targets.base import Place
from tests.fakes.memory_target import MemoryTarget, Site, To

KEYS = Keys.of(Secret("k" * 32), "a test")
KEY = Deliver(Read("v", "mem", "kv/key"), ("k",), "KEY")


class Store(Manager):
    """path → its fields, its text, or why it can't be read. lists: what `find` says instead, if it is an error."""

    scheme, provider = "mem", "mem"

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = dict(data)
        self.fault: KeyleaseError | None = None
        self.group_fault: KeyleaseError | None = None

    @classmethod
    def check(cls, read: Read) -> None:
        pass

    def find(self, read: Read, parent: str, prefix: str, *, deep: bool) -> list[str]:
        if self.fault:
            raise self.fault
        return [path for path in self.data if path.startswith(f"{parent}/{prefix}")] * 2

    def read(self, read: Read) -> Document:
        found = self.data.get(read.path, NotFoundError(f"{read}: nothing"))
        if isinstance(found, KeyleaseError):
            raise found
        version = dict(read.options).get("version", "1")
        return (
            Document.of_text(str(read), found)
            if isinstance(found, str)
            else Document(str(read), found, version=version)
        )

    def read_many(self, reads: Sequence[Read]) -> list[Document | KeyleaseError]:
        if self.group_fault:
            raise self.group_fault
        return super().read_many(reads)


class Held(LeaseRun):
    """Leases that are there already."""

    def __init__(self, store: Store, context: Context) -> None:
        super().__init__(Plan({}), context, None)  # type: ignore[arg-type]
        self._store = store

    def manager(self, provider: str, scheme: str) -> Manager:
        return self._store


class Memory(MemoryTarget):
    """`several`: address of a `to` → the places it selects, or why it can't be told. closed: places that don't list."""

    several: Mapping[str, list[str] | KeyleaseError] = {}
    closed: Mapping[str, KeyleaseError] = {}

    def places(self, to: To) -> list[Place]:
        found = self.several.get(to.address, [to.address])
        if isinstance(found, KeyleaseError):
            raise found
        return [Place(address, to.kind, {}) for address in found]

    def list(self, place: Place) -> Any:
        if place.address in self.closed:
            raise self.closed[place.address]
        return super().list(place)

    def permissions(self, tos: Sequence[Any]) -> Sequence[str]:
        return [f"write {to.address}" for to in tos]


class Run(SyncRun):
    def __init__(self, syncs: Sequence[Sync], store: Store, target: MemoryTarget, **more: Any) -> None:
        plan = SyncPlan(Plan({}), syncs, {"memory": Provider("memory", "memory", None)}, KEY)
        super().__init__(plan, target.context, Held(store, target.context), **more)
        self._target = target

    def _open(self) -> None:
        self._keys, self.targets = KEYS, {"memory": self._target}


def source(text: str, selector: Any = None, **naming: Any) -> Source:
    options = (("version", naming.pop("version")),) if "version" in naming else ()
    read = Read("v", "mem", text.removeprefix("mem://"), options)
    return Source(text, read, selector, Naming(**{"case": "upper", **naming}), Origin("k.yml", 3, "sync[0].from"))


def to(address: str, naming: Naming | None = None) -> Destination:
    return Destination("memory", To(address=address), naming, Origin("k.yml", 4, "sync[0].to"))


def sync(*sources: Source, to: Sequence[Destination] = (to("m://a"),), name: str = "one", **policy: Any) -> Sync:
    return Sync(name, sources, to, Policy(**{"prune": True, **policy}), Origin("k.yml", 2, "sync[0]"))


Go = Callable[..., Planned]


class World:
    def __init__(self, data: Mapping[str, Any]) -> None:
        self.store, self.target = Store(data), Memory(Site())

    def plan(self, *syncs: Sync, **more: Any) -> Planned:
        self.run = Run(syncs, self.store, self.target, **more)
        return self.run.planned()

    def apply(self, *syncs: Sync) -> Planned:
        planned = self.plan(*syncs)
        applied = apply(planned, self.run.targets, KEYS, self.target.context)
        assert applied.failed == []
        return planned

    def held(self, address: str = "m://a") -> dict[str, str]:
        return {slot.name: each.value.decode() for slot, each in self.target.site.values.get(address, {}).items()}


def actions(planned: Planned) -> dict[str, tuple[str, str]]:
    return {each.slot.name: (each.action, each.effect) for each in planned.changes}


def world(**data: Any) -> World:
    return World({path.replace("__", "/"): value for path, value in data.items()})


# Sources.


def test_patterns_fields_and_whole_texts() -> None:
    here = world(kv__a={"user": "u", "pass": "p"}, kv__b="text", kv__b2='{"x": 1}', other__c={"k": "c"})
    here.apply(sync(source("mem://kv/*"), source("mem://other/c", ("k",)), source("mem://kv/b2", "*", prefix="J_")))
    assert here.held() == {"A_USER": "u", "A_PASS": "p", "B": "text", "B2": '{"x": 1}', "K": "c", "J_X": "1"}
    again = here.plan(
        sync(source("mem://kv/*"), source("mem://other/c", ("k",)), source("mem://kv/b2", "*", prefix="J_"))
    )
    assert again.in_line


def test_a_deleted_secret_is_pruned_though_the_store_still_lists_it() -> None:
    here = world(kv__a={"k": "1"}, kv__b={"k": "2"})
    here.apply(sync(source("mem://kv/*")))
    here.store.data["kv/b"] = NotFoundError("kv/b: version 2 was deleted")
    planned = here.apply(sync(source("mem://kv/*")))
    assert planned.problems == []
    assert here.held() == {"A_K": "1"}


def test_if_all_of_a_pattern_is_deleted_nothing_is_pruned() -> None:
    here = world(kv__a={"k": "1"}, kv__b={"k": "2"})
    here.apply(sync(source("mem://kv/*")))
    here.store.data = {"kv/a": NotFoundError("gone"), "kv/b": NotFoundError("gone")}
    planned = here.apply(sync(source("mem://kv/*")))
    assert [error.summary for error in planned.problems] == ["k.yml:3: sync[0].from: gone"] * 2
    assert len(here.held()) == 2


@pytest.mark.parametrize(
    "harm",
    [
        lambda store: store.data.clear(),
        lambda store: setattr(store, "fault", RefusedError("may not list")),
        lambda store: setattr(store, "group_fault", UnreachableError("cut")),
        lambda store: store.data.update({"kv/b": RefusedError("may not read")}),
        lambda store: store.data.update({"kv/b": UnreachableError("cut")}),
        lambda store: store.data.update({"kv/b": {}}),
        lambda store: store.data.update({"kv/b": {"k": "\ud800"}}),
    ],
    ids=["nothing", "unlisted", "group", "forbidden", "cut", "no fields", "half a character"],
)
def test_what_is_not_known_as_a_whole_prunes_nothing(harm: Callable[[Store], None]) -> None:
    here = world(kv__a={"k": "1"}, kv__b={"k": "2", "old": "3"}, other__c={"k": "c"})
    syncs = sync(source("mem://kv/*"), source("mem://other/*"))
    here.apply(syncs)
    del here.store.data["kv/a"]
    here.store.data["other/d"] = {"k": "d"}
    harm(here.store)
    planned = here.apply(syncs)
    assert planned.problems
    assert not planned.in_line
    assert {"A_K", "B_K", "B_OLD", "C_K"} <= set(here.held())


@pytest.mark.parametrize("typo", [{"include": ["ML_*"]}, {"exclude": ["*"]}])
@pytest.mark.parametrize("at_the_target", [False, True])
def test_filters_that_leave_nothing_prune_nothing(typo: dict[str, Any], at_the_target: bool) -> None:
    here = world(kv__a={"k": "1"}, kv__b={"k": "2"})
    here.apply(sync(source("mem://kv/*")))
    if at_the_target:
        wrong = sync(source("mem://kv/*"), to=[to("m://a", Naming(case="keep", **typo))])
    else:
        wrong = sync(source("mem://kv/*", **typo))
    planned = here.apply(wrong)
    said = planned.notes if at_the_target else [error.summary for error in planned.problems]
    assert ["leave out every name" in each for each in said] == [True]
    assert here.held() == {"A_K": "1", "B_K": "2"}
    some = sync(source("mem://kv/*", include=["A_*"]))
    assert here.apply(some).problems == []
    assert here.held() == {"A_K": "1"}


def test_a_secret_that_is_named_and_missing_is_a_problem() -> None:
    here = world(kv__a={"k": "1"})
    here.apply(sync(source("mem://kv/a"), source("mem://kv/a", ("k",), prefix="P_")))
    here.store.data.clear()
    planned = here.apply(sync(source("mem://kv/a"), source("mem://kv/a", ("k",), prefix="P_")))
    assert [error.summary for error in planned.problems] == ["k.yml:3: sync[0].from: mem://kv/a: nothing"] * 2
    assert here.held() == {"K": "1", "P_K": "1"}


def test_two_versions_of_a_secret_want_one_name() -> None:
    here = world(kv__a={"k": "1"})
    first, second = source("mem://kv/a", ("k",), version="1"), source("mem://kv/a", ("k",), version="2")
    here.store.read = lambda read: Document(str(read), {"k": dict(read.options)["version"]}, version="x")  # type: ignore[method-assign]
    assert actions(here.plan(sync(first, second))) == {"K": ("blocked", "none")}


def test_one_refusal_for_many_is_told_once_and_whole() -> None:
    here = world(kv__a={"k": "1"}, kv__b={"k": "2"}, kw__c={"k": "3"})
    here.store.group_fault = RefusedError(
        "no", cause="why", change="do this", docs="sync-listing", detail={"status": 403}
    )
    planned = here.plan(sync(source("mem://kv/*"), source("mem://kw/*")))
    assert [str(error.summary) for error in planned.problems] == ["k.yml:3: sync[0].from: no"] * 2
    error = planned.problems[0]
    assert isinstance(error, RefusedError)
    assert (error.cause, error.change, error.detail) == ("why", "do this", {"status": 403})
    assert error.docs.endswith("#sync-listing")


# Destinations.


def test_a_to_that_is_not_known_prunes_nothing_anywhere_of_its_sync() -> None:
    here = world(kv__a={"k": "1"}, kv__b={"k": "2"})
    twice = [to("m://a"), to("m://topic", Naming(case="keep", prefix="X_"))]
    here.target.several = {"m://topic": ["m://a"]}
    here.apply(sync(source("mem://kv/*"), to=twice))
    assert set(here.held()) == {"A_K", "B_K", "X_A_K", "X_B_K"}
    here.target.several = {"m://topic": UnreachableError("m://topic: cut")}
    planned = here.apply(sync(source("mem://kv/*"), to=twice))
    assert set(here.held()) == {"A_K", "B_K", "X_A_K", "X_B_K"}
    assert {each.reason for each in planned.changes if each.action == "orphan"} == {
        "kept: a `to` of this sync is not known"
    }
    here.target.several = {}
    here.apply(sync(source("mem://kv/*"), to=[to("m://a")]))
    assert set(here.held()) == {"A_K", "B_K"}, "a `to` that is gone from the configuration is pruned"


def test_a_place_that_can_not_be_listed_leaves_the_others_alone() -> None:
    here = world(kv__a={"k": "1"})
    here.target.closed = {"m://b": RefusedError("m://b: no")}
    planned = here.apply(sync(source("mem://kv/*"), to=[to("m://a"), to("m://b")]))
    assert here.held("m://a") == {"A_K": "1"}
    assert here.held("m://b") == {}
    assert [error.summary for error in planned.problems] == ["m://b: no"]
    assert planned.permissions == {"memory": ["write m://a", "write m://b"]}, "what the credential needs is told"


def test_permissions_are_told_for_refusals_only() -> None:
    here = world(kv__a={"k": "1"})
    here.target.closed = {"m://a": UnreachableError("cut")}
    assert here.plan(sync(source("mem://kv/*"))).permissions == {}
    here.target.several = {"m://a": RefusedError("no")}
    assert list(here.plan(sync(source("mem://kv/*"))).permissions) == ["memory"]


def test_names_of_a_target_are_made_of_finished_ones() -> None:
    here = world(kv__a={"k": "1", "x": "2"})
    naming = Naming(case="lower", suffix=".id", exclude=["*x*"])
    here.apply(sync(source("mem://kv/*", prefix="ml-"), to=[to("m://a"), to("m://b", naming)]))
    assert here.held("m://a") == {"ml-A_K": "1", "ml-A_X": "2"}
    assert here.held("m://b") == {"ml-a_k.id": "1"}


def test_a_name_of_nothing_is_blocked_where_it_would_go() -> None:
    here = World({"kv/中": "1"})
    planned = here.plan(sync(source("mem://kv/*"), to=[to("m://a", Naming(case="keep", prefix="P_"))]))
    assert actions(planned) == {"": ("blocked", "none")}


# Syncs beside each other.


def test_two_syncs_that_want_one_name_block_each_other() -> None:
    here = world(kv__a={"k": "1"}, kw__a={"k": "2"})
    both = sync(source("mem://kv/*")), sync(source("mem://kw/*"), name="two")
    assert [each.action for each in here.plan(*both).changes] == ["blocked", "blocked"]
    here.apply(both[0])
    assert [each.action for each in here.plan(*both).changes] == ["unchanged", "blocked"]


def test_a_place_belongs_to_one_shard_only() -> None:
    here = world(kv__a={"k": "1"})
    syncs = sync(source("mem://kv/*"), to=[to(f"m://{n}") for n in range(40)])
    shards = [{each.address for each in here.plan(syncs, shard=(n, 3)).places} for n in (1, 2, 3)]
    assert sum(map(len, shards)) == 40 == len(set().union(*shards))
    assert all(shards)


# Fingerprints of plans.


def fingerprint(here: World, *syncs: Sync) -> str:
    (place,) = here.plan(*syncs).places
    return place.fingerprint(KEYS)


@pytest.mark.parametrize("readable", [False, True])
def test_a_fingerprint_stands_for_everything(readable: bool) -> None:
    here = world(kv__a={"k": "1"})
    here.target.readable = readable
    plain = sync(source("mem://kv/*"))
    here.apply(plain)
    base = fingerprint(here, plain)
    assert fingerprint(here, plain) == base
    seen = {base}
    stored = here.target.site.values["m://a"][Slot("secret", "A_K")]

    def differs(*syncs: Sync) -> None:
        found = fingerprint(here, *(syncs or (plain,)))
        assert found not in seen
        seen.add(found)

    here.store.data["kv/a"] = {"k": "2"}
    differs()
    here.store.data["kv/b"] = {"k": "2"}
    differs()
    stored.options["masked"] = True
    differs()
    stored.updated_at = "2027"
    differs()
    here.target.site.put("m://a", Slot("secret", "FOREIGN"), b"x")
    differs()
    here.target.site.variables["m://a"].clear()
    differs()
    differs(sync(source("mem://kv/*"), adopt=True))
    if readable:
        before = stored.updated_at
        here.target.site.put("m://a", Slot("secret", "FOREIGN"), b"y")
        here.target.site.values["m://a"][Slot("secret", "FOREIGN")].updated_at = before
        differs()


def test_a_fingerprint_shows_no_value() -> None:
    here = world(kv__a={"k": "1"})
    assert len(fingerprint(here, sync(source("mem://kv/*")))) == 64


# Leases.


def test_what_a_lease_needs_renewed_can_be_asked_for() -> None:
    context = Context({}, Masker(), Deadline(5))
    held = Held(Store({}), context)
    assert held.renewals == []
    renewal = Renewal("x", 60.0, 0.0, lambda: 60.0)
    held._keep(Lease("v", "vault", {}, session=None, renewal=renewal))
    assert held.renewals == [renewal]


# Two targets at one place.


class Asked(Memory):
    """As GitHub's: lists the kinds that it was asked for itself, only."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.kinds: set[str] = set()

    def places(self, to: To) -> list[Place]:
        self.kinds.add(to.kind)
        return super().places(to)

    def list(self, place: Place) -> Any:
        found = super().list(place)
        remotes = {slot: each for slot, each in found.remotes.items() if slot.kind in self.kinds}
        return Listing(remotes, found.ledgers, found.limits)


class TwoTargets(Run):
    def _open(self) -> None:
        site = self._target.site
        self._keys, self.targets = KEYS, {"memory": Asked(site), "second": Asked(site)}


def second(address: str, kind: str) -> Destination:
    return Destination("second", To(address=address, kind=kind), None, Origin("k.yml", 5, "sync[0].to[1]"))


@pytest.mark.parametrize("apart", [False, True], ids=["one sync", "two syncs"])
def test_two_credentials_at_one_place_overwrite_nothing_foreign(apart: bool) -> None:
    here = world(kv__a={"k": "1"})
    foreign = Slot("dependabot", "A_K")
    here.target.site.put("m://a", foreign, b"not ours")
    tos = [to("m://a"), second("m://a", "dependabot")]
    both = [sync(source("mem://kv/*"), to=tos)]
    if apart:
        both = [sync(source("mem://kv/*"), to=tos[:1]), sync(source("mem://kv/*"), to=tos[1:], name="two")]
    run = TwoTargets(both, here.store, here.target)
    planned = run.planned()
    apply(planned, run.targets, KEYS, here.target.context)
    assert here.target.site.values["m://a"][foreign].value == b"not ours"
    assert here.target.site.values["m://a"][Slot("secret", "A_K")].value == b"1"
    if apart:
        assert [each.action for each in planned.changes] == ["add", "blocked"]
    else:
        assert ["second" in error.diagnostics() for error in planned.problems] == [True]
        assert not planned.in_line


def test_names_that_nothing_is_called_are_told() -> None:
    here = world(kv__a={"k": "1"}, kv__b={"k": "2"})
    names = {"A_K": "FIRST", "B_KK": "SECOND"}
    planned = here.plan(sync(source("mem://kv/*", names=names)))
    assert planned.notes == ["k.yml:3: sync[0].from: `names` has 'B_KK', which nothing here is called"]
    at_target = [to("m://a", Naming(case="keep", names={"B_K": "SECOND", "C": "THIRD"}))]
    planned = here.plan(sync(source("mem://kv/*"), to=at_target))
    assert ["'C', which nothing" in note for note in planned.notes] == [True]
    assert planned.problems == []

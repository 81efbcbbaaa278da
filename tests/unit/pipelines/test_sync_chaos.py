"""A sync that ends, fails or meets others at any moment: the next one carries on, and nothing foreign is touched."""

import contextlib
import random
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keylease.errors import OutdatedError, RefusedError, UnreachableError
from keylease.pipelines.sync import PlacePlan, Planned
from keylease.pipelines.sync_apply import FRESH, Applied, apply_place
from keylease.secret import Secret
from keylease.sync import ledger as ledgers
from keylease.sync.ledger import Keys
from keylease.sync.model import Listing, Policy, Slot, Wanted
from keylease.sync.planner import Case, plan_place
from keylease.targets.base import Place
from tests.fakes.memory_target import MemoryTarget, Site, Stop

AT = Place("memory://place", "secret", {})
KEYS = Keys.of(Secret("k" * 32), "a test")
OTHER_KEYS = Keys.of(Secret("o" * 32), "a test")
FOREIGN = Slot("secret", "FOREIGN")


def planned(
    target: MemoryTarget,
    values: Mapping[str, str],
    sync: str = "one",
    policy: Policy = Policy(prune="all"),  # noqa: B008  # immutable
    keys: Keys = KEYS,
) -> Planned:
    """As SyncRun plans one place, without the sources."""
    listing = target.list(AT)
    ledger = ledgers.read(AT.address, sync, listing.ledgers.get(sync, {}), keys)
    wanted = [Wanted(Slot("secret", n), Secret(v), f"vault://kv/{sync}#{n}", "vault://kv/*") for n, v in values.items()]
    others = {
        slot: name for name, records in listing.ledgers.items() if name != sync for slot in ledgers.claimed(records)
    }
    case = Case(wanted, listing, ledger, keys, policy, {"vault://kv/*"}, (), others)
    changes = plan_place(case, lambda each: target.check(AT, each))
    return Planned([PlacePlan(sync, AT.address, "memory", {"secret": AT}, wanted, listing, ledger, changes)])


def run(target: MemoryTarget, values: Mapping[str, str], **more: object) -> Applied:
    keys = more.get("keys", KEYS)
    assert isinstance(keys, Keys)
    applied = Applied()
    for place in planned(target, values, **more).places:  # type: ignore[arg-type]
        apply_place(place, target, keys, applied)
    return applied


def actions(target: MemoryTarget, values: Mapping[str, str], **more: object) -> dict[str, str]:
    return {change.slot.name: change.action for change in planned(target, values, **more).changes}  # type: ignore[arg-type]


def held(target: MemoryTarget) -> dict[str, str]:
    return {slot.name: each.value.decode() for slot, each in target.site.values.get(AT.address, {}).items()}


names = st.sampled_from([f"N{n}" for n in range(8)])
contents = st.dictionaries(names, st.sampled_from(["a", "b", "c"]), max_size=8)


@given(steps=st.lists(contents, min_size=1, max_size=5), seed=st.integers(0, 2**32), readable=st.booleans())
@settings(max_examples=400, deadline=None)
def test_a_run_that_ends_anywhere_is_carried_on(steps: list[dict[str, str]], seed: int, readable: bool) -> None:
    chance = random.Random(seed)
    target = MemoryTarget(Site(), readable=readable)
    target.site.put(AT.address, FOREIGN, b"not ours")
    for values in steps:
        _with_faults(target, values, chance)
        run(target, values)
        # What is left over from an interrupted run is never deleted, as it may be somebody else's by now.
        left = {change.slot.name for change in planned(target, values).changes if change.action == "orphan"}
        assert {n: v for n, v in held(target).items() if n not in left} == values | {"FOREIGN": "not ours"}
        assert all(a == "unchanged" for n, a in actions(target, values).items() if n not in left)
        before = len(target.site.writes)
        run(target, values)
        assert len(target.site.writes) == before, "nothing to do is nothing written"


def _with_faults(target: MemoryTarget, values: Mapping[str, str], chance: random.Random) -> None:
    kinds = [Stop(), UnreachableError("cut"), RefusedError("no")]

    def fault(_what: str) -> None:
        if chance.random() < 0.3:
            raise chance.choice(kinds)

    target.site.before = fault
    for _ in range(chance.randrange(4)):
        owned = set(held(target)) - {"FOREIGN"}
        with contextlib.suppress(Stop):
            run(target, values)
        # Nothing that stays wanted is ever missing in between.
        assert owned & set(values) <= set(held(target))
        assert held(target)["FOREIGN"] == "not ours"
    target.site.before = lambda _: None


@given(first=contents, second=contents, again=contents, same_keys=st.booleans(), adopt=st.booleans())
@settings(max_examples=300, deadline=None)
def test_two_syncs_never_touch_each_others(
    first: dict[str, str], second: dict[str, str], again: dict[str, str], same_keys: bool, adopt: bool
) -> None:
    target = MemoryTarget(Site())
    policy = Policy(prune="all", adopt=adopt)
    keys = KEYS if same_keys else OTHER_KEYS
    run(target, first, sync="one", policy=policy)
    run(target, second, sync="two", policy=policy, keys=keys)
    expected = second | first  # the first one has what both want
    assert held(target) == expected
    run(target, again, sync="one", policy=policy)
    theirs = {name: value for name, value in second.items() if name not in first}
    assert held(target) == again | theirs
    run(target, second, sync="two", policy=policy, keys=keys)
    assert {n: v for n, v in held(target).items() if n in again and n not in theirs} == {
        n: v for n, v in again.items() if n not in theirs
    }


@pytest.mark.parametrize("damage", ["lost", "tampered", "another key", "garbage"])
@pytest.mark.parametrize("readable", [False, True])
def test_a_ledger_that_is_lost_or_changed_deletes_nothing(damage: str, readable: bool) -> None:
    target = MemoryTarget(Site(), readable=readable)
    run(target, {"A": "1", "B": "2"})
    variables = target.site.variables[AT.address]
    for name, text in list(variables.items()):
        if damage == "lost":
            del variables[name]
        elif damage == "tampered":
            variables[name] = text.replace('"A"', '"C"')
        elif damage == "garbage":
            variables[name] = "{[" * 1000
    keys = OTHER_KEYS if damage == "another key" else KEYS
    assert actions(target, {"B": "3", "D": "4"}, keys=keys) == {"B": "blocked", "D": "add"}
    damaged = dict(variables)
    run(target, {"B": "3", "D": "4"}, keys=keys)
    assert held(target) == {"A": "1", "B": "2", "D": "4"}
    assert damaged.items() <= variables.items(), "what is not believed is not written over"
    run(target, {"B": "3", "D": "4"}, keys=keys, policy=Policy(prune=True, adopt=frozenset({"B"})))
    assert held(target) == {"A": "1", "B": "3", "D": "4"}
    assert set(actions(target, {"B": "3", "D": "4"}, keys=keys).values()) == {"unchanged"}


def test_somebody_elses_change_is_seen() -> None:
    target = MemoryTarget(Site())
    run(target, {"A": "1", "B": "2"})
    target.site.put(AT.address, Slot("secret", "A"), b"theirs")
    target.site.put(AT.address, Slot("secret", "B"), b"theirs")
    assert actions(target, {"A": "1"}) == {"A": "drifted", "B": "orphan"}
    run(target, {"A": "1"}, policy=Policy(prune=True, on_drift="keep"))
    assert held(target) == {"A": "theirs", "B": "theirs"}, "neither overwritten nor pruned"
    run(target, {"A": "1"})
    assert held(target) == {"A": "1", "B": "theirs"}


def test_a_ledger_that_does_not_fit_is_split() -> None:
    target = MemoryTarget(Site())
    values = {f"NAME_{n:03}": f"value {n}" for n in range(60)}
    run(target, values)
    assert len(target.site.variables[AT.address]) > 10
    assert set(actions(target, values).values()) == {"unchanged"}
    run(target, {})
    assert held(target) == {}
    assert sum(map(len, target.site.variables[AT.address].values())) < 600


def test_what_changes_between_the_plan_and_its_turn_is_left_alone() -> None:
    """A run writes for hours at GitHub's pace: what it planned at its start may be long past."""
    target = MemoryTarget(Site())
    run(target, {"CHANGED": "1", "PRUNED": "1", "RETIRED": "1", "SAME": "1"})
    [place] = planned(target, {"MADE": "1", "CHANGED": "2", "SAME": "2", "NEW": "1", "CLAIMED": "1"}).places
    run(target, {"CLAIMED": "theirs"}, sync="two", keys=OTHER_KEYS)
    target.site.values[AT.address].pop(Slot("secret", "CLAIMED"))  # noted in its ledger, and not yet written
    for name in ("MADE", "CHANGED", "RETIRED"):
        target.site.put(AT.address, Slot("secret", name), b"theirs")
    place.listed_at -= FRESH
    applied = Applied()
    apply_place(place, target, KEYS, applied)
    assert held(target) == {"MADE": "theirs", "CHANGED": "theirs", "RETIRED": "theirs", "SAME": "2", "NEW": "1"}
    failed = {each.change.slot.name for each in applied.failed if each.change}
    assert failed == {"MADE", "CHANGED", "RETIRED", "CLAIMED"}
    assert all(isinstance(each.error, OutdatedError) for each in applied.failed)


def test_a_ledger_that_another_run_has_written_is_not_written_over() -> None:
    target = MemoryTarget(Site())
    run(target, {"A": "1"})
    [place] = planned(target, {"A": "2"}).places
    run(target, {"A": "1", "B": "1"})
    before = dict(target.site.variables[AT.address])
    place.listed_at -= FRESH
    applied = Applied()
    apply_place(place, target, KEYS, applied)
    assert [type(each.error) for each in applied.failed] == [OutdatedError]
    assert held(target) == {"A": "1", "B": "1"}
    assert target.site.variables[AT.address] == before


def test_a_place_that_can_not_be_listed_again_is_not_written_to() -> None:
    target = MemoryTarget(Site())
    [place] = planned(target, {"A": "1"}).places
    place.listed_at -= FRESH

    def cut(_: Place) -> Listing:
        raise UnreachableError("cut")

    target.list = cut  # type: ignore[method-assign,assignment]
    applied = Applied()
    apply_place(place, target, KEYS, applied)
    assert [str(each.error) for each in applied.failed] == ["cut"]
    assert target.site.writes == []


def test_what_somebody_made_after_a_run_that_ended_before_its_write_is_theirs() -> None:
    """Where values can be read: it is not what the run would have made."""
    target = MemoryTarget(Site(), readable=True)

    def end(what: str) -> None:
        if what.startswith("put"):
            raise Stop

    target.site.before = end
    with contextlib.suppress(Stop):
        run(target, {"A": "1"})
    target.site.before = lambda _: None
    assert actions(target, {"A": "1"}) == {"A": "add"}
    target.site.put(AT.address, Slot("secret", "A"), b"theirs")
    assert actions(target, {"A": "1"}) == {"A": "blocked"}
    run(target, {"A": "1"})
    run(target, {})
    assert held(target) == {"A": "theirs"}
    assert actions(target, {"A": "theirs"}) == {"A": "unchanged"}
    run(target, {"A": "1"}, policy=Policy(adopt=True))
    assert held(target) == {"A": "1"}


def test_most_of_a_place_is_not_deleted_at_once_by_mistake() -> None:
    target = MemoryTarget(Site())
    values = {f"N{n:02}": "a" for n in range(24)}
    run(target, values)
    few, half, most = (dict(list(values.items())[count:]) for count in (10, 12, 13))
    plain = Policy(prune=True)
    for left, deleted in ((few, 10), (half, 12), (most, 0)):
        changes = planned(target, left, policy=plain).changes
        assert sum(change.effect == "delete" for change in changes) == deleted
    reasons = {change.reason for change in planned(target, most, policy=plain).changes if change.action == "orphan"}
    assert reasons == {"kept: 13 of 24 would be deleted at once; if that is meant, `prune: all` does it"}
    run(target, most, policy=plain)
    assert len(held(target)) == 24
    run(target, most)
    assert held(target) == most

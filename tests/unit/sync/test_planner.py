"""Every branch of the plan for one place."""

from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace

from keylease.secret import Secret
from keylease.sync.ledger import Keys, Ledger
from keylease.sync.model import Change, Entry, Limit, Listing, Option, Policy, Remote, Slot, Wanted
from keylease.sync.planner import Case, plan_place

PLACE, PATTERN = "memory://place", "vault://kv/*"
KEYS = Keys.of(Secret("k" * 32), "a test")
T1, T2 = "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"


def slot(name: str, kind: str = "secret") -> Slot:
    return Slot(kind, name)


GONE = "no longer at its source, or left out by `include` or `exclude`"


def want(name: str, value: str = "v", source: str = "", version: str = "1", **options: Option) -> Wanted:
    return Wanted(slot(name), Secret(value), source or f"vault://kv/{name}", PATTERN, version, options)


def there(name: str, at: str = T1, value: str | None = None, **options: Option) -> Remote:
    return Remote(slot(name), at, None if value is None else Secret(value), options)


def own(name: str, value: str = "v", at: str = T1, version: str = "1", **more: object) -> Entry:
    mac = KEYS.mac(PLACE, slot(name), Secret(value))
    return replace(Entry(slot(name), f"vault://kv/{name}", PATTERN, mac, version, at), **more)


def plan(
    wanted: Sequence[Wanted] = (),
    remotes: Sequence[Remote] = (),
    owned: Sequence[Entry] = (),
    *,
    check: Mapping[str, str] = {},
    limits: Sequence[Limit] = (),
    unknown: Mapping[int, str] = {},
    prune: bool = False,
    adopt: bool | frozenset[str] = False,
    on_drift: str = "overwrite",
    patterns: Sequence[str] = (PATTERN,),
    **case: object,
) -> list[Change]:
    ledger = Ledger(PLACE, "one", unknown=dict(unknown))
    for entry in owned:
        ledger.put(entry)
    listing = Listing({each.slot: each for each in remotes}, {}, limits)
    policy = Policy(adopt, prune, on_drift)  # type: ignore[arg-type]
    made = Case(wanted, listing, ledger, KEYS, policy, patterns, **case)  # type: ignore[arg-type]
    return plan_place(made, lambda each: check.get(each.slot.name, ""))


def only(*args: object, **more: object) -> tuple[str, str, str]:
    (change,) = plan(*args, **more)  # type: ignore[arg-type]
    return change.action, change.effect, change.reason


# What is wanted.


def test_what_is_not_there_is_added() -> None:
    assert only([want("A")]) == ("add", "write", "not there yet")
    assert only([want("A")], [], [own("A")]) == ("add", "write", "it was deleted there")
    assert only([want("A")], [], [own("A", pending=True)]) == ("add", "write", "not there yet")


def test_what_is_the_same_is_left_alone() -> None:
    assert only([want("A")], [there("A")], [own("A")]) == ("unchanged", "none", "")
    assert only([want("A", version="2")], [there("A")], [own("A")])[:2] == ("unchanged", "none"), "the same value"


def test_what_came_by_another_pattern_is_noted_or_it_could_never_be_pruned() -> None:
    for moved in (own("A", pattern="vault://kv/old*"), own("A", source="vault://kv/before")):
        assert only([want("A")], [there("A")], [moved]) == ("unchanged", "record", "it comes from elsewhere now")
        assert only([want("A")], [there("A", value="v")], [moved])[:2] == ("unchanged", "record")


def test_a_new_value_is_an_update() -> None:
    assert only([want("A", "new", version="2")], [there("A")], [own("A")]) == (
        "update",
        "write",
        "the source has changed: version 1 → 2",
    )
    assert only([want("A", "new")], [there("A")], [own("A")])[2] == "the source has changed"
    assert only([want("A", "new", version="")], [there("A")], [own("A")])[2] == "the source has changed"


def test_an_unfinished_write_is_done_again() -> None:
    assert only([want("A")], [there("A", T2)], [own("A", pending=True)])[:2] == ("update", "write")
    assert only([want("A")], [there("A", T2, "v")], [own("A", pending=True)])[:2] == ("unchanged", "record")
    assert only([want("A")], [there("A", T2, "other")], [own("A", pending=True)])[:2] == ("update", "write")


def test_what_somebody_changed_is_drift() -> None:
    action, effect, reason = only([want("A")], [there("A", T2)], [own("A")])
    assert (action, effect) == ("drifted", "write")
    assert T2 in reason
    kept = only([want("A", "new")], [there("A", T2)], [own("A")], on_drift="keep")
    assert kept[:2] == ("drifted", "none")
    assert "kept" in kept[2]


def test_a_readable_value_tells_drift_better_than_its_date() -> None:
    assert only([want("A")], [there("A", T2, "v")], [own("A")])[:2] == ("unchanged", "record"), "written, not changed"
    assert only([want("A")], [there("A", T1, "theirs")], [own("A")])[:2] == ("drifted", "write")
    assert only([want("A", "new")], [there("A", T1, "v")], [own("A")])[:2] == ("update", "write")
    assert only([want("A", "new")], [there("A", T2, "new")], [own("A")])[:2] == ("unchanged", "record")


def test_a_platform_that_tells_no_dates_has_no_drift() -> None:
    assert only([want("A")], [there("A", "")], [own("A", at="")]) == ("unchanged", "none", "")
    assert only([want("A")], [there("A", "")], [own("A", at=T1)]) == ("unchanged", "none", "")


def test_options() -> None:
    held = [there("A", masked=True, scope="x")]
    assert only([want("A", masked=True)], held, [own("A")])[0] == "unchanged"
    assert only([want("A", masked=False)], held, [own("A")]) == ("update", "write", "differs in masked (true → false)")
    assert only([want("A", hidden=True)], held, [own("A")])[0] == "unchanged", "what is not shown can't be compared"
    readable = [there("A", T1, "v", masked=True)]
    assert only([want("A", masked=False)], readable, [own("A")])[:2] == ("update", "write")


# What is there and not ours.


def test_what_is_not_ours_is_not_touched() -> None:
    action, effect, reason = only([want("A")], [there("A")])
    assert (action, effect) == ("blocked", "none")
    assert "keylease sync adopt" in reason
    assert plan([], [there("A")]) == []
    assert plan([], [there("A")], prune=True) == []


def test_it_is_adopted_on_request() -> None:
    for adopt in (True, frozenset({"A"})):
        assert only([want("A")], [there("A")], adopt=adopt)[:2] == ("adopt", "write")
        assert only([want("A")], [there("A", T1, "v")], adopt=adopt)[:2] == ("adopt", "record")
        assert only([want("A")], [there("A", T1, "x")], adopt=adopt)[:2] == ("adopt", "write")
        assert only([want("A", m=1)], [there("A", T1, "v", m=2)], adopt=adopt)[:2] == ("adopt", "write")
    assert only([want("A")], [there("A")], adopt=frozenset({"B"}))[0] == "blocked"
    assert plan([], [there("A")], adopt=True) == []


def test_what_another_sync_has_is_never_adopted() -> None:
    others = {slot("A"): "ml-old"}
    action, effect, reason = only([want("A")], [there("A")], adopt=True, others=others)
    assert (action, effect) == ("blocked", "none")
    assert reason.startswith("it belongs to the sync 'ml-old'; ")
    assert "KEYLEASE_LEDGER_ML_OLD__1" in reason, "the way out, after a sync was renamed"
    action, effect, reason = only([want("A")], [], others=others)
    assert (action, effect) == ("blocked", "none")
    assert reason.startswith("the sync 'ml-old' wants this name too; ")
    assert only([want("A")], [there("A")], [own("A")], others=others)[0] == "unchanged", "ours it stays"


def test_a_ledger_that_is_not_believed_is_named() -> None:
    _, _, reason = only(
        [want("A")], [there("A")], unknown={1: "it was changed", 2: "it was changed", 3: "it is no ledger"}
    )
    assert "it is no ledger; it was changed" in reason
    assert only([want("A")], [], unknown={1: "x"})[0] == "add"


# What can't be.


def test_what_the_platform_would_not_take_is_blocked_alone() -> None:
    found = plan([want("A"), want("B")], check={"A": "too long"})
    assert [(each.action, each.effect, each.reason) for each in found] == [
        ("blocked", "none", "too long"),
        ("add", "write", "not there yet"),
    ]
    assert only([want("A", "new")], [there("A")], [own("A")], check={"A": "no"})[:2] == ("blocked", "none")


def test_a_name_with_nothing_in_it() -> None:
    action, effect, reason = only([want("")])
    assert (action, effect) == ("blocked", "none")
    assert "letters" in reason


def test_two_sources_of_one_name_block_each_other() -> None:
    two = [want("A", source="vault://kv/x"), want("A", source="vault://kv/y")]
    assert only(two) == ("blocked", "none", "2 sources want this name: vault://kv/x, vault://kv/y")
    assert only(two, [there("A")], [own("A")], prune=True)[:2] == ("blocked", "none"), "and it is no orphan"


def test_one_source_by_two_ways_is_one() -> None:
    twice = [want("A"), replace(want("A"), pattern="vault://kv/A")]
    (change,) = plan(twice, [there("A")], [own("A")])
    assert (change.action, change.effect) == ("unchanged", "none"), "the first way counts"


def test_two_versions_of_one_source_are_two() -> None:
    two = [want("A", "old", version="1"), want("A", "new", version="2")]
    assert only(two)[2] == "2 sources want this name: vault://kv/A (version 1), vault://kv/A (version 2)"


@pytest.mark.parametrize(("most", "added"), [(0, 0), (2, 0), (3, 1), (4, 2), (9, 3)])
def test_there_is_room_for_so_many(most: int, added: int) -> None:
    limit = Limit(frozenset({"secret"}), most, f"{most} secrets per place")
    remotes = [there("X"), there("Y"), Remote(slot("Z", "variable"))]
    found = plan([want(name) for name in "CAB"] + [want("X")], remotes, [own("X")], limits=[limit])
    assert [each.slot.name for each in found if each.action == "add"] == ["A", "B", "C"][:added]
    blocked = [each for each in found if each.action == "blocked"]
    assert len(blocked) == 3 - added
    assert all(f"{most} secrets per place" in each.reason for each in blocked)
    assert next(each for each in found if each.slot.name == "X").action == "unchanged"


def test_room_is_counted_before_anything_is_deleted() -> None:
    limit = Limit(frozenset({"secret"}), 1, "1")
    found = plan([want("A")], [there("B")], [own("B")], limits=[limit], prune=True)
    assert [(each.action, each.effect) for each in found] == [("blocked", "none"), ("orphan", "delete")]


# What is no longer wanted.


def orphan(
    *, remote: Remote | None = None, entry: Entry | None = None, prune: bool = True, **more: object
) -> tuple[str, str]:
    action, effect, reason = only([], [remote or there("A")], [entry or own("A")], prune=prune, **more)
    assert action == "orphan"
    return effect, reason


def test_an_orphan_is_deleted_only_on_request() -> None:
    assert orphan() == ("delete", GONE)
    assert orphan(prune=False) == ("none", f"{GONE}; `prune: true` would delete it")


def test_an_orphan_that_is_called_otherwise_now_says_how() -> None:
    written, orphaned = plan([want("NEW", source="vault://kv/A")], [there("A")], [own("A")], prune=True)
    assert (written.slot.name, written.effect) == ("NEW", "write")
    assert (orphaned.effect, orphaned.reason) == ("delete", "its source goes to secret NEW now")


@pytest.mark.parametrize("prune", [False, True])
def test_what_is_gone_already_is_forgotten(prune: bool) -> None:
    assert only([], [], [own("A")], prune=prune)[:2] == ("orphan", "forget")


def test_what_keeps_an_orphan() -> None:
    assert orphan(broken=[PATTERN])[0] == "none"
    assert "no longer in the configuration" in orphan(patterns=["vault://kv/other*"])[1]
    assert orphan(entry=own("A", pending=True))[0] == "none"
    assert "changed there" in orphan(remote=there("A", T2))[1]
    assert "changed there" in orphan(remote=there("A", T1, "theirs"))[1]
    assert orphan(hold="a `to` is not known") == ("none", "kept: a `to` is not known")
    assert orphan(remote=there("A", T1, "v")) == ("delete", GONE)


def test_a_date_is_shown_and_a_mark_is_not() -> None:
    assert f"somebody else, {T2}; " in only([want("A")], [there("A", T2)], [own("A")])[2]
    mark = only([want("A")], [there("A", "d398aa825dbbbf0b")], [own("A", at="175a990a6320ae7d")])
    assert (mark[0], mark[2]) == ("drifted", "changed there by somebody else; it is written again")


def test_the_order_is_writes_then_deletes() -> None:
    found = plan(
        [want("Z"), want("M"), want("B", "new")],
        [there("A"), there("B"), there("M")],
        [own("A"), own("B"), own("C"), own("M")],
        prune=True,
    )
    assert [(each.slot.name, each.effect) for each in found] == [
        ("B", "write"),
        ("M", "none"),
        ("Z", "write"),
        ("A", "delete"),
        ("C", "forget"),
    ]
    assert next(each for each in found if each.slot.name == "A").source == "vault://kv/A"

"""What every target keeps to. One harness per implementation; the battery runs on each, and on the one in memory."""
# long file: one list of rules, read as a whole

import importlib
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping

import pytest

from keylease.errors import KeyleaseError, RefusedError, UnreachableError, UsageError
from keylease.registry import TARGETS
from keylease.secret import Secret
from keylease.sync import ledger as ledgers
from keylease.sync.ledger import Keys, Ledger
from keylease.sync.model import Entry, Listing, Option, Slot, Wanted
from keylease.targets.base import Place, Target
from tests.contract.target_harness import TargetHarness, WireHarness
from tests.fakes.misbehaving import cut_off, drop, reply, status
from tests.leaks import Seeded

KEYS = Keys.of(Secret("k" * 32), "a test")


def _make(request: pytest.FixtureRequest) -> TargetHarness:
    module = importlib.import_module(f"tests.contract.target_{request.param.replace('-', '_')}")
    made: TargetHarness = module.make(request)
    return made


@pytest.fixture(params=["memory", *TARGETS])
def harness(request: pytest.FixtureRequest) -> TargetHarness:
    """Each implementation in turn: `make` of tests/contract/target_<type>.py."""
    return _make(request)


@pytest.fixture(params=list(TARGETS))
def wire(request: pytest.FixtureRequest) -> WireHarness:
    """Those that talk to a platform."""
    made = _make(request)
    assert isinstance(made, WireHarness)
    return made


def wanted(target: Target, place: Place, name: str, value: Secret, **options: Option) -> Wanted:
    return Wanted(target.slot(place, name), value, f"vault://kv/ci#{name}", "vault://kv/*", "1", options)


def put(harness: TargetHarness, target: Target, place: Place, name: str, value: str, *, exists: bool = False) -> Slot:
    """As the pipeline does it: check, then put."""
    each = wanted(target, place, name, harness.seal(value, name), **place.options)
    assert target.check(place, each) == ""
    target.put(place, each, exists=exists)
    return each.slot


def names(listing: Listing) -> set[str]:
    return {slot.name for slot in listing.remotes}


@pytest.mark.parametrize("kind", list(TARGETS))
def test_a_target_is_known_by_its_name(kind: str) -> None:
    target = TARGETS.load(kind)
    assert target.kind == kind
    assert target.record_size >= 256


# Values.


def test_an_empty_place(harness: TargetHarness) -> None:
    for kind in harness.kinds:
        listing = harness.target().list(harness.place(kind))
        assert not listing.remotes
        assert not listing.ledgers


def test_what_is_put_is_there(harness: TargetHarness, seeded: Seeded) -> None:
    for kind in harness.kinds:
        target, place = harness.target(), harness.place(kind)
        value = seeded.new("value")
        slot = put(harness, target, place, "NEW", value)
        assert slot.kind == place.kind
        assert harness.stored(place, slot) == value.encode()
        for listing in (target.list(place), harness.target().list(place)):
            remote = listing.remotes[slot]
            assert remote.slot == slot
            assert remote.value is None or remote.value.reveal() == value
            assert not listing.ledgers


def test_what_was_written_is_told_as_it_is_listed(harness: TargetHarness, seeded: Seeded) -> None:
    for kind in harness.kinds:
        target, place = harness.target(), harness.place(kind)
        slots = [put(harness, target, place, name, seeded.new("value")) for name in ("ONE", "TWO", "THREE")]
        told = target.written(place, [*slots[:2], target.slot(place, "GONE")])
        remotes = harness.target().list(place).remotes
        assert dict(told) == {slot: remotes[slot].updated_at for slot in slots[:2]}


def test_odd_values_arrive_as_they_are(harness: TargetHarness, seeded: Seeded) -> None:
    for kind in harness.kinds:
        target, place = harness.target(), harness.place(kind)
        for number, value in enumerate(harness.odd_values):
            each = wanted(target, place, f"ODD_{number}", harness.seal(value, "odd"), **place.options)
            why = target.check(place, each)
            if why:
                # Where a kind has narrower rules, it says so before anything is written.
                assert value not in why or len(value) < 3
                continue
            target.put(place, each, exists=False)
            assert harness.stored(place, each.slot) == value.encode()
            remote = target.list(place).remotes[each.slot]
            assert remote.value is None or remote.value.reveal() == value


def test_an_update_replaces_in_place(harness: TargetHarness, seeded: Seeded) -> None:
    for kind in harness.kinds:
        target, place = harness.target(), harness.place(kind)
        slot = put(harness, target, place, "ROTATED", seeded.new("first"))
        before = target.list(place).remotes[slot]
        harness.tick()
        second = seeded.new("second")
        target = harness.target()
        target.list(place)
        put(harness, target, place, "ROTATED", second, exists=True)
        assert harness.stored(place, slot) == second.encode()
        after = target.list(place).remotes[slot]
        assert not before.updated_at or after.updated_at != before.updated_at
        assert after.updated_at == harness.target().list(place).remotes[slot].updated_at, "all see the same time"


def test_the_same_again_is_no_error(harness: TargetHarness, seeded: Seeded) -> None:
    for kind in harness.kinds:
        target, place = harness.target(), harness.place(kind)
        value = seeded.new("value")
        for exists in (False, True, True):
            slot = put(harness, target, place, "AGAIN", value, exists=exists)
        assert harness.stored(place, slot) == value.encode()


def test_a_delete_leaves_the_others(harness: TargetHarness, seeded: Seeded) -> None:
    for kind in harness.kinds:
        target, place = harness.target(), harness.place(kind)
        gone, stays = target.slot(place, "GONE"), target.slot(place, "STAYS")
        for slot in (gone, stays, *harness.others(place)):
            harness.plant(place, slot, seeded.new(slot.name))
        before = {slot: harness.stored(place, slot) for slot in (stays, *harness.others(place))}
        target.delete(place, gone)
        target.delete(place, gone)
        assert harness.stored(place, gone) is None
        assert gone not in target.list(place).remotes
        assert {slot: harness.stored(place, slot) for slot in before} == before


def test_places_are_apart(harness: TargetHarness, seeded: Seeded) -> None:
    for kind in harness.kinds:
        target, one, two = harness.target(), harness.place(kind, 1), harness.place(kind, 2)
        assert one.address != two.address
        slot = put(harness, target, one, "ONLY_HERE", seeded.new("value"))
        assert slot not in target.list(two).remotes


def test_what_others_write_is_seen(harness: TargetHarness, seeded: Seeded) -> None:
    for kind in harness.kinds:
        target, place = harness.target(), harness.place(kind)
        slot = target.slot(place, "THEIRS")
        harness.plant(place, slot, seeded.new("first"))
        before = target.list(place).remotes[slot]
        harness.tick()
        value = seeded.new("second")
        harness.plant(place, slot, value)
        after = target.list(place).remotes[slot]
        told = after.updated_at != before.updated_at
        assert told or (after.value is not None and after.value.reveal() == value) or not after.updated_at


def test_more_than_one_page(harness: TargetHarness) -> None:
    for kind in harness.kinds:
        target, place = harness.target(), harness.place(kind)
        planted = {target.slot(place, f"MANY_{number:03}") for number in range(harness.many_of(kind))}
        for slot in planted:
            harness.plant(place, slot, "value")
        assert planted <= set(target.list(place).remotes), kind


def test_many_threads_list_at_once(harness: TargetHarness) -> None:
    kind = harness.kinds[0]
    target = harness.target()
    places = [harness.place(kind, number) for number in (1, 2)]
    for number, place in enumerate(places):
        harness.plant(place, target.slot(place, f"OF_{number}"), "value")
    found: list[set[str]] = [set()] * 16

    def run(n: int) -> None:
        found[n] = names(target.list(places[n % 2]))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{f"OF_{n % 2}"} for n in range(16)]


# Rules of the platform, known before anything is written.


def test_names(harness: TargetHarness) -> None:
    for kind in harness.kinds:
        target, place = harness.target(), harness.place(kind)
        for name in harness.good_names:
            slot = put(harness, target, place, name, "value")
            assert slot in target.list(place).remotes, name
        for name in harness.bad_names:
            assert target.check(place, wanted(target, place, name, Secret("value"))), name


def test_sizes(harness: TargetHarness) -> None:
    if not harness.largest:
        return
    for kind in harness.kinds:
        target, place = harness.target(), harness.place(kind)
        slot = put(harness, target, place, "LARGE", "x" * harness.largest)
        assert harness.stored(place, slot) == b"x" * harness.largest
        for value in ("x" * (harness.largest + 1), "ü" * (harness.largest // 2 + 1)):
            why = target.check(place, wanted(target, place, "LARGE", Secret(value)))
            assert why, "bytes are counted, not characters"
            assert value not in why


def test_limits_count_what_is_there(harness: TargetHarness) -> None:
    for kind in harness.kinds:
        for limit in harness.target().list(harness.place(kind)).limits:
            assert limit.most > 0
            assert limit.kinds
            assert str(limit.most) in limit.text.replace(",", "")


# The ledger.


def ledger_of(place: Place, sync: str, number: int) -> Ledger:
    made = Ledger(place.address, sync)
    for n in range(number):
        slot = Slot(place.kind, f"NAME_{n:03}")
        made.put(Entry(slot, f"vault://kv/team/application#name_{n}", "vault://kv/*", "m" * 24, str(n), "2026-11-24"))
    return made


def entries(ledger: Ledger) -> Mapping[Slot, Entry]:
    assert not ledger.unknown
    return {slot: entry for slot in ledger.slots() if (entry := ledger.get(slot))}


def read(harness: TargetHarness, place: Place, sync: str) -> Ledger:
    return ledgers.read(place.address, sync, harness.target().list(place).ledgers.get(sync, {}), KEYS)


def test_a_ledger_comes_back_as_it_was_recorded(harness: TargetHarness) -> None:
    target, place = harness.target(), harness.place(harness.kinds[0])
    one, two = ledger_of(place, "one", 5), ledger_of(place, "two-more", 3)
    target.record(place, "one", one.texts(KEYS, target.record_size), {})
    target.record(place, "two-more", two.texts(KEYS, target.record_size), {})
    assert entries(read(harness, place, "one")) == entries(one)
    assert entries(read(harness, place, "two-more")) == entries(two)
    assert not harness.target().list(place).remotes, "a ledger is no value of ours"
    assert harness.target().list(harness.place(harness.kinds[0], 2)).ledgers == {}


def test_all_kinds_of_a_place_share_its_ledger(harness: TargetHarness) -> None:
    by_address: dict[str, Place] = {}
    for kind in harness.kinds:
        place = harness.place(kind)
        first = by_address.setdefault(place.address, place)
        target = harness.target()
        if first is place:
            target.record(place, "one", ledger_of(place, "one", 2).texts(KEYS, target.record_size), {})
        assert harness.target().list(place).ledgers["one"] == harness.target().list(first).ledgers["one"]


def test_a_ledger_that_must_be_split(harness: TargetHarness) -> None:
    target, place = harness.target(), harness.place(harness.kinds[0])
    each = len(ledger_of(place, "one", 1).texts(KEYS, target.record_size)[1])
    ledger = ledger_of(place, "one", 2 * target.record_size // each + 10)
    texts = ledger.texts(KEYS, target.record_size)
    assert len(texts) > 1
    target.record(place, "one", texts, {})
    there = harness.target().list(place).ledgers["one"]
    assert there == texts
    assert entries(read(harness, place, "one")) == entries(ledger)
    for slot in ledger.slots()[1:]:
        ledger.drop(slot)
    target.record(place, "one", ledger.texts(KEYS, target.record_size), there)
    assert entries(read(harness, place, "one")) == entries(ledger)
    assert len(harness.target().list(place).ledgers["one"]) == 1, "parts that are empty are gone"
    ledger.drop(ledger.slots()[0])
    target.record(place, "one", ledger.texts(KEYS, target.record_size), harness.target().list(place).ledgers["one"])
    assert "one" not in harness.target().list(place).ledgers


def test_a_part_of_the_full_size_fits(harness: TargetHarness) -> None:
    target, place = harness.target(), harness.place(harness.kinds[0])
    text = "{" + "x" * (target.record_size - 2) + "}"
    target.record(place, "one", {3: text}, {})
    assert harness.target().list(place).ledgers == {"one": {3: text}}


# To and from.


def test_addresses_are_canonical(harness: TargetHarness) -> None:
    target = harness.target()
    for same in harness.addresses:
        found = set()
        for address in same:
            to = type(target).parse(address)
            [place] = target.places(to)
            found.add(place.address)
            [again] = target.places(type(target).parse(place.address))
            assert again.address == place.address
        assert len(found) == 1, same


def test_addresses_that_cannot_be(harness: TargetHarness) -> None:
    for address in harness.bad_addresses:
        with pytest.raises(UsageError):
            type(harness.target()).parse(address)


def test_permissions_are_told(wire: WireHarness) -> None:
    target = wire.target()
    tos = [type(target).parse(same[0]) for same in wire.addresses]
    told = target.permissions(tos)
    assert told
    assert len(set(told)) == len(told)


# Faults.


@pytest.mark.parametrize("fault", [status(503), drop()], ids=["503", "drop"])
def test_one_fault_is_survived(wire: WireHarness, fault: object, seeded: Seeded) -> None:
    for kind in wire.kinds:
        target, place = wire.target(), wire.place(kind)
        slot = target.slot(place, "PLANTED")
        wire.plant(place, slot, seeded.new("planted"))
        wire.proxy.fail(wire.list_pattern, fault, method="GET")  # type: ignore[arg-type]
        assert slot in target.list(place).remotes
        value = seeded.new("value")
        wire.proxy.fail(wire.write_pattern, fault, method=wire.write_method)  # type: ignore[arg-type]
        assert wire.stored(place, put(wire, target, place, "WRITTEN", value)) == value.encode()


@pytest.mark.parametrize("doing", ["list", "put"])
def test_what_is_missing_is_not_found(wire: WireHarness, doing: str) -> None:
    for kind in wire.kinds:
        target, place = wire.target(), wire.missing(kind)
        sent, started = len(wire.proxy.requests), time.monotonic()
        with pytest.raises(RefusedError) as caught:
            target.list(place) if doing == "list" else put(wire, target, place, "NAME", "value")
        assert time.monotonic() - started < 1
        assert len({request.target for request in wire.proxy.requests[sent:]}) == len(wire.proxy.requests[sent:]), (
            "permanent: asked once"
        )
        assert place.address.split("://")[1].split("?")[0] in caught.value.summary
        assert caught.value.change


@pytest.mark.parametrize("what", ["list", "write", "ledger"])
def test_what_is_forbidden_names_the_permission(wire: WireHarness, what: str, seeded: Seeded) -> None:
    target, place = wire.without(what), wire.place(wire.kinds[0])
    sent, started = len(wire.proxy.requests), time.monotonic()
    value = seeded.new("value")
    does: dict[str, Callable[[], object]] = {
        "list": lambda: target.list(place),
        "write": lambda: put(wire, target, place, "NAME", value),
        "ledger": lambda: target.record(place, "one", ledger_of(place, "one", 1).texts(KEYS, target.record_size), {}),
    }
    with pytest.raises(RefusedError) as caught:
        does[what]()
    assert re.search(getattr(wire, f"{what}_permission"), caught.value.diagnostics())
    assert time.monotonic() - started < 1
    assert len({(r.method, r.target) for r in wire.proxy.requests[sent:]}) == len(wire.proxy.requests[sent:])
    assert caught.value.cause
    assert caught.value.change
    assert not wire.target().list(place).ledgers


@pytest.mark.parametrize(
    "answer",
    [
        reply(body=b"<html>login</html>", content_type="text/html"),
        reply(body=b"{"),
        reply(body=b""),
        reply(json=[1]),
        reply(json="text"),
        reply(json={"total_count": 3}),
        reply(json={"total_count": "x", "secrets": 1, "variables": {}, "credentials": "x"}),
        reply(json={"total_count": 1, "secrets": [{}], "variables": [{}], "credentials": [{}]}),
        reply(json={"total_count": 1, "secrets": [1], "variables": [None], "credentials": [[]]}),
        reply(json={"total_count": 5, "secrets": [], "variables": [], "credentials": None}),
        reply(status=302, headers={"Location": "https://login.example.com/"}),
        reply(status=206, json={"total_count": 0, "secrets": [], "variables": []}),
        cut_off(),
    ],
    ids=["html", "cut", "no body", "list", "text", "no list", "types", "no names", "odd", "few", "302", "206", "half"],
)
def test_garbage_is_never_an_empty_place(wire: WireHarness, answer: object) -> None:
    kind = wire.kinds[0]
    target, place = wire.target(), wire.place(kind)
    wire.plant(place, target.slot(place, "PLANTED"), "value")
    wire.proxy.always(wire.list_pattern, answer, method="GET")  # type: ignore[arg-type]
    with pytest.raises(KeyleaseError) as caught:
        target.list(place)
    assert isinstance(caught.value, UnreachableError | RefusedError)


@pytest.mark.parametrize("code", [400, 409, 422])
def test_a_refused_write_is_asked_once_and_shows_no_value(
    wire: WireHarness, code: int, seeded: Seeded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    kind = wire.kinds[0]
    target, place = wire.target(), wire.place(kind)
    value = seeded.new("value")
    # Some servers quote what they refuse.
    said = {"message": "refused", "errors": [{"code": "invalid", "value": value}], "error": value}
    wire.proxy.always(wire.write_pattern, reply(code, json=said), method=wire.write_method)
    sent = wire.writes()
    with pytest.raises(RefusedError) as caught:
        put(wire, target, place, "NAME", value)
    assert wire.writes() == sent + 1
    assert value not in caught.value.diagnostics(debug=True)
    assert all(value not in request.target for request in wire.proxy.requests)


def test_values_are_in_no_url(wire: WireHarness, seeded: Seeded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for kind in wire.kinds:
        target, place = wire.target(), wire.place(kind)
        value = seeded.new("value")
        slot = put(wire, target, place, "NAME", value)
        target.list(place)
        put(wire, target, place, "NAME", seeded.new("second"), exists=True)
        target.delete(place, slot)
        assert all(value not in request.target for request in wire.proxy.requests)

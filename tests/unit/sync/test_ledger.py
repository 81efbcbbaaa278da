"""What the ledger believes, and how it is split."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from keylease.errors import UsageError
from keylease.secret import Secret
from keylease.sync import ledger as ledgers
from keylease.sync.ledger import Keys, Ledger, claimed, part_of, variable_of
from keylease.sync.model import Entry, Slot

PLACE = "memory://place"
KEYS = Keys.of(Secret("k" * 32), "a test")


def entry(name: str, scope: str = "", **more: object) -> Entry:
    slot = Slot("secret", name, scope)
    return Entry(slot, "vault://kv/a#b", "vault://kv/*", KEYS.mac(PLACE, slot, Secret(name)), "7", "2026", **more)  # type: ignore[arg-type]


def written(*entries: Entry, most: int = 40_000, sync: str = "one") -> dict[int, str]:
    made = Ledger(PLACE, sync)
    for each in entries:
        made.put(each)
    return {number: text for number, text in made.texts(KEYS, most).items() if text}


def read(records: Mapping[int, str], place: str = PLACE, sync: str = "one", keys: Keys = KEYS) -> Ledger:
    return ledgers.read(place, sync, records, keys)


# Names.


WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=11)


@given(st.lists(WORD, min_size=1, max_size=4).map("-".join), st.integers(1, 9999))
def test_the_name_of_a_part_tells_its_sync_and_number(sync: str, number: int) -> None:
    assert ledgers.SYNC_NAME.fullmatch(sync)
    assert part_of(variable_of(sync, number)) == (sync, number)


@pytest.mark.parametrize(
    "name", ["X", "KEYLEASE_LEDGER_A", "KEYLEASE_LEDGER_A__0", "KEYLEASE_LEDGER_A__01", "KEYLEASE_LEDGER___1", "a__1"]
)
def test_other_variables_are_no_parts(name: str) -> None:
    assert part_of(name) is None


@pytest.mark.parametrize("name", ["", "-a", "a-", "a--b", "A", "a_b", "a" * 49, "a\n"])
def test_what_can_not_be_a_syncs_name(name: str) -> None:
    assert ledgers.SYNC_NAME.fullmatch(name) is None


# Keys.


@pytest.mark.parametrize("key", ["", "shorty77", "x" * 15, " \n" + "x" * 15 + "\n\n\n"])
def test_a_short_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(UsageError, match="16 bytes") as caught:
        Keys.of(Secret(key), "vault://kv/key")
    assert "openssl rand" in caught.value.change
    assert not key.strip() or key.strip() not in caught.value.diagnostics(debug=True)


def test_white_space_around_a_key_does_not_matter() -> None:
    assert Keys.of(Secret("k" * 32 + "\n"), "x") == KEYS


def test_what_stands_for_a_value_depends_on_everything() -> None:
    slot = Slot("secret", "A")
    base = KEYS.mac(PLACE, slot, Secret("value"))
    others = [
        KEYS.mac("memory://other", slot, Secret("value")),
        KEYS.mac(PLACE, Slot("secret", "B"), Secret("value")),
        KEYS.mac(PLACE, Slot("variable", "A"), Secret("value")),
        KEYS.mac(PLACE, Slot("secret", "A", "*"), Secret("value")),
        KEYS.mac(PLACE, slot, Secret("value ")),
        Keys.of(Secret("o" * 32), "x").mac(PLACE, slot, Secret("value")),
    ]
    assert len({base, *others}) == 7
    assert base == KEYS.mac(PLACE, slot, Secret(b"value"))
    assert "value" not in base


# Reading back.


def test_a_ledger_comes_back_as_it_was() -> None:
    entries = [entry("A"), entry("B", "production", pending=True), entry("ü")]
    found = read(written(*entries))
    assert found.unknown == {}
    assert [found.get(slot) for slot in found.slots()] == sorted(entries, key=lambda each: each.slot)


def test_it_holds_no_value() -> None:
    text = written(entry("A_VALUE_NAMED_LIKE_ITS_NAME"))[1]
    assert text.count("A_VALUE_NAMED_LIKE_ITS_NAME") == 1
    assert text.isascii()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"A"', '"Z"'),
        lambda text: text.replace(",0]", ",1]"),
        lambda text: text.replace('"keylease":1', '"keylease":2'),
        lambda text: text.replace('"mac":"', '"mac":"\\ud800'),
        lambda text: text.replace('"mac":"', '"mac":null,"x":"'),
        lambda text: text.replace('"entries"', '"entry"'),
        lambda text: text[:-1],
        lambda _: "",
        lambda _: "[" * 100_000,
        lambda _: "null",
        lambda _: "[]",
        lambda _: '{"keylease":1,"mac":"","entries":1e999}',
        lambda _: "9" * 5000,
    ],
)
def test_what_was_changed_is_unknown_and_nothing_breaks(change: object) -> None:
    found = read({1: change(written(entry("A"))[1])})  # type: ignore[operator]
    assert found.slots() == []
    assert list(found.unknown) == [1]
    assert all(found.unknown.values())


@given(st.text(max_size=200), st.integers(0, 500))
@settings(max_examples=300, deadline=None)
def test_any_damage_is_unknown(junk: str, at: int) -> None:
    text = written(entry("A"), entry("B"))[1]
    damaged = text[:at] + junk + text[at + len(junk) :]
    found = read({1: damaged})
    claimed({1: damaged})
    assert found.unknown or {each.name for each in found.slots()} == {"A", "B"}


@pytest.mark.parametrize(
    "how", [{"place": "memory://other"}, {"sync": "two"}, {"keys": Keys.of(Secret("o" * 32), "x")}]
)
def test_a_part_is_good_for_its_own_place_sync_and_key_only(how: dict[str, object]) -> None:
    assert list(read(written(entry("A")), **how).unknown) == [1]  # type: ignore[arg-type]


def test_a_part_is_good_for_its_own_number_only() -> None:
    text = written(entry("A"))[1]
    assert list(read({2: text}).unknown) == [2]
    assert read({1: text, 2: text}).slots() == [Slot("secret", "A")]


def test_parts_that_are_believed_are_used_though_others_are_not() -> None:
    records = written(*(entry(f"N{n}") for n in range(20)), most=600)
    assert len(records) > 2
    whole = len(read(records).slots())
    found = read({**records, 1: records[1].replace("N", "M")})
    assert 0 < len(found.slots()) < whole
    assert list(found.unknown) == [1]


# Splitting.


@given(
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=120),
    st.sampled_from([300, 600, 2000, 40_000]),
)
@settings(max_examples=150, deadline=None)
def test_what_is_put_and_dropped_in_any_order_fits_and_comes_back(steps: list[tuple[int, bool]], most: int) -> None:
    kept = Ledger(PLACE, "one")
    records: dict[int, str] = {}
    wanted = set()
    for n, put in steps:
        slot = Slot("secret", f"N{n}")
        if put:
            kept.put(entry(f"N{n}"))
            wanted.add(slot)
        else:
            kept.drop(slot)
            wanted.discard(slot)
        texts = kept.texts(KEYS, most)
        assert list(texts) == sorted(texts, reverse=True), "the newest part is written first"
        assert all(len(text) <= most for text in texts.values())
        records = {**records, **texts}
    found = read({number: text for number, text in records.items() if text})
    assert set(found.slots()) == wanted == set(kept.slots())
    assert found.unknown == {}


@given(st.integers(1, 40), st.integers(0, 10))
@settings(max_examples=80, deadline=None)
def test_a_run_that_ends_between_two_parts_loses_nothing(count: int, done: int) -> None:
    records = written(*(entry(f"N{n}") for n in range(count)), most=600)
    grown = read(records)
    for slot in grown.slots():
        grown.put(replace(entry(slot.name), source="vault://kv/a/much/longer/path/than/before#password"))
    texts = grown.texts(KEYS, 600)
    for number in list(texts)[:done]:
        records[number] = texts[number]
    found = read({number: text for number, text in records.items() if text})
    assert found.slots() == grown.slots()
    for number, text in texts.items():
        records[number] = text
    again = read({number: text for number, text in records.items() if text})
    assert all("longer" in (again.get(slot) or entry("")).source for slot in again.slots())


def test_an_entry_that_is_larger_than_a_part_stays_alone_in_it() -> None:
    texts = written(entry("A" * 500), entry("B"), most=400)
    assert min(map(len, texts.values())) <= 400
    assert {slot.name for slot in read(texts).slots()} == {"A" * 500, "B"}


def test_an_entry_stays_in_its_part() -> None:
    found = read(written(*(entry(f"N{n:02}") for n in range(9)), most=600))
    before = found.texts(KEYS, 600)
    number = next(number for number, part in found.parts.items() if Slot("secret", "N00") in part)
    found.put(replace(entry("N00"), version="8"))
    after = found.texts(KEYS, 600)
    assert [each for each in after if after[each] != before[each]] == [number]


def test_nothing_is_written_over_an_unknown_part() -> None:
    found = read({1: "garbage", 2: "garbage"})
    found.put(entry("A"))
    assert list(found.texts(KEYS, 600)) == [3]
    for n in range(9):
        found.put(entry(f"N{n}"))
    assert min(found.texts(KEYS, 600)) == 3


def test_a_part_with_nothing_left_is_empty() -> None:
    found = read(written(entry("A")))
    found.drop(Slot("secret", "A"))
    assert found.texts(KEYS, 600) == {1: ""}


# Of other syncs.


def test_what_others_claim_is_taken_at_their_word() -> None:
    records = written(entry("A"), entry("B", "x"), sync="two")
    assert claimed(records) == {Slot("secret", "A"), Slot("secret", "B", "x")}
    assert claimed({1: records[1].replace('"mac":"', '"mac":"x')}) == claimed(records)


@pytest.mark.parametrize(
    "rows", ["1", "null", '"abc"', "[1]", '["abc"]', '[["a"]]', '[["a","b",1]]', "[[]]", "[{}]", '{"a":1}', "[null]"]
)
def test_odd_rows_hide_no_good_ones(rows: str) -> None:
    assert claimed({1: f'{{"entries":{rows}}}'}) == set()
    good = json.dumps(["secret", "A", "", 1, 2])
    if rows.startswith("["):
        mixed = rows[:-1] + f",{good}]"
        assert claimed({1: f'{{"entries":{mixed}}}'}) == {Slot("secret", "A", "")}

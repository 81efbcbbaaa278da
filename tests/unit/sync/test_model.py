"""The nouns of a sync."""

import pytest

from keylease.secret import Secret
from keylease.sync.model import Policy, Remote, Slot, Wanted


@pytest.mark.parametrize(
    ("adopt", "name", "expected"),
    [
        (False, "A", False),
        (True, "A", True),
        (frozenset({"A"}), "A", True),
        (frozenset({"A"}), "a", False),
        (frozenset(), "A", False),
    ],
)
def test_what_may_be_taken_over(adopt: bool | frozenset[str], name: str, expected: bool) -> None:
    assert Policy(adopt).adopts(name) is expected


def test_a_slot_for_people() -> None:
    assert str(Slot("secret", "A")) == "secret A"
    assert str(Slot("variable", "A", "production")) == "variable A (production)"


def test_slots_have_an_order() -> None:
    slots = [Slot("variable", "A"), Slot("secret", "B"), Slot("secret", "A", "x"), Slot("secret", "A")]
    assert sorted(slots) == [slots[3], slots[2], slots[1], slots[0]]


def test_nothing_shows_a_value() -> None:
    value = Secret("a value to be seen nowhere")
    slot = Slot("secret", "A")
    for thing in (Wanted(slot, value, "s", "p"), Remote(slot, "", value)):
        assert "seen nowhere" not in repr(thing)

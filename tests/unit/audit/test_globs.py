"""Texts that several patterns agree on, against the table of prefixes."""

import time

from hypothesis import given
from hypothesis import strategies as st

from keylease.audit.globs import Free, Wish, agreed
from tests.unit.audit.iam import like

SHAPES = ((Free("/"),), ("a", Free("/"), "/", Free("")), (Free(""), "b"))
WISHES = st.lists(
    st.tuples(st.lists(st.text("ab/*?", min_size=1, max_size=4), min_size=1, max_size=2), st.booleans()), max_size=3
)


def meets(text: str, wishes: list[Wish]) -> bool:
    return all(any(like(each, text) for each in listed) is wanted for listed, wanted in wishes)


@given(st.sampled_from(SHAPES), WISHES, st.text("ab/c", max_size=6))
def test_a_text_is_found_exactly_if_there_is_one(shape: tuple[str, ...], wishes: list[Wish], text: str) -> None:
    found = agreed(shape, wishes)
    if found is not None:
        assert meets(found, wishes)
        assert agreed(shape, [([found], True)]) == found, "it isn't of the shape"
    elif agreed(shape, [([text], True)]) == text:
        assert not meets(text, wishes)


def test_the_edges() -> None:
    assert agreed(("repo:", Free("/:"), "/x"), [(["repo:acme*"], True), (["repo:acme/*"], False)]) == "repo:acmex/x"
    assert agreed(("a",), [(["b"], True)]) is None
    assert agreed(("a", Free("b")), [(["*b*"], True)]) is None
    assert agreed((), []) == ""


def test_a_hostile_pattern_is_cheap() -> None:
    began = time.process_time()
    agreed((Free(":"),), [(["*" + "a?" * 40 + "*", "*a" * 60 + "b"], True), (["*b" * 60], False)])
    assert time.process_time() - began < 3

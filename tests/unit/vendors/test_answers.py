"""Texts of vendors' answers: nothing of a token that they repeat is left where the text is cut."""

import base64
import os

import pytest

from keylease.masking import Masker
from keylease.vendors.answers import one_line


@pytest.mark.parametrize("before", ["", "x" * 250 + " ", " " * 1000, "word " * 50, "word " * 59, "\n" * 1150])
@pytest.mark.parametrize("size", [240, 300, 900, 3000])
def test_no_part_of_a_repeated_token_is_shown(before: str, size: int) -> None:
    token = base64.urlsafe_b64encode(os.urandom(size)).decode()
    masker = Masker()
    masker.seal(token, "identity token")
    shown = masker.scrub(one_line(f"{before}bad token {token} was sent"))
    assert not any(token[at : at + 24] in shown for at in range(len(token) - 24))
    assert len(shown) <= 300


def test_words_are_cut_as_ever() -> None:
    assert one_line("a \t\x1b\n b") == "a b"
    assert one_line("word " * 100) == ("word " * 60)[:299] + "…"
    assert one_line("x" * 300) == "x" * 300

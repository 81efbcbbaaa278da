"""The short cut for texts that nothing escapes is right."""

import string

import pytest

from keylease.masking.encodings import NEVER_ESCAPED, escapes

UNTOUCHED = string.ascii_letters + string.digits + "_.-"


@pytest.mark.parametrize("text", [UNTOUCHED, *UNTOUCHED, "-n", "...", "1e-5", "u0041", "x41"])
def test_what_is_taken_as_never_escaped_is_not(text: str) -> None:
    assert NEVER_ESCAPED.fullmatch(text)
    assert {form for _, form in escapes(text)} == {text}


@pytest.mark.parametrize("text", [chr(code) for code in range(128) if chr(code) not in UNTOUCHED] + ["ü", "a\n", "٣"])
def test_nothing_else_takes_the_short_cut(text: str) -> None:
    assert not NEVER_ESCAPED.fullmatch(f"a{text}b")

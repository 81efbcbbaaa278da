"""Errors as people see them."""

import pytest

from keylease import errors
from keylease.errors import ExitCode, KeyleaseError, RefusedError


def test_the_whole_story() -> None:
    error = RefusedError(
        "Vault: login refused (role ml-ci)",
        cause="the role does not accept this audience",
        change="bao write auth/jwt/role/ml-ci - <<EOF\n{}\nEOF",
        claims={"sub": "repo:acme/trainer", "environment": None},
        docs="login-refused",
        detail={"status": 400},
    )
    assert error.diagnostics().splitlines() == [
        "Vault: login refused (role ml-ci)",
        "  likely cause   the role does not accept this audience",
        "  your token     sub=repo:acme/trainer  (environment: MISSING)",
        "  change         run the commands below",
        "  docs           https://github.com/keylease/keylease/blob/main/docs/errors.md#login-refused",
        "",
        "bao write auth/jwt/role/ml-ci - <<EOF",
        "{}",
        "EOF",
    ]
    assert error.diagnostics(debug=True).splitlines()[5] == "  debug status   400"
    assert str(error) == "Vault: login refused (role ml-ci)"


def test_words_stay_inline_and_what_is_to_be_pasted_comes_last() -> None:
    error = KeyleaseError("x", change="one\ntwo\n\nthree <<EOF\nEOF\n\nfour", docs="a")
    shown = error.diagnostics()
    assert shown.startswith("x\n  change         one\n                 two\n  docs ")
    assert shown.endswith("#a\n\nthree <<EOF\nEOF\n\nfour\n")
    assert KeyleaseError("x", change="a\nb").diagnostics() == "x\n  change         a\n                 b"


def test_hostile_claims_stay_on_one_line() -> None:
    shown = KeyleaseError("x", claims={"ref": "a\n::error::b\x1b[2J" + "c" * 500}).diagnostics()
    assert len(shown.splitlines()) == 2
    assert "\x1b" not in shown
    assert len(shown) < 300


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("UsageError", 2),
        ("IdentityError", 3),
        ("RefusedError", 4),
        ("NotFoundError", 4),
        ("UnreachableError", 5),
        ("DeadlineError", 5),
        ("PartialError", 6),
        ("KeyleaseError", 70),
    ],
)
def test_exit_codes_are_distinct_and_fixed(name: str, code: int) -> None:
    """They are an interface: pipelines branch on them."""
    assert getattr(errors, name).exit_code == code
    assert ExitCode(code)

"""Whom a trust lets in, held against trying it: jobs of strangers and of an owner's other repositories."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.audit.reach import reach, shared

GITHUB = shared("https://token.actions.githubusercontent.com")
STRANGERS = ("evil", "acme-evil", "acmee", "a", "ac")
OTHERS = ("trainer2", "train", "t", "other")


def jobs(owner: str, repository: str) -> Iterator[dict[str, str]]:
    """Claims of jobs there, on all sorts of occasions."""
    for rest in ("ref:refs/heads/main", "environment:production", "pull_request"):
        yield {
            "aud": "https://api.openai.com/v1",
            "sub": f"repo:{owner}/{repository}:{rest}",
            "repository": f"{owner}/{repository}",
            "repository_owner": owner,
            "ref": "refs/heads/main",
            "workflow_ref": f"{owner}/{repository}/.github/workflows/ci.yml@refs/heads/main",
        }


def lets_in(matchers: dict[str, str], claims: dict[str, str]) -> bool:
    """Trying it: all must fit; a * stands for anything."""
    return all(
        name in claims and fnmatchcase(claims[name], value.replace("[", "[[]").replace("?", "[?]"))
        for name, value in matchers.items()
    )


OWN = next(jobs("acme", "trainer"))


@st.composite
def rules(draw: st.DrawFn) -> dict[str, str]:
    """Matchers that let our own job in: claims as they are, or cut anywhere and ended with a star."""
    names = draw(st.lists(st.sampled_from(sorted(OWN)), unique=True, max_size=3))
    found = {}
    for name in names:
        value = OWN[name]
        found[name] = value if draw(st.booleans()) else value[: draw(st.integers(0, len(value)))] + "*"
    return found


@given(rules())
def test_against_trying(matchers: dict[str, str]) -> None:
    assert GITHUB is not None
    assert lets_in(matchers, OWN)
    found = reach(GITHUB, matchers)
    stranger = any(lets_in(matchers, job) for owner in STRANGERS for job in jobs(owner, "trainer"))
    other = any(lets_in(matchers, job) for name in OTHERS for job in jobs("acme", name))
    if stranger:
        assert found == "anyone"
    if other:
        assert found in ("anyone", "owner")
    if found == "bound":
        assert not stranger
        assert not other
    if found == "owner":
        assert not stranger


@pytest.mark.parametrize(
    ("issuer", "known"),
    [
        ("https://token.actions.githubusercontent.com", True),
        ("https://gitlab.com/", True),
        ("https://token.actions.githubusercontent.com/acme", False),  # an enterprise's own
        ("https://gitlab.example.com", False),
        ("https://evil.example/https://gitlab.com", False),
        (None, False),
        (["https://gitlab.com"], False),
    ],
)
def test_which_issuers_everybody_shares(issuer: object, known: bool) -> None:
    assert (shared(issuer) is not None) is known


@pytest.mark.parametrize("value", [["acme/trainer"], {"any_of": ["acme/trainer"]}, None, 1.5])
def test_what_is_no_text_can_not_be_told(value: object) -> None:
    assert GITHUB is not None
    assert reach(GITHUB, {"repository": value}) is None
    assert reach(GITHUB, {"repository_owner": "acme", "ref": value}) is None
    assert reach(GITHUB, {"ref_protected": True}) == "anyone"

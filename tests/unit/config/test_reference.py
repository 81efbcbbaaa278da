"""References and selectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.config import reference, selector
from keylease.config.reference import BadReferenceError, Reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vault://secret/ci", Reference("vault", "secret/ci", None)),
        ("vault://secret/ci/", Reference("vault", "secret/ci", None)),
        ("vault://secret/ci#token", Reference("vault", "secret/ci", ("token",))),
        ("vault://secret/ci#a.b[2].c", Reference("vault", "secret/ci", ("a", "b", "2", "c"))),
        ('vault://secret/ci#"a.b".c', Reference("vault", "secret/ci", ("a.b", "c"))),
        ("vault://secret/ci#*", Reference("vault", "secret/ci", "*")),
        ("vault://secret/ci#**", Reference("vault", "secret/ci", "**")),
        ("vault://secret/with%20blank%23#f%2Eg", Reference("vault", "secret/with blank#", ("f.g",))),
        ("vault://secret/%C3%A4#%25", Reference("vault", "secret/ä", ("%",))),
        ("aws-ssm:///team/key", Reference("aws-ssm", "/team/key", None)),
        ("aws-sm://name#json.path", Reference("aws-sm", "name", ("json", "path"))),
    ],
)
def test_a_reference(text: str, expected: Reference) -> None:
    assert reference.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("secret/ci#token", "not a reference such as vault://secret/ci#password"),
        ("Vault://secret/ci", "not a reference such as vault://secret/ci#password"),
        ("vault:/secret", "not a reference such as vault://secret/ci#password"),
        ("vault://", "the path has an empty, . or .. part"),
        ("vault:////secret", "the path has an empty, . or .. part"),
        ("vault:///", "the path has an empty, . or .. part"),
        ("vault://a//b", "the path has an empty, . or .. part"),
        ("vault://a/../b", "the path has an empty, . or .. part"),
        ("vault://a/%2e%2e/b", "the path has an empty, . or .. part"),
        ("vault://a/b?version=1#c", "a reference has no ?; a version goes into `version:`"),
        ("vault://a/b#", "what follows # is an empty step"),
        ("vault://a/b#c..d", "what follows # is an empty step"),
        ("vault://a/b#$c(d)", "what follows # is an expression, not a field or path"),
        ("vault://a/%zz", "a % must start an escape such as %20; write %25 for a percent sign"),
        ("vault://a/%00", "it decodes to control characters, or not to UTF-8"),
        ("vault://a/%ff", "it decodes to control characters, or not to UTF-8"),
        ("vault://a/b#c%0A", "it decodes to control characters, or not to UTF-8"),
    ],
)
def test_no_reference(text: str, problem: str) -> None:
    with pytest.raises(BadReferenceError) as caught:
        reference.parse(text)
    assert str(caught.value) == problem


@given(st.lists(st.text(min_size=1).filter(lambda s: '"' not in s), min_size=1, max_size=4))
def test_any_name_can_be_written_in_quotes(names: list[str]) -> None:
    assert selector.parse(".".join(f'"{name}"' for name in names)) == tuple(names)


@given(st.text(max_size=30))
def test_a_selector_is_read_or_refused(text: str) -> None:
    try:
        steps = selector.parse(text)
    except selector.SelectorError:
        return
    assert steps
    assert all(steps)

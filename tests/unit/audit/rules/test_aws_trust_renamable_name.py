"""The rule aws-trust-renamable-name, beyond its samples."""

import pytest

from tests.unit.audit.iam import findings, policy, statement, when

RULE = "aws-trust-renamable-name"


@pytest.mark.parametrize(
    ("claim", "value", "found"),
    [
        ("sub", "repo:acme/trainer:*", True),
        ("repository", "acme/trainer", True),
        ("sub", "repo:acme@6539/trainer@817264:*", False),
        ("sub", "repository_id:817264:*", False),
        ("sub", "*", False),  # another rule's
    ],
)
def test_names_without_an_id(claim: str, value: str, found: bool) -> None:
    assert bool(findings(RULE, policy(statement(when("StringLike", claim, value))))) == found


def test_it_is_about_github_com_only() -> None:
    condition = when("StringLike", "sub", "project_path:acme/trainer:*", issuer="gitlab.com")
    assert not findings(RULE, policy(statement(condition, issuer="gitlab.com")))

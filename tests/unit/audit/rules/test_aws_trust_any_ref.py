"""The rule aws-trust-any-ref, beyond its samples."""

import pytest

from tests.unit.audit.iam import GITHUB, SUBJECT, condition_to_write, findings, policy, statement, when

RULE = "aws-trust-any-ref"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("repo:acme/trainer:*", SUBJECT),
        ("repo:acme/trainer:ref:refs/heads/*", SUBJECT),
        ("repo:acme/trainer:environment:*", "repo:acme/trainer:environment:production"),
        ("repo:${var.repository}:*", "repo:${var.repository}:ref:refs/heads/main"),
    ],
)
def test_what_to_write(value: str, written: str) -> None:
    (finding,) = findings(RULE, policy(statement(when("StringLike", "sub", value))))
    assert finding.persona == "pedantic"
    assert condition_to_write(finding)["StringEquals"][f"{GITHUB}:sub"] == written


def test_wider_holes_are_other_rules() -> None:
    for value in ("repo:*", "repo:acme/*"):
        assert not findings(RULE, policy(statement(when("StringLike", "sub", value))))

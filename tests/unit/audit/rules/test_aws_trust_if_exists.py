"""The rule aws-trust-if-exists, beyond its samples."""

import pytest

from tests.unit.audit.iam import SUBJECT, findings, policy, statement, when

RULE = "aws-trust-if-exists"


@pytest.mark.parametrize(
    ("claim", "value", "severity"),
    [
        ("sub", "repo:acme/trainer:*", "medium"),  # GitHub always sends it: nobody gets in who must not
        ("repository_owner", "acme", "critical"),  # AWS doesn't pass it on
        ("repositoryid", "817264", "critical"),  # there is no such claim
    ],
)
def test_it_is_critical_where_the_claim_can_lack(claim: str, value: str, severity: str) -> None:
    (finding,) = findings(RULE, policy(statement(when("StringLikeIfExists", claim, value))))
    assert finding.severity == severity
    assert "StringLikeIfExists" not in finding.change


def test_in_a_deny_it_is_right() -> None:
    deny = statement(when("StringLikeIfExists", "sub", "repo:evil/*", aud=""), effect="Deny")
    assert not findings(RULE, policy(statement(when("StringEquals", "sub", SUBJECT)), deny))

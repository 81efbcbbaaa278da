"""The rule aws-trust-for-all-values, beyond its samples."""

import pytest

from tests.unit.audit.iam import SUBJECT, findings, policy, statement, when

RULE = "aws-trust-for-all-values"


@pytest.mark.parametrize(
    ("claim", "value", "severity"),
    [
        ("sub", "repo:acme/trainer:*", "medium"),  # GitHub always sends it: nobody gets in who must not
        ("repository_owner", "acme", "critical"),  # AWS doesn't pass it on
        ("repositoryid", "817264", "critical"),  # there is no such claim
    ],
)
def test_it_is_critical_where_the_claim_can_lack(claim: str, value: str, severity: str) -> None:
    (finding,) = findings(RULE, policy(statement(when("ForAllValues:StringLike", claim, value))))
    assert finding.severity == severity
    assert "ForAllValues:StringLike" not in finding.change


def test_of_what_every_token_has_it_is_for_pedants() -> None:
    tests = [
        when("StringEquals", "sub", SUBJECT, aud=""),
        when("ForAllValues:StringEquals", "aud", "sts.amazonaws.com", aud=""),
    ]
    (finding,) = findings(RULE, policy(statement({**tests[0], **tests[1]})))
    assert (finding.severity, finding.persona) == ("low", "pedantic")


def test_in_a_deny_it_is_right() -> None:
    deny = statement(when("ForAllValues:StringLike", "sub", "repo:evil/*", aud=""), effect="Deny")
    assert not findings(RULE, policy(statement(when("StringEquals", "sub", SUBJECT)), deny))

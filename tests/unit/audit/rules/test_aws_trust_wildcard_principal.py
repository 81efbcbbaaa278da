"""The rule aws-trust-wildcard-principal, beyond its samples."""

import pytest

from tests.unit.audit.iam import findings, policy

RULE = "aws-trust-wildcard-principal"


@pytest.mark.parametrize("key", ["aws:PrincipalOrgID", "aws:principalaccount", "aws:SourceArn"])
def test_conditions_that_tell_whose_identity_it_is(key: str) -> None:
    wide = {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}
    assert not findings(RULE, policy({**wide, "Condition": {"StringEquals": {key: "x"}}}))
    for operator in ("StringNotEquals", "StringEqualsIfExists", "ForAllValues:StringEquals"):
        assert findings(RULE, policy({**wide, "Condition": {operator: {key: "x"}}}))


def test_everybody_but_some_is_everybody() -> None:
    found = findings(RULE, policy({"Effect": "Allow", "NotPrincipal": {"AWS": "arn:aws:iam::1:root"}, "Action": "*"}))
    assert [each.severity for each in found] == ["critical"]


def test_a_deny_of_everybody_is_no_finding() -> None:
    assert not findings(RULE, policy({"Effect": "Deny", "Principal": "*", "Action": "sts:*"}))

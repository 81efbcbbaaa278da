"""The rule aws-trust-pull-request, beyond its samples."""

import pytest

from tests.unit.audit.iam import GITHUB, SUBJECT, condition_to_write, findings, policy, statement, when

RULE = "aws-trust-pull-request"


@pytest.mark.parametrize(
    ("values", "written"),
    [
        (["repo:acme/trainer:pull_request"], SUBJECT),
        (
            ["repo:acme/trainer:pull_request", "repo:acme/trainer:environment:prod"],
            "repo:acme/trainer:environment:prod",
        ),
    ],
)
def test_the_value_is_left_out_of_what_to_write(values: list[str], written: str) -> None:
    (finding,) = findings(RULE, policy(statement(when("StringLike", "sub", *values))))
    assert finding.severity == "medium"
    assert condition_to_write(finding)["StringEquals"][f"{GITHUB}:sub"] == written


def test_a_deny_of_pull_requests_mends_it() -> None:
    deny = statement(when("StringLike", "sub", "*:pull_request", aud=""), effect="Deny")
    assert not findings(RULE, policy(statement(when("StringLike", "sub", "repo:acme/trainer:pull_request")), deny))

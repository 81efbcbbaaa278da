"""The rule aws-trust-pull-request, beyond its samples."""

from typing import Any

import pytest

from keylease.audit.model import Inventory, Record
from keylease.audit.rules.aws_trust_pull_request import AwsTrustPullRequest
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


@pytest.mark.parametrize(
    ("action", "severity"),
    [
        ("s3:PutObject", "high"),
        ("*", "high"),
        (["s3:GetObject", "ecr:BatchGetImage"], "medium"),
        ("${var.x}", "medium"),
    ],
)
def test_it_is_worse_where_the_role_writes(action: Any, severity: str) -> None:
    trust = policy(statement(when("StringEquals", "sub", "repo:acme/trainer:pull_request")))
    allow = policy({"Effect": "Allow", "Action": action, "Resource": "*"})
    records = [
        Record("aws.trust_policy", "aws://1/trust/pr", {"document": trust, "name": "pr"}),
        Record("aws.iam_policy", "aws://1/policy/pr", {"document": allow, "name": "inline", "role": "pr"}),
    ]
    (finding,) = AwsTrustPullRequest().check(Inventory(records, {"aws.trust_policy", "aws.iam_policy"}))
    assert finding.severity == severity
    assert ("writes" in dict(finding.evidence)) == (severity == "high")

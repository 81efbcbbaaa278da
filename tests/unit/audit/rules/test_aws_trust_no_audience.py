"""The rule aws-trust-no-audience, beyond its samples."""

import pytest

from tests.unit.audit.iam import GITHUB, condition_to_write, findings, policy, statement

RULE = "aws-trust-no-audience"


@pytest.mark.parametrize("condition", [{"StringLike": "*"}, {"StringNotEquals": "x"}, {"StringLikeIfExists": "*"}, {}])
def test_what_any_audience_passes(condition: dict[str, str]) -> None:
    written = {operator: {f"{GITHUB}:aud": value} for operator, value in condition.items()}
    (finding,) = findings(RULE, policy(statement({**written, "StringLike": {**written.get("StringLike", {}), **SUB}})))
    assert condition_to_write(finding)["StringEquals"][f"{GITHUB}:aud"] == "sts.amazonaws.com"


SUB = {f"{GITHUB}:sub": "repo:acme/trainer:*"}

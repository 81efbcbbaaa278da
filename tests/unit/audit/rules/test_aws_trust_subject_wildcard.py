"""The rule aws-trust-subject-wildcard, beyond its samples."""

import pytest

from tests.unit.audit.iam import GITHUB, condition_to_write, findings, policy, statement, when

RULE = "aws-trust-subject-wildcard"


@pytest.mark.parametrize(
    ("value", "severity", "written"),
    [
        ("*", "critical", "repo:OWNER/REPOSITORY:ref:refs/heads/main"),
        ("repo:*", "critical", "repo:OWNER/REPOSITORY:ref:refs/heads/main"),
        ("repo:acme*", "critical", "repo:acme/REPOSITORY:ref:refs/heads/main"),
        ("repo:acme-*/trainer:*", "critical", "repo:acme/trainer:ref:refs/heads/main"),
        ("repo:*/trainer:environment:prod", "critical", "repo:OWNER/trainer:environment:prod"),
        ("*:environment:prod", "critical", "repo:OWNER/REPOSITORY:environment:prod"),
        ("environment:prod", "critical", "repo:OWNER/REPOSITORY:ref:refs/heads/main"),
        ("repo:acme/*", "medium", "repo:acme/REPOSITORY:ref:refs/heads/main"),
        ("repo:acme/*:environment:prod", "medium", "repo:acme/REPOSITORY:environment:prod"),
        ("repo:acme/trainer*", "medium", "repo:acme/trainer:ref:refs/heads/main"),
        ("repo:acme@6539/*", "medium", "repo:acme@6539/REPOSITORY:ref:refs/heads/main"),
        ("repo:${var.org}/*", "medium", "repo:${var.org}/REPOSITORY:ref:refs/heads/main"),
    ],
)
def test_what_to_write_is_made_of_what_was_written(value: str, severity: str, written: str) -> None:
    (finding,) = findings(RULE, policy(statement(when("StringLike", "sub", value))))
    assert finding.severity == severity
    expected = {f"{GITHUB}:aud": "sts.amazonaws.com", f"{GITHUB}:sub": written}
    assert condition_to_write(finding) == {"StringEquals": expected}


@pytest.mark.parametrize(
    ("value", "severity"),
    [("project_path:acme/*", "medium"), ("project_path:acme/team/*:ref_type:branch:ref:main", "medium"),
     ("project_path:acme*", "critical"), ("*", "critical")],
)  # fmt: skip
def test_gitlab(value: str, severity: str) -> None:
    condition = when("StringLike", "sub", value, aud="https://gitlab.com", issuer="gitlab.com")
    (finding,) = findings(RULE, policy(statement(condition, issuer="gitlab.com")))
    assert finding.severity == severity
    assert not findings(RULE, policy(statement(condition_to_write(finding), issuer="gitlab.com")))


@pytest.mark.parametrize(
    ("issuer", "value", "found"),
    [
        ("app.terraform.io", "organization:*:workspace:x:run_phase:*", True),
        ("app.terraform.io", "organization:acme:project:*:workspace:*:run_phase:*", False),
        ("agent.buildkite.com", "organization:acme*", True),
        ("agent.buildkite.com", "organization:acme:pipeline:*", False),
    ],
)
def test_other_issuers(issuer: str, value: str, found: bool) -> None:
    condition = when("StringLike", "sub", value, issuer=issuer)
    assert bool(findings(RULE, policy(statement(condition, issuer=issuer)))) == found


def test_good_values_are_kept_and_the_wide_one_is_narrowed() -> None:
    (finding,) = findings(RULE, policy(statement(when("StringLike", "sub", "repo:acme/trainer:*", "repo:evil*"))))
    assert condition_to_write(finding)["StringLike"] == {
        f"{GITHUB}:sub": ["repo:acme/trainer:*", "repo:evil/REPOSITORY:ref:refs/heads/main"]
    }


@pytest.mark.parametrize(
    ("operator", "claim", "value"),
    [
        ("StringEquals", "repository_id", "817264"),
        ("StringLike", "job_workflow_ref", "acme/ci/.github/workflows/a.yml@*"),
    ],
)
def test_another_claim_may_be_the_one_that_binds(operator: str, claim: str, value: str) -> None:
    condition = when("StringLike", "sub", "repo:*")
    condition.setdefault(operator, {})[f"{GITHUB}:{claim}"] = value
    assert not findings(RULE, policy(statement(condition)))

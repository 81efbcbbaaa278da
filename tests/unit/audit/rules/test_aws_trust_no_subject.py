"""The rule aws-trust-no-subject, beyond its samples."""

import pytest

from tests.unit.audit.iam import GITHUB, SUBJECT, condition_to_write, findings, policy, statement, when

RULE = "aws-trust-no-subject"


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        ("gitlab.com", "project_path:GROUP/PROJECT:ref_type:branch:ref:main"),
        ("app.terraform.io", "organization:ORGANIZATION:project:PROJECT:workspace:WORKSPACE:run_phase:apply"),
        ("scalr.io", "SUBJECT"),
    ],
)
def test_other_issuers_have_subjects_of_their_own(issuer: str, expected: str) -> None:
    (finding,) = findings(RULE, policy(statement(when(aud="x", issuer=issuer), issuer=issuer)))
    assert finding.severity == "critical"
    assert condition_to_write(finding) == {"StringEquals": {f"{issuer}:aud": "x", f"{issuer}:sub": expected}}


def test_the_change_names_what_another_statement_trusts() -> None:
    (finding,) = findings(RULE, policy(statement(when("StringEquals", "sub", SUBJECT)), statement(when(), Sid="Wide")))
    assert condition_to_write(finding)["StringEquals"][f"{GITHUB}:sub"] == SUBJECT
    assert "statement 2 (Wide)" in finding.message
    assert ("lets in", f"{GITHUB}:sub = repo:stranger/stranger:ref:refs/heads/main") in finding.evidence


def test_an_issuer_of_ones_own_is_less_bad() -> None:
    host = "gitlab.example.com"
    (finding,) = findings(RULE, policy(statement(when(issuer=host), issuer=host)))
    assert finding.severity == "high"

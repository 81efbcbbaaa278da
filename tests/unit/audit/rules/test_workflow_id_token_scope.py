"""Who may ask for identity tokens."""

from pathlib import Path

import pytest

from keylease.audit.rules.workflow_id_token_scope import WorkflowIdTokenScope as Rule
from tests.unit.audit.workflow_cases import judge

TWO = """\
on: push
permissions: {{id-token: write}}
jobs:
  a:
    steps:
      - run: keylease exec -- x
  b:
    steps:
      - {}
"""


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ("run: make test", True),
        ("uses: actions/checkout@v4", True),
        ("uses: ./anything", False),
        ("uses: aws-actions/configure-aws-credentials@v4", False),
        ("uses: codecov/codecov-action@v5", False),
        ("{uses: acme/upload@v1, with: {use_oidc: 'true'}}", False),
        ("run: 'curl $ACTIONS_ID_TOKEN_REQUEST_URL'", False),
        ("run: npm publish", False),
    ],
)
def test_a_job_that_may_need_it_is_left_alone(step: str, found: bool, tmp_path: Path) -> None:
    findings = judge(Rule, tmp_path, TWO.format(step))
    assert bool(findings) == found
    assert all("job b" in each.message and "job a" not in each.message for each in findings)

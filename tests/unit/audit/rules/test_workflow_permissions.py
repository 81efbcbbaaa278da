"""Permissions of the job's token."""

from pathlib import Path

from keylease.audit.rules.workflow_permissions import WorkflowPermissions as Rule
from tests.unit.audit.workflow_cases import job, judge


def test_write_all_that_no_job_inherits_is_none(tmp_path: Path) -> None:
    text = job("- run: make", top="permissions: write-all", job="permissions: {contents: read}")
    assert judge(Rule, tmp_path, text) == []


def test_write_all_stands_where_it_is_written(tmp_path: Path) -> None:
    (finding,) = judge(Rule, tmp_path, job("- run: make", top="name: x\npermissions: write-all"))
    assert finding.location is not None
    assert finding.location.line == 3
    assert finding.persona == "regular"


def test_an_action_has_no_permissions(tmp_path: Path) -> None:
    text = "runs:\n  using: composite\n  steps:\n    - run: make\n      shell: bash\n"
    assert judge(Rule, tmp_path, text) == []

"""Secrets for actions that may become other code."""

from pathlib import Path

import pytest

from keylease.audit.rules.workflow_unpinned_action import Owners
from keylease.audit.rules.workflow_unpinned_action import WorkflowUnpinnedAction as Rule
from tests.unit.audit.workflow_cases import job, judge

STEP = "- uses: {}\n  with: {{key: '${{{{ secrets.KEY }}}}'}}"


@pytest.mark.parametrize(
    ("uses", "severity"),
    [
        ("acme/x@v1", "medium"),
        ("acme/x/sub@v1.2.3", "medium"),
        ("acme/x@main", "high"),
        ("acme/x@release/v1", "high"),
        ("acme/x@3d3c42e", "high"),
        ("acme/x@3D3C42E5AAC5BA805825DA76410C181273BA90B1", ""),
        ("docker://acme/x:1", "medium"),
        ("Actions/cache@v4", ""),
        ("actionsx/cache@v4", "medium"),
    ],
)
def test_what_can_move(uses: str, severity: str, tmp_path: Path) -> None:
    findings = judge(Rule, tmp_path, job(STEP.format(uses)))
    assert [each.severity for each in findings] == ([severity] if severity else [])


def test_an_owner_may_be_trusted(tmp_path: Path) -> None:
    assert judge(Rule, tmp_path, job(STEP.format("acme/x@v1")), Owners(trusted_owners=("acme",))) == []


def test_a_variable_of_the_job_reaches_every_action_of_it_and_no_other(tmp_path: Path) -> None:
    text = job("- uses: acme/x@v1\n- uses: acme/y@v1", job="env: {A: '${{ secrets.A }}'}")
    text += "  other:\n    steps:\n      - uses: acme/z@v1\n"
    messages = [each.message for each in judge(Rule, tmp_path, text)]
    assert len(messages) == 2
    assert not any("acme/z" in message for message in messages)


def test_a_hostile_reference_is_quoted_in_the_command(tmp_path: Path) -> None:
    (finding,) = judge(Rule, tmp_path, job(STEP.format("acme/x@$(reboot)")))
    assert "git ls-remote https://github.com/acme/x '$(reboot)'" in finding.change

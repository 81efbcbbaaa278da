"""Secrets written into scripts."""

from pathlib import Path

import pytest

from keylease.audit.rules.workflow_secret_in_script import WorkflowSecretInScript as Rule
from tests.unit.audit.workflow_cases import job, judge

STEP = "- run: x ${{ secrets.KEY }}\n"


@pytest.mark.parametrize(
    ("more", "read"),
    [("", '"$KEY"'), ("shell: pwsh", "$env:KEY"), ("shell: cmd", "%KEY%"), ("shell: python", 'os.environ["KEY"]')],
)
def test_the_change_speaks_the_steps_shell(more: str, read: str, tmp_path: Path) -> None:
    (finding,) = judge(Rule, tmp_path, job(STEP + (f"  {more}" if more else "")))
    assert f"write {read} in the script" in finding.change
    assert finding.change.endswith("env:\n  KEY: ${{ secrets.KEY }}")


def test_the_line_is_the_secrets(tmp_path: Path) -> None:
    (finding,) = judge(Rule, tmp_path, job("- run: |\n    one\n    two ${{ secrets.KEY }}"))
    assert finding.location is not None
    assert finding.location.line == 8


def test_steps_that_are_alike_are_told_apart_and_keep_their_fingerprints(tmp_path: Path) -> None:
    two = judge(Rule, tmp_path / "a", job(STEP + STEP))
    three = judge(Rule, tmp_path / "b", job("- run: make\n" + STEP + STEP))
    assert len({each.fingerprint for each in two}) == 2
    assert {each.fingerprint for each in two} == {each.fingerprint for each in three}

"""Secrets outside an environment."""

from pathlib import Path

from keylease.audit.rules.workflow_secret_no_environment import SecretNoEnvironment as Rule
from tests.unit.audit.workflow_cases import job, judge


def test_secrets_of_the_whole_workflow_are_every_jobs(tmp_path: Path) -> None:
    text = job("- run: make", top="env: {A: '${{ secrets.A }}'}") + "  b:\n    environment: {name: x}\n    steps: []\n"
    (finding,) = judge(Rule, tmp_path, text)
    assert finding.persona == "auditor"
    assert finding.message.startswith("job build uses A")


def test_without_secrets_there_is_nothing_to_protect(tmp_path: Path) -> None:
    assert judge(Rule, tmp_path, job("- run: make")) == []

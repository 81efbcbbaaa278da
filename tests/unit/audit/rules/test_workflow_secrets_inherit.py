"""`secrets: inherit`: foreign and own workflows."""

from pathlib import Path

from keylease.audit.rules.workflow_secrets_inherit import WorkflowSecretsInherit as Rule
from tests.unit.audit.workflow_cases import job, judge

LOCAL = "on: push\njobs:\n  a:\n    uses: ./.github/workflows/called.yml\n    secrets: inherit\n"


def test_a_foreign_workflow_is_everybodys_matter_and_an_own_one_is_not(tmp_path: Path) -> None:
    (own,) = judge(Rule, tmp_path / "a", LOCAL)
    (foreign,) = judge(Rule, tmp_path / "b", LOCAL.replace("./", "acme/ci/") + "  b: {runs-on: x}\n")
    assert (own.persona, own.severity) == ("pedantic", "low")
    assert (foreign.persona, foreign.severity) == ("regular", "medium")


def test_the_secrets_of_an_own_one_are_named(tmp_path: Path) -> None:
    called = job("- run: ./x\n  env: {A: '${{ secrets.first }}', B: '${{ secrets.GITHUB_TOKEN }}'}", on="workflow_call")
    (finding,) = judge(Rule, tmp_path, LOCAL, called=called)
    assert finding.change.endswith("secrets:\n  FIRST: ${{ secrets.FIRST }}")


def test_an_own_one_without_secrets_needs_none(tmp_path: Path) -> None:
    (finding,) = judge(Rule, tmp_path, LOCAL, called=job("- run: make", on="workflow_call"))
    assert finding.change.startswith("remove it")

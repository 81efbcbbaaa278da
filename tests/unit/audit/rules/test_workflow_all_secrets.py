"""All secrets at once."""

from pathlib import Path

import pytest

from keylease.audit.rules.workflow_all_secrets import WorkflowAllSecrets as Rule
from tests.unit.audit.workflow_cases import job, judge


@pytest.mark.parametrize("expression", ["toJSON(secrets)", "tojson( SECRETS )", "secrets", "join(secrets.*, ',')"])
def test_whole(expression: str, tmp_path: Path) -> None:
    (finding,) = judge(Rule, tmp_path, job(f"- run: x\n  env:\n    ALL: ${{{{ {expression} }}}}"))
    assert (finding.severity, finding.persona) == ("medium", "regular")


def test_worse_in_foreign_hands_than_in_ones_own(tmp_path: Path) -> None:
    step = "- uses: {}\n  with: {{all: '${{{{ toJSON(secrets) }}}}'}}"
    (foreign,) = judge(Rule, tmp_path / "a", job(step.format("acme/x@v1")))
    (own,) = judge(Rule, tmp_path / "b", job(step.format("./x")))
    assert (foreign.severity, own.severity) == ("high", "medium")


def test_a_computed_name_is_for_pedants(tmp_path: Path) -> None:
    (finding,) = judge(Rule, tmp_path, job("- run: x\n  env:\n    A: ${{ secrets[matrix.name] }}"))
    assert finding.persona == "pedantic"

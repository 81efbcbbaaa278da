"""Secrets that scripts print."""

from pathlib import Path

import pytest

from keylease.audit.rules.workflow_secret_printed import WorkflowSecretPrinted as Rule
from keylease.audit.scripts import printed, traced
from tests.unit.audit.workflow_cases import job, judge


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('echo "$A"', [("A", "", 0)]),
        ("echo ${A}", [("A", "", 0)]),
        ("make\necho one \\\n  $A", [("A", "", 1)]),
        ("echo $A >&2", [("A", "", 0)]),
        ("make && printf '%s' \"$A\" | xxd", [("A", "through xxd", 0)]),
        ("echo ${A%x}", [("A", "a part of it", 0)]),
        ("echo $A | rev | cat", [("A", "through rev", 0)]),
        ("echo '$A' \\$A $AB # $A", []),
        ("echo $A > f; echo $A>>f; echo $A &> f; echo $A | tee f > /dev/null", []),
        ("x=$(echo $A | base64)", []),
        ("echo $A | wc -c", []),
        ("cat <<X\necho $A\nX\n", []),
        ("echo 'a\nb' \"$B\"", []),
        ("echo ${A:+set} ${#A}", []),
        ('echo "it\'s $A"', [("A", "", 0)]),
        ("echo 'unclosed $A", []),
    ],
)
def test_what_prints(script: str, found: list[tuple[str, str, int]]) -> None:
    assert [(each.variable, each.how, each.line) for each in printed(script, ["A"])] == found


@pytest.mark.parametrize(
    ("script", "line"), [("set -x", 0), ("a\nset -euxo pipefail", 1), ("set -o xtrace", 0), ("set -eu\nset +x", -1)]
)
def test_tracing(script: str, line: int) -> None:
    assert traced(script) == line


def test_the_jobs_own_token_and_other_shells_are_left_alone(tmp_path: Path) -> None:
    own = "- run: echo $A | rev\n  env: {A: '${{ secrets.GITHUB_TOKEN }}'}"
    other = "- run: echo $A | rev\n  shell: pwsh\n  env: {A: '${{ secrets.A }}'}"
    assert judge(Rule, tmp_path, job(own + "\n" + other)) == []


def test_ranks(tmp_path: Path) -> None:
    findings = judge(Rule, tmp_path, job("- run: |\n    echo $A\n    echo $A | rev\n  env: {A: '${{ secrets.A }}'}"))
    assert [(each.persona, each.confidence) for each in findings] == [("pedantic", "low"), ("regular", "high")]
    assert [each.location.line for each in findings if each.location] == [7, 8]

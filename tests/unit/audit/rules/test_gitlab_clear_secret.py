"""Credentials in clear in GitLab's CI file."""

from pathlib import Path

from keylease.audit.rules.gitlab_clear_secret import GitlabClearSecret as Rule
from tests.unit.audit.workflow_cases import inventory

VALUE = "aB3dE5gH7jK9mN1pQ2rS"


def test_a_variable_with_a_description(tmp_path: Path) -> None:
    text = f"variables:\n  TOKEN:\n    description: x\n    value: glpat-{VALUE}\n"
    (finding,) = Rule().check(inventory(tmp_path, {".gitlab-ci.yml": text}))
    assert finding.message == "variables.TOKEN.value holds a GitLab token in clear"
    assert finding.location is not None
    assert finding.location.line == 4
    assert VALUE not in repr(finding)


def test_a_tag_of_gitlabs_is_looked_through(tmp_path: Path) -> None:
    text = f"a:\n  script: !reference [b, script]\nb:\n  script:\n    - curl glpat-{VALUE}\n    - curl glpat-{VALUE}\n"
    findings = list(Rule().check(inventory(tmp_path, {".gitlab-ci.yml": text})))
    assert [each.location.line for each in findings if each.location] == [5, 6]
    assert len({each.fingerprint for each in findings}) == 2

"""Dependabot's registries, beyond the rule's samples."""

from pathlib import Path
from typing import Any

import pytest

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rules.dependabot_registry_exposed import RegistryExposed as Rule
from keylease.audit.snapshot import dumps
from tests.unit.audit.workflow_cases import inventory

NAME = ".github/dependabot.yml"
SECRET = "correct-horse-battery"
TOKEN = "ghp_" + "q7Lw2ZrXv9TkBn4MdYc8HsGfJp3VaEuR6tKx"


def registry(field: str) -> str:
    return f"version: 2\nregistries:\n  x:\n    type: maven-repository\n    {field}\n"


def judged(root: Path, text: str) -> list[Finding]:
    every = inventory(root, {NAME: text})
    assert every.problems == []
    assert SECRET not in dumps(every)
    findings = list(Rule().check(every))
    assert SECRET not in repr(findings)
    return findings


@pytest.mark.parametrize(
    ("field", "severity"),
    [
        (f"token: {TOKEN}", "critical"),
        (f"password: '{SECRET}'", "high"),
        (f"key: {SECRET}", "high"),
        (f"auth-key: {SECRET}", "high"),
        (f"username: {SECRET}", ""),
        ("password: ${{ secrets.X }}", ""),
        ("password: ${{secrets.X}}", ""),
        ("password: <PASSWORD>", ""),
        ("token: YOUR-TOKEN", ""),
        ("token: changeme", ""),
        ("token: ''", ""),
        ("token: [a]", ""),
    ],
)
def test_fields(field: str, severity: str, tmp_path: Path) -> None:
    found = judged(tmp_path, registry(field))
    assert [(each.severity, each.location.line if each.location else 0) for each in found] == (
        [(severity, 5)] if severity else []
    )


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ("{package-ecosystem: pip, registries: [a, b], insecure-external-code-execution: allow}", "registries a, b"),
        ("{package-ecosystem: pip, registries: '*', insecure-external-code-execution: allow}", "all registries"),
        ("{package-ecosystem: pip, registries: [], insecure-external-code-execution: allow}", ""),
        ("{package-ecosystem: pip, insecure-external-code-execution: allow}", ""),
        ("{package-ecosystem: pip, registries: [a], insecure-external-code-execution: deny}", ""),
        ("{package-ecosystem: pip, registries: [a]}", ""),
    ],
)
def test_code_of_dependencies(update: str, said: str, tmp_path: Path) -> None:
    found = judged(tmp_path, f"version: 2\nupdates:\n- {update}\n")
    assert [each.message.endswith(said) for each in found] == ([True] if said else [])


@pytest.mark.parametrize("text", ["registries: [a]\nupdates: {a: b}", "registries: {a: b}\nupdates: [a, [b]]", "a: 1"])
def test_odd_settings(text: str, tmp_path: Path) -> None:
    assert judged(tmp_path, text) == []


@pytest.mark.parametrize("text", ["a: [", "- a", "", "a: 1\n---\nb: 2", "a: \x00", "[" * 5000])
def test_what_can_not_be_read_is_a_problem(text: str, tmp_path: Path) -> None:
    every = inventory(tmp_path, {NAME: text})
    assert (every.records, [each.kind for each in every.problems]) == ([], ["file.dependabot"])


@pytest.mark.parametrize("facts", [{"registries": 3}, {"updates": [{"runs_code": True, "registries": 3}]}, {}])
def test_odd_facts(facts: Any) -> None:
    for each in Rule().check(Inventory([Record("file.dependabot", "file://x", facts)], {"file.dependabot"})):
        assert each.message

"""The corpus of AWS policies, through the collector of files: every expected finding at its line, and no other."""

import json
from pathlib import Path

import pytest

from keylease.audit.collectors.files import collect
from keylease.registry import RULES

CORPUS = Path(__file__).resolve().parents[2] / "data" / "audit" / "policies"
EXPECTED = json.loads(CORPUS.with_suffix(".expected.json").read_text(encoding="utf-8"))
FILES = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def found() -> dict[str, list[str]]:
    """File → "line rule severity" of all findings but an auditor's."""
    inventory = collect(CORPUS)
    assert inventory.problems == []
    assert {each.location.path for each in inventory.records if each.location} == set(FILES)
    names = [name for name in RULES if name.startswith(("aws-trust-", "aws-iam-"))]
    by_file: dict[str, list[str]] = {path: [] for path in FILES}
    for finding in (each for name in names for each in RULES.load(name)().check(inventory)):
        assert finding.location is not None
        if finding.persona != "auditor":
            by_file[finding.location.path].append(f"{finding.location.line} {finding.rule} {finding.severity}")
    return by_file


def test_every_rule_is_met_and_some_files_are_clean() -> None:
    assert set(EXPECTED) == set(FILES)
    rules = {line.split()[1] for lines in EXPECTED.values() for line in lines}
    names = {name for name in RULES if name.startswith(("aws-trust-", "aws-iam-"))}
    assert names - rules <= {"aws-trust-renamable-name"}
    assert sum(not lines for lines in EXPECTED.values()) >= 4


@pytest.mark.parametrize("path", FILES)
def test_file(path: str, found: dict[str, list[str]]) -> None:
    assert sorted(found[path]) == sorted(EXPECTED[path])

"""The corpus of workflows: every expected finding at its line, and no other."""

import re
from pathlib import Path

import pytest

from keylease.audit.collectors.files import collect
from keylease.audit.rule import Rule
from keylease.registry import RULES

CORPUS = Path(__file__).resolve().parents[2] / "data" / "audit" / "workflows"
FILES = sorted(CORPUS.glob("*.yml"))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, str]]]:
    """File → (line, rule) of all findings; the files stand side by side, as in a repository."""
    root = tmp_path_factory.mktemp("corpus")
    directory = root / ".github" / "workflows"
    directory.mkdir(parents=True)
    for path in FILES:
        (directory / path.name).write_bytes(path.read_bytes())
    inventory = collect(root)
    assert inventory.problems == []
    rules: list[Rule] = [RULES.load(name)() for name in RULES if name.startswith("workflow-")]
    findings = [finding for rule in rules for finding in rule.check(inventory) if finding.persona != "auditor"]
    by_file: dict[str, list[tuple[int, str]]] = {path.name: [] for path in FILES}
    for each in findings:
        assert each.location is not None
        by_file[Path(each.location.path).name].append((each.location.line, each.rule))
    return by_file


def test_there_are_files_with_findings_and_without() -> None:
    marked = ["# <-" in path.read_text(encoding="utf-8") for path in FILES]
    assert len(FILES) >= 12
    assert any(marked)
    assert not all(marked)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file(path: Path, found: dict[str, list[tuple[int, str]]]) -> None:
    expected = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if mark := re.search(r"# <- (.+)$", line):
            expected += [(number, rule.strip()) for rule in mark[1].split(",")]
    assert sorted(found[path.name]) == sorted(expected)

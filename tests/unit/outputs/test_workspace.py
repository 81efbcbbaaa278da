"""Files of a step: only below the workspace and the temporary directory, never through a link."""

from pathlib import Path

import pytest

from keylease.errors import UsageError
from keylease.outputs.audit_report import FORMS
from keylease.outputs.workspace import WorkspaceFile, form_of


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in ("workspace/reports", "temp", "outside"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "workspace")
    return {"GITHUB_WORKSPACE": str(tmp_path / "workspace"), "RUNNER_TEMP": str(tmp_path / "temp")}


@pytest.mark.parametrize(
    "path", ["a.json", "reports/a.json", "./reports/../a.json", "{}/temp/a.json", "{}/workspace/b"]
)
def test_writes_and_writes_anew(env: dict[str, str], tmp_path: Path, path: str) -> None:
    given = path.format(tmp_path)
    for text in ("a longer text\n", "short ü\n"):
        WorkspaceFile.of(given, env, "audit-reports").write(text)
        assert Path(given).read_text(encoding="utf-8") == text
    assert Path(given).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../outside/a.json", "lies outside the workspace"),
        ("/etc/a.json", "lies outside the workspace"),
        ("{}/outside/a.json", "lies outside the workspace"),
        ("..", "lies outside the workspace"),
        ("linked/a.json", "lies outside the workspace"),
        ("link.json", "is a symbolic link"),
        ("dangling.json", "is a symbolic link"),
        ("nosuch/a.json", "its directory is not there"),
        ("reports", "can't be written: Is a directory"),
    ],
)
def test_what_is_refused_is_not_touched(env: dict[str, str], tmp_path: Path, path: str, said: str) -> None:
    """What a pull request puts into the workspace can be links to the runner's own files."""
    victim = tmp_path / "outside/env"
    victim.write_text("kept")
    Path("linked").symlink_to(tmp_path / "outside")
    Path("link.json").symlink_to(victim)
    Path("dangling.json").symlink_to(tmp_path / "outside/new")
    with pytest.raises(UsageError) as caught:
        WorkspaceFile.of(path.format(tmp_path), env, "audit-reports").write("x")
    assert caught.value.summary.startswith("audit-reports: ")
    assert said in caught.value.summary
    assert [each.name for each in (tmp_path / "outside").iterdir()] == ["env"]
    assert victim.read_text() == "kept"


def test_a_link_that_comes_late_is_not_followed(env: dict[str, str], tmp_path: Path) -> None:
    victim = tmp_path / "outside/env"
    victim.write_text("kept")
    file = WorkspaceFile.of("a.json", env, "audit-reports")
    Path("a.json").symlink_to(victim)
    with pytest.raises(UsageError, match="can't be written"):
        file.write("x")
    assert victim.read_text() == "kept"


def test_forms_by_the_names_end() -> None:
    found = {form_of(f"dir.x/a{end}", "audit-reports") for end in (".sarif", ".JSON", ".xml", ".md", ".txt", ".html")}
    assert found == {"code-scanning", "json", "junit", "markdown", "table", "html"} <= set(FORMS)
    for name in ("a", "a.yml", ".sarif", "a.sarif.gz"):
        with pytest.raises(UsageError, match="no form of report is known"):
            form_of(name, "audit-reports")

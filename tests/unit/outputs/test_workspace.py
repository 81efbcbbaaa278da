"""Files that somebody names: never through a link; a step's only below the workspace and the temporary directory."""

import os
import threading
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


@pytest.mark.parametrize(
    "path", ["a.json", "reports/a.json", "../outside/a.json", "{}/outside/a.json", "../here/a.json"]
)
def test_the_command_line_may_name_a_file_anywhere(env: dict[str, str], tmp_path: Path, path: str) -> None:
    """``here`` is a link that lies outside the working directory: the machine's, not the repository's."""
    (tmp_path / "here").symlink_to(tmp_path / "workspace")
    given = path.format(tmp_path)
    for text in ("a longer text\n", "short ü\n"):
        WorkspaceFile.named(given, "--output", "audit").write(text)
        assert Path(given).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("linked/a.json", "lies outside the working directory"),
        ("reports/../linked/a.json", "lies outside the working directory"),
        ("linked/../a.json", "lies outside the working directory"),
        ("{}/workspace/linked/a.json", "lies outside the working directory"),
        ("link.json", "is a symbolic link"),
        ("dangling.json", "is a symbolic link"),
        ("../outside/link.json", "is a symbolic link"),
        ("nosuch/a.json", "its directory is not there"),
        ("reports", "can't be written: Is a directory"),
    ],
)
def test_the_command_line_follows_no_link_either(env: dict[str, str], tmp_path: Path, path: str, said: str) -> None:
    """Whoever runs `keylease audit --output report.json` in a stranger's checkout means a file in it."""
    victim = tmp_path / "outside/env"
    victim.write_text("kept")
    Path("linked").symlink_to(tmp_path / "outside")
    for link in (Path("link.json"), tmp_path / "outside/link.json"):
        link.symlink_to(victim)
    Path("dangling.json").symlink_to(tmp_path / "outside/new")
    with pytest.raises(UsageError) as caught:
        WorkspaceFile.named(path.format(tmp_path), "--output", "audit").write("x")
    assert said in caught.value.summary
    assert caught.value.change
    assert {each.name for each in (tmp_path / "outside").iterdir()} == {"env", "link.json"}
    assert victim.read_text() == "kept"
    assert not (tmp_path / "a.json").exists()


def test_a_device_is_written_to(env: dict[str, str]) -> None:
    """``/dev/stdout`` and a shell's ``>(command)`` are links; the pipe gets all, however slow its reader is."""
    reading, writing = os.pipe()
    text = "x" * 300_000
    got: list[str] = []

    def read() -> None:
        with open(reading, encoding="utf-8") as file:
            got.append(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        WorkspaceFile.named(f"/dev/fd/{writing}", "--output", "audit").write(text)
    finally:
        os.close(writing)
        reader.join(10)
    assert got == [text]


def test_forms_by_the_names_end() -> None:
    found = {form_of(f"dir.x/a{end}", "audit-reports") for end in (".sarif", ".JSON", ".xml", ".md", ".txt", ".html")}
    assert found == {"code-scanning", "json", "junit", "markdown", "table", "html"} <= set(FORMS)
    for name in ("a", "a.yml", ".sarif", "a.sarif.gz"):
        with pytest.raises(UsageError, match="no form of report is known"):
            form_of(name, "audit-reports")

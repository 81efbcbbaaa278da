"""The report of the real kingfisher on a real repository: where it found something, and none of it shown."""

import json
import random
import string
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import RunKeylease
from tests.integration.test_scan import Repository
from tests.leaks import Seeded


def made_up(letters: str, size: int) -> str:
    """The same each time: kingfisher leaves out what has a word like `test` in it."""
    return "".join(random.Random(size).choices(letters, k=size))


@pytest.fixture
def planted(tmp_path: Path, seeded: Seeded) -> tuple[Repository, list[str], str]:
    """A repository whose file was deleted again, the values that were in it, and the commit that brought them."""
    seeded.allow_file(tmp_path / "repo")
    repository, letters = Repository(tmp_path / "repo"), string.ascii_letters + string.digits
    numbers = f"{made_up(string.digits, 12)}-{made_up(string.digits, 12)}"
    values = [
        f"AKIA{made_up(string.ascii_uppercase + '234567', 16)}",
        made_up(letters, 40),
        f"ghp_{made_up(letters, 36)}",
        f"xoxb-{numbers}-{made_up(letters, 24)}",
    ]
    for value in values:
        seeded.add(value)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "github_token", "slack_token")
    text = "".join(f'{name} = "{value}"\n' for name, value in zip(names, values, strict=True))
    commit = repository.commit({"app/settings.py": text})
    repository.commit({"app/settings.py": None, "README": "nothing"})
    return repository, values, commit


@pytest.mark.slow
def test_its_reports(
    planted: tuple[Repository, list[str], str], tmp_path: Path, keylease: RunKeylease, seeded: Seeded
) -> None:
    repository, values, commit = planted
    program = str(Path(sys.executable).with_name("kingfisher"))
    env = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    subjects = set()
    for form in ("json", "jsonl"):
        report = tmp_path / f"report.{form}"
        seeded.allow_file(report)
        done = subprocess.run(
            # It would ask GitHub for updates, and the services whether the keys work.
            [program, "scan", ".", "--no-update-check", "--no-validate", "--format", form, "--output", str(report)],
            cwd=repository.root,
            env=env,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 200, "it found something"
        for shown in ("json", "sarif") if form == "json" else ("json",):
            audited = keylease("audit", "--offline", "--import", str(report), "--format", shown)
            assert audited.returncode == 1, audited.stderr
            assert not [value for value in values if value in audited.stdout + audited.stderr]
            if shown == "json":
                found = [each for each in json.loads(audited.stdout)["findings"] if each["rule"] == "imported-leak"]
        assert len(found) == 3, "of AWS, both are one"
        for each, line in zip(sorted(found, key=lambda each: each["message"]), (1, 3, 4), strict=True):
            assert f"app/settings.py, line {line}" in each["message"]
            assert commit in json.dumps(each["evidence"])
        subjects.add(tuple(sorted(each["subject"] for each in found)))
    assert len(subjects) == 1, "both forms say the same"

"""Where a value may lie in a repository or an artefact: each is found, or told as not looked at. In-process."""

import hashlib
import os
from pathlib import Path

import pytest

from keylease.pipelines.scan import Findings, Search
from keylease.pipelines.scan_git import history
from tests.integration.test_scan import Repository
from tests.unit.test_scan_hidden import VALUE, looked

# What git has.


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repo")
    made.commit({"a.txt": "1"})
    return made


def back(repository: Repository) -> tuple[list[str], list[str]]:
    return looked(repository.root, history=True)


def test_names(repository: Repository) -> None:
    for number in range(3):
        repository.commit({f"d/{VALUE}.txt": str(number)})
    assert looked(repository.root)[0] == [f"the name of d/{VALUE}.txt"]
    repository.commit({f"d/{VALUE}.txt": None})
    assert looked(repository.root) == ([], [])
    assert back(repository) == (["the name of a file"], [])


@pytest.mark.parametrize(
    "command", [["branch", f"x-{VALUE}"], ["tag", VALUE], ["update-ref", f"refs/pull/{VALUE}/head", "HEAD"]]
)
def test_refs(repository: Repository, command: list[str]) -> None:
    repository.git(*command)
    assert back(repository) == (["the name of a branch, tag or other ref"], [])


def test_notes_stashes_and_authors(repository: Repository) -> None:
    repository.git("notes", "add", "-m", f"x {VALUE}")
    assert len(back(repository)[0]) == 1
    (repository.root / "a.txt").write_text(f"more {VALUE}")
    repository.git("stash", "-q")
    assert "a.txt" in back(repository)[0]
    repository.git("commit", "-q", "--allow-empty", "-m", "m", "--author", f"{VALUE} <b@example.com>")
    assert "the message of a commit" in back(repository)[0]


def test_what_is_packed_deleted_renamed_or_amended(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "other")
    added = repository.commit({"b/key.txt": VALUE})
    repository.git("branch", "-m", "other", "third")
    repository.git("checkout", "-q", "main")
    repository.git("gc", "-q")
    result = Findings()
    history(repository.root, Search({VALUE.encode(): "S"}), result)
    assert [(each.facts["path"], each.facts["commit"]) for each in result.inventory.records] == [("b/key.txt", added)]
    repository.git("branch", "-q", "-D", "third")
    assert back(repository) == (["b/key.txt"], []), "the reflog knows it"
    repository.git("reflog", "expire", "--expire=now", "--all")
    ((path,), problems) = back(repository)
    assert "which no branch or tag reaches any more" in path
    assert problems == []


def test_many_are_each_told_with_their_commit(repository: Repository) -> None:
    commits: dict[str, str] = {}
    for number in range(3):
        names = {f"{number}/{at}": f"{number} {at} {VALUE}" for at in range(60)}
        commits |= dict.fromkeys(names, repository.commit(names))
    repository.commit(dict.fromkeys(commits))
    result = Findings()
    history(repository.root, Search({VALUE.encode(): "S"}), result)
    assert result.inventory.problems == []
    assert {each.facts["path"]: each.facts["commit"] for each in result.inventory.records} == commits


@pytest.mark.parametrize("name", ["\x01", ":100644 x y z M", "a\n:b", "\x01H T D", "-z"])
def test_odd_names(repository: Repository, name: str) -> None:
    added = repository.commit({f"{name}/{name}": VALUE})
    result = Findings()
    history(repository.root, Search({VALUE.encode(): "S"}), result)
    assert [(each.facts["path"], each.facts["commit"]) for each in result.inventory.records] == [
        (f"{name}/{name}", added)
    ]


def test_lfs(repository: Repository) -> None:
    content = b"x" * 2000 + VALUE.encode()
    digest = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"
    repository.commit({"model.bin": pointer})
    assert "a Git LFS pointer" in looked(repository.root)[1][0]
    assert "1 Git LFS object of the history" in back(repository)[1][0]
    stored = repository.root / ".git/lfs/objects" / digest[:2] / digest[2:4] / digest
    stored.parent.mkdir(parents=True)
    stored.write_bytes(content)
    assert back(repository) == (["model.bin"], [])


def test_a_bare_repository_and_a_directory_of_git_as_files(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"key.txt": VALUE})
    bare = tmp_path / "bare.git"
    repository.git("clone", "-q", "--bare", "--no-local", str(repository.root), str(bare))
    paths, problems = looked(bare)
    assert paths == []
    assert "git pack" in problems[0]
    assert looked(bare, history=True)[0] == ["key.txt"]
    paths, _ = looked(repository.root, artefact=True)
    assert len(paths) == 2, "the file, and git's object of it"


# What is named on the command line.


def test_links(tmp_path: Path) -> None:
    outside, inside = tmp_path / "key.txt", tmp_path / "in"
    outside.write_text(VALUE)
    inside.mkdir()
    (inside / "link").symlink_to("../key.txt")
    assert looked(inside) == ([], []), "not in the repository"
    paths, problems = looked(inside, artefact=True)
    assert paths == []
    assert "a link that leads out of it" in problems[0]
    assert looked(inside / "link", artefact=True)[0] == [str(inside / "link")]
    (inside / "other").symlink_to(VALUE)
    assert looked(inside)[0] == ["other"]


def test_a_directory_that_git_ignores(repository: Repository) -> None:
    repository.commit({".gitignore": "dist\n"})
    (repository.root / "dist").mkdir()
    (repository.root / "dist" / "a.txt").write_text(VALUE)
    assert looked(repository.root) == ([], [])
    assert "nothing in it to look through" in looked(repository.root / "dist")[1][0]
    assert len(looked(repository.root / "dist", artefact=True)[0]) == 1


def test_without_git(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository.root / "new.txt").write_text(VALUE)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert looked(repository.root) == (["new.txt"], [])
    assert "no git" in back(repository)[1][0]


def test_what_is_no_file(repository: Repository, tmp_path: Path) -> None:
    Repository(repository.root / "nested").commit({"key.txt": VALUE})
    assert looked(repository.root) == ([], ["nested/ a submodule, or a repository of its own"])
    repository.git("add", "nested")
    assert looked(repository.root) == ([], ["nested a submodule, or a repository of its own"])
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "pipe")
    assert looked(tmp_path / "in") == ([], ["pipe it is no regular file"])


def test_clones_of_other_sorts(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"key.txt": VALUE})
    repository.commit({"key.txt": None})
    repository.git("worktree", "add", "-q", str(tmp_path / "tree"))
    repository.git("clone", "-q", "--shared", str(repository.root), str(tmp_path / "shared"))
    for name in ("tree", "shared"):
        assert looked(tmp_path / name, history=True) == (["key.txt"], [])

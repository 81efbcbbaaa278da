"""Reading git's index without git, held against git itself."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.audit.collectors import listing
from keylease.audit.collectors.files import collect
from keylease.audit.collectors.gitindex import IndexFormatError, parse, tracked

NAMES = (
    ".env",
    ".github/workflows/ci.yml",
    ".github/workflows/ci.yaml",
    "a/b/c/deep.yml",
    "a/b/c/deeper.yml",
    "a-b",
    "umlaut-ü.txt",
    "x" * 250,
    *(f"many/{number:04}.txt" for number in range(300)),
)


def git(root: Path, *words: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    names = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "core.quotePath=false"]
    done = subprocess.run(["git", *names, *words], cwd=root, env=env, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return made(tmp_path / "repository")


def made(root: Path, *options: str) -> Path:
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    git(root, "init", "--quiet", "--initial-branch=main", *options)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "test")
    (root / "untracked.txt").touch()
    return root


def paths(root: Path) -> list[str]:
    entries = tracked(root)
    assert entries is not None
    assert not any(each.skipped for each in entries)
    return sorted(each.path for each in entries)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_every_version(repository: Path, version: int) -> None:
    if version == 3:  # only an index that needs it has it
        (repository / "later.txt").touch()
        git(repository, "add", "--intent-to-add", "later.txt")
    else:
        git(repository, "update-index", f"--index-version={version}")
    assert (repository / ".git/index").read_bytes()[4:8] == version.to_bytes(4, "big")
    assert paths(repository) == sorted(git(repository, "ls-files", "-z").rstrip("\0").split("\0"))
    assert paths(repository / "a") == ["b/c/deep.yml", "b/c/deeper.yml"]


def test_other_hashes_worktrees_and_conflicts(tmp_path: Path) -> None:
    root = made(tmp_path / "sha256", "--object-format=sha256")
    assert paths(root) == sorted(NAMES)
    git(root, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "tree"))
    assert paths(tmp_path / "tree") == sorted(NAMES)
    (tmp_path / "tree/a-b").write_text("theirs")
    git(tmp_path / "tree", "commit", "--quiet", "--all", "--message", "theirs")
    (root / "a-b").write_text("ours")
    git(root, "commit", "--quiet", "--all", "--message", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(root, "merge", "other")
    assert paths(root) == sorted(NAMES)


@pytest.mark.parametrize("how", ["--no-sparse-index", "--sparse-index"])
def test_what_a_sparse_checkout_left_out(repository: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    git(repository, "sparse-checkout", "set", "--cone", how, "a/b")
    entries = tracked(repository)
    assert entries is not None
    skipped = {each.path.split("/")[0] for each in entries if each.skipped}
    assert skipped == {".github", "many"}
    monkeypatch.setenv("PATH", "/nonexistent")
    told = collect(repository).problems
    assert any(each.location and each.location.path.startswith(".github") for each in told)


def test_the_listing_uses_it_where_there_is_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_git = listing.listing(repository)
    monkeypatch.setenv("PATH", "/nonexistent")
    without = listing.listing(repository)
    assert without.paths == sorted(NAMES)
    assert with_git.paths == sorted((*NAMES, "untracked.txt"))
    assert without.problems == []


def test_what_is_no_index_is_walked(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    everything = sorted((*NAMES, "untracked.txt"))
    index = repository / ".git/index"
    whole = index.read_bytes()
    for damaged in (b"", b"DIRC", whole[:-300], whole[:4] + b"\0\0\0\5" + whole[8:], whole + b"x" * 7):
        index.write_bytes(damaged)
        assert tracked(repository) is None
        assert listing.listing(repository).paths == everything
    index.write_bytes(whole)
    index.unlink()
    assert listing.listing(repository).paths == everything


def test_a_split_index_is_none(repository: Path) -> None:
    git(repository, "update-index", "--split-index")
    assert tracked(repository) is None


def test_no_repository(tmp_path: Path) -> None:
    assert tracked(tmp_path) is None
    (tmp_path / ".git").write_text("gitdir: ../nowhere\n")
    assert tracked(tmp_path) is None
    (tmp_path / ".git").write_text("something else")
    assert tracked(tmp_path) is None


@given(st.binary(max_size=300), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_garbage_is_an_error_and_nothing_else(data: bytes, version: int, count: int) -> None:
    for text in (data, b"DIRC" + version.to_bytes(4, "big") + count.to_bytes(4, "big") + data):
        with contextlib.suppress(IndexFormatError):
            parse(text)

"""Look for known values in a repository's history: every blob, commit and tag, reachable or not."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from keylease.pipelines.scan import Findings, Hit, Search

_GIT = (
    "git",
    # A repository's own configuration can name programs to run: nothing of it is run.
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never"),
    *("-c", "log.showSignature=false", "-c", "core.pager=cat"),
    *("-c", "safe.directory=*", "-c", "core.quotePath=false"),
)
_TIME = 120.0
"""Seconds for a look-up."""

_LOOKED_UP = 100
"""Objects whose commits are looked for: each is a walk through the history."""


class _GitError(Exception):
    pass


def _env() -> dict[str, str]:
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "LC_ALL": "C"}
    env |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_OPTIONAL_LOCKS": "0"}
    return env | {"GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1"}


def _git(root: Path, *arguments: str, good: Sequence[int] = (0,)) -> str:
    try:
        done = subprocess.run(
            [*_GIT, *arguments], cwd=root, env=_env(), capture_output=True, timeout=_TIME, check=False
        )
    except (OSError, subprocess.SubprocessError):
        raise _GitError from None
    if done.returncode not in good:
        raise _GitError
    return os.fsdecode(done.stdout)


class _Object:
    """One object's bytes out of the stream."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        self.left = size

    def read(self, size: int, /) -> bytes:
        if not self.left:
            return b""
        part = self._stream.read(min(size, self.left))
        if not part:
            raise _GitError
        self.left -= len(part)
        return part


def history(root: Path, search: Search, found: Findings) -> None:
    """All objects of the repository that `root` lies in."""
    try:
        shallow = _git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
        promisor = _git(root, "config", "--get-regexp", r"^remote\..*\.promisor$", good=(0, 1))
    except _GitError:
        found.problem("there is no git repository that git can read, or no git", "install git, and check it out")
        return
    if shallow:
        found.problem("the history is shallow: what came before is not here", "check out with fetch-depth: 0")
    if promisor:
        found.problem("the clone is partial: some objects are not here", "clone without --filter")
    hits: list[tuple[str, str, list[Hit]]] = []
    try:
        _stream(root, search, hits)
    except (_GitError, OSError, ValueError):
        found.problem("git could not read all objects of the history", "see what `git fsck` says")
    if len(hits) > _LOOKED_UP:
        more = len(hits) - _LOOKED_UP
        found.problem(f"of {more} further objects it was not looked up which commit has them", "mend these first")
    for number, (name, sort, each) in enumerate(hits):
        commit, date, path = name if sort == "commit" else "", "", ""
        if number < _LOOKED_UP:
            try:
                commit, date, path = _where(root, name, sort)
            except _GitError:
                found.problem(f"git could not tell which commit has {name}", "see what `git fsck` says")
        shown = path or {"commit": "the message of a commit", "tag": "the message of a tag"}.get(sort, f"object {name}")
        if not commit and sort == "blob" and number < _LOOKED_UP:
            shown = f"object {name}, which no branch or tag reaches any more"
        found.add(each, f"git://{name}", shown, "history", object=name, commit=commit, date=date)


def _stream(root: Path, search: Search, hits: list[tuple[str, str, list[Hit]]]) -> None:
    command = [*_GIT, "cat-file", "--batch", "--batch-all-objects", "--unordered", "--buffer"]
    with subprocess.Popen(
        command, cwd=root, env=_env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            stream = process.stdout
            if stream is None:
                raise _GitError
            while header := stream.readline(200):
                name, sort, size = header.decode("ascii").split()
                source = _Object(stream, int(size))
                if sort == "tree":  # names and numbers
                    while source.read(1 << 20):
                        pass
                elif each := search.through(source):
                    hits.append((name, sort, each))
                if stream.read(1) != b"\n":
                    raise _GitError
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise _GitError


def _where(root: Path, name: str, sort: str) -> tuple[str, str, str]:
    """The commit that brought it in, when it was written, and as which file."""
    if sort == "commit":
        return name, _git(root, "log", "-1", "--no-patch", "--format=%aI", name).strip(), ""
    if sort == "tag":
        return "", "", ""
    text = _git(
        root,
        *("log", "--all", "--reverse", "-m", "--no-renames", "--no-ext-diff", "--no-textconv", "--name-only", "-z"),
        *(f"--find-object={name}", "--format=%x01%H %aI%x02"),
    )
    first = text.partition("\x01")[2].partition("\x01")[0]
    about, _, names = first.partition("\x02")
    commit, _, date = about.partition(" ")
    return commit, date.strip(), names.strip("\0\n").partition("\0")[0]

"""Look for known values in a repository's history: every object, reachable or not, and the names of its refs."""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from msgspec import Struct, field

from keylease.pipelines.scan import Findings, Hit, Search
from keylease.pipelines.scan_archives import POINTER, Unseen, look

_GIT = (
    "git",
    # A repository's own configuration can name programs to run: nothing of it is run.
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never"),
    *("-c", "log.showSignature=false", "-c", "core.pager=cat", "-c", "diff.relative=false", "-c", "color.ui=false"),
    *("-c", "safe.directory=*", "-c", "core.quotePath=false"),
)
_TIME = 120.0
"""Seconds for a look-up."""

_WALK = 900.0
"""Seconds in which the history is walked for the commits that have what was found."""

_LFS_ID = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)


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
    """One object's bytes out of the stream. start: its first ones."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        self.left = size
        self.start = b""

    def read(self, size: int, /) -> bytes:
        if not self.left:
            return b""
        part = self._stream.read(min(size, self.left))
        if not part:
            raise _GitError
        self.left -= len(part)
        self.start = self.start or part[:512]
        return part


class _Seen(Struct):
    """What there is to say of one object. results: of it and of what is packed in it. content: LFS's name of it."""

    sort: str
    results: list[tuple[str, list[Hit] | Unseen]] = field(default_factory=list)
    content: str = ""


class _Commit(Struct, frozen=True):
    """The first that has an object, when it was written, and as which file."""

    id: str
    date: str
    path: str = ""


def history(root: Path, search: Search, found: Findings) -> None:
    """All objects of the repository that `root` lies in."""
    try:
        shallow = _git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
        partial = r"^(remote\..*\.promisor|extensions\.partialclone)$"
        promisor = _git(root, "config", "--get-regexp", partial, good=(0, 1))
        names = _git(root, "for-each-ref", "--format=%(refname)").splitlines()
        common = _git(root, "rev-parse", "--git-common-dir").rstrip("\n")
    except _GitError:
        found.problem("there is no git repository that git can read, or no git", "install git, and check it out")
        return
    if shallow:
        found.problem("the history is shallow: what came before is not here", "check out with fetch-depth: 0")
    if promisor:
        found.problem("the clone is partial: some objects are not here", "clone without --filter")
    for name in names:
        found.add(search.within(name), f"git://{name}", "the name of a branch, tag or other ref", "history")
    seen: dict[str, _Seen] = {}
    try:
        _stream(root, search, seen)
    except (_GitError, OSError, ValueError):
        found.problem("git could not read all objects of the history", "see what `git fsck` says")
    _contents(root / common / "lfs" / "objects", search, seen, found)
    commits: dict[str, _Commit] = {}
    whole = True
    wanted = {name for name, each in seen.items() if each.sort != "tag"}
    if wanted:
        try:
            whole = _walk(root, wanted, commits)
        except (_GitError, OSError, ValueError, IndexError):
            whole = False
    if not whole:
        found.problem(
            f"git could not tell of {len(wanted - commits.keys())} objects which commit has them",
            "see what `git fsck` says",
        )
    _tell(seen, commits, found, whole=whole)


def _contents(stored: Path, search: Search, seen: dict[str, _Seen], found: Findings) -> None:
    """What LFS's pointers stand for, as far as it was fetched."""
    absent = 0
    for each in seen.values():
        if each.content:
            path = stored / each.content[:2] / each.content[2:4] / each.content
            try:
                with path.open("rb") as stream:
                    each.results += look(stream, path.stat().st_size, search, stream)
            except OSError:
                absent += 1
    if absent:
        found.problem(
            f"{absent} Git LFS object{'' if absent == 1 else 's'} of the history could not be read: not fetched",
            "git lfs fetch --all",
        )
    for name in [name for name, each in seen.items() if not each.results]:
        del seen[name]


def _tell(seen: dict[str, _Seen], commits: dict[str, _Commit], found: Findings, *, whole: bool) -> None:
    """The name of a file is in the tree of each version of its directory: that it is there is told once."""
    told: set[str] = set()
    order = sorted(seen, key=lambda name: (commits[name].date if name in commits else "~", name))
    for name in order:
        sort, commit = seen[name].sort, commits.get(name, _Commit("", ""))
        about = {"commit": "the message of a commit", "tag": "the message of a tag", "tree": "the name of a file"}
        shown = about.get(sort) or commit.path or f"object {name}"
        if whole and sort == "blob" and not commit.id:
            shown = f"object {name}, which no branch or tag reaches any more"
        more = {"object": name, "commit": commit.id, "date": commit.date}
        for inside, result in seen[name].results:
            if isinstance(result, Unseen):
                where = f"{shown}!{inside}" if inside else shown
                found.problem(f"{result.why}: {where} (object {name} of the history)", result.change)
            elif sort == "tree":
                fresh = [hit for hit in result if hit.secret not in told]
                told.update(hit.secret for hit in fresh)
                found.add(fresh, "git://file-names", shown, "history", **more)
            else:
                subject = f"git://{name}!{inside}" if inside else f"git://{name}"
                found.add(result, subject, shown, "history", inside, **more)


@contextmanager
def _running(root: Path, *arguments: str) -> Iterator[IO[bytes]]:
    """What git writes. Raises :class:`_GitError` in the end unless it was content; kills it when left early."""
    with subprocess.Popen(
        [*_GIT, *arguments],
        cwd=root,
        env=_env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            if process.stdout is None:
                raise _GitError
            yield process.stdout
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise _GitError


def _stream(root: Path, search: Search, seen: dict[str, _Seen]) -> None:
    with _running(root, "cat-file", "--batch", "--batch-all-objects", "--unordered", "--buffer") as stream:
        while header := stream.readline(200):
            name, sort, size = header.decode("ascii").split()
            source = _Object(stream, int(size))
            about = _Seen(sort)
            if sort == "blob":
                for inside, result in look(source, source.left, search):
                    pointer = _LFS_ID.search(source.start) if result is POINTER else None
                    if pointer:
                        about.content = pointer[1].decode("ascii")
                    elif result:
                        about.results.append((inside, result))
            elif hits := search.through(source):
                about.results.append(("", hits))
            if about.results or about.content:
                seen[name] = about
            if stream.read(1) != b"\n":
                raise _GitError


class _EnoughError(Exception):
    pass


def _walk(root: Path, wanted: AbstractSet[str], commits: dict[str, _Commit]) -> bool:
    """Which commits brought `wanted` in, the earliest first; whether there was time for all of the history."""
    until = time.monotonic() + _WALK
    arguments = ["log", "--all", "--reflog", "--reverse", "-m", "--root", "-t", "--no-renames", "--raw", "--no-abbrev"]
    arguments += ["-z", "--no-ext-diff", "--no-textconv", "--format=%x01%H %T %aI"]
    try:
        with _running(root, *arguments) as stream:
            tokens = _tokens(stream)
            about = _Commit("", "")
            for token in tokens:
                if token.startswith(b"\x01"):
                    if len(commits) == len(wanted) or time.monotonic() > until:
                        raise _EnoughError
                    commit, tree, date = token[1:].decode("ascii").split(" ")
                    about = _Commit(commit, date)
                    for name in wanted & {commit, tree}:
                        commits.setdefault(name, about)
                elif token.startswith((b":", b"\n:")):
                    path, name = next(tokens), token.split(b" ")[3].decode("ascii")
                    if name in wanted:
                        commits.setdefault(name, _Commit(about.id, about.date, os.fsdecode(path)))
    except _EnoughError:
        return len(commits) == len(wanted)
    return True


def _tokens(stream: IO[bytes]) -> Iterator[bytes]:
    """What ends with a zero."""
    left = b""
    while part := stream.read(1 << 16):
        *whole, left = (left + part).split(b"\0")
        yield from whole

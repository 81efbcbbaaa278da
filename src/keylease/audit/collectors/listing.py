"""Which files a repository has, and their bytes: nothing of it is run, and nothing outside of it is read."""

import os
import stat
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from msgspec import Struct, field

from keylease.audit.collectors.gitindex import tracked

SKIPPED = (".git", "node_modules", "vendor", "site-packages", ".venv", "venv", ".terraform", ".tox")
"""Directories that hold what others wrote, or nothing that is written by hand."""

_GIT = (
    "git",
    # A repository's own configuration can name programs to run: these are all that listing files would start.
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never"),
    # In a container the checkout belongs to somebody else, which git takes for a danger for the reason above.
    *("-c", "safe.directory=*", "-c", "core.quotePath=false"),
    *("ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard"),
)
_GIT_TIME = 60.0
"""Seconds."""


class Listing(Struct):
    """paths: relative to the root, with ``/``. absent: of the index, but left out by a sparse checkout.

    problems: directories that could not be read, and why.
    """

    paths: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


class UnreadableError(OSError):
    """A file can't be read. The text says why."""


def listing(root: Path, skipped: Collection[str] = SKIPPED, *, untracked: bool = False) -> Listing:
    """All files below `root`: git's, where there is a git repository; else all.

    Where git is not installed (the action's image, slim ones) its index is read, which has no untracked files.
    untracked: they must not be missed: then these are all files, those too that git ignores.
    """
    found = _of_git(root)
    if found is None:
        found = _of_index(root)
        if found is None or untracked:
            walked = _walked(root, skipped)
            found = (
                Listing([*found.paths, *walked.paths], found.absent, found.problems + walked.problems)
                if found
                else walked
            )
    names = set(skipped)
    found.paths = sorted({path for path in found.paths if names.isdisjoint(path.split("/")[:-1])})
    return found


def _of_git(root: Path) -> Listing | None:
    if not any((parent / ".git").exists() for parent in (root, *root.parents)):
        return None
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "LC_ALL": "C"}
    env |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_OPTIONAL_LOCKS": "0"}
    env |= {"GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(_GIT, cwd=root, env=env, capture_output=True, timeout=_GIT_TIME, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = Listing()
    for line in done.stdout.split(b"\0"):
        tag, _, name = line.partition(b" ")
        if name:
            path = os.fsdecode(name)
            found.paths.append(path)
            if tag == b"S" and not os.path.lexists(root / path):
                found.absent.append(path)
    return found


def _of_index(root: Path) -> Listing | None:
    entries = tracked(root)
    if entries is None:
        return None
    absent = [each.path for each in entries if each.skipped and not os.path.lexists(root / each.path)]
    found = Listing([each.path for each in entries], [path for path in absent if not path.endswith("/")])
    # A sparse index names a directory, and nothing of what is in it.
    found.problems = [(path, "a sparse checkout left it out") for path in absent if path.endswith("/")]
    return found


def _walked(root: Path, skipped: Collection[str]) -> Listing:
    found = Listing()

    def failed(error: OSError) -> None:
        where = os.path.relpath(error.filename or root, root)
        found.problems.append((where, error.strerror or "it can't be read"))

    for where, directories, files in os.walk(root, onerror=failed):
        linked = [name for name in directories if os.path.islink(os.path.join(where, name))]
        directories[:] = [name for name in directories if name not in skipped and name not in linked]
        inside = os.path.relpath(where, root)
        prefix = "" if inside == "." else f"{inside}/".replace(os.sep, "/")
        found.paths += [prefix + name for name in (*files, *linked)]
    return found


class Reader:
    """Reads files below a root; never through a symbolic link."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)
        self._inside: dict[str, bool] = {}

    def is_link(self, path: str) -> bool:
        """Whether it is a symbolic link."""
        return os.path.islink(os.path.join(self._root, path))

    def target(self, path: str) -> str:
        """What a symbolic link of the tree leads to, relative to the root; empty if out of it, or no link."""
        found = os.path.realpath(os.path.join(self._root, path))
        inside = self.is_link(path) and found.startswith(self._root + os.sep)
        return os.path.relpath(found, self._root).replace(os.sep, "/") if inside else ""

    def read(self, path: str, limit: int) -> bytes:
        """At most `limit` + 1 bytes. Raises :class:`UnreadableError`, or FileNotFoundError."""
        directory = path.rpartition("/")[0]
        inside = self._inside.get(directory)
        if inside is None:
            wanted = os.path.normpath(os.path.join(self._root, directory))
            inside = self._inside[directory] = os.path.realpath(wanted) == wanted
        if not inside:
            raise UnreadableError("a directory above it is a symbolic link, which is not followed")
        try:
            descriptor = os.open(
                os.path.join(self._root, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except FileNotFoundError:
            raise
        except OSError as error:
            if self.is_link(path):
                raise UnreadableError("it is a symbolic link, which is not followed") from None
            raise UnreadableError(error.strerror or "it can't be read") from None
        except ValueError:
            raise UnreadableError("its name can't be used") from None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnreadableError("it is no regular file")
            parts = []
            left = limit + 1
            while left > 0 and (part := os.read(descriptor, min(left, 1 << 20))):
                parts.append(part)
                left -= len(part)
            return b"".join(parts)
        except UnreadableError:
            raise
        except OSError as error:
            raise UnreadableError(error.strerror or "it can't be read") from None
        finally:
            os.close(descriptor)

    def holds(self, path: str, words: Collection[bytes]) -> bool:
        """Whether all of `words` are in a file of any size. Raises as :meth:`read`."""
        return all(any(word in part for part in self._parts(path)) for word in words)

    def _parts(self, path: str) -> Iterator[bytes]:
        with open(os.path.join(self._root, path), "rb") as file:
            before = b""
            while part := file.read(1 << 20):
                yield before + part
                before = part[-64:]

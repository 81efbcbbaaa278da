"""Look for known values in files, their names, and what is packed in them."""

import os
import stat
from pathlib import Path

from keylease.audit.collectors.listing import listing
from keylease.pipelines.scan import Findings, Search
from keylease.pipelines.scan_archives import Unseen, look


def files_below(root: Path, prefix: str, search: Search, found: Findings) -> None:
    """All files of a directory that git knows or would add; all, where there is no repository."""
    names = listing(root, (".git",), untracked=True)
    for path, why in names.problems:
        found.problem(why, "check out the whole of it", prefix + path)
    for path in names.absent:
        found.problem("a sparse checkout left it out", "check out the whole of it", prefix + path)
    absent = set(names.absent)
    for path in names.paths:
        if path not in absent:
            one_file(root / path, prefix + path, search, found)
    if not names.paths:
        found.problem(
            "there was nothing in it to look through: no file that git tracks or would add",
            "scan what git ignores as an artefact: --artifacts DIR",
            prefix.rstrip("/") or ".",
        )


def one_file(file: Path, shown: str, search: Search, found: Findings, place: str = "file") -> None:
    """One file and its name; a symbolic link is not followed: what it leads to is looked at where it lies."""
    found.add(search.within(shown), f"file://{shown}#name", f"the name of {shown}", "name")
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # deleted, and still in git's index
    except (OSError, ValueError) as error:
        try:
            found.add(search.within(os.readlink(file)), f"file://{shown}", shown, place)
        except (OSError, ValueError):
            found.problem(getattr(error, "strerror", None) or "its name can't be used", "let it be read", shown)
        return
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        is_directory = stat.S_ISDIR(about.st_mode)
        why = "a submodule, or a repository of its own" if is_directory else "it is no regular file"
        found.problem(why, "scan it by itself", shown)
        return
    with os.fdopen(descriptor, "rb") as stream:
        try:
            for name, result in look(stream, about.st_size, search, stream):
                where = f"{shown}!{name}" if name else shown
                if isinstance(result, Unseen):
                    found.problem(result.why, result.change, where)
                else:
                    found.add(result, f"file://{where}", shown, place, name)
        except OSError as error:
            found.problem(error.strerror or "it can't be read", "let it be read", shown)


def artifacts(given: Path, search: Search, found: Findings) -> None:
    """A directory of artefacts, or one file."""
    if not given.is_dir():
        one_file(given.resolve(), str(given), search, found, "artefact")
        return
    inside = given.resolve()

    def failed(error: OSError) -> None:
        found.problem(error.strerror or "it can't be read", "let it be read", str(error.filename or given))

    for where, directories, files in os.walk(given, onerror=failed):
        directories.sort()
        for name in sorted([*files, *(each for each in directories if os.path.islink(os.path.join(where, each)))]):
            path = Path(where, name)
            one_file(path, str(path), search, found, "artefact")
            if path.is_symlink() and path.exists() and not path.resolve().is_relative_to(inside):
                # What uploads artefacts follows it.
                found.problem("a link that leads out of it: what it leads to was not looked at", "scan that", str(path))

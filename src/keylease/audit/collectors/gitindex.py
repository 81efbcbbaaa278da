"""Which files a git repository tracks, from its index: for where there is no git, as in the action's image.

https://git-scm.com/docs/index-format
"""

import os
import re
import struct
from pathlib import Path

from msgspec import Struct

MAX_BYTES = 512 * 1024 * 1024

_STAT, _SHA1, _SHA256 = 40, 20, 32
_EXTENDED, _SKIP_WORKTREE = 0x4000, 0x4000
_DIRECTORY = 0o040000
_SHA256_REPOSITORY = re.compile(rb"^\s*objectformat\s*=\s*\"?sha256", re.IGNORECASE | re.MULTILINE)


class Entry(Struct, frozen=True):
    """path: as git has it, bytes decoded as Python decodes names. skipped: by a sparse checkout."""

    path: str
    skipped: bool


class IndexFormatError(ValueError):
    """It is no index, or one of a kind that is not read here (split)."""


def tracked(root: Path) -> list[Entry] | None:
    """What git tracks below `root`, relative to it; None where there is no index that can be read."""
    for top in (root, *root.parents):
        if (top / ".git").exists():
            break
    else:
        return None
    try:
        directory = _directory(top / ".git")
        with (directory / "index").open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        entries = parse(data, _hash_size(directory))
    except (OSError, ValueError):
        return None
    below = "" if root == top else f"{root.relative_to(top).as_posix()}/"
    return [Entry(each.path[len(below) :], each.skipped) for each in entries if each.path.startswith(below)]


def _directory(git: Path) -> Path:
    """Of a worktree or submodule ``.git`` is a file that says where."""
    if git.is_dir():
        return git
    with git.open("rb") as file:
        text = file.read(8192)
    if not text.startswith(b"gitdir: "):
        raise IndexFormatError("no gitdir")
    return git.parent / os.fsdecode(text[8:].rstrip(b"\r\n"))


def _hash_size(directory: Path) -> int:
    common = directory / "commondir"
    if common.exists():
        directory = directory / common.read_text(encoding="utf-8").strip()
    with (directory / "config").open("rb") as file:
        return _SHA256 if _SHA256_REPOSITORY.search(file.read(1 << 20)) else _SHA1


def parse(data: bytes, hash_size: int = _SHA1) -> list[Entry]:
    """The entries, each path once. Raises :class:`IndexFormatError`."""
    if len(data) > MAX_BYTES or len(data) < 12 + hash_size:
        raise IndexFormatError("size")
    signature, version, count = struct.unpack_from(">4sII", data)
    if signature != b"DIRC" or version not in (2, 3, 4):
        raise IndexFormatError("version")
    found: dict[bytes, bool] = {}
    position, name = 12, b""
    end = len(data) - hash_size
    try:
        for _ in range(count):
            start = position
            mode = int.from_bytes(data[position + 24 : position + 28], "big")
            position += _STAT + hash_size
            (flags,) = struct.unpack_from(">H", data, position)
            position += 2
            more = 0
            if flags & _EXTENDED:
                (more,) = struct.unpack_from(">H", data, position)
                position += 2
            kept = b""
            if version == 4:
                strip, position = _number(data, position)
                if strip > len(name):
                    raise IndexFormatError("prefix")
                kept = name[: len(name) - strip]
            stop = data.index(b"\0", position, end)
            name = kept + data[position:stop]
            position = stop + 1 if version == 4 else start + ((stop - start) // 8 + 1) * 8
            found[name] = bool(more & _SKIP_WORKTREE) or mode == _DIRECTORY
    except (struct.error, ValueError):
        raise IndexFormatError("entries") from None
    _must_be_whole(data, position, end)
    return [Entry(os.fsdecode(name), skipped) for name, skipped in found.items()]


def _number(data: bytes, position: int) -> tuple[int, int]:
    """git's variable width encoding of an offset, and what comes after it."""
    value = -1
    for step in range(position, position + 5):
        if step >= len(data):
            break
        value = ((value + 1) << 7) | (data[step] & 0x7F)
        if not data[step] & 0x80:
            return value, step + 1
    raise IndexFormatError("number")


def _must_be_whole(data: bytes, position: int, end: int) -> None:
    """A split index has but a part of the entries; and the extensions must end where the checksum begins."""
    while position < end:
        if end - position < 8:
            raise IndexFormatError("extensions")
        name, size = struct.unpack_from(">4sI", data, position)
        if name == b"link":
            raise IndexFormatError("split")
        position += 8 + size
    if position != end:
        raise IndexFormatError("extensions")

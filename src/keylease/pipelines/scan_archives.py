"""Look for known values in artefacts: files, and what is in their archives, one level deep."""

import bz2
import gzip
import lzma
import os
import tarfile
import zipfile
import zlib
from pathlib import Path

from keylease.pipelines.scan import Findings, Search, Source, one_file

MOST = 4 << 30
"""Bytes that are read out of one archive."""

RATIO = 200
"""Times its size, from which on an archive may be a bomb: logs are packed to a hundredth, deflate's limit is 1032."""

SMALL = 64 << 20
"""Bytes that are read out of any archive, whatever the ratio."""

MEMBERS = 200_000

_PACKED = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!")
_OTHER = _PACKED[4:]
_ERRORS = (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zlib.error, lzma.LZMAError)
_ERRORS += (zipfile.BadZipFile, tarfile.TarError)  # type: ignore[assignment]


class _TooLargeError(Exception):
    pass


class _Budget:
    def __init__(self, size: int) -> None:
        self.left = min(MOST, max(SMALL, RATIO * size))


class _Member:
    """Reads within what is left; notes the first bytes."""

    def __init__(self, source: Source, budget: _Budget) -> None:
        self._source = source
        self._budget = budget
        self.head = b""
        self.tar = False

    def read(self, size: int, /) -> bytes:
        part = self._source.read(size)
        if not self.head:
            self.head, self.tar = part[:8], part[257:262] == b"ustar"
        self._budget.left -= len(part)
        if self._budget.left < 0:
            raise _TooLargeError
        return part


def artifacts(given: Path, search: Search, found: Findings) -> None:
    """A directory of artefacts, or one file."""
    if not given.is_dir():
        _artifact(given, str(given), search, found)
        return

    def failed(error: OSError) -> None:
        found.problem(error.strerror or "it can't be read", "let it be read", str(error.filename or given))

    for where, directories, files in os.walk(given, onerror=failed):
        directories.sort()
        for name in sorted(files):
            path = Path(where, name)
            _artifact(path, str(path), search, found)


def _artifact(file: Path, shown: str, search: Search, found: Findings) -> None:
    one_file(file, shown, search, found)
    if not file.is_file() or file.is_symlink():
        return
    try:
        with file.open("rb") as stream:
            head = stream.read(512)
        budget = _Budget(file.stat().st_size)
        if zipfile.is_zipfile(file):
            _zip(file, shown, search, found, budget)
        elif head.startswith(_OTHER):
            found.problem("an archive of a form that is not read", "unpack it, and scan that", shown)
        elif head.startswith(_PACKED) or head[257:262] == b"ustar":
            _tar_or_packed(file, shown, head, search, found, budget)
    except _TooLargeError:
        found.problem("too much comes out of this archive: it may be a bomb", "unpack it, and scan that", shown)
    except _ERRORS:
        found.problem("a damaged or encrypted archive", "unpack it, and scan that", shown)


def _zip(file: Path, shown: str, search: Search, found: Findings, budget: _Budget) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MEMBERS:
            raise _TooLargeError
        for each in members:
            if each.is_dir():
                continue
            try:
                with archive.open(each) as stream:
                    _member(stream, shown, each.filename, search, found, budget)
            except _ERRORS:
                found.problem(
                    f"{each.filename[:200]!a} in it is damaged or encrypted", "unpack it, and scan that", shown
                )


def _tar_or_packed(file: Path, shown: str, head: bytes, search: Search, found: Findings, budget: _Budget) -> None:
    # tarfile takes zeros for an archive without members: what follows them would not be looked at. An old tar without
    # its magic is looked through as it is: nothing in it is packed.
    if head[257:262] != b"ustar":
        with _opened(file, head) as stream:
            is_tar = stream.read(512)[257:262] == b"ustar"
        if not is_tar:
            with _opened(file, head) as stream:
                _member(stream, shown, "", search, found, budget)
            return
    with tarfile.open(file, "r:*") as archive:
        for number, each in enumerate(archive):
            if number >= MEMBERS:
                raise _TooLargeError
            budget.left -= 512
            content = archive.extractfile(each) if each.isreg() else None
            if content is not None:
                _member(content, shown, each.name, search, found, budget)


def _opened(file: Path, head: bytes) -> gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile:
    if head.startswith(b"\x1f\x8b"):
        return gzip.open(file)
    return bz2.open(file) if head.startswith(b"BZh") else lzma.open(file)


def _member(stream: Source, shown: str, name: str, search: Search, found: Findings, budget: _Budget) -> None:
    member = _Member(stream, budget)
    where = f"{shown}!{name}" if name else shown
    found.add(search.through(member), f"file://{where}", where, "artefact")
    if member.head.startswith(_PACKED) or member.tar:
        found.problem(
            f"{(name or 'what is in it')[:200]!a} is an archive in an archive", "unpack it, and scan that", shown
        )

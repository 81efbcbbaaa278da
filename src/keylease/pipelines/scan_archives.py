"""Look for known values in what is packed: archives, and archives in archives, wherever they come from."""

import bz2
import gzip
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple, cast

from keylease.pipelines.scan import Hit, Search, Source

MOST = 4 << 30
"""Bytes that are read out of one archive, and of those in it."""

RATIO = 200
"""Times its size, from which on an archive may be a bomb: logs are packed to a hundredth, deflate's limit is 1032."""

SMALL = 64 << 20
"""Bytes that are read out of any archive, whatever the ratio."""

MEMBERS = 200_000

DEEPEST = 8
"""Archives in each other."""

_IN_MEMORY = 32 << 20
"""Bytes of an archive in an archive beyond which it is laid down in a file that has no name."""

_HEAD = 512

_ZIP = b"PK\x03\x04"
_ZIP_END = b"PK\x05\x06"
_BZIP2 = tuple(b"BZh%d1AY&SY" % level for level in range(1, 10))
_READ = (_ZIP, _ZIP_END, b"\x1f\x8b", *_BZIP2, b"\xfd7zXZ\0", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_OTHER = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x1f\x9d": "compress",
    b"LZIP\x01": "lzip",
    b"\x89LZO\0": "lzop",
    b"\x5d\0\0\x80\0": "lzma",
    b"\x5d\0\0\0\x01": "lzma",
    b"\x5d\0\0\0\x04": "lzma",
    b"\xff\x06\0\0sNaPpY": "snappy",
    b"MSCF\0\0\0\0": "cab",
    b"xar!\0": "xar",
    b"hsqs": "squashfs",
    b"\xed\xab\xee\xdb": "rpm",
    b"!<arch>\ndebian-binary": "deb",
    b"PACK\0\0\0\x02": "git pack",
    b"# v2 git bundle\n": "git bundle",
    b"# v3 git bundle\n": "git bundle",
}
LFS = b"version https://git-lfs.github.com/spec/v1\n"
"""A pointer's first line: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""

_ERRORS = (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, MemoryError, zlib.error, lzma.LZMAError)
_ERRORS += (zipfile.BadZipFile, tarfile.TarError)  # type: ignore[assignment]


class Unseen(NamedTuple):
    """Why something could not be looked at, and what helps."""

    why: str
    change: str = "unpack it, and scan that"


POINTER = Unseen("a Git LFS pointer: what it stands for is not here", "fetch it: git lfs pull")

Looked = Iterator[tuple[str, list[Hit] | Unseen]]
"""(name within, empty for the whole; what was found there)."""


class _TooLargeError(Exception):
    pass


class _Budget:
    def __init__(self, size: int) -> None:
        self.left = min(MOST, max(SMALL, RATIO * size))

    def take(self, number: int) -> None:
        self.left -= number
        if self.left < 0:
            raise _TooLargeError


class _Noted:
    """Reads on behind `head`, and notes what is needed to unpack what is read: its last bytes, all of it in `copy`."""

    def __init__(self, source: Source, budget: _Budget | None) -> None:
        self._source = source
        self._budget = budget
        self.head = self.tail = b""
        self.copy: IO[bytes] | None = None
        while len(self.head) < _HEAD and (part := self._read(_HEAD - len(self.head))):
            self.head += part
        self._ahead = self.head

    def read(self, size: int, /) -> bytes:
        if self._ahead:
            part, self._ahead = self._ahead, b""
        else:
            part = self._read(size)
        self.tail = (self.tail + part)[-22:]
        if self.copy is not None:
            self.copy.write(part)
        return part

    def _read(self, size: int) -> bytes:
        part = self._source.read(size)
        if self._budget is not None:
            self._budget.take(len(part))
        return part


def look(source: Source, size: int, search: Search, file: IO[bytes] | None = None) -> Looked:
    """All of `source`, and what is packed in it. Raises what `source` raises.

    size: of the source, in bytes. file: the same, where it can be read again.
    """
    try:
        yield from _look(_Noted(source, None), search, _Budget(size), 0, file)
    except _TooLargeError:
        yield "", Unseen("too much comes out of this archive: it may be a bomb")


def _look(noted: _Noted, search: Search, budget: _Budget, depth: int, file: IO[bytes] | None = None) -> Looked:
    packed = noted.head.startswith(_READ) or _is_tar(noted.head)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy:
        if packed and file is None:
            noted.copy = copy
        hits = search.through(noted)
        again: IO[bytes] | None = file if file is not None else copy if packed else None
        inside: set[str] = set()
        large = False
        try:
            for name, result in _unpacked(noted, again, search, budget, depth):
                if not isinstance(result, Unseen):
                    inside.update(hit.secret for hit in result)
                yield name, result
        except _TooLargeError:
            large = True
        # What is not packed, only put together, was found twice.
        yield "", [hit for hit in hits if hit.secret not in inside]
        if large:
            raise _TooLargeError


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _unpacked(noted: _Noted, file: IO[bytes] | None, search: Search, budget: _Budget, depth: int) -> Looked:
    head = noted.head
    if head.startswith(LFS):
        yield "", POINTER
        return
    other = next((name for start, name in _OTHER.items() if head.startswith(start)), "")
    if other:
        yield "", Unseen(f"an archive of a form that is not read ({other})")
        return
    if file is None:
        if noted.tail.startswith(_ZIP_END):
            yield "", Unseen("a zip archive that something stands before")
        return
    is_zip = head.startswith((_ZIP, _ZIP_END))
    if not is_zip and zipfile.is_zipfile(file):
        try:
            zipfile.ZipFile(file).close()
            is_zip = True  # something stands before it: a program that unpacks it
        except zipfile.BadZipFile:
            pass  # three words of a program that writes zip archives
    if not is_zip and not head.startswith(_READ) and not _is_tar(head):
        return
    if depth == DEEPEST:
        yield "", Unseen("too many archives in each other")
        return
    try:
        if is_zip:
            yield from _zip(file, search, budget, depth)
        elif _is_tar(head):
            yield from _tar(file, search, budget, depth)
        else:
            yield from _packed(file, head, search, budget, depth)
    except _ERRORS:
        yield "", Unseen("a damaged or encrypted archive")


def _member(source: Source, name: str, search: Search, budget: _Budget, depth: int) -> Looked:
    for inner, result in _look(_Noted(source, budget), search, budget, depth + 1):
        yield f"{name}!{inner}" if inner and name else name or inner, result


def _named(search: Search, name: str, *more: str) -> Looked:
    text = "\n".join([name, *more]).encode("utf-8", "surrogateescape")
    if found := search.within(text):
        yield f"{name} (its name and what is noted of it)", found


def _zip(file: IO[bytes], search: Search, budget: _Budget, depth: int) -> Looked:
    file.seek(0)
    first = file.read(len(_ZIP))
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MEMBERS:
            raise _TooLargeError
        if first == _ZIP and min((each.header_offset for each in members), default=0) > 0:
            yield "", Unseen("several zip archives, of which only the last was looked at")
        for each in members:
            yield from _named(search, each.filename)
            try:
                with archive.open(each) as stream:
                    yield from _member(stream, each.filename, search, budget, depth)
            except _ERRORS:
                yield each.filename, Unseen("it is damaged or encrypted")


def _tar(file: IO[bytes], search: Search, budget: _Budget, depth: int) -> Looked:
    """Of an old tar without its magic nothing is unpacked: it is looked through as it is."""
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for number, each in enumerate(archive):
            if number >= MEMBERS:
                raise _TooLargeError
            budget.take(512)
            about = map(str, each.pax_headers.values())
            yield from _named(search, each.name, each.linkname, each.uname, each.gname, *about)
            # Of a type that nobody knows too; a link is looked at where it leads.
            content = None if each.islnk() or each.issym() else archive.extractfile(each)
            if content is not None:
                yield from _member(content, each.name, search, budget, depth)
        # It ends where no header is: another archive may follow, or anything.
        file.seek(archive.offset)
        yield "", search.through(_Noted(file, budget))


def _packed(file: IO[bytes], head: bytes, search: Search, budget: _Budget, depth: int) -> Looked:
    """One stream. What was a tar, packed, is called as its members are."""
    if head.startswith(b"\x78"):
        yield from _zlib(file, search, budget, depth)
        return
    file.seek(0)
    with _opened(file, head) as stream:
        noted = _Noted(stream, budget)
        if _is_tar(noted.head):  # tarfile takes zeros for one too, and would not look at what follows them
            yield from _tar(stream, search, budget, depth)
        else:
            yield from _look(noted, search, budget, depth + 1)


def _opened(file: IO[bytes], head: bytes) -> IO[bytes]:
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(file))
    return cast(IO[bytes], bz2.open(file) if head.startswith(_BZIP2) else lzma.open(file))


def _zlib(file: IO[bytes], search: Search, budget: _Budget, depth: int) -> Looked:
    """As git keeps an object. Two bytes tell little: what can't be unpacked from its beginning on is none."""
    file.seek(0)
    stream = _Zlib(file)
    try:
        noted = _Noted(stream, budget)
    except zlib.error:
        return
    yield from _look(noted, search, budget, depth + 1)


class _Zlib:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._unpacker = zlib.decompressobj()

    def read(self, size: int, /) -> bytes:
        unpacker = self._unpacker
        while not unpacker.eof:
            data = unpacker.unconsumed_tail or self._file.read(1 << 16)
            if not data:
                raise zlib.error("cut off")
            if part := unpacker.decompress(data, max(1, size)):
                return part
        return b""

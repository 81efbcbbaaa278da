"""Changing a file: all at once or not at all, and everything else about it stays."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest

from keylease.errors import UsageError
from keylease.masking import Redactor
from keylease.outputs.rewrite import rewrite

VALUE = b"a-secret-value"


def hide(path: Path) -> None:
    redactor = Redactor([VALUE])
    rewrite(str(path), redactor.feed, redactor.flush)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "build.log"
    path.write_bytes(b"one " + VALUE + b" two\xff" + VALUE)
    return path


def test_the_text_changes_and_nothing_else(log: Path, tmp_path: Path) -> None:
    os.chown(log, 12345, 54321)
    log.chmod(0o4751)
    attributes = {}
    with suppress(OSError):  # a file system without them
        os.setxattr(log, "user.origin", b"ci")
        attributes = {"user.origin": b"ci"}
    before = log.stat()
    hide(log)
    after = log.stat()
    assert log.read_bytes() == b"one *** two\xff***"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert {name: os.getxattr(log, name) for name in os.listxattr(log)} == attributes
    assert list(tmp_path.iterdir()) == [log]


def test_a_clean_file_is_not_touched(log: Path, tmp_path: Path) -> None:
    log.write_bytes(b"clean")
    before = log.stat()
    hide(log)
    assert log.stat().st_ino == before.st_ino
    assert log.stat().st_mtime_ns == before.st_mtime_ns
    assert list(tmp_path.iterdir()) == [log]


def test_a_file_of_the_same_length_is_changed(log: Path) -> None:
    log.write_bytes(VALUE)
    redactor = Redactor([VALUE], b"x" * len(VALUE))
    rewrite(str(log), redactor.feed, redactor.flush)
    assert log.read_bytes() == b"x" * len(VALUE)


def test_a_symbolic_link_stays_one(log: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(log)
    hide(link)
    assert link.is_symlink()
    assert VALUE not in log.read_bytes()


def refused(path: Path, why: str) -> None:
    before = {p: p.read_bytes() for p in path.parent.iterdir() if p.is_file()}
    with pytest.raises(UsageError, match=why):
        hide(path)
    assert {p: p.read_bytes() for p in path.parent.iterdir() if p.is_file()} == before


def test_what_is_refused_stays_as_it_was(log: Path, tmp_path: Path) -> None:
    (tmp_path / "other").hardlink_to(log)
    refused(log, r"it has 2 names \(hard links\)")
    os.mkfifo(tmp_path / "fifo")
    refused(tmp_path / "fifo", "it is not a regular file")
    refused(tmp_path, "it is not a regular file")
    refused(tmp_path / "missing", "it can't be read: No such file")


def test_a_file_that_is_written_to_meanwhile_is_not_replaced(log: Path, tmp_path: Path) -> None:
    def feed(data: bytes) -> bytes:
        with log.open("ab") as file:
            file.write(b"one more line")
        return data.replace(VALUE, b"***")

    with pytest.raises(UsageError, match="another program changed it meanwhile"):
        rewrite(str(log), feed, lambda: b"")
    assert log.read_bytes().endswith(b"one more line")
    assert list(tmp_path.iterdir()) == [log]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
def test_nothing_is_left_when_hiding_fails(log: Path, tmp_path: Path, error: type[BaseException]) -> None:
    def broken(data: bytes) -> bytes:
        raise error

    before = log.read_bytes()
    with pytest.raises(error):
        rewrite(str(log), broken, lambda: b"")
    assert log.read_bytes() == before
    assert list(tmp_path.iterdir()) == [log]


def test_a_full_disk_leaves_the_file_as_it_was(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="can't be replaced: No space left"):
        hide(log)
    assert VALUE in log.read_bytes()
    assert list(tmp_path.iterdir()) == [log]

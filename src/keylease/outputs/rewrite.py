"""Change a file that is somebody's: all at once or not at all, and everything else about it stays."""

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress

from keylease.errors import UsageError

_READ = 1024 * 1024


def rewrite(path: str, feed: Callable[[bytes], bytes], flush: Callable[[], bytes]) -> None:
    """Put in the place of a file what `feed` and `flush` make of it, with the same mode, owner and attributes.

    Written beside it and renamed, so that no reader ever sees a half file. A symbolic link stays one: the file that it
    leads to is replaced. A file with several names (hard links) is refused, since the others would keep the old text,
    and so is one that another program writes to meanwhile. If nothing changes, the file is not touched. Raises
    :class:`UsageError`; the file then is as it was.
    """
    real = os.path.realpath(path)
    directory, name = os.path.split(real)
    try:
        source = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(path, f"it can't be read: {error.strerror}") from None
    temporary = os.path.join(directory, f".{name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        before = os.fstat(source)
        if not stat.S_ISREG(before.st_mode):
            raise _refused(path, "it is not a regular file")
        if before.st_nlink > 1:
            raise _refused(path, f"it has {before.st_nlink} names (hard links), and the others would keep its text")
        changed = _copy(source, temporary, before, feed, flush)
        after = os.stat(real, follow_symlinks=False)
        if _version(after) != _version(before):
            raise _refused(path, "another program changed it meanwhile")
        if changed:
            os.rename(temporary, real)
    except OSError as error:
        raise _refused(path, f"it can't be replaced: {error.strerror}") from None
    finally:
        os.close(source)
        with suppress(OSError):
            os.unlink(temporary)


def _copy(
    source: int, temporary: str, status: os.stat_result, feed: Callable[[bytes], bytes], flush: Callable[[], bytes]
) -> bool:
    """Write the new text; whether it differs from the old one."""
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w+b") as target:
        left = status.st_size  # no more: a program that writes as fast as we read would keep us for ever
        while left > 0 and (chunk := os.read(source, min(left, _READ))):
            target.write(feed(chunk))
            left -= len(chunk)
        target.write(flush())
        target.flush()
        os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))  # after fchown, which takes set-user-ID away
        for attribute in os.listxattr(source) if hasattr(os, "listxattr") else []:
            os.setxattr(descriptor, attribute, os.getxattr(source, attribute))
        os.fsync(descriptor)
        return not _same(source, descriptor)


def _same(one: int, other: int) -> bool:
    if os.fstat(one).st_size != os.fstat(other).st_size:
        return False
    at = 0
    while chunk := os.pread(one, _READ, at):
        if os.pread(other, _READ, at) != chunk:
            return False
        at += len(chunk)
    return True


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_nlink


def _refused(path: str, why: str) -> UsageError:
    return UsageError(
        f"redact: {path} stays as it was: {why}",
        change="write the clean text elsewhere: keylease redact … FILE > CLEAN",
        docs="redact",
    )

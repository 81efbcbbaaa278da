"""Reading a small file that somebody else wrote."""

import os
import stat


def read_small(path: str, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises :class:`OSError` whose `strerror` says what is wrong, without any content. Does not wait: a named pipe
    with no writer would hold us for ever, so it is refused like a directory.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(0, "it is a directory")
        if not stat.S_ISREG(mode):
            raise OSError(0, "it is not a regular file")
        content = bytearray()
        while chunk := os.read(descriptor, limit + 1 - len(content)):
            content += chunk
            if len(content) > limit:
                raise OSError(0, f"it is larger than {limit} bytes")
        return bytes(content)
    finally:
        os.close(descriptor)

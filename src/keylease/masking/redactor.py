"""Hide values in a stream of bytes."""

from collections.abc import Iterable

from keylease.masking.masker import REPLACEMENT


class Redactor:
    """Bytes in, bytes out, any chunking. Holds back only what may still become a match.

    patterns: what to hide; longer ones win where several match at one place.
    """

    def __init__(self, patterns: Iterable[bytes], replacement: bytes = REPLACEMENT.encode()) -> None:
        self._patterns = sorted({p for p in patterns if p}, key=len, reverse=True)
        self._replacement = replacement
        self._prefixes = {p[:n] for p in self._patterns for n in range(1, len(p))}
        self._pending = b""

    def feed(self, chunk: bytes) -> bytes:
        """What of the stream so far can be shown."""
        data = self._pending + chunk
        hold = self._held(data)
        shown, self._pending = data[: len(data) - hold], data[len(data) - hold :]
        return self._hide(shown)

    def flush(self) -> bytes:
        """The rest, at the end of the stream."""
        data, self._pending = self._pending, b""
        return self._hide(data)

    def _held(self, data: bytes) -> int:
        longest = max((len(p) for p in self._patterns), default=1) - 1
        for size in range(min(longest, len(data)), 0, -1):
            if data[-size:] in self._prefixes:
                return size
        return 0

    def _hide(self, data: bytes) -> bytes:
        for pattern in self._patterns:
            data = data.replace(pattern, self._replacement)
        return data

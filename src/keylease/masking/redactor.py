"""Hide values in a stream of bytes."""

from collections.abc import Iterable

REPLACEMENT = "***"

_HEAD = 4  # bytes of a pattern searched for at C speed before the whole is compared


class Redactor:
    """Bytes in, bytes out; any chunking gives the same output, and what holds no pattern passes unchanged.

    patterns: what to hide. Every byte that lies within any occurrence of any pattern is hidden: occurrences that
    overlap or touch become one replacement, so no part of one is left standing beside another.

    Only what may still become an occurrence is held back (less than the longest pattern), so a prompt without a
    newline is shown at once. One search per pattern over each chunk.
    """

    def __init__(self, patterns: Iterable[bytes], replacement: bytes = REPLACEMENT.encode()) -> None:
        self._patterns = sorted({p for p in patterns if p})
        self._replacement = replacement
        self._heads = [(p, p[:_HEAD]) for p in self._patterns if len(p) > _HEAD]
        self._short_heads = {p[:n] for p in self._patterns for n in range(1, min(_HEAD, len(p)))}
        self._pending = b""
        self._hidden = 0  # leading bytes of _pending that belong to a replacement already written
        self._touching = False  # the last thing written was a replacement

    def feed(self, chunk: bytes) -> bytes:
        """What of the stream so far can be shown."""
        if not chunk:
            return b""
        data = self._pending + chunk
        return self._show(data, self._first_undecided(data))

    def flush(self) -> bytes:
        """The rest, at the end of the stream. The redactor can then be used for another stream."""
        shown = self._show(self._pending, len(self._pending))
        self._touching = False
        return shown

    def _show(self, data: bytes, end: int) -> bytes:
        """Write what is decided, ``data[:end]``; keep the rest.

        An occurrence may begin before `end` and reach beyond it: the bytes beyond are hidden already, but may
        also be the start of another one, so they are kept with a note that they are not to be shown.
        """
        out: list[bytes] = []
        shown = self._hidden
        for start, stop in self._occurrences(data):
            if start >= end:
                break
            if start > shown:
                out.append(data[shown:start])
                self._touching = False
            if not self._touching:
                out.append(self._replacement)
                self._touching = True
            shown = max(shown, stop)
        if shown < end:
            out.append(data[shown:end])
            self._touching = False
            shown = end
        self._pending = data[end:]
        self._hidden = shown - end
        return b"".join(out)

    def _occurrences(self, data: bytes) -> list[tuple[int, int]]:
        """Enough occurrences, by start, to cover every byte that any occurrence covers."""
        found: list[tuple[int, int]] = []
        for pattern in self._patterns:
            size = len(pattern)
            at = data.find(pattern)
            while at >= 0:
                found.append((at, at + size))
                # The last one that begins within or right behind this one covers all between the two.
                last = data.rfind(pattern, at + 1, at + 2 * size)
                at = last if last >= 0 else data.find(pattern, at + size)
        found.sort()
        return found

    def _first_undecided(self, data: bytes) -> int:
        """Where the longest tail of `data` begins that is the beginning of a pattern; the end if there is none."""
        first = len(data)
        for size in range(min(_HEAD - 1, len(data)), 0, -1):
            if data[-size:] in self._short_heads:
                first = len(data) - size
                break
        for pattern, head in self._heads:
            at = data.find(head, max(0, len(data) - len(pattern) + 1))
            while 0 <= at < first:
                if pattern.startswith(data[at:]):
                    first = at
                    break
                at = data.find(head, at + 1)
        return first

"""Hide values in a stream of bytes."""

from collections.abc import Iterable

from keylease.masking.scanner import AutomatonScanner, PlainScanner, Scanner

REPLACEMENT = "***"


def scanner_for(patterns: Iterable[bytes], *, short: bool = False) -> Scanner:
    """The engine for these patterns. short: for a few kilobytes of text, where nothing built would pay off."""
    chosen = [p for p in patterns if p]
    return PlainScanner(chosen) if short or len(chosen) <= 2 else AutomatonScanner(chosen)


class Redactor:
    """Bytes in, bytes out; any chunking gives the same output, and what holds no pattern passes unchanged.

    patterns: what to hide, or a scanner for it (which several redactors may share). Every byte that lies within any
    occurrence of any pattern is hidden: occurrences that overlap or touch become one replacement, so no part of one
    is left standing beside another.

    Only what may still become an occurrence is held back (less than the longest pattern), so a prompt without a
    newline is shown at once. Memory does not grow with the stream.
    """

    def __init__(self, patterns: Iterable[bytes] | Scanner, replacement: bytes = REPLACEMENT.encode()) -> None:
        self._scanner = patterns if isinstance(patterns, Scanner) else scanner_for(patterns)
        self._scan = self._scanner.scan
        self._replacement = replacement
        self._pending = b""
        self._hidden = 0  # leading bytes of _pending that belong to a replacement already written
        self._touching = False  # the last thing written was a replacement
        self.count = 0
        """Replacements written so far."""

    def use(self, scanner: Scanner) -> None:
        """Look for other patterns from the next chunk on, with what is held back; from any thread."""
        self._scanner = scanner
        self._scan = scanner.scan

    def feed(self, chunk: bytes) -> bytes:
        """What of the stream so far can be shown."""
        if not chunk:
            return b""
        data = self._pending + chunk if self._pending else chunk
        occurrences, end = self._scan(data)
        if not occurrences and not self._hidden:
            # The common case by far: nothing to hide, maybe a tail to hold back.
            if end == len(data):
                self._pending = b""
                self._touching = False
                return data
            self._pending = data[end:]
            if end:
                self._touching = False
            return data[:end]
        return self._show(data, occurrences, end)

    def whole(self, data: bytes) -> bytes:
        """A stream that is one chunk: what `feed` and `flush` give, without looking for a tail to hold back."""
        return self._show(data, self._scanner.occurrences(data), len(data))

    def flush(self) -> bytes:
        """The rest, at the end of the stream. The redactor can then be used for another stream."""
        data = self._pending
        shown = self._show(data, self._scanner.occurrences(data), len(data))
        self._touching = False
        return shown

    def _show(self, data: bytes, occurrences: list[tuple[int, int]], end: int) -> bytes:
        """Write what is decided, ``data[:end]``; keep the rest.

        An occurrence may begin before `end` and reach beyond it: the bytes beyond are hidden already, but may
        also be the start of another one, so they are kept with a note that they are not to be shown.
        """
        out: list[bytes] = []
        shown = self._hidden
        touching = self._touching
        for start, stop in occurrences:
            if stop <= shown:
                continue
            if start >= end:
                break
            if start > shown:
                out.append(data[shown:start])
                touching = False
            if not touching:
                out.append(self._replacement)
                touching = True
                self.count += 1
            shown = stop
        if shown < end:
            out.append(data[shown:end])
            touching = False
            shown = end
        self._touching = touching
        self._pending = data[end:]
        self._hidden = shown - end
        return b"".join(out)

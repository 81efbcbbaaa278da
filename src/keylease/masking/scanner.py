"""Find all occurrences of many byte patterns at once: one interface, several engines.

PlainScanner      no dependency, nothing to build; for a few kilobytes such as our own messages
AutomatonScanner  ahocorasick-rs, for streams: about the speed of memory whatever the number of patterns
"""

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_HEAD = 4
"""Bytes of a pattern that are searched for in a chunk's tail before the whole is compared."""

_FEW = 8
"""Heads up to which a search for each is faster than a call of the automaton."""

_BLOCK = 4096

_START = 6
"""Bytes of a pattern that the automaton knows: enough to be rare in a log, few enough for a small automaton."""

_FEW_HITS = 64
"""Beginnings found in one chunk up to which each is compared by itself; a text that repeats itself has more."""

SMALL = 1_000_000
"""Bytes of all beginnings together up to which the automaton is a table (DFA): some thousand secrets in all their
forms. Beyond, the compact form, which is a third as fast."""


class Scanner(ABC):
    """patterns: what to find; none is empty. Safe to share between threads once it is made."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self.patterns = sorted(set(patterns))
        within = [p for p in self.patterns if b"\n" not in p]
        across = [p for p in self.patterns if b"\n" in p]
        self._within = _Tail(within, stops_at_newline=True)
        self._across = _Tail(across, stops_at_newline=False) if across else None

    @abstractmethod
    def occurrences(self, data: bytes) -> list[tuple[int, int]]:
        """(start, end) of enough occurrences, by start, to cover every byte that any occurrence covers."""

    def scan(self, data: bytes) -> tuple[list[tuple[int, int]], int]:
        """Both :meth:`occurrences` and :meth:`undecided`."""
        return self.occurrences(data), self.undecided(data)

    def undecided(self, data: bytes) -> int:
        """Where the longest tail of `data` begins that is the beginning of a pattern; its length if there is none."""
        if self._across is None:
            return self._within.begins(data)
        return min(self._within.begins(data), self._across.begins(data))


class _Tail:
    """Which end of a chunk may go on to become an occurrence.

    A pattern without a newline can't reach across one, so that for most logs only the last, unfinished line is looked
    at.
    """

    def __init__(self, patterns: list[bytes], *, stops_at_newline: bool) -> None:
        self._patterns = patterns
        self._stops_at_newline = stops_at_newline
        self._longest = max(map(len, patterns), default=1)
        self._short = {p[:n] for p in patterns for n in range(1, min(_HEAD, len(p)))}
        heads = sorted({p[:_HEAD] for p in patterns if len(p) > _HEAD})
        self._heads = _HeadFinder(heads)

    def begins(self, data: bytes) -> int:
        size = len(data)
        start = max(0, size - self._longest + 1)
        if self._stops_at_newline:
            start = max(start, data.rfind(b"\n", start) + 1)
        if start >= size:
            return size
        for at in self._heads.starts(data, start):
            tail = data[at:]
            index = bisect_left(self._patterns, tail)
            if index < len(self._patterns) and self._patterns[index].startswith(tail):
                # A whole pattern is decided already, unless a longer one begins with it.
                if len(self._patterns[index]) > len(tail):
                    return at
                following = index + 1
                if following < len(self._patterns) and self._patterns[following].startswith(tail):
                    return at
        for length in range(min(_HEAD - 1, size - start), 0, -1):
            if data[-length:] in self._short:
                return size - length
        return size


class _HeadFinder:
    """Positions in a tail at which a pattern's first bytes stand, in order."""

    def __init__(self, heads: list[bytes]) -> None:
        self._heads = heads
        self._engine: Any = None

    def starts(self, data: bytes, start: int) -> Iterable[int]:
        size = len(data) - start
        if size < _HEAD:
            return ()
        if self._engine is None and len(self._heads) > _FEW:
            self._engine = _automaton(self._heads)
        if self._engine is None or size > _BLOCK:
            return self._searched(data, start)
        # All heads have one length: at each position at most one matches, and they come in order.
        return [start + at for _, at, _ in self._engine.find_matches_as_indexes(data[start:], overlapping=True)]

    def _searched(self, data: bytes, start: int) -> Iterator[int]:
        """The same bit by bit: the first position usually decides."""
        if self._engine is None:
            nearest = {head: data.find(head, start) for head in self._heads}
            while nearest := {head: at for head, at in nearest.items() if at >= 0}:
                head = min(nearest, key=nearest.__getitem__)
                yield nearest[head]
                nearest[head] = data.find(head, nearest[head] + 1)
            return
        for block in range(start, len(data), _BLOCK):
            part = data[block : block + _BLOCK + _HEAD - 1]
            for _, at, _ in self._engine.find_matches_as_indexes(part, overlapping=True):
                yield block + at


def _automaton(patterns: Sequence[bytes]) -> Any:
    import ahocorasick_rs

    table = sum(map(len, patterns)) <= SMALL
    kind = ahocorasick_rs.Implementation.DFA if table else ahocorasick_rs.Implementation.ContiguousNFA
    return ahocorasick_rs.BytesAhoCorasick(list(patterns), ahocorasick_rs.MatchKind.Standard, kind)


def _occurrences_of(pattern: bytes, data: bytes) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    size = len(pattern)
    at = data.find(pattern)
    while at >= 0:
        found.append((at, at + size))
        # The last one that begins within or right behind this one covers all between the two.
        last = data.rfind(pattern, at + 1, at + 2 * size)
        at = last if last >= 0 else data.find(pattern, at + size)
    return found


class PlainScanner(Scanner):
    """One search per pattern."""

    def occurrences(self, data: bytes) -> list[tuple[int, int]]:
        """See the base class."""
        return sorted(found for pattern in self.patterns for found in _occurrences_of(pattern, data))


class AutomatonScanner(Scanner):
    """Aho-Corasick over the patterns' beginnings, then a comparison where one is found.

    One pass over the data for all patterns (https://github.com/G-Research/ahocorasick_rs). An automaton of beginnings
    stays in the processor's cache and is built in milliseconds, however long and many the patterns are; and the same
    pass tells which end of the data may go on to become an occurrence.
    """

    def __init__(self, patterns: Sequence[bytes]) -> None:
        super().__init__(patterns)
        by_start: dict[bytes, list[bytes]] = {}
        for pattern in self.patterns:
            by_start.setdefault(pattern[:_START], []).append(pattern)
        self._by_start = [sorted(group, key=len, reverse=True) for group in by_start.values()]
        self._longest = [max(map(len, group)) for group in self._by_start]
        self._engine = _automaton(list(by_start)) if by_start else None
        self._short = {p[:n] for p in self.patterns for n in range(1, min(_START, len(p)))}

    def occurrences(self, data: bytes) -> list[tuple[int, int]]:
        """See the base class."""
        return self.scan(data)[0]

    def undecided(self, data: bytes) -> int:
        """See the base class."""
        return self.scan(data)[1]

    def scan(self, data: bytes) -> tuple[list[tuple[int, int]], int]:
        """See the base class."""
        size = len(data)
        if self._engine is None:
            return [], size
        end = size
        for length in range(min(_START - 1, size), 0, -1):
            if data[-length:] in self._short:
                end = size - length
                break
        hits = self._engine.find_matches_as_indexes(data, overlapping=True)
        if not hits:
            return [], end
        found: list[tuple[int, int]] = []
        places: dict[int, list[int]] = {}
        few = len(hits) <= _FEW_HITS
        for index, start, _ in hits:
            if few:
                for pattern in self._by_start[index]:  # longest first: it covers what shorter ones would
                    if data.startswith(pattern, start):
                        found.append((start, start + len(pattern)))
                        break
            else:
                places.setdefault(index, []).append(start)
            if start < end and start + self._longest[index] > size:
                tail = data[start:]
                if any(len(p) > len(tail) and p.startswith(tail) for p in self._by_start[index]):
                    end = start
        for index, starts in places.items():
            for pattern in self._by_start[index]:
                found += _occurrences_at(pattern, data, starts)
        if len(found) > 1:
            found.sort()
        return found, end


def _occurrences_at(pattern: bytes, data: bytes, starts: list[int]) -> list[tuple[int, int]]:
    """As :func:`_occurrences_of`, looking at these places only (in order)."""
    found: list[tuple[int, int]] = []
    size = len(pattern)
    index = 0
    while index < len(starts):
        at = starts[index]
        index += 1
        if data.startswith(pattern, at):
            found.append((at, at + size))
            # The last one that begins within or right behind this one covers all between the two.
            beyond = bisect_right(starts, at + size, index)
            last = beyond - 1
            while last >= index and not data.startswith(pattern, starts[last]):
                last -= 1
            index = last if last >= index else beyond
    return found

"""Find all occurrences of many byte patterns at once: one interface, several engines.

PlainScanner      no dependency, nothing to build; for a few kilobytes such as our own messages
AutomatonScanner  ahocorasick-rs, for streams: about the speed of memory whatever the number of patterns
"""

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Any

from keylease.masking.colours import ESCAPE, Uncoloured, outside

_HEAD = 4
"""Bytes of a pattern that are searched for in a chunk's tail before the whole is compared."""

_WINDOW = 5
"""Bytes of a pattern that the automaton knows: enough to be rare in a log, few enough for a small automaton."""

_OFFSET = 8
"""Where in a pattern they may begin at the latest. Ends of a chunk that are too short to hold them are looked at by
another automaton: that costs the more the longer they are."""

_BACK = _OFFSET + _WINDOW - 1
"""Bytes of a pattern that may stand at a chunk's end without its window."""

_FEW_HITS = 64
"""Times that a window is found in one chunk up to which each place is looked at by itself; a text that repeats itself
has more."""

_ALIKE = 8
"""Patterns with the same window up to which each is compared; more of them (JWTs of one issuer) are searched."""

_PROBE = 64
"""Bytes that are compared before a copy of more is made."""

SMALL = 1_000_000
"""Bytes of all windows together up to which the automaton is a table (DFA): some thousand secrets in all their forms.
Beyond, the compact form, which is a third as fast."""


def _ranks() -> bytes:
    """Per byte, how common it is in logs."""
    ranks = bytearray(256)
    for rank, letters in enumerate(
        [b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b'jqxz-.:/_=,"', b"0123456789", b"bcdfghklmpuvwy", b"aeinorst "], 1
    ):
        for letter in letters:
            ranks[letter] = rank
    return bytes(ranks)


_RANKS = _ranks()


class Scanner(ABC):
    """patterns: what to find; none is empty. Safe to share between threads once it is made.

    An occurrence with codes for colours inside is one too, unless there is a pattern with an escape character in it.
    """

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self.patterns = sorted(set(patterns))
        self._sees_through_colours = not any(ESCAPE in pattern for pattern in self.patterns)

    def scan(self, data: bytes) -> tuple[list[tuple[int, int]], int]:
        """Both :meth:`occurrences` and :meth:`undecided`."""
        if ESCAPE in data and self._sees_through_colours:
            return self._scan_coloured(data)
        return self._scan(data)

    def occurrences(self, data: bytes) -> list[tuple[int, int]]:
        """(start, end) of enough occurrences, by start, to cover every byte that any occurrence covers."""
        return self.scan(data)[0]

    def undecided(self, data: bytes) -> int:
        """Where the longest tail of `data` begins that may become an occurrence; its length if there is none."""
        return self.scan(data)[1]

    @abstractmethod
    def _scan(self, data: bytes) -> tuple[list[tuple[int, int]], int]:
        """The same for bytes as they are: what is undecided is the beginning of a pattern."""

    def _scan_coloured(self, data: bytes) -> tuple[list[tuple[int, int]], int]:
        found, end = self._scan(data)
        bare = Uncoloured(data)
        end = min(end, bare.decided)
        if bare.changed:
            others, rest = self._scan(bare.text)
            found = sorted({*found, *((bare.place(start), bare.place(stop - 1) + 1) for start, stop in others)})
            if rest < len(bare.text):
                end = min(end, bare.place(rest))
        elif bare.decided < len(data):
            end = min(end, self._scan(bare.text)[1])
        # The next chunk is read from there on: it must not begin in the middle of a code.
        return found, outside(data, end)


class PlainScanner(Scanner):
    """One search per pattern."""

    def occurrences(self, data: bytes) -> list[tuple[int, int]]:
        """See the base class."""
        return super().occurrences(data) if ESCAPE in data else self._occurrences(data)

    def _scan(self, data: bytes) -> tuple[list[tuple[int, int]], int]:
        undecided = min((_begins(pattern, data) for pattern in self.patterns), default=len(data))
        return self._occurrences(data), undecided

    def _occurrences(self, data: bytes) -> list[tuple[int, int]]:
        return sorted(found for pattern in self.patterns for found in _occurrences_of(pattern, data))


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


def _begins(pattern: bytes, data: bytes) -> int:
    size = len(data)
    at = max(0, size - len(pattern) + 1) - 1
    while (at := data.find(pattern[:_HEAD], at + 1)) >= 0:
        if _goes_on(pattern, data, at):
            return at
    for length in range(min(_HEAD, len(pattern), size + 1) - 1, 0, -1):
        if data.endswith(pattern[:length]):
            return size - length
    return size


def _goes_on(pattern: bytes, data: bytes, at: int) -> bool:
    """Whether the pattern may begin at this place of `data` and go on behind its end."""
    rest = len(data) - at
    if rest >= len(pattern):
        return False
    length = _PROBE
    while length < rest:
        if not data.startswith(pattern[:length], at):
            return False
        length *= 8
    return data.startswith(pattern[:rest], at)


class AutomatonScanner(Scanner):
    """Aho-Corasick over a few bytes of each pattern, then a comparison where they are found.

    One pass over the data for all patterns (https://github.com/G-Research/ahocorasick_rs), then a look at its last
    bytes. The bytes of each pattern are a window near its beginning that starts with what is rare in logs: the
    automaton is then most of the time in its first states, which stay in the processor's nearest cache, and it is
    built in milliseconds however long and many the patterns are.
    """

    def __init__(self, patterns: Sequence[bytes]) -> None:
        super().__init__(patterns)
        windows: dict[bytes, dict[int, list[bytes]]] = {}
        for pattern in self.patterns:
            offset = _window(pattern)
            windows.setdefault(pattern[offset : offset + _WINDOW], {}).setdefault(offset, []).append(pattern)
        self._single: list[list[tuple[int, int, bytes]]] = []
        self._alike: dict[int, list[_Alike]] = {}
        for index, groups in enumerate(windows.values()):
            self._single.append([])
            for offset, group in groups.items():
                if len(group) > _ALIKE:
                    self._alike.setdefault(index, []).append(_Alike(offset, group))
                else:
                    self._single[index] += [(offset, len(pattern), pattern) for pattern in group]
        self._short = {p[:n] for p in self.patterns for n in range(1, min(_HEAD, len(p)))}
        heads = {p[:_HEAD] for p in self.patterns if len(p) > _HEAD}
        self._windows = _search(list(windows), table=sum(map(len, windows)) <= SMALL)
        self._heads = _search(list(heads), table=False)

    def _scan(self, data: bytes) -> tuple[list[tuple[int, int]], int]:
        size = end = len(data)
        tail = data[-3:]
        short = self._short
        if tail in short:
            end -= len(tail)
        elif tail[1:] in short:
            end -= len(tail) - 1
        elif tail[2:] in short:
            end -= 1
        tail = data[-_BACK:]
        for _, at, _ in self._heads(tail, True):
            if self._is_beginning(tail[at:]):
                end = min(end, size - len(tail) + at)  # the first is the longest
                break
        hits = self._windows(data, True)
        if not hits:
            return [], end
        found: list[tuple[int, int]] = []
        single, alikes = self._single, self._alike
        if len(hits) > _FEW_HITS:
            end, single = self._search_frequent(data, hits, found, end)
        for index, start, _ in hits:
            for offset, length, pattern in single[index]:
                at = start - offset
                if at + length <= size:
                    if at >= 0 and data.startswith(pattern, at):
                        found.append((at, at + length))
                elif 0 <= at < end and _goes_on(pattern, data, at):
                    end = at
            if index in alikes:
                for alike in alikes[index]:
                    end = alike.look(data, start, found, end)
        if len(found) > 1:
            found.sort()
        return found, end

    def _search_frequent(
        self, data: bytes, hits: list[tuple[int, int, int]], found: list[tuple[int, int]], end: int
    ) -> tuple[int, list[list[tuple[int, int, bytes]]]]:
        """A text that repeats itself: searches for patterns whose window is found often, instead of comparing each.

        What is undecided then, and the patterns that are still to be compared.
        """
        single = self._single
        for index, count in Counter(index for index, _, _ in hits).items():
            if count > _FEW_HITS and single[index]:
                if single is self._single:
                    single = single.copy()
                for _, _, pattern in single[index]:
                    found += _occurrences_of(pattern, data)
                    end = min(end, _begins(pattern, data))
                single[index] = []
        return end, single

    def _is_beginning(self, tail: bytes) -> bool:
        """Whether a pattern begins with `tail` and is longer."""
        index = bisect_right(self.patterns, tail)  # where the longer ones are, if any
        return index < len(self.patterns) and self.patterns[index].startswith(tail)


class _Alike:
    """Many patterns that have the same window in the same place: found by a search in their order."""

    def __init__(self, offset: int, patterns: list[bytes]) -> None:
        self._offset = offset
        self._patterns = patterns
        # So many bytes tell each from its neighbours, and so from all others.
        self._reach = _PROBE + max(map(_shared, patterns, patterns[1:]))
        self._heads = [pattern[: self._reach] for pattern in patterns]
        self._longest = max(map(len, patterns))
        self._within: list[int] = []  # the longest other pattern that each one begins with, or -1
        for index, pattern in enumerate(patterns):
            before = index - 1
            while before >= 0 and not pattern.startswith(patterns[before]):
                before = self._within[before]
            self._within.append(before)

    def look(self, data: bytes, start: int, found: list[tuple[int, int]], end: int) -> int:
        """A window at `start`: adds an occurrence to `found`; what is undecided then, where `end` is so far."""
        at = start - self._offset
        if at < 0:
            return end
        head = data[at : at + self._reach]
        index = bisect_right(self._heads, head) - 1
        if at < end and at + self._longest > len(data):
            longer = bisect_left(self._heads, head)
            # One that is equal to a short tail is complete; the next one may be longer.
            for candidate in self._patterns[longer : longer + 2]:
                if _goes_on(candidate, data, at):
                    end = at
        while index >= 0:
            if data.startswith(self._patterns[index], at):
                found.append((at, at + len(self._patterns[index])))
                break
            index = self._within[index]
        return end


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _window(pattern: bytes) -> int:
    """Where the rarest bytes near a pattern's beginning are."""
    last = min(_OFFSET, len(pattern) - _WINDOW)
    if last <= 0:
        return 0
    ranks = pattern[: _BACK + 1].translate(_RANKS)
    return min(range(last + 1), key=lambda at: ranks[at : at + _WINDOW])


def _search(patterns: Sequence[bytes], *, table: bool) -> Any:
    import ahocorasick_rs

    kind = ahocorasick_rs.Implementation.DFA if table else ahocorasick_rs.Implementation.ContiguousNFA
    engine = ahocorasick_rs.BytesAhoCorasick(patterns, ahocorasick_rs.MatchKind.Standard, kind)
    return engine.find_matches_as_indexes

"""The engines, each against the plain meaning of what it promises."""

import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keylease.masking import Redactor, scanner
from keylease.masking.scanner import AutomatonScanner, PlainScanner, Scanner


class ManyHits(AutomatonScanner):
    """As it is with a text that repeats itself."""

    def _scan(self, data: bytes) -> tuple[list[tuple[int, int]], int]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scanner, "_FEW_HITS", 0)
            return super()._scan(data)


class AllAlike(AutomatonScanner):
    """As it is with many patterns that have one window."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scanner, "_ALIKE", 1)
            patch.setattr(scanner, "_PROBE", 1)
            super().__init__(patterns)


class AllAlikeManyHits(AllAlike, ManyHits):
    pass


ENGINES: list[type[Scanner]] = [PlainScanner, AutomatonScanner, ManyHits, AllAlike, AllAlikeManyHits]
engines = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__)


def covered(patterns: Sequence[bytes], data: bytes) -> set[int]:
    """Each byte inside any occurrence."""
    return {
        byte
        for pattern in patterns
        for at in range(len(data) - len(pattern) + 1)
        if data.startswith(pattern, at)
        for byte in range(at, at + len(pattern))
    }


def begun(patterns: Sequence[bytes], data: bytes) -> int:
    """Where the longest tail begins that a pattern begins with, and is longer."""
    for at in range(len(data)):
        if any(len(pattern) > len(data) - at and pattern.startswith(data[at:]) for pattern in patterns):
            return at
    return len(data)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """Patterns of 1 to 40 bytes that share beginnings, rare bytes at different places; a text made of parts of them."""
    letters = st.sampled_from(draw(st.sampled_from([b"ea", b"eA", b"eAx", b"e:0A\n\xff"])))
    word = st.lists(letters, min_size=1, max_size=20).map(bytes)
    stems = draw(st.lists(word, min_size=1, max_size=3))
    endings = draw(st.lists(word, min_size=1, max_size=14))
    patterns = [draw(st.sampled_from([b"", *stems])) + ending for ending in endings]
    piece = st.sampled_from([*stems, *patterns]).flatmap(
        lambda pattern: st.integers(0, len(pattern)).map(lambda size: pattern[:size])
    )
    return patterns, b"".join(draw(st.lists(st.one_of(piece, word), max_size=12)))


@engines
@settings(max_examples=400)
@given(case=cases())
def test_finds_what_is_there_and_what_may_come(engine: type[Scanner], case: tuple[list[bytes], bytes]) -> None:
    patterns, data = case
    made = engine(patterns)
    found, end = made.scan(data)
    assert found == sorted(found)
    assert {byte for start, stop in found for byte in range(start, stop)} == covered(patterns, data)
    assert end == begun(patterns, data)
    assert made.occurrences(data) == found
    assert made.undecided(data) == end


@engines
def test_every_beginning_of_a_long_pattern_is_undecided(engine: type[Scanner]) -> None:
    chance = random.Random(5)
    for letters in (b"abcdefghijklmnopqrstuvwxyz0123456789", b"etaETA-"):
        patterns = [bytes(chance.choices(letters, k=size)) for size in range(1, 70)]
        made = engine(patterns)
        for pattern in patterns:
            for size in range(len(pattern)):
                data = b"#" + pattern[:size]
                assert made.undecided(data) == begun(patterns, data), (pattern, size)


@engines
def test_a_pattern_that_others_begin_with_is_found_and_undecided(engine: type[Scanner]) -> None:
    whole = b"abcdefghABCDefghijklmnopqrstuvwxyz0123456789"
    patterns = [whole[:size] for size in range(1, len(whole) + 1)]
    for first in range(len(whole)):
        made = engine(patterns[first::2])
        for size in range(first + 1, len(whole) + 1):
            data = b"#" + whole[:size]
            found, end = made.scan(data)
            assert {byte for start, stop in found for byte in range(start, stop)} == covered(made.patterns, data)
            assert end == begun(made.patterns, data)


@engines
def test_no_patterns(engine: type[Scanner]) -> None:
    assert engine([]).scan(b"anything") == ([], 8)
    assert engine([b"secret"]).scan(b"") == ([], 0)


JWT = b"eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9."


def _random(size: int) -> bytes:
    return random.Random(size).randbytes(size // 2).hex().encode()


@pytest.mark.parametrize(
    ("patterns", "repeated"),
    [
        pytest.param([JWT + _random(100 + n) for n in range(300)], JWT, id="many-tokens-of-one-issuer"),
        pytest.param([b"glpat-" + _random(20 + n) for n in range(100)], b"glpat-", id="many-tokens-with-a-prefix"),
        pytest.param([b"abcdef" + _random(1_000_000), *(b"%d" % n for n in range(5))], b"abcdef", id="a-huge-one"),
    ],
)
def test_a_log_full_of_beginnings_is_not_slow(patterns: list[bytes], repeated: bytes) -> None:
    """Each of these took 1 to 10 seconds a megabyte when each hit was compared with every pattern."""
    redactor = Redactor(AutomatonScanner(patterns))
    data = repeated * (1_000_000 // len(repeated))
    begin = time.process_time()
    for at in range(0, len(data), 65536):
        redactor.feed(data[at : at + 65536])
    redactor.flush()
    assert time.process_time() - begin < 0.5

"""The redactor, against a definition of it that is too simple to be wrong (and too slow to be used)."""

import itertools
import re
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keylease.masking import Redactor, scanner
from keylease.masking.scanner import AutomatonScanner, PlainScanner, Scanner


class AutomatonOfStarts(AutomatonScanner):
    """As it is where there are very many patterns: the compact automaton."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scanner, "SMALL", 0)
            super().__init__(patterns)


ENGINES: list[type[Scanner]] = [PlainScanner, AutomatonScanner, AutomatonOfStarts]
engines = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__)


CODES = re.compile(rb"(?:\x1b\[[0-9;:]{0,24}[mK])+")


def defined(patterns: list[bytes], data: bytes, replacement: bytes = b"***") -> bytes:
    """Each byte inside any occurrence is hidden, and codes for colours in its middle with it; each unbroken run of
    hidden bytes becomes one replacement."""
    hidden = [False] * len(data)
    seen = list(range(len(data)))  # where the bytes are that make up the text without colours
    if not any(b"\x1b" in pattern for pattern in patterns):
        for codes in CODES.finditer(data):
            # Of too many in a row something is left, and so no pattern is.
            gone = range(codes.start(), codes.end()) if len(codes[0]) <= 64 else range(codes.start() + 1, codes.end())
            seen = [at for at in seen if at not in gone]
    for places in (list(range(len(data))), seen):
        text = bytes(data[at] for at in places)
        for pattern in patterns:
            for at in range(len(text) - len(pattern) + 1):
                if pattern and text[at : at + len(pattern)] == pattern:
                    start, stop = places[at], places[at + len(pattern) - 1] + 1
                    hidden[start:stop] = [True] * (stop - start)
    out = bytearray()
    for at, byte in enumerate(data):
        if not hidden[at]:
            out.append(byte)
        elif at == 0 or not hidden[at - 1]:
            out += replacement
    return bytes(out)


def run(
    patterns: list[bytes],
    chunks: list[bytes],
    replacement: bytes = b"***",
    engine: type[Scanner] = AutomatonScanner,
) -> bytes:
    redactor = Redactor(engine([p for p in patterns if p]), replacement)
    return b"".join([*(redactor.feed(chunk) for chunk in chunks), redactor.flush()])


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


# Two letters make overlapping, nested and self-overlapping occurrences the rule, not the exception.
few = st.lists(st.sampled_from(b"ab"), min_size=2, max_size=9).map(bytes)
text = st.lists(st.sampled_from(b"aabb\n"), min_size=4, max_size=60).map(bytes)


@engines
@settings(max_examples=300)
@given(patterns=st.lists(few, max_size=4), data=text, cuts=st.lists(st.integers(0, 200), max_size=12))
def test_any_chunking_gives_what_the_definition_gives(
    engine: type[Scanner], patterns: list[bytes], data: bytes, cuts: list[int]
) -> None:
    assert run(patterns, chunked(data, cuts), engine=engine) == defined(patterns, data)


coloured = st.lists(
    st.one_of(
        st.sampled_from([b"a", b"b", b"ab", b"1", b"m", b"["]),
        st.sampled_from([b"\x1b[m", b"\x1b[0m", b"\x1b[01;31m", b"\x1b[K", b"\x1b[38:2::255:255:255m" * 3]),
        st.sampled_from([b"\x1b", b"\x1b[", b"\x1b[1", b"\x1b[" + b"1" * 24, b"\x1b[A", b"\n"]),
    ),
    max_size=24,
).map(b"".join)


@engines
@settings(max_examples=600)
@given(
    patterns=st.lists(st.lists(st.sampled_from(b"ab1m["), min_size=1, max_size=7).map(bytes), min_size=1, max_size=4),
    data=coloured,
    cuts=st.one_of(st.lists(st.integers(0, 300), max_size=12), st.just(list(range(300)))),
)
def test_colours_do_not_help(engine: type[Scanner], patterns: list[bytes], data: bytes, cuts: list[int]) -> None:
    assert run(patterns, chunked(data, cuts), engine=engine) == defined(patterns, data)
    with_escape = [*patterns, patterns[0] + b"\x1b[m"]
    assert run(with_escape, chunked(data, cuts), engine=engine) == defined(with_escape, data)


def words(longest: int) -> list[bytes]:
    return [bytes(letters) for n in range(1, longest + 1) for letters in itertools.product(b"ab", repeat=n)]


@pytest.mark.parametrize("engine", [PlainScanner, AutomatonScanner, AutomatonOfStarts])
def test_every_short_text_with_every_short_pattern(engine: type[Scanner]) -> None:
    for pattern, data in itertools.product(words(4), words(8)):
        expected = defined([pattern], data)
        assert run([pattern], [data], engine=engine) == expected, (pattern, data)
        letters = [data[n : n + 1] for n in range(len(data))]
        assert run([pattern], letters, engine=engine) == expected, (pattern, data)


def test_every_pair_of_patterns_with_every_cut() -> None:
    for pair in itertools.combinations(words(3), 2):
        for letters in itertools.product(b"ab", repeat=7):
            data = bytes(letters)
            expected = defined(list(pair), data)
            for cut in range(len(data)):
                assert run(list(pair), [data[:cut], data[cut:]]) == expected, (pair, data, cut)


@engines
@given(
    secrets=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5),
    between=st.lists(st.binary(max_size=30), min_size=1, max_size=8),
    cuts=st.lists(st.integers(0, 5000), max_size=20),
)
def test_no_random_secret_survives(
    engine: type[Scanner], secrets: list[bytes], between: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(part + secrets[n % len(secrets)] for n, part in enumerate(between))
    out = run(secrets, chunked(data, cuts), replacement=b"", engine=engine)
    assert run(secrets, chunked(data, cuts), engine=engine) == defined(secrets, data)
    assert len(out) <= sum(map(len, between))


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=9))
def test_what_holds_no_pattern_passes_unchanged(data: bytes, cuts: list[int]) -> None:
    secret = b"S3cret-that-is-not-in-there-0123456789"
    assert run([secret], chunked(data, cuts)) == data
    assert run([], chunked(data, cuts)) == data


@pytest.mark.parametrize(
    ("patterns", "data", "expected"),
    [
        ([b"abcd", b"cdef"], b"xabcdefx", b"x***x"),  # overlap: neither's rest is left standing
        ([b"abcdef", b"cd"], b"xabcdefx", b"x***x"),  # one inside the other
        ([b"abab"], b"abababab!", b"***!"),  # overlaps itself
        ([b"abc"], b"abcabc-abc", b"***-***"),  # touching ones are one
        ([b"abcdef", b"abc"], b"abcde", b"***de"),  # the long one never comes: the short one still counts
        ([b"secret"], b"secre", b"secre"),  # the end of the stream sets free what was held back
        ([b"\xff\xfe\xfd"], b"\xffok\xff\xfe\xfd\xff", b"\xffok***\xff"),
        ([b""], b"abc", b"abc"),
        ([b"secret"], b"\x1b[31msec\x1b[0mret\x1b[0m!", b"\x1b[31m***\x1b[0m!"),  # what is around it stays
        ([b"secret"], b"".join(b"\x1b[38;5;%dm%c\x1b[39m" % (n, n) for n in b"secret"), b"\x1b[38;5;115m***\x1b[39m"),
        ([b"secret"], b"sec\x1b[31", b"sec\x1b[31"),
        ([b"secret"], b"sec\x1b[2Dret", b"sec\x1b[2Dret"),  # moving the cursor is no colour
    ],
)
def test_cases(patterns: list[bytes], data: bytes, expected: bytes) -> None:
    assert run(patterns, [data]) == expected
    assert run(patterns, [data[n : n + 1] for n in range(len(data))]) == expected


def test_a_match_across_held_back_and_shown_parts_does_not_leak() -> None:
    # "abcX" ends the first chunk: "X" may begin "XYZ", while "abcXq" may still be completed too.
    redactor = Redactor([b"abcX", b"XYZW"])
    assert redactor.feed(b"--abcX") == b"--***"
    assert redactor.feed(b"YZ") == b""
    assert redactor.feed(b"W--") == b"--"
    assert redactor.flush() == b""


def test_a_prompt_is_shown_at_once() -> None:
    redactor = Redactor([b"hunter22"])
    assert redactor.feed(b"Password: ") == b"Password: "
    assert redactor.feed(b"h") == b""
    assert redactor.feed(b"i\n") == b"hi\n"


def test_a_coloured_prompt_is_shown_at_once_but_for_half_a_code() -> None:
    redactor = Redactor([b"hunter22"])
    assert redactor.feed(b"\x1b[1mPassword: \x1b[0m") == b"\x1b[1mPassword: \x1b[0m"
    assert redactor.feed(b"! \x1b[3") == b"! "
    assert redactor.feed(b"1mok h\x1b[0") == b"\x1b[31mok "
    assert redactor.feed(b"mi") == b"h\x1b[0mi"
    assert redactor.feed(b"\x1b") == b""
    assert redactor.feed(b"7") == b"\x1b7"


def test_no_colours_without_end_are_held_back() -> None:
    redactor = Redactor([b"hunter22"])
    shown = redactor.feed(b"hunter2") + b"".join(redactor.feed(b"\x1b[0m") for _ in range(20))
    assert shown == b"hunter2" + b"\x1b[0m" * 20
    assert redactor.feed(b"2 hun") == b"2 "


def test_it_serves_a_second_stream() -> None:
    redactor = Redactor([b"abc"])
    assert redactor.feed(b"abc") + redactor.flush() == b"***"
    assert redactor.feed(b"abc") + redactor.flush() == b"***"


@pytest.mark.parametrize(
    ("patterns", "data"),
    [
        ([b"aaaaaaab"], b"a" * 2_000_000),
        ([b"a" * 1000], b"a" * 2_000_000),
        ([b"x" * 250_000], b"x" * 2_000_000),
        ([bytes([n]) * 9 for n in range(65, 91)], b"ordinary log line, nothing to see\n" * 60_000),
    ],
)
def test_time_grows_with_the_length_only(patterns: list[bytes], data: bytes) -> None:
    def seconds(part: bytes) -> float:
        begin = time.process_time()
        run(patterns, [part[n : n + 65536] for n in range(0, len(part), 65536)])
        return time.process_time() - begin

    small, large = seconds(data[: len(data) // 4]), seconds(data)
    assert large < 10 * small + 0.5  # 4 times the data; quadratic would be 16

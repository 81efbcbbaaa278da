"""Fuzz the redactor with atheris: any patterns, any stream, any chunking, against its definition.

    python -m tests.fuzz.redactor -max_total_time=60

A failure prints the input and leaves it in a file `crash-…`, which can be given as an argument to run it again.
"""

import sys

import atheris

with atheris.instrument_imports(include=["keylease.masking"]):
    from keylease.masking.redactor import Redactor
    from keylease.masking.scanner import AutomatonScanner, PlainScanner

from tests.unit.masking.test_redactor import defined


def one(data: bytes) -> None:
    """One input: a few patterns, a stream made of them and other bytes, cut anywhere."""
    give = atheris.FuzzedDataProvider(data)
    patterns = [give.ConsumeBytes(give.ConsumeIntInRange(1, 24)) for _ in range(give.ConsumeIntInRange(1, 5))]
    patterns = [pattern for pattern in patterns if pattern]
    parts = []
    for _ in range(give.ConsumeIntInRange(0, 12)):
        if patterns and give.ConsumeBool():
            pattern = give.PickValueInList(patterns)
            parts.append(pattern[: give.ConsumeIntInRange(0, len(pattern))])
        else:
            parts.append(give.ConsumeBytes(give.ConsumeIntInRange(0, 8)))
    stream = b"".join(parts)
    expected = defined(patterns, stream)
    for engine in (PlainScanner, AutomatonScanner):
        redactor = Redactor(engine(patterns))
        shown, at = b"", 0
        while at < len(stream):
            size = give.ConsumeIntInRange(1, 9)
            shown += redactor.feed(stream[at : at + size])
            at += size
        shown += redactor.flush()
        if shown != expected:
            raise AssertionError(f"{engine.__name__}: {patterns!r} in {stream!r}: {shown!r}, not {expected!r}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()

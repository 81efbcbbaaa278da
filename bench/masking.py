"""`make bench`, second part: how fast values are hidden in a log, beside what people write by hand.

    python -m bench.masking [--megabytes 200]

A generated CI log, 1, 100 and 1,000 secrets in all their forms, in 4 KiB chunks and line by line. Beside GNU sed with
one alternation and Python's `re` (both on a part of the log: they take too long for all of it). Peak memory is that of
a process of its own for a quarter of the log and for all of it: it must not grow with the stream.
"""

import argparse
import base64
import json
import os
import random
import re
import resource
import shutil
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from keylease.masking import Masker, Redactor
from keylease.masking.scanner import AutomatonScanner, Scanner

PYTHON = sys.executable
LETTERS = string.ascii_letters + string.digits


def secrets(count: int) -> list[str]:
    """API keys of 20 to 64 characters; the same ones in each run."""
    chance = random.Random(count)
    return ["".join(chance.choices(LETTERS + "_-", k=chance.randint(20, 64))) for _ in range(count)]


def lines(values: Sequence[str], size: int) -> Iterator[bytes]:
    """A log of about `size` bytes; one line in fifty holds a secret, plain or encoded."""
    chance = random.Random(1)
    words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 10))) for _ in range(2000)]
    encoders: list[Callable[[str], str]] = [
        str,
        lambda value: base64.b64encode(f"user:{value}".encode()).decode(),
        lambda value: json.dumps({"key": value}),
        lambda value: quote(value, safe=""),
        lambda value: value.encode().hex(),
    ]
    made = 0
    while made < size:
        text = "2026-11-24T05:00:00.123Z " + " ".join(chance.choices(words, k=chance.randint(5, 14)))
        if chance.random() < 0.02:
            text += " " + chance.choice(encoders)(chance.choice(values))
        line = text.encode() + b"\n"
        made += len(line)
        yield line


def patterns(values: Sequence[str]) -> tuple[list[bytes], float]:
    """All forms of all values, and the CPU seconds it took to make them."""
    begin = time.process_time()
    masker = Masker()
    for value in values:
        masker.seal(value, "value")
    return list(masker.patterns()), time.process_time() - begin


def rate(chunks: Sequence[bytes], scanner: Scanner) -> tuple[float, int]:
    """Megabytes a second (wall), and how many replacements were made."""
    redactor = Redactor(scanner)
    begin = time.perf_counter()
    for chunk in chunks:
        redactor.feed(chunk)
    redactor.flush()
    return sum(map(len, chunks)) / (time.perf_counter() - begin) / 1e6, redactor.count


def by_hand(forms: Sequence[bytes], log: bytes) -> dict[str, float]:
    """MB/s of one `sed -E` and of one `re.sub`, longest alternative first, on the log's beginning."""
    found = {}
    ordered = sorted((form for form in forms if b"\n" not in form and b"\0" not in form), key=len, reverse=True)
    if shutil.which("sed"):
        part = log[: 4_000_000 if len(ordered) < 10_000 else 200_000]
        with tempfile.TemporaryDirectory() as directory:
            program = Path(directory, "program.sed")
            escaped = [re.sub(rb"([][().*+?{}|^$\\/])", rb"\\\1", form) for form in ordered]
            program.write_bytes(b"s/" + b"|".join(escaped) + b"/***/g\n")
            begin = time.perf_counter()
            environment = {**os.environ, "LC_ALL": "C"}
            command = ["sed", "-E", "-f", str(program)]
            done = subprocess.run(command, input=part, capture_output=True, env=environment, check=False)
            if done.returncode == 0:
                found["GNU sed -E"] = len(part) / (time.perf_counter() - begin) / 1e6
    part = log[: 2_000_000 if len(ordered) < 1000 else 200_000]
    pattern = re.compile(b"|".join(map(re.escape, ordered)))
    begin = time.perf_counter()
    pattern.sub(b"***", part)
    found["Python re"] = len(part) / (time.perf_counter() - begin) / 1e6
    return found


def peak(count: int, megabytes: int) -> float:
    """MiB of a process that redacts that much, one chunk after the other."""
    done = subprocess.run(
        [PYTHON, "-m", "bench.masking", "--child", str(count), "--megabytes", str(megabytes)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def child(count: int, megabytes: int) -> None:
    """The process that `peak` measures: nothing of the log is kept."""
    values = secrets(count)
    redactor = Redactor(AutomatonScanner(patterns(values)[0]))
    some = b"".join(lines(values, 1_000_000))
    for _ in range(megabytes):
        for at in range(0, len(some), 4096):
            redactor.feed(some[at : at + 4096])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def first_byte() -> float:
    """Milliseconds from a prompt without newline going into `keylease redact` to its coming out; median of 50."""
    environment = {**os.environ, "BENCH_SECRET": secrets(1)[0]}
    command = [PYTHON, "-m", "keylease", "redact", "--env", "BENCH_SECRET"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        times = []
        for number in range(51):
            begin = time.perf_counter()
            os.write(process.stdin.fileno(), b"Continue? ")
            os.read(process.stdout.fileno(), 100)
            if number:  # the first one waits for Python to start
                times.append(time.perf_counter() - begin)
        process.stdin.close()
    return statistics.median(times) * 1000


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.masking", description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200, help="size of the log (default: 200)")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.child, options.megabytes)
        return 0
    print(f"masking a log of {options.megabytes} MB\n")
    counts = (1, 100, 1000)
    # First of all, while this process is small: a child's peak begins with what it was forked from.
    peaks = {count: (peak(count, options.megabytes // 4), peak(count, options.megabytes)) for count in counts}
    for count in counts:
        values = secrets(count)
        forms, making = patterns(values)
        log = b"".join(lines(values, options.megabytes * 1_000_000))
        chunks = [log[at : at + 4096] for at in range(0, len(log), 4096)]
        by_line = log[: min(len(log), 50_000_000)].splitlines(keepends=True)
        begin = time.perf_counter()
        scanner = AutomatonScanner(forms)
        building = time.perf_counter() - begin
        whole, hidden = rate(chunks, scanner)
        single, _ = rate(by_line, scanner)
        print(f"{count} secrets, {len(forms)} patterns")
        print(
            f"  keylease    {whole:6.0f} MB/s in 4 KiB chunks, {single:.0f} MB/s line by line, {hidden} values hidden"
        )
        for name, speed in by_hand(forms, log).items():
            print(f"  {name:<11} {speed:6.1f} MB/s: ours is {whole / speed:.0f} times as fast")
        print(
            f"  start-up    {making * 1000:.0f} ms to make the forms, {building * 1000:.0f} ms to build the automaton"
        )
        print("  peak memory {:.0f} MiB for a quarter of the log, {:.0f} MiB for all of it\n".format(*peaks[count]))
    print(f"a prompt comes out of `keylease redact` {first_byte():.2f} ms after it went in (median of 50)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

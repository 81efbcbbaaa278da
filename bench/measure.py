"""Run one command and learn what it took; put many such samples together."""

import marshal
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

LAUNCHER = Path(__file__).with_name("launcher.py")
HANG_SECONDS = 300.0


class BenchError(Exception):
    """A measurement that would mean nothing: the command did not do what is measured."""


@dataclass(frozen=True)
class Sample:
    """One run. wall, cpu (user + system): seconds; peak: MiB of resident memory; code: exit code, -n for signal n."""

    wall: float
    cpu: float
    peak: float
    code: int


@dataclass(frozen=True)
class Spread:
    """Median, least and most of one quantity over the runs."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Summary:
    """All runs of one command in one case."""

    wall: Spread
    cpu: Spread
    peak: Spread
    runs: int
    codes: tuple[int, ...]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Self:
        """Of at least one sample; `codes` are the different exit codes seen."""
        return cls(
            Spread.of([sample.wall for sample in samples]),
            Spread.of([sample.cpu for sample in samples]),
            Spread.of([sample.peak for sample in samples]),
            len(samples),
            tuple(sorted({sample.code for sample in samples})),
        )


class Launcher:
    """The small process that starts what is measured (see launcher.py). Use as a context manager."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [os.path.realpath(sys.executable), "-IS", str(LAUNCHER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={},
            # Its own group: whatever it started when we are interrupted ends with it.
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, out: Path, err: Path, hang: float | None = None
    ) -> Sample:
        """Run a command to its end. Raises BenchError when there is no such program, or when it hangs (seconds)."""
        hang = hang or HANG_SECONDS
        program = shutil.which(argv[0], path=env.get("PATH"))
        if program is None:
            raise BenchError(f"{argv[0]}: no such program")
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        marshal.dump(([program, *argv[1:]], dict(env), str(cwd), str(out), str(err)), process.stdin)
        process.stdin.flush()
        answers = process.stdout
        pid = marshal.load(answers)
        hung = threading.Event()

        def end() -> None:
            hung.set()
            os.kill(pid, signal.SIGKILL)

        timer = threading.Timer(hang, end)
        timer.daemon = True
        timer.start()
        try:
            status, wall, cpu, peak = marshal.load(answers)
        finally:
            timer.cancel()
        if hung.is_set():
            raise BenchError(f"{' '.join(argv)}: not done after {hang:.0f} s")
        return Sample(wall, cpu, peak / 1024, os.waitstatus_to_exitcode(status))

"""The launcher measures what a command itself took, and nothing of ours."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import measure
from bench.measure import BenchError, Launcher, Sample, Spread, Summary

PYTHON = [sys.executable, "-ISB", "-c"]


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    with Launcher() as started:
        yield started


def run(launcher: Launcher, tmp_path: Path, *argv: str, env: dict[str, str] | None = None) -> Sample:
    return launcher.run(argv, env or {"PATH": "/usr/bin:/bin"}, tmp_path, tmp_path / "out", tmp_path / "err")


def test_wall_time_is_the_commands_and_sleeping_costs_no_cpu(launcher: Launcher, tmp_path: Path) -> None:
    sample = run(launcher, tmp_path, *PYTHON, "import time; time.sleep(0.3)")
    assert 0.3 <= sample.wall < 3
    assert sample.cpu < 0.25
    assert sample.code == 0


def test_work_is_counted_as_cpu(launcher: Launcher, tmp_path: Path) -> None:
    code = "import time\nwhile time.process_time() < 0.4: pass"
    assert run(launcher, tmp_path, *PYTHON, code).cpu >= 0.4


def test_peak_memory_is_the_commands_not_the_starters(launcher: Launcher, tmp_path: Path) -> None:
    ours = b"x" * (200 << 20)  # this process is large; the launcher between us is not
    small = run(launcher, tmp_path, *PYTHON, "pass").peak
    large = run(launcher, tmp_path, *PYTHON, "len(b'x' * (64 << 20))").peak
    del ours
    assert small < 40
    assert 64 <= large - small + 1 < 80


def test_exit_codes_and_signals(launcher: Launcher, tmp_path: Path) -> None:
    assert run(launcher, tmp_path, *PYTHON, "raise SystemExit(4)").code == 4
    assert run(launcher, tmp_path, *PYTHON, "import os; os.abort()").code == -6


def test_output_environment_and_directory_are_the_commands_own(launcher: Launcher, tmp_path: Path) -> None:
    code = "import os, sys; print(sorted(os.environ), os.getcwd()); print('no', file=sys.stderr)"
    run(launcher, tmp_path, *PYTHON, code, env={"ONLY": "this", "LC_ALL": "C.UTF-8"})
    assert (tmp_path / "out").read_text() == f"['LC_ALL', 'ONLY'] {tmp_path}\n"
    assert (tmp_path / "err").read_text() == "no\n"


def test_an_unknown_program_and_a_hanging_one_are_errors(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BenchError, match="no such program"):
        run(launcher, tmp_path, "keylease-no-such-program")
    monkeypatch.setattr(measure, "HANG_SECONDS", 0.3)
    started = time.monotonic()
    with pytest.raises(BenchError, match="not done after"):
        run(launcher, tmp_path, *PYTHON, "import time; time.sleep(60)")
    assert time.monotonic() - started < 10
    assert run(launcher, tmp_path, *PYTHON, "pass").code == 0, "the launcher goes on after it"


def test_a_summary_is_medians_and_extremes() -> None:
    samples = [Sample(wall, 0.1, peak, code) for wall, peak, code in ((3.0, 9.0, 0), (1.0, 7.0, 5), (2.0, 8.0, 0))]
    summary = Summary.of(samples)
    assert summary.wall == Spread(2.0, 1.0, 3.0)
    assert summary.peak == Spread(8.0, 7.0, 9.0)
    assert summary.runs == 3
    assert summary.codes == (0, 5)

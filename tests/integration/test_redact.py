"""`keylease redact`, the real program: streams, files, signals, and every way in which it must not look clean."""

import base64
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests import environment
from tests.conftest import RunKeylease
from tests.leaks import Seeded

Process = "subprocess.Popen[bytes]"


@pytest.fixture
def value(seeded: Seeded) -> str:
    return seeded.new("password")


class Filter:
    """`keylease redact --env VALUE …` with pipes."""

    def __init__(self, value: str, *arguments: str, stdout: int | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "keylease", "redact", "--env", "VALUE", *arguments],
            env=environment.clean_environment(VALUE=value),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
        )

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read(self, size: int) -> bytes:
        assert self.process.stdout is not None
        return os.read(self.process.stdout.fileno(), size)

    def end(self) -> tuple[int, bytes, bytes]:
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out or b"", err

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        with suppress(BrokenPipeError):
            self.process.communicate()


@pytest.fixture
def redact(value: str) -> Iterator[Filter]:
    started = Filter(value)
    yield started
    started.close()


def test_every_form_goes_and_every_other_byte_stays(redact: Filter, value: str, seeded: Seeded) -> None:
    raw = value.encode()
    around = bytes(range(256)) * 300
    forms = (raw, raw.hex().encode(), base64.b64encode(b"ab" + raw + b"cd"), json.dumps(f"<{value}>").encode())
    out, err = redact.process.communicate(b"".join(around + form for form in forms), timeout=30)
    code = redact.process.returncode
    seeded.saw("stdout", out)
    assert (code, err) == (0, b"")
    assert out.count(b"***") == 4
    assert out.count(around) == 4


def test_a_prompt_is_shown_at_once_and_a_value_cut_anywhere_is_hidden(
    redact: Filter, value: str, seeded: Seeded
) -> None:
    redact.write(b"Password: ")
    assert redact.read(100) == b"Password: "
    for at in range(1, len(value)):
        redact.write(value[:at].encode())
        redact.write(value[at:].encode() + b"\n")
        time.sleep(0.001)
    code, out, _ = redact.end()
    seeded.saw("stdout", out)
    assert (code, out) == (0, b"***\n" * (len(value) - 1))


def test_byte_by_byte_with_pauses(redact: Filter, value: str, seeded: Seeded) -> None:
    for byte in f"[{value}]".encode():
        redact.write(bytes([byte]))
        time.sleep(0.005)
    code, out, _ = redact.end()
    seeded.saw("stdout", out)
    assert (code, out) == (0, b"[***]")


def test_the_first_byte_is_out_soon(redact: Filter) -> None:
    redact.write(b"wait until it runs\n")
    assert redact.read(100)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        redact.write(b"one line of a log\n")
        redact.read(100)
        times.append(time.perf_counter() - start)
    assert sorted(times)[len(times) // 2] < 0.005


# Never clean without being so.


@pytest.mark.parametrize(
    ("arguments", "env", "what"),
    [
        ([], {}, "there is nothing to hide"),
        (["--env", "MISSING"], {}, "--env: no variable has the name given"),
        (["--env", "A", "--env", "B"], {"A": "a-good-value", "B": ""}, "--env: B is empty"),
        (["--env", "A"], {"A": "yes"}, "none of the values can be hidden"),
        (["--secrets-file", "missing"], {}, "can't be read: No such file"),
        (["--state", "missing"], {}, "missing is missing or holds no token"),
        (["--leases"], {}, "is missing or holds no token"),
        (["--env", "A", "--replace-with", ""], {"A": "a-good-value"}, "--replace-with: it is empty"),
        (["--env", "A", "--replace-with", "a\nb"], {"A": "a-good-value"}, "--replace-with: it has control characters"),
        (["--env", "A", "--in-place"], {"A": "a-good-value"}, "--in-place needs files"),
        (["--env", "A", "missing"], {"A": "a-good-value"}, "missing can't be read: No such file"),
    ],
)
def test_a_mistake_passes_nothing_through(
    keylease: RunKeylease, arguments: list[str], env: dict[str, str], what: str
) -> None:
    done = keylease("redact", *arguments, env=env, stdin="not looked through\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert what in done.stderr
    assert "docs/errors.md#redact" in done.stderr


def test_a_replacement_that_holds_a_value_is_refused(keylease: RunKeylease, value: str) -> None:
    done = keylease("redact", "--env", "A", "--replace-with", f"<{value}>", env={"A": value}, stdin="x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--replace-with: it contains a value that is to be hidden" in done.stderr


def test_what_can_not_be_hidden_is_named(keylease: RunKeylease, value: str) -> None:
    done = keylease("redact", "--env", "A", "--env", "B", env={"A": value, "B": "yes"}, stdin=f"yes {value}")
    assert (done.returncode, done.stdout) == (0, "yes ***")
    assert "warning: B: too short or too common to be hidden" in done.stderr


def test_when_hiding_fails_the_output_stops(value: str, seeded: Seeded) -> None:
    script = (
        "import sys; from keylease.masking.redactor import Redactor; from keylease.cli import main\n"
        "feed = Redactor.feed\n"
        "def fail(self, chunk):\n"
        "    if b'now' in chunk: raise RuntimeError(chunk)\n"
        "    return feed(self, chunk)\n"
        "Redactor.feed = fail\n"
        "sys.exit(main(['redact', '--env', 'VALUE']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment.clean_environment(VALUE=value),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"first\n" + value[:4].encode())
    process.stdin.flush()
    assert os.read(process.stdout.fileno(), 100) == b"first\n"
    out, err = process.communicate(b"now " + value.encode(), timeout=20)
    seeded.saw("stderr", err)
    assert (process.returncode, out) == (70, b"")
    assert b"RuntimeError" in err
    assert b"nothing that was not looked through has been written" in err


def test_a_full_disk_is_an_error(value: str) -> None:
    with open("/dev/full", "wb") as full:
        started = Filter(value, stdout=full.fileno())
        started.write(b"text\n")
        code, _, err = started.end()
    assert code == 6
    assert b"the output can't be written: No space left on device" in err


# Sources.


def test_all_sources_add_up(keylease: RunKeylease, seeded: Seeded, tmp_path: Path) -> None:
    one, two, three, four = (seeded.new(name) for name in ("one", "two", "three", "four"))
    (tmp_path / "s.json").write_text(json.dumps({"A": two, "B": three}))
    (tmp_path / "lines").write_text(f"{four}\n")
    for name in ("s.json", "lines"):
        (tmp_path / name).chmod(0o600)
        seeded.allow_file(tmp_path / name)
    sources = ["--env", "ONE", "--secrets-file", "s.json", "--secrets-file", "lines"]
    done = keylease("redact", *sources, "--stats", env={"ONE": one}, stdin=f"{one} {two} {three} {four}")
    assert (done.returncode, done.stdout) == (0, "*** *** *** ***")
    assert done.stderr == "keylease: standard input, values hidden: 4\n"


def test_the_replacement_can_be_chosen(keylease: RunKeylease, value: str) -> None:
    done = keylease("redact", "--env", "A", "--replace-with", "«hidden»", env={"A": value}, stdin=f"[{value}]")
    assert (done.returncode, done.stdout) == (0, "[«hidden»]")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_is_taken_for_nothing_else(value: str, closed: str, tmp_path: Path) -> None:
    # Without a guard, the next pipe or file that is opened gets its number.
    (tmp_path / "log").write_text("a line\n")
    script = f'"$0" -m keylease redact --env VALUE - log {closed}'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable],
        env=environment.clean_environment(VALUE=value),
        cwd=tmp_path,
        input=value.encode(),
        capture_output=True,
        timeout=20,
        check=False,
    )
    expected = b"" if ">&-" in closed.replace("2>&-", "") else b"a line\n" if "<&-" in closed else b"***a line\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


# Files.


@pytest.mark.parametrize("arguments", ["log", "- < log"])
def test_a_file_is_not_appended_to_itself_without_end(
    value: str, arguments: str, tmp_path: Path, seeded: Seeded
) -> None:
    seeded.allow("file")
    (tmp_path / "log").write_text(f"a line {value}\n")
    done = subprocess.run(
        ["sh", "-c", f'ulimit -f 1000; "$0" -m keylease redact --env VALUE {arguments} >> log', sys.executable],
        env=environment.clean_environment(VALUE=value),
        cwd=tmp_path,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert b"is the output as well" in done.stderr
    assert (tmp_path / "log").read_text() == f"a line {value}\n"


@pytest.fixture
def logs(tmp_path: Path, value: str, seeded: Seeded) -> list[Path]:
    paths = [tmp_path / "a.log", tmp_path / "b.log"]
    paths[0].write_text(f"one {value} {value[:7]}")
    paths[1].write_text(f"{value[7:]} two {value}\n")
    seeded.allow("file")
    return paths


def test_files_go_to_standard_output_as_one_stream(keylease: RunKeylease, logs: list[Path], value: str) -> None:
    done = keylease("redact", "--env", "A", "--stats", *map(str, logs), env={"A": value})
    # The value that begins in one file and ends in the next is hidden too.
    assert (done.returncode, done.stdout) == (0, "one *** *** two ***\n")
    assert done.stderr.splitlines() == [
        f"keylease: {logs[0]}, values hidden: 1",
        f"keylease: {logs[1]}, values hidden: 2",
    ]


def test_standard_input_can_be_one_of_the_files(keylease: RunKeylease, logs: list[Path], value: str) -> None:
    done = keylease("redact", "--env", "A", str(logs[1]), "-", env={"A": value}, stdin=f"<{value}>")
    assert done.stdout.endswith(" two ***\n<***>")


def test_files_in_place(keylease: RunKeylease, logs: list[Path], value: str, tmp_path: Path) -> None:
    logs[0].chmod(0o640)
    done = keylease("redact", "--env", "A", "--in-place", *map(str, logs), env={"A": value})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert logs[0].read_text() == f"one *** {value[:7]}"
    assert logs[0].stat().st_mode & 0o777 == 0o640
    assert sorted(tmp_path.iterdir()) == logs


def test_one_file_that_fails_does_not_keep_the_others(keylease: RunKeylease, logs: list[Path], value: str) -> None:
    (logs[0].parent / "other").hardlink_to(logs[0])
    done = keylease("redact", "--env", "A", "--in-place", *map(str, logs), env={"A": value})
    assert done.returncode == 6
    assert "1 of 2 files stay as they were" in done.stderr
    assert "a.log stays as it was: it has 2 names" in done.stderr
    assert value in logs[0].read_text()
    assert value not in logs[1].read_text()
    assert keylease("redact", "--env", "A", "--in-place", str(logs[0]), env={"A": value}).returncode == 2


def test_a_signal_while_a_file_is_rewritten_leaves_it_as_it_was(value: str, seeded: Seeded, tmp_path: Path) -> None:
    seeded.allow("file")
    path = tmp_path / "big.log"
    with path.open("wb") as file:
        for _ in range(40):
            file.write((f"a line with {value} in it\n" * 40_000).encode())
    size = path.stat().st_size
    started = Filter(value, "--in-place", str(path))
    until = time.monotonic() + 20
    while len(list(tmp_path.iterdir())) < 2:
        assert time.monotonic() < until
        time.sleep(0.001)
    started.process.send_signal(signal.SIGTERM)
    code, _, err = started.end()
    assert code == 143
    assert b"stopped by signal 15; the output is not complete" in err
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_size == size


# Signals, and a reader that has gone.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_waits_for_the_program_before_us(redact: Filter, value: str, number: signal.Signals) -> None:
    redact.write(b"working\n")
    assert redact.read(100) == b"working\n"
    redact.process.send_signal(number)
    time.sleep(0.2)
    redact.write(b"cleaning up " + value.encode() + b"\n")
    assert redact.read(100) == b"cleaning up ***\n"
    code, out, _ = redact.end()
    assert (code, out) == (128 + number, b"")


def test_the_second_signal_ends_it_and_shows_no_beginning_of_a_value(redact: Filter, value: str) -> None:
    redact.write(b"text " + value[:10].encode())
    assert redact.read(100) == b"text "
    redact.process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    redact.process.send_signal(signal.SIGINT)
    assert redact.process.wait(10) == 130
    code, out, err = redact.end()
    assert (code, out) == (130, b"")
    assert b"stopped by signal 2; the output is not complete" in err


def test_a_reader_that_has_gone_ends_it_quietly(redact: Filter) -> None:
    assert redact.process.stdout is not None
    redact.process.stdout.close()
    with suppress(BrokenPipeError):
        for _ in range(1000):
            redact.write(b"a line that nobody reads\n" * 1000)
    redact.process.stdout = None
    with suppress(BrokenPipeError):
        assert redact.process.stdin is not None
        redact.process.stdin.close()
    redact.process.stdin = None
    code, _, err = redact.end()
    assert (code, err) == (141, b"")


def test_an_output_that_another_program_made_non_blocking(value: str) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETFL, os.O_NONBLOCK)
    started = Filter(value, stdout=writing)
    os.close(writing)
    data = b"0123456789abcdef\n" * 20_000
    got = b""
    with os.fdopen(reading, "rb") as file:
        assert started.process.stdin is not None
        pid = os.fork()
        if not pid:
            os.close(reading)
            started.process.stdin.write(data)
            started.process.stdin.flush()
            os._exit(0)
        started.process.stdin.close()
        started.process.stdin = None
        time.sleep(0.5)  # the pipe fills up
        got = file.read()
        os.waitpid(pid, 0)
    assert started.end()[0] == 0
    assert got == data

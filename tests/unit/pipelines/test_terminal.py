"""`exec --tty`: on a person's terminal, and in a job that has none."""

import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import environment
from tests.leaks import Seeded
from tests.unit.pipelines.on_terminal import ROOT, Person, exec_on_tty

PYTHON = sys.executable


@pytest.fixture
def value(seeded: Seeded) -> str:
    return seeded.new("password")


@pytest.fixture
def env(value: str) -> dict[str, str]:
    return environment.clean_environment(VALUE=value, TERM="xterm")


@pytest.fixture
def person(env: dict[str, str]) -> Callable[..., Person]:
    def sit_down(*command: str, **more: str) -> Person:
        return Person(exec_on_tty(*command), env | more)

    return sit_down


# In a job.


def in_job(env: dict[str, str], *command: str, stdin: bytes | None = None) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        exec_on_tty(*command),
        env=env,
        cwd=ROOT,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=30,
        check=False,
    )


def test_without_a_terminal_the_output_is_one_and_stays_as_it_was_written(env: dict[str, str], seeded: Seeded) -> None:
    script = (
        'test -t 1 && test -t 2 && ! test -t 0 && printf "one\\ntwo $VALUE\\n"; echo err >&2; printf "\\033[1mlast"'
    )
    done = in_job(env, "sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"one\ntwo ***\nerr\n\x1b[1mlast", b"")


def test_without_a_terminal_the_two_streams_keep_their_order(env: dict[str, str]) -> None:
    done = in_job(env, "sh", "-c", "for i in $(seq 200); do echo $i; echo $i >&2; done")
    assert done.stdout.split() == [str(i).encode() for i in range(1, 201) for _ in range(2)]


def test_without_a_terminal_input_comes_through_untouched(env: dict[str, str]) -> None:
    # In a terminal, these would be keys, and a line of more than 4095 characters would be cut (termios(3)).
    data = bytes(range(256)) * 40 + b"x" * 100_000 + b"\nlast"
    done = in_job(env, PYTHON, "-c", "import sys, zlib; print(zlib.crc32(sys.stdin.buffer.read()))", stdin=data)
    import zlib

    assert done.stdout == f"{zlib.crc32(data)}\n".encode()


def test_without_a_terminal_nobody_is_asked_for_a_password(env: dict[str, str]) -> None:
    # A session without controlling terminal, as a CI job has it.
    process = subprocess.Popen(
        exec_on_tty("sh", "-c", "if (: < /dev/tty) 2> /dev/null; then echo asked; else echo refused; fi"),
        env=env,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    out, _ = process.communicate(timeout=30)
    assert out == b"refused\n"


def test_without_a_terminal_the_size_is_what_the_job_says(env: dict[str, str]) -> None:
    size = [PYTHON, "-c", "import os; print(*os.get_terminal_size(1))"]
    assert in_job(env, *size).stdout == b"80 24\n"
    assert in_job(env | {"COLUMNS": "120", "LINES": "50"}, *size).stdout == b"120 50\n"
    assert in_job(env | {"COLUMNS": "-1", "LINES": "99999999"}, *size).stdout == b"80 24\n"


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -TERM $$", 143), ("kill -9 $$", 137)])
def test_exit_codes_are_those_of_the_command(
    env: dict[str, str], person: Callable[..., Person], script: str, code: int
) -> None:
    assert in_job(env, "sh", "-c", script).returncode == code
    with person("sh", "-c", script) as someone:
        assert someone.end()[0] == code


def test_a_command_that_can_not_start(env: dict[str, str], tmp_path: Path) -> None:
    assert in_job(env, "no-such-command").returncode == 127
    (tmp_path / "plain").write_text("no program")
    assert in_job(env, str(tmp_path / "plain")).returncode == 126


def test_all_is_shown_that_was_written_before_the_end(env: dict[str, str]) -> None:
    script = "import sys; sys.stdout.write('line of text\\n' * 50_000)"
    assert in_job(env, PYTHON, "-c", script).stdout == b"line of text\n" * 50_000


def test_in_a_job_a_signal_reaches_the_command(env: dict[str, str]) -> None:
    process = subprocess.Popen(
        exec_on_tty("sh", "-c", "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"),
        env=env,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (9, b"caught\n")


# On a person's terminal.


def test_the_command_has_a_terminal_of_its_own_in_the_same_size(person: Callable[..., Person], value: str) -> None:
    script = (
        "import os; print(*map(os.isatty, (0, 1, 2))); print(*os.get_terminal_size(1));"
        "print(os.getsid(0) == os.getpid() == os.tcgetpgrp(0)); print('now', os.environ['VALUE'])"
    )
    with person(PYTHON, "-c", script) as someone:
        code, shown = someone.end()
    assert code == 0
    assert shown == b"True True True\r\n111 33\r\nTrue\r\nnow ***\r\n"


def test_the_terminal_is_put_back(person: Callable[..., Person]) -> None:
    with person("sh", "-c", "stty raw -echo; echo ready; read x; exit 1") as someone:
        someone.until(b"ready")
        assert not someone.modes[3] & termios.ECHO
        someone.type(b"\n")
        assert someone.end()[0] == 1
        assert someone.modes == someone.modes_before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_terminal_is_put_back_after_a_signal(person: Callable[..., Person], number: signal.Signals) -> None:
    with person("sh", "-c", "echo ready; sleep 30") as someone:
        someone.until(b"ready")
        someone.process.send_signal(number)
        assert someone.end()[0] == 128 + number
        assert someone.modes == someone.modes_before


def test_what_is_typed_reaches_the_command_and_its_echo_is_masked(
    person: Callable[..., Person], value: str, seeded: Seeded
) -> None:
    with person("sh", "-c", 'printf "Value? "; read x; test "$x" = "$VALUE" && echo "same: $x"') as someone:
        assert someone.until(b"Value? ") == b"Value? "
        for key in value.encode():
            someone.type(bytes([key]))
            time.sleep(0.005)
        someone.type(b"\r")
        code, shown = someone.end()
    seeded.saw("stdout", shown)
    assert (code, shown) == (0, b"***\r\nsame: ***\r\n")


def test_control_c_and_control_d_go_to_the_command(person: Callable[..., Person]) -> None:
    with person("sh", "-c", "trap 'echo caught' INT; echo ready; cat; cat; echo over") as someone:
        someone.until(b"ready\r\n")
        someone.type(b"x\r")
        someone.until(b"x\r\nx\r\n")  # the echo, and cat
        someone.type(b"\x03")  # ends the first cat, and the shell goes on
        someone.until(b"caught\r\n")
        someone.type(b"text\r\x04")
        code, shown = someone.end()
    assert code == 0
    assert shown == b"text\r\ntext\r\nover\r\n"


def test_an_interrupt_that_is_sent_to_us_reaches_the_foreground_of_the_commands_terminal(
    person: Callable[..., Person],
) -> None:
    # sh waits for sleep: alone it would not see the signal before sleep ends.
    with person("sh", "-c", "trap 'exit 7' INT; echo ready; sleep 30") as someone:
        someone.until(b"ready")
        someone.process.send_signal(signal.SIGINT)
        assert someone.end()[0] == 7


def test_a_change_of_the_size_is_passed_on(person: Callable[..., Person]) -> None:
    script = (
        "import os, select, signal\n"
        "def show(*_): print('size', *os.get_terminal_size(1), flush=True)\n"
        "signal.signal(signal.SIGWINCH, show); print('ready', flush=True)\n"
        "while not select.select([0], [], [], 0.05)[0]: pass"  # a signal just before a read would wait for its end
    )
    with person(PYTHON, "-c", script) as someone:
        someone.until(b"ready")
        someone.resize(20, 60)
        someone.until(b"size 60 20")
        someone.type(b"\r")
        assert someone.end()[0] == 0


def test_a_stop_puts_the_terminal_back_and_going_on_takes_it_again(person: Callable[..., Person]) -> None:
    with person("sh", "-c", "echo ready; read x; echo got $x") as someone:
        someone.until(b"ready")
        someone.process.send_signal(signal.SIGTSTP)
        os.waitid(os.P_PID, someone.process.pid, os.WSTOPPED | os.WNOWAIT)
        assert someone.modes == someone.modes_before
        someone.process.send_signal(signal.SIGCONT)
        until = time.monotonic() + 10
        while someone.modes[3] & termios.ICANON:
            assert time.monotonic() < until
            time.sleep(0.02)
        someone.type(b"x\r")
        someone.until(b"got x")
        assert someone.end()[0] == 0


def test_when_the_window_is_closed_the_command_can_clean_up(person: Callable[..., Person], tmp_path: Path) -> None:
    done = tmp_path / "done"
    script = f"trap 'sleep 0.5; echo clean > {done}; exit 9' HUP; echo ready; sleep 20 & wait"
    with person("bash", "-c", script) as someone:
        someone.until(b"ready")
        someone.hang_up()
        assert someone.process.wait(15) == 9
    assert done.read_text() == "clean\n"


def test_our_own_messages_begin_at_the_left(person: Callable[..., Person]) -> None:
    with person("sh", "-c", "echo ready; sleep 1; echo over", LOG_AFTER="0.5") as someone:
        shown = someone.until(b"over\r\n")
    assert b"warning: one\r\ntwo\x1b[0m\r\n" in shown


def test_in_the_background_the_terminal_is_left_alone(env: dict[str, str]) -> None:
    # `keylease exec --tty -- cmd &`: taking the terminal from the shell would stop us (SIGTTOU).
    driver = " ".join(exec_on_tty("sh", "-c", "'test -t 1 && echo done'"))
    with Person(["bash", "-ic", f"set -m; {driver} & wait %1; echo code $?"], env) as someone:
        shown = someone.until(b"code 0")
        assert b"done" in shown
        someone.end()


def test_keys_typed_at_a_command_that_does_not_read_do_not_hold_us(person: Callable[..., Person]) -> None:
    with person("sh", "-c", "stty -icanon -echo; echo ready; sleep 1") as someone:
        someone.until(b"ready")
        for _ in range(20):
            someone.type(b"x" * 1000)
        start = time.monotonic()
        assert someone.end()[0] == 0
        assert time.monotonic() - start < 6
        assert someone.modes == someone.modes_before

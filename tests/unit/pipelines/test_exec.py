"""Running a command: exit codes, masked output, its environment, processes it leaves behind."""

import io
import os
import sys
import time
from pathlib import Path

import pytest

from keylease.context import Context
from keylease.errors import UsageError
from keylease.model import Export, Origin, Renewal
from keylease.pipelines.exec import Streams, child_environment, find_command, run_command
from keylease.pipelines.renew import Renewer
from keylease.pipelines.signals import Signals
from keylease.secret import Secret
from tests.leaks import Seeded


def run(context: Context, *argv: str, env: dict[str, str] | None = None) -> tuple[int, bytes, bytes]:
    out, err = io.BytesIO(), io.BytesIO()
    environment = {"PATH": os.environ["PATH"], **(env or {})}
    streams = Streams(out=out, err=err)
    code = run_command(argv, environment, context, Renewer([], context), Signals(), streams)
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -9 $$", 137)]
)
def test_the_commands_exit_code_is_ours(context: Context, script: str, code: int) -> None:
    assert run(context, "sh", "-c", script)[0] == code


def test_both_streams_are_masked_and_kept_apart(context: Context, seeded: Seeded) -> None:
    value = seeded.new("password")
    context.seal(value, "password")
    code, out, err = run(context, "sh", "-c", 'echo "out $V."; echo "err $V" >&2', env={"V": value})
    assert (code, out, err) == (0, b"out ***.\n", b"err ***\n")


def test_a_value_that_comes_while_the_command_runs_is_hidden(context: Context, seeded: Seeded, tmp_path: Path) -> None:
    context.seal(seeded.new("first"), "first")
    late, told = seeded.new("renewed token"), tmp_path / "told"
    seeded.allow_file(tmp_path / "value", late)
    renewal = Renewal("token", 0.3, time.time() + 0.3, lambda: _renewed(context, late, tmp_path))
    script = f"echo begun; while ! test -e {told}; do sleep 0.05; done; cat {tmp_path / 'value'}"
    out = io.BytesIO()
    streams = Streams(out=out, err=io.BytesIO())
    environment = {"PATH": os.environ["PATH"]}
    run_command(["sh", "-c", script], environment, context, Renewer([renewal], context), Signals(), streams)
    assert out.getvalue() == b"begun\n***\n"


def _renewed(context: Context, value: str, directory: Path) -> float:
    if not (directory / "told").exists():
        context.seal(value, "renewed")
        (directory / "value").write_text(value + "\n")
        (directory / "told").touch()
    return 3600.0


def test_a_prompt_without_newline_appears_at_once(context: Context) -> None:
    class Timed(io.BytesIO):
        first: float | None = None

        def write(self, data: object) -> int:
            self.first = self.first or time.monotonic()
            return super().write(data)  # type: ignore[arg-type]

    context.seal("a-secret-value", "x")
    out = Timed()
    start = time.monotonic()
    argv = ["sh", "-c", "printf 'Continue? '; sleep 1"]
    streams = Streams(out=out, err=io.BytesIO())
    run_command(argv, {"PATH": os.environ["PATH"]}, context, Renewer([], context), Signals(), streams)
    assert out.first is not None
    assert out.first - start < 0.8


def test_a_megabyte_of_any_bytes_comes_through_unchanged(context: Context) -> None:
    context.seal("a-secret-value", "x")
    script = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 4096)"
    assert run(context, sys.executable, "-c", script)[1] == bytes(range(256)) * 4096


def test_a_process_left_behind_does_not_hold_us(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keylease.pipelines.output.DRAIN", 0.3)
    start = time.monotonic()
    code, out, _ = run(context, "sh", "-c", "echo done; sleep 8 &")
    assert (code, out) == (0, b"done\n")
    assert time.monotonic() - start < 4


def test_a_command_does_not_wait_for_a_reader_that_failed(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(self: object) -> int:
        raise MemoryError

    monkeypatch.setattr("keylease.pipelines.output.Channel.copy", copy)
    # More than a pipe holds. It gets SIGPIPE, or could go on with what it does besides.
    assert run(context, "sh", "-c", "yes | head -c 1000000; exit 3")[:2] == (3, b"")
    assert run(context, "sh", "-c", "yes | head -c 1000000; exit 0")[:2] == (70, b"")


def test_a_command_that_can_not_start(context: Context, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    assert run(context, str(tmp_path / "missing"))[0] == 127
    assert run(context, str(plain))[0] == 126
    path = os.environ["PATH"]
    assert find_command(["sh"], path) is None
    assert find_command(["no-such-command"], path) == 127
    assert find_command([str(plain)], path) == 126


def test_the_environment_is_ours_plus_the_leased_less_what_only_we_need() -> None:
    exports = [
        Export("PASSWORD", Secret("value-p"), "x"),
        Export("FILE_ONLY", Secret("value-f"), "x", env=False, file="f"),
    ]
    base = {"PATH": "/bin", "KEYLEASE_ID_TOKEN": "jwt"}
    assert child_environment(base, exports, ["KEYLEASE_ID_TOKEN"]) == {"PATH": "/bin", "PASSWORD": "value-p"}


@pytest.mark.parametrize("value", [b"\xff\xfe", "a\0b"])
def test_a_binary_value_can_not_be_a_variable(value: str | bytes) -> None:
    export = Export("KEY", Secret(value), "x", origin=Origin("keylease.yml", 4, "leases[0]"))
    with pytest.raises(UsageError, match=r"keylease\.yml:4: leases\[0\]: KEY: the value is binary"):
        child_environment({}, [export], [])

"""The demo is true, shows no value, says so when something is not true, and leaves nothing behind."""

import io
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import demo.__main__ as program
from demo.screen import Screen, UntrueError
from demo.story import OTHER, Seeds, Story
from tests import environment
from tests.fakes.github_oidc import github_claims
from tests.leaks import Seeded

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may walk through, as /tmp is: the demo's TMPDIR."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def start(place: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env=environment.clean_environment(TMPDIR=str(place)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def processes(place: Path) -> list[str]:
    """Command lines of the processes that live below `place` or name it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(place) in line or (process / "cwd").readlink().is_relative_to(place):
                found.append(line)
        except OSError:  # it has just ended
            continue
    return found


def test_the_story_is_true_and_shows_no_value(seeded: Seeded, tmp_path: Path) -> None:
    key = f"-----BEGIN KEY-----\n{seeded.new('line-one')}\n{seeded.new('line-two')}\n-----END KEY-----\n"
    seeds = Seeds(token=seeded.new("token"), user=seeded.new("user"), password=seeded.new("password"), key=key)
    screen = Screen()
    story = Story(screen, tmp_path, seeds)
    story.tell()
    # Values that servers made up: the screen knew them as well. Found again, they fail this test.
    seeded.add(story.bao.token, story.valkey.password, story.issuer.request_token)
    assert screen.checks >= 20


def test_runs_from_the_command_line_in_time_and_leaves_nothing(place: Path) -> None:
    began = time.monotonic()
    with start(place) as child:
        out, _ = child.communicate(timeout=60)
    assert child.returncode == 0, out
    assert time.monotonic() - began < 30
    for told in (
        "\n8  ",
        "medium  vault-role-any-repository  ",
        "role          train",
        "MLFLOW_TRACKING_TOKEN  ***",
        "login with its credentials is refused",
    ):
        assert told in out
    assert "\x1b" not in out, "colours are for terminals"
    assert list(place.iterdir()) == []
    assert processes(place) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["starting", "4  "])
def test_a_signal_ends_it_and_leaves_nothing(place: Path, number: signal.Signals, moment: str) -> None:
    with start(place) as child:
        assert child.stdout is not None
        if moment == "starting":
            while not processes(place):
                assert child.poll() is None
                time.sleep(0.005)
        else:
            assert any(line.startswith(moment) for line in child.stdout)
        child.send_signal(number)
        # The impatient press it twice.
        child.send_signal(number)
        rest = child.stdout.read()
        assert child.wait(20) == 128 + number, rest
    assert f"Stopped by {number.name}" in rest
    assert "Traceback" not in rest
    assert list(place.iterdir()) == []
    assert processes(place) == []


def test_what_is_not_so_fails_the_demo(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Wrong(Story):
        def __init__(self, screen: Screen, directory: Path) -> None:
            super().__init__(screen, directory)
            self.issuer.claims = github_claims(OTHER)

    monkeypatch.setattr(program, "Story", Wrong)
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = {number: signal.getsignal(number) for number in program.SIGNALS}
    try:
        assert program.main() == 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    out = capsys.readouterr().out
    assert "The demo failed: not so: the step succeeded" in out
    assert list(place.iterdir()) == []


class TestScreen:
    def test_refuses_to_print_a_guarded_value(self) -> None:
        out = io.StringIO()
        screen = Screen(out)
        screen.guard("the password", "correct horse", "first line\nsecond line")
        for text in ("it is correct horse!", "second line"):
            with pytest.raises(UntrueError, match="about to print a secret value: "):
                screen.say(text)
        with pytest.raises(UntrueError) as caught:
            screen.check(False, "all is well", otherwise="found correct horse")
        assert "correct horse" not in str(caught.value)
        assert out.getvalue() == ""

    def test_counts_what_it_checked(self) -> None:
        out = io.StringIO()
        screen = Screen(out)
        screen.check(True, "water is wet")
        with pytest.raises(UntrueError, match="not so: fire is cold\nit is hot"):
            screen.check(False, "fire is cold", otherwise="it is hot")
        assert screen.checks == 1
        assert out.getvalue() == "   ✓ water is wet\n"

    def test_colours_only_when_told(self) -> None:
        plain, coloured = io.StringIO(), io.StringIO()
        Screen(plain).section("Title")
        Screen(coloured, colours=True).section("Title")
        assert "\x1b" not in plain.getvalue()
        assert "\x1b[1m1  Title\x1b[0m" in coloured.getvalue()

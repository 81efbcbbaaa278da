"""`keylease exec -- CMD`: what the command gets and shows, its signals and exit code, renewing, and the end."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import environment
from tests.conftest import RunKeylease
from tests.e2e.site import AUDIENCE, Site, sha256
from tests.fakes.misbehaving import Proxy
from tests.servers.process import wait_until

DATABASE = "database/creds/app username | DB_USERNAME ; database/creds/app password | DB_PASSWORD"
BOTH = f"secret/data/ci token | DEPLOY_TOKEN ; {DATABASE}"
# A command that says when it runs, and ends when the test wants it to (or after 30 s).
WAIT = "echo ready; i=0; while [ ! -e stop ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done; echo over"

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def env(site: Site) -> dict[str, str]:
    """What a job needs to get a token."""
    return site.issuer.actions_env()


@pytest.fixture
def start(site: Site, env: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Start `keylease exec FLAGS -- COMMAND` with pipes; what is still alive at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*command: str, flags: list[str] | None = None) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-m", "keylease", "exec", *(flags or site.flags(BOTH)), "--", *command],
            env=environment.clean_environment(**env),
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ready(process: "subprocess.Popen[bytes]") -> None:
    """Wait for the command's first line, `ready`."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"


def ended(process: "subprocess.Popen[bytes]", site: Site, timeout: float = 30) -> tuple[int, bytes, str]:
    """Exit code, the rest of stdout, and stderr, both searched for the seeded values."""
    out, err = process.communicate(timeout=timeout)
    site.seeded.saw("stdout", out or b"")
    site.seeded.saw("stderr", err)
    return process.returncode, out, err.decode()


# What the command gets and shows.


def test_the_command_has_the_values_and_the_log_has_not(
    keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path
) -> None:
    multi = f"{site.seeded.new('one')}\n{site.seeded.new('two')}"
    site.put("multi", {"key": multi})
    script = """
import base64, hashlib, json, os, sys, urllib.parse
token, multi = os.environ["DEPLOY_TOKEN"], os.environ["MULTI"]
print(hashlib.sha256(token.encode()).hexdigest(), hashlib.sha256(multi.encode()).hexdigest())
for text in (token, base64.b64encode(token.encode()).decode(), urllib.parse.quote(multi), json.dumps(multi),
             multi.splitlines()[1], token.encode().hex()):
    print(f"<{text}>")
    print(f"[{text}]", file=sys.stderr)
print("keylease's own:", [n for n in os.environ if n.startswith("KEYLEASE")], len(sys.stdin.read()))
sys.stdout.flush()
for part in (token[:7], token[7:20], token[20:] + "\\n"):
    os.write(1, part.encode())
os.write(1, bytes(n for n in range(256) if n != 13))  # the fixture reads CR as a line's end
"""
    flags = site.flags("secret/data/ci token | DEPLOY_TOKEN", "secret/data/multi key | MULTI")
    job = {"KEYLEASE_ID_TOKEN": site.issuer.mint(AUDIENCE)}
    done = keylease("exec", *flags, "--", sys.executable, "-c", script, env=job, stdin="12345")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.encode("utf-8", "surrogateescape").split(b"\n", 9)
    assert lines[0].decode() == f"{sha256(site.token)} {sha256(multi)}"
    # In base64 the last byte's last bits stand in a character that other texts share: that one may be left.
    assert re.fullmatch(rb"<\*\*\*\w?=*>", lines[2])
    # Each line of a value is masked by itself, and so is all of it where that is found first.
    assert re.fullmatch(rb"<\*\*\*(%0A\*\*\*)?>", lines[3])
    assert re.fullmatch(rb'<"\*\*\*(\\n\*\*\*)?">', lines[4])
    assert [lines[1], *lines[5:7]] == [b"<***>"] * 3
    assert lines[7] == b"keylease's own: [] 5"
    assert lines[8] == b"***"
    assert lines[9] == bytes(n for n in range(256) if n != 13)
    shown = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert [line.strip("[]").encode() for line in shown] == [line.strip(b"<>") for line in lines[1:7]]
    assert site.nothing_alive()


def test_each_stream_keeps_its_order_and_a_prompt_is_shown_at_once(start: Start, site: Site, tmp_path: Path) -> None:
    text = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf 'Continue? '; "
    process = start("sh", "-c", text + "while [ ! -e stop ]; do sleep 0.1; done")
    shown = b""
    assert process.stdout is not None
    while b"Continue? " not in shown:  # the test's timeout is the limit
        shown += os.read(process.stdout.fileno(), 1000)
    assert shown == b"out 1\nout 2\nout 3\nContinue? "
    (tmp_path / "stop").touch()
    code, out, err = ended(process, site)
    assert (code, out) == (0, b"")
    assert [line for line in err.splitlines() if line.startswith("err")] == ["err 1", "err 2", "err 3"]


def test_no_value_is_in_any_argument_list_or_in_our_own_environment(start: Start, site: Site, tmp_path: Path) -> None:
    process = start("sh", "-c", WAIT)
    ready(process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    for pid in (str(process.pid), *children):
        site.seeded.saw("log", Path(f"/proc/{pid}/cmdline").read_bytes(), f"arguments of {pid}")
    own = dict(
        pair.split(b"=", 1) for pair in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0") if b"=" in pair
    )
    given = Path(f"/proc/{children[0]}/environ").read_bytes().split(b"\0")
    assert f"DEPLOY_TOKEN={site.token}".encode() in given
    assert not {b"DEPLOY_TOKEN", b"DB_USERNAME", b"DB_PASSWORD"} & set(own)
    (tmp_path / "stop").touch()
    assert ended(process, site)[0] == 0
    assert site.nothing_alive()


def test_files_exist_while_the_command_runs(
    keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "keylease.yml").write_text(
        f"version: 1\nproviders: {{v: {{type: vault, url: '{site.bao.url}', role: deploy, audience: '{AUDIENCE}'}}}}\n"
        "leases: [{secret: 'vault://secret/ci#token', file: keys/token, env: TOKEN_FILE}]\n"
    )
    text = 'stat -c "%a %n" "$TOKEN_FILE"; sha256sum < "$TOKEN_FILE"'
    done = keylease("exec", "--", "sh", "-c", text, env=env)
    assert done.returncode == 0, done.stderr
    mode, path, digest = done.stdout.split()[:3]
    assert (mode, path, digest) == ("600", str(tmp_path / "keys/token"), sha256(site.token))
    assert not (tmp_path / "keys").exists()
    assert site.nothing_alive()


# Exit codes.


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "exit 255"], 255),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["sh", "-c", "kill -TERM $$"], 143),
    ],
)
def test_ends_with_the_commands_code_and_revokes(
    keylease: RunKeylease, site: Site, env: dict[str, str], command: list[str], code: int
) -> None:
    done = keylease("exec", *site.flags(BOTH), "--", *command, env=env)
    assert done.returncode == code, done.stderr
    assert "3 values leased" in done.stderr
    assert site.nothing_alive()


def test_a_missing_command_leases_nothing(
    keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("not a program\n")
    for command, code in (("no-such-command", 127), ("./missing", 127), ("./text", 126)):
        done = keylease("exec", *site.flags(), "--", command, env=env)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert f"exec: {command}: no such command; nothing was leased" in done.stderr or code == 126
    assert site.issuer.token_requests() == []


def test_a_command_that_can_t_be_started_after_all_is_126(
    keylease: RunKeylease, site: Site, env: dict[str, str], tmp_path: Path
) -> None:
    """Found and executable, but its interpreter is missing: only the kernel can tell, when the lease is there."""
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    done = keylease("exec", *site.flags(), "--", "./script", env=env)
    assert done.returncode in (126, 127), done.stderr
    assert site.nothing_alive()


def test_options_of_the_command_are_its_own(keylease: RunKeylease, site: Site, env: dict[str, str]) -> None:
    done = keylease("exec", *site.flags(), "--", "echo", "--url", "--", "--debug", env=env)
    assert (done.returncode, done.stdout) == (0, "--url -- --debug\n")


# Signals.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_command_which_decides(start: Start, site: Site, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    process = start("sh", "-c", f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.1; done")
    ready(process)
    assert len(site.accessors()) == 1
    process.send_signal(number)
    code, out, _ = ended(process, site)
    assert (code, out) == (9, f"got {name}\n".encode())
    assert site.nothing_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_command_that_dies_of_the_signal_is_128_more(start: Start, site: Site, number: signal.Signals) -> None:
    process = start(sys.executable, "-c", f"import signal; signal.signal({int(number)}, signal.SIG_DFL); "
                    "print('ready', flush=True); import time; time.sleep(30)")  # fmt: skip
    ready(process)
    process.send_signal(number)
    assert ended(process, site)[0] == 128 + number
    assert site.nothing_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_file(start: Start, site: Site, tmp_path: Path, number: signal.Signals) -> None:
    """Of SIGKILL nothing can be told: see docs/cli.md."""
    (tmp_path / "keylease.yml").write_text(
        f"version: 1\nproviders: {{vault: {{type: vault, url: '{site.bao.url}', role: deploy}}}}\n"
        "leases: [{secret: 'vault://secret/ci#token', file: token, env: TOKEN_FILE}]\n"
    )
    process = start("sh", "-c", f'echo "$TOKEN_FILE" > place; {WAIT}', flags=["--config", "keylease.yml"])
    ready(process)
    path = Path((tmp_path / "place").read_text().strip())
    assert path.read_text() == site.token
    process.send_signal(number)
    code, _, err = ended(process, site)
    assert code == 128 + number, err
    assert not path.exists()
    assert not path.parent.exists()
    assert site.nothing_alive()


def test_ctrl_c_twice_does_not_stop_the_revocation(start: Start, site: Site) -> None:
    with Proxy(site.bao.url) as slow:
        flags = [slow.url if word == site.bao.url else word for word in site.flags(BOTH)]
        process = start("sh", "-c", "trap 'exit 7' INT; echo ready; while :; do sleep 0.1; done", flags=flags)
        ready(process)
        slow.latency = 1.5
        process.send_signal(signal.SIGINT)
        wait_until(lambda: slow.counts["/v1/auth/token/revoke-self"] > 0, 10, "revocation")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        code, _, err = ended(process, site)
    assert code == 7, err
    assert site.nothing_alive()


def test_a_signal_before_the_command_starts_gives_everything_back(start: Start, site: Site, tmp_path: Path) -> None:
    with Proxy(site.bao.url) as slow:
        slow.latency = 0.6
        flags = [slow.url if word == site.bao.url else word for word in site.flags(BOTH)]
        process = start("touch", "ran", flags=flags)
        wait_until(lambda: slow.counts["/v1/secret/data/ci"] > 0, 10, "reading")
        process.send_signal(signal.SIGTERM)
        code, _, err = ended(process, site)
    assert code == 143, err
    assert "stopped by signal 15;" in err
    assert not (tmp_path / "ran").exists()
    assert site.nothing_alive()


def test_a_command_that_leaves_a_process_behind_does_not_hold_us(start: Start, site: Site, tmp_path: Path) -> None:
    """The one left behind holds the pipes; the leases end all the same."""
    process = start("sh", "-c", "sleep 25 & echo $! > pid; echo ready")
    ready(process)
    try:
        began = time.monotonic()
        assert process.wait(timeout=20) == 0  # and not `communicate`: that waits for the pipes to be closed
        assert time.monotonic() - began < 9, "DRAIN is for both streams together"
        assert site.nothing_alive()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_reader_that_goes_away_does_not_keep_the_leases(start: Start, site: Site, tmp_path: Path) -> None:
    process = start("sh", "-c", "echo ready; while [ ! -e stop ]; do sleep 0.1; done; echo more; echo more >&2; exit 5")
    ready(process)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    (tmp_path / "stop").touch()
    code, _, err = ended(process, site)
    assert code == 5, err
    assert "Traceback" not in err
    assert site.nothing_alive(), err


@pytest.mark.parametrize(("command", "code"), [("echo more", os.EX_IOERR), ("echo more; exit 5", 5), ("true", 0)])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_that_a_full_disk_loses_is_told_and_fails(
    site: Site, env: dict[str, str], tmp_path: Path, stream: str, command: str, code: int
) -> None:
    """A log redirected to a file on a full disk must not look whole. /dev/full answers ENOSPC (full(4))."""
    redirected = command.replace("echo more", "echo more >&2") if stream == "stderr" else command
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen(
            [sys.executable, "-m", "keylease", "exec", *site.flags(BOTH), "--", "sh", "-c", f"{redirected}"],
            env=environment.clean_environment(**env),
            cwd=tmp_path,
            stdout=full if stream == "stdout" else subprocess.PIPE,
            stderr=full if stream == "stderr" else subprocess.PIPE,
        )
        out, err = process.communicate(timeout=30)
    assert process.returncode == code, (out, err)
    if stream == "stdout":
        said = b"error: exec: the command's output can't be written: No space left on device"
        assert err.count(said) == bool(code)
        assert b"Traceback" not in err
    assert site.nothing_alive()


# Renewing.


@pytest.mark.slow
def test_leases_are_renewed_while_the_command_runs(start: Start, site: Site, tmp_path: Path) -> None:
    """Token and database user live 3 s; the command runs 8 s, and both are alive at its end."""
    site.dynamic("3s")
    site.bind(token_ttl="3s", token_max_ttl="1m")
    process = start("sh", "-c", WAIT)
    ready(process)
    began = time.monotonic()
    (user,) = site.users()
    (accessor,) = site.accessors()
    # What nobody renews is gone by then: the same role, taken by hand.
    unrenewed = site.bao.read("database/creds/app")["data"]["username"]
    assert site.users() == {user, unrenewed}
    time.sleep(max(0.0, 8 - (time.monotonic() - began)))
    assert site.users() == {user}
    assert site.bao.token_lookup(accessor) is not None
    (tmp_path / "stop").touch()
    code, out, err = ended(process, site)
    assert (code, out) == (0, b"over\n"), err
    assert "warning" not in err
    assert site.nothing_alive()


@pytest.mark.slow
def test_a_lease_at_its_maximum_is_told(start: Start, site: Site, tmp_path: Path) -> None:
    site.bind(token_ttl="6s", token_max_ttl="7s")
    process = start("sh", "-c", WAIT, flags=site.flags())
    ready(process)
    assert process.stderr is not None
    # Renewed after 4 s for 3 s, after 6 s for 1 s: that is when it is told. The test's timeout is the limit.
    said = next(line for line in process.stderr if b"warning" in line)
    assert b"vault (Vault token) reaches its maximum lifetime: it ends in 1 s" in said
    (tmp_path / "stop").touch()
    code, _, err = ended(process, site)
    assert code == 0, err
    assert site.nothing_alive()

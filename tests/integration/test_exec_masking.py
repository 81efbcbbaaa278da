"""`keylease exec` with a job that prints its secrets in every way a job can: nothing of them comes out.

The real program, a real OpenBao, and a job (`JOB`) that makes the forms with its own tools, not with ours.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import environment
from tests.conftest import RunKeylease
from tests.leaks import Seeded, find
from tests.servers.trust import Trust
from tests.unit.pipelines.on_terminal import Person

# Each way prints `<name> … end`, so that what stands around a value can be checked.
JOB = r"""
import base64, binascii, html, json, os, shlex, sys, time, urllib.parse

TOKEN, KEY = os.environ["TOKEN"], os.environ["KEY"]

def out(*parts, to=1, pause=0.0):
    for part in parts:
        os.write(to, part if isinstance(part, bytes) else part.encode())
        time.sleep(pause)

def forms(value):
    raw = value.encode()
    yield "raw", value
    yield "quoted", shlex.quote(value)
    yield "json", json.dumps({"v": value})
    yield "json in json", json.dumps(json.dumps({"v": value}))
    yield "repr", repr(value)
    yield "bytes", repr(raw)
    yield "url", urllib.parse.quote(value, safe="")
    yield "form", urllib.parse.urlencode({"v": value})
    yield "html", html.escape(value)
    yield "hex", raw.hex()
    yield "HEX", raw.hex().upper()
    for before in ("", "a", "ab"):
        mixed = before.encode() + raw + b"tail"
        yield "base64", base64.b64encode(mixed)
        yield "base64url", base64.urlsafe_b64encode(mixed)
    yield "base64 of base64", base64.b64encode(base64.b64encode(raw))
    yield "basic", base64.b64encode(b"user:" + raw)

def every_way():
    for to in (1, 2):
        for value in (TOKEN, KEY):
            for name, text in forms(value):
                out(f"{name} [", text, "] end\n", to=to)
        for line in KEY.splitlines():
            out("line [", line, "] end\n", to=to)
        for at in range(1, len(TOKEN)):
            out("cut [", TOKEN[:at], TOKEN[at:], "] end\n", to=to, pause=0.001)
        for byte in TOKEN.encode():
            out(bytes([byte]), to=to, pause=0.002)
        out("\n", to=to)
        half = len(TOKEN) // 2
        out("halves [", TOKEN[:half], TOKEN[half:], "] end\n", to=to, pause=0.05)
        out("turned [", TOKEN[half:], TOKEN[:half], TOKEN[half:], "] end\n", to=to, pause=0.05)
        out("twice [", TOKEN + TOKEN, TOKEN, "] end\n", to=to)
        for percent in range(0, 101, 20):
            out(f"\r{'#' * (percent // 20):5} {percent:3} % ", TOKEN, " done", to=to, pause=0.005)
        out("\n\x1b[1;31mcolours [\x1b[0m", f"\x1b[32m{TOKEN}\x1b[0m", "] end\n", to=to)
        out("binary [", b"\xff\xfe", TOKEN, b"\x00\xff", "] end\n", to=to)

every_way()
out("Password: ")
out("the end without newline", to=2)
"""


@pytest.fixture
def values(seeded: Seeded) -> dict[str, str]:
    token = f"{seeded.new('tok')}+/&<\"'=%é"
    lines = ["-----BEGIN PRIVATE KEY-----", *(seeded.new("key") * 2 for _ in range(3)), "-----END PRIVATE KEY-----"]
    key = "\n".join(lines) + "\n"
    seeded.add(token, *lines[1:-1])
    return {"token": token, "key": key}


@pytest.fixture
def arguments(trust: Trust, values: dict[str, str]) -> list[str]:
    trust.kv.put("ci", values)
    path = f"{trust.kv.mount}/data/ci"
    flags = ["--url", trust.bao.url, "--role", trust.role, "--mount", trust.mount, "--audience", trust.audience]
    if trust.bao.namespace_path:
        flags += ["--namespace", trust.bao.namespace_path]
    return ["exec", *flags, "--secret", f"{path} token | TOKEN", "--secret", f"{path} key | KEY"]


@pytest.fixture
def job(tmp_path: Path) -> list[str]:
    (tmp_path / "job.py").write_text(JOB)
    return ["--", sys.executable, str(tmp_path / "job.py")]


WAYS = {
    name: JOB.count(f'"{name}"') and n
    for name, n in {"raw": 2, "json": 2, "json in json": 2, "base64": 6, "base64url": 6, "base64 of base64": 2}.items()
} | {"line": 3, "cut": 0, "halves": 1, "turned": 1, "twice": 1, "binary": 1}


def leaked(text: bytes, values: dict[str, str]) -> list[tuple[str, str]]:
    """The token, or a line of the key in any encoding. The key's BEGIN and END lines are the same in every key."""
    return list(find(text, [values["token"], *values["key"].splitlines()[1:-1]]))


def check(text: str, values: dict[str, str], replacement: str = "***") -> None:
    """Nothing of the values is there, and everything else is."""
    assert leaked(text.encode("utf-8", "surrogateescape"), values) == []
    text = re.sub(r"^line \[-----.*\n", "", text, flags=re.MULTILINE)
    for name, times in WAYS.items():
        found = re.findall(rf"^{re.escape(name)} \[(.*?)\] end$", text, re.MULTILINE | re.DOTALL)
        expected = len(values["token"]) - 1 if name == "cut" else times
        assert len(found) == expected, name
        assert all(replacement in shown for shown in found), name
    for name in ("raw", "cut", "halves", "twice"):
        assert f"{name} [{replacement}] end\n" in text
    # Longest first: half a value before the whole one is no value, and stays.
    half = len(values["token"]) // 2
    assert f"turned [{values['token'][half:]}{replacement}] end" in text
    for percent in range(0, 101, 20):
        assert f" {percent:3} % {replacement} done" in text
    assert f"\x1b[1;31mcolours [\x1b[0m\x1b[32m{replacement}\x1b[0m] end\n" in text


def test_a_job_that_prints_its_secrets_in_every_way(
    keylease: RunKeylease, trust: Trust, values: dict[str, str], arguments: list[str], job: list[str]
) -> None:
    done = keylease(*arguments, *job, env=trust.issuer.actions_env())
    assert done.returncode == 0, done.stderr
    check(done.stdout, values)
    check(done.stderr, values)
    assert done.stdout.endswith("\nPassword: ")
    assert done.stderr.count("the end without newline") == 1


def test_on_a_pseudo_terminal_in_a_job(
    keylease: RunKeylease, trust: Trust, values: dict[str, str], arguments: list[str], job: list[str]
) -> None:
    done = keylease(*arguments, "--tty", "--replace-with", "[hidden]", *job, env=trust.issuer.actions_env())
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert shown.startswith("raw [[hidden]] end\n")
    assert shown.endswith("Password: the end without newline")
    assert "[hidden]" not in done.stderr
    assert shown.count("raw [[hidden]] end\n") == 2  # for both streams
    assert leaked(shown.encode("utf-8", "surrogateescape"), values) == []


def test_on_a_persons_terminal(
    trust: Trust, values: dict[str, str], arguments: list[str], job: list[str], seeded: Seeded
) -> None:
    env = environment.clean_environment(**trust.issuer.actions_env(), TERM="xterm")
    with Person([sys.executable, "-m", "keylease", *arguments, "--tty", *job], env) as someone:
        code, shown = someone.end(60)
        assert someone.modes == someone.modes_before
    seeded.saw("stdout", shown)
    assert code == 0
    assert shown.count(b"raw [***] end\r\n") >= 2
    assert leaked(shown, values) == []


def test_other_secrets_of_the_job_can_be_hidden_too(
    keylease: RunKeylease, trust: Trust, arguments: list[str], seeded: Seeded
) -> None:
    other = seeded.new("other")
    command = ["--", "sh", "-c", 'echo "<$OTHER> <$TOKEN>"; printf %s "$OTHER" | base64 >&2']
    done = keylease(*arguments, "--mask-env", "OTHER", *command, env={**trust.issuer.actions_env(), "OTHER": other})
    assert (done.returncode, done.stdout) == (0, "<***> <***>\n")
    assert "***" in done.stderr


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (["--mask-env", "OTHER"], "--mask-env: no variable has the name given"),
        (["--replace-with", ""], "--replace-with: it is empty"),
    ],
)
def test_what_would_hide_badly_stops_before_the_command(
    keylease: RunKeylease, trust: Trust, arguments: list[str], more: list[str], what: str
) -> None:
    done = keylease(*arguments, *more, "--", "echo", "started", env=trust.issuer.actions_env())
    assert (done.returncode, done.stdout) == (2, "")
    assert what in done.stderr


def test_a_replacement_that_is_a_leased_value_stops_before_the_command_and_gives_back(
    keylease: RunKeylease, trust: Trust, values: dict[str, str], arguments: list[str]
) -> None:
    before = trust.bao.request("LIST", "auth/token/accessors").json()["data"]["keys"]
    done = keylease(
        *arguments, "--replace-with", values["token"], "--", "echo", "started", env=trust.issuer.actions_env()
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "it contains a value that is to be hidden" in done.stderr
    assert set(trust.bao.request("LIST", "auth/token/accessors").json()["data"]["keys"]) <= set(before)


def test_when_hiding_fails_the_output_stops_and_the_command_goes_on(
    trust: Trust, arguments: list[str], tmp_path: Path, seeded: Seeded
) -> None:
    script = (
        "import sys; from keylease.masking.redactor import Redactor; from keylease.cli import main\n"
        "feed = Redactor.feed\n"
        "def fail(self, chunk):\n"
        "    if b'now' in chunk: raise RuntimeError(chunk)\n"
        "    return feed(self, chunk)\n"
        "Redactor.feed = fail\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = (
        'echo first; sleep 0.2; echo "now $TOKEN"; sleep 0.2; echo "later $TOKEN"; echo "err $TOKEN" >&2; : > done'
    )
    for ending, code in (("exit 0", 70), ("exit 3", 3)):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments, "--", "sh", "-c", f"{command}; {ending}"],
            env=environment.clean_environment(**trust.issuer.actions_env()),
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
        )
        seeded.saw("stdout", done.stdout)
        seeded.saw("stderr", done.stderr)
        assert (done.returncode, done.stdout) == (code, b"first\n")
        assert b"err ***" in done.stderr
        assert b"exec: RuntimeError in hiding values: from there on" in done.stderr
        (tmp_path / "done").unlink()


def test_a_reader_that_pauses_gets_all_of_it(trust: Trust, arguments: list[str]) -> None:
    # Longer than DRAIN after the command has ended, with more waiting than a pipe holds.
    script = "import sys; sys.stdout.write('a line of text\\n' * 8000)"
    process = subprocess.Popen(
        [sys.executable, "-m", "keylease", *arguments, "--", sys.executable, "-c", script],
        env=environment.clean_environment(**trust.issuer.actions_env()),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    got = os.read(process.stdout.fileno(), 15)
    import time

    time.sleep(7)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert got + out == b"a line of text\n" * 8000

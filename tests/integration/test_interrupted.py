"""A job that is cancelled at a bad moment leaves no token behind: the real program, stopped by a real signal."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Misbehaving, delayed, reply, status
from tests.leaks import Seeded

LOGIN, SECRET, REVOKE = "/v1/auth/jwt/login", "/v1/secret/data/ci", "/v1/auth/token/revoke-self"


def stopped_at(path: str, words: list[str], server: Misbehaving, env: dict[str, str], seeded: Seeded) -> int:
    """The exit code of a `keylease` that gets SIGTERM while the server is busy with `path`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "keylease", *words],
        env={"PATH": os.environ["PATH"], **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 20
    while not any(request.path == path for request in server.requests):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(f"it never got so far: {process.communicate()[1]}")
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    seeded.saw("stdout", out)
    seeded.saw("stderr", err)
    return process.returncode


@pytest.mark.parametrize("command", ["lease", "exec"])
@pytest.mark.parametrize("busy_with", [LOGIN, REVOKE])
def test_no_token_outlives_a_cancelled_step(
    misbehaving: Misbehaving, issuer: OIDCIssuer, seeded: Seeded, tmp_path: Path, command: str, busy_with: str
) -> None:
    token = seeded.new("vault-token")
    auth = {"client_token": token, "lease_duration": 3600, "renewable": False, "token_policies": ["ci"]}
    misbehaving.on(LOGIN, delayed(1.0 if busy_with == LOGIN else 0, reply(json={"auth": auth})))
    misbehaving.on(SECRET, status(403, errors=("permission denied",)))
    # Cancelled while giving back: the first try fails, and it is the second one that counts.
    misbehaving.on(REVOKE, delayed(1.0 if busy_with == REVOKE else 0, status(503)), reply(204, body=b""))
    words = ["--url", misbehaving.url, "--role", "ci", "--secret", "secret/data/ci x | X"]
    words += ["--", "true"] if command == "exec" else ["--format", "shell", "--state", str(tmp_path / "state")]
    env = {name: value for name, value in issuer.github_env().items() if name != "GITHUB_ACTIONS"}  # no masks
    code = stopped_at(busy_with, [command, *words], misbehaving, env, seeded)
    tries = [request.headers["X-Vault-Token"] for request in misbehaving.requests if request.path == REVOKE]
    assert tries == [token, token]
    assert code == (128 + signal.SIGTERM if busy_with == LOGIN else 4)
    assert token not in ((tmp_path / "state").read_text() if (tmp_path / "state").exists() else "")

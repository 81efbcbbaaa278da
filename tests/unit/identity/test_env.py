"""identity/env.py: tokens in variables and files."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from keylease.errors import IdentityError
from keylease.identity.base import Identity
from keylease.identity.claims import MAX_TOKEN
from keylease.identity.env import BitbucketIdentity, CircleCIIdentity, ExplicitIdentity
from keylease.model import IdentityToken
from tests.unit.identity.support import AUDIENCE, Recorder, good_claims, token_text


def get(kind: type[Identity], env: dict[str, str], audience: str = AUDIENCE) -> IdentityToken:
    token = kind(Recorder(env).context).token(audience)
    assert token is not None
    return token


def failure(kind: type[Identity], env: dict[str, str], audience: str = AUDIENCE) -> IdentityError:
    with pytest.raises(IdentityError) as caught:
        kind(Recorder(env).context).token(audience)
    assert caught.value.change
    return caught.value


# KEYLEASE_ID_TOKEN and KEYLEASE_ID_TOKEN_FILE.


def test_the_variable_wins_over_the_file(tmp_path: Path) -> None:
    env = {"KEYLEASE_ID_TOKEN": token_text(), "KEYLEASE_ID_TOKEN_FILE": str(tmp_path / "absent")}
    assert get(ExplicitIdentity, env).source == "KEYLEASE_ID_TOKEN"


@pytest.mark.parametrize(
    "env", [{}, {"KEYLEASE_ID_TOKEN": ""}, {"KEYLEASE_ID_TOKEN": " ", "KEYLEASE_ID_TOKEN_FILE": ""}]
)
def test_nothing_set_is_not_ours(env: dict[str, str]) -> None:
    identity = ExplicitIdentity(Recorder(env).context)
    assert not identity.detect()
    assert identity.token(AUDIENCE) is None


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n", " "])
def test_the_file_is_read_anew_each_time_and_stripped(tmp_path: Path, end: str) -> None:
    # As Kubernetes does it: a link to a directory that is replaced as a whole.
    for turn in ("1", "2"):
        (tmp_path / turn).mkdir()
        (tmp_path / turn / "token").write_text(token_text(good_claims(turn=turn)) + end)
    (tmp_path / "data").symlink_to("1")
    (tmp_path / "token").symlink_to("data/token")
    identity = ExplicitIdentity(Recorder({"KEYLEASE_ID_TOKEN_FILE": str(tmp_path / "token")}).context)
    first = identity.token(AUDIENCE)
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").replace(tmp_path / "data")
    second = identity.token(AUDIENCE)
    assert first is not None
    assert second is not None
    assert (first.claims["turn"], second.claims["turn"]) == ("1", "2")
    assert str(tmp_path / "token") in second.source
    assert not second.jwt.reveal().endswith(("\n", " "))


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    big = tmp_path / "big"
    big.write_bytes(b"x" * (MAX_TOKEN + 2))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path, reason in [
        (tmp_path / "absent", "No such file"),
        (tmp_path, "it is a directory"),
        (fifo, "it is not a regular file"),
        (Path("/dev/zero"), "it is not a regular file"),
        (big, "it is larger than"),
        (loop, "symbolic links"),
        (Path("nul\0"), "NUL"),
    ]:
        start = time.monotonic()
        error = failure(ExplicitIdentity, {"KEYLEASE_ID_TOKEN_FILE": str(path)})
        assert time.monotonic() - start < 1
        assert reason in error.summary, path
        assert error.docs.endswith("#identity-file")


def test_a_file_without_permission() -> None:
    # In a child that is nobody, as root may read anything; not below tmp_path, which nobody can't reach.
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        path = Path(name) / "token"
        path.write_text("x")
        path.chmod(0)
        code = (
            "import os, sys; from keylease.identity.files import read_small\n"
            "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
            "try: read_small(sys.argv[1], 9)\n"
            "except OSError as e: print(e.strerror)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Permission denied"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00x.y.z", b"\0" * 50])
def test_a_file_with_something_else_in_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    assert "not an identity token" in failure(ExplicitIdentity, {"KEYLEASE_ID_TOKEN_FILE": str(path)}).summary


def test_another_audience_says_where_it_is_set() -> None:
    error = failure(ExplicitIdentity, {"KEYLEASE_ID_TOKEN": token_text(good_claims("other"))})
    assert "Jenkins: the credential's Audience" in error.change
    assert AUDIENCE in error.change


# CircleCI.


def test_circleci_takes_the_version_that_fits() -> None:
    env = {"CIRCLECI": "true", "CIRCLE_OIDC_TOKEN": token_text(), "CIRCLE_OIDC_TOKEN_V2": token_text()}
    assert get(CircleCIIdentity, env).source == "CIRCLE_OIDC_TOKEN_V2"
    env["CIRCLE_OIDC_TOKEN_V2"] = token_text(good_claims("other"))
    assert get(CircleCIIdentity, env).source == "CIRCLE_OIDC_TOKEN"


@pytest.mark.parametrize("audience", [AUDIENCE, "it's", '"; rm -rf /'])
def test_circleci_shows_the_command_for_another_audience(audience: str) -> None:
    env = {"CIRCLECI": "true", "CIRCLE_OIDC_TOKEN_V2": token_text(good_claims("1b7f0c3a-org"))}
    error = failure(CircleCIIdentity, env, audience)
    assert "'1b7f0c3a-org'" in error.cause
    command = next(line for line in error.change.splitlines() if line.startswith("export "))
    inner = shlex.split(command.partition("$(")[2].removesuffix(')"'))
    assert inner[:4] == ["circleci", "run", "oidc", "get"]
    assert json.loads(inner[-1]) == {"aud": audience}


def test_circleci_without_a_token() -> None:
    error = failure(CircleCIIdentity, {"CIRCLECI": "true"})
    assert "forked pull requests" in error.cause
    assert not CircleCIIdentity(Recorder({"CIRCLE_OIDC_TOKEN_V2": "x"}).context).detect()


# Bitbucket.


def test_bitbucket() -> None:
    env = {"BITBUCKET_BUILD_NUMBER": "5", "BITBUCKET_STEP_OIDC_TOKEN": token_text(good_claims([AUDIENCE]))}
    assert get(BitbucketIdentity, env).audience == AUDIENCE
    error = failure(BitbucketIdentity, env, "other")
    steps = yaml.safe_load("\n".join(line for line in error.change.splitlines()[1:] if not line.startswith("or ")))
    assert steps == [{"step": {"oidc": {"audiences": ["other"]}}}]


def test_bitbucket_without_a_token() -> None:
    env = {"BITBUCKET_BUILD_NUMBER": "5"}
    assert "audiences:\n        - https://vault.example.com" in failure(BitbucketIdentity, env).change
    assert "oidc: true" in failure(BitbucketIdentity, env, "").change


def test_a_job_with_a_token_per_service_gets_the_one_with_the_audience(tmp_path: Path) -> None:
    file = tmp_path / "aws"
    file.write_text(token_text(good_claims("sts.amazonaws.com")))
    env = {
        "KEYLEASE_ID_TOKEN": token_text(good_claims("plain")),
        "KEYLEASE_ID_TOKEN_VAULT": token_text(good_claims("https://vault.example.com")),
        "KEYLEASE_ID_TOKEN_AWS_FILE": str(file),
    }
    for audience, source in {
        "sts.amazonaws.com": "KEYLEASE_ID_TOKEN_AWS_FILE",
        "https://vault.example.com": "KEYLEASE_ID_TOKEN_VAULT",
        "plain": "KEYLEASE_ID_TOKEN",
    }.items():
        token = get(ExplicitIdentity, env, audience)
        assert (token.source, token.audience) == (source, audience)
    assert "KEYLEASE_ID_TOKEN" in failure(ExplicitIdentity, env, "other").summary
    del env["KEYLEASE_ID_TOKEN"]
    assert ExplicitIdentity(Recorder(env).context).detect()
    error = failure(ExplicitIdentity, env, "other")
    assert "KEYLEASE_ID_TOKEN_AWS_FILE, KEYLEASE_ID_TOKEN_VAULT" in error.change

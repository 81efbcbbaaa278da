"""identity/buildkite.py with a shell script in the agent's place: it shows how we call and what we make of the
answer, not what the real agent does."""

import time
from pathlib import Path

import pytest

from keylease.errors import IdentityError, KeyleaseError, UnreachableError
from keylease.identity.buildkite import BuildkiteIdentity
from tests.leaks import Seeded
from tests.unit.identity.support import AUDIENCE, Recorder, script, token_text


def agent(directory: Path, body: str) -> dict[str, str]:
    """An environment whose agent runs `body`."""
    directory.mkdir(exist_ok=True)
    script(directory / "buildkite-agent", body)
    return {"BUILDKITE": "true", "PATH": f"{directory}:/usr/bin:/bin"}


def failure(env: dict[str, str], seconds: float = 20.0) -> KeyleaseError:
    with pytest.raises(KeyleaseError) as caught:
        BuildkiteIdentity(Recorder(env, seconds).context).token(AUDIENCE)
    assert caught.value.summary.startswith("Buildkite: ")
    assert caught.value.change
    return caught.value


@pytest.mark.parametrize(
    ("audience", "last"),
    [(AUDIENCE, f"--audience={AUDIENCE}"), ("--help x", "--audience=--help x"), ("", "request-token")],
)
def test_what_the_agent_is_asked(tmp_path: Path, seeded: Seeded, audience: str, last: str) -> None:
    access = seeded.new("access")
    text = token_text({"aud": audience or "https://buildkite.com/acme"})
    env = agent(
        tmp_path / "bin",
        f'printf "%s\\n" "$@" > {tmp_path}/argv; [ -n "$BUILDKITE_AGENT_ACCESS_TOKEN" ] || exit 9; echo {text}',
    )
    recorder = Recorder({**env, "BUILDKITE_AGENT_ACCESS_TOKEN": access})
    token = BuildkiteIdentity(recorder.context).token(audience)
    assert token is not None
    assert token.jwt.reveal() == text
    argv = (tmp_path / "argv").read_text().splitlines()
    assert argv[:2] == ["oidc", "request-token"]
    assert argv[-1] == last
    assert recorder.announced == [access, text]


def test_the_agents_own_directory_comes_first(tmp_path: Path) -> None:
    env = agent(tmp_path / "path", "exit 1")
    own = agent(tmp_path / "own", f"echo {token_text()}")
    assert own
    env["BUILDKITE_BIN_PATH"] = str(tmp_path / "own")
    assert BuildkiteIdentity(Recorder(env).context).token(AUDIENCE) is not None


@pytest.mark.parametrize("path", ["", ".", ":", "bin", "bin::.", None])
def test_nothing_of_the_checkout_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str | None) -> None:
    mark = tmp_path / "ran"
    agent(tmp_path, f"touch {mark}")
    agent(tmp_path / "bin", f"touch {mark}")
    monkeypatch.chdir(tmp_path)
    env = {"BUILDKITE": "true", **({} if path is None else {"PATH": path, "BUILDKITE_BIN_PATH": path})}
    error = failure(env)
    assert "can't find the command" in error.summary
    assert "mount-buildkite-agent" in error.change
    assert not mark.exists()


def test_a_failing_agent_tells_its_status_and_none_of_its_output(tmp_path: Path, seeded: Seeded) -> None:
    words = seeded.new("agent-output")
    (tmp_path / "words").write_text(words)
    seeded.allow_file(tmp_path / "words")
    error = failure(agent(tmp_path / "bin", f"cat {tmp_path}/words; cat {tmp_path}/words >&2; exit 3"))
    assert isinstance(error, IdentityError)
    assert "(exit status 3)" in error.summary
    assert words not in error.diagnostics(debug=True)


def test_an_agent_that_hangs_ends_with_the_deadline(tmp_path: Path, seeded: Seeded) -> None:
    start = time.monotonic()
    error = failure(agent(tmp_path / "bin", "echo partial-output; exec sleep 30"), seconds=0.5)
    assert time.monotonic() - start < 5
    assert isinstance(error, UnreachableError)
    assert error.__context__ is None


@pytest.mark.parametrize(("body", "words"), [("true", "is empty"), ("echo not-a-token", "not an identity token")])
def test_an_agent_that_prints_something_else(tmp_path: Path, body: str, words: str) -> None:
    error = failure(agent(tmp_path / "bin", body))
    assert words in error.summary


def test_an_agent_that_can_not_be_started(tmp_path: Path) -> None:
    env = agent(tmp_path / "bin", "")
    (tmp_path / "bin" / "buildkite-agent").write_bytes(b"#!/no/such/shell\n")
    assert "can't start" in failure(env).summary


def test_outside_of_buildkite() -> None:
    identity = BuildkiteIdentity(Recorder({"CI": "true"}).context)
    assert not identity.detect()
    assert identity.token(AUDIENCE) is None

"""The contract of identity sources, for every entry of the registry: absent, good, and broken in every way."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from keylease.errors import ExitCode, IdentityError
from keylease.identity.base import Identity
from keylease.identity.claims import MAX_TOKEN
from keylease.identity.source import IdentitySource
from keylease.registry import IDENTITIES
from tests.fakes.misbehaving import Misbehaving, reply
from tests.leaks import Seeded
from tests.unit.identity.support import AUDIENCE, Recorder, good_claims, leaks, script, token_text, told


class Platform(ABC):
    """How a platform hands out a given text as the token. `broken` is its environment with no token in it."""

    name: ClassVar[str]
    broken: ClassVar[dict[str, str]]
    audience: ClassVar[str] = AUDIENCE
    """What is asked for. `arrived` tells what came of it, on platforms that can be asked."""

    def __init__(self, server: Misbehaving, directory: Path, seeded: Seeded) -> None:
        self.server = server
        self.directory = directory
        self.seeded = seeded

    @abstractmethod
    def env(self, text: str) -> dict[str, str]:
        """An environment in which the token is `text`."""

    def arrived(self) -> str | None:
        """The audience that the platform was asked for; None where it can't be asked."""
        return None


class ExplicitVariable(Platform):
    name, broken = "explicit", {"KEYLEASE_ID_TOKEN": "$TOKEN"}

    def env(self, text: str) -> dict[str, str]:
        return {"KEYLEASE_ID_TOKEN": text}


class ExplicitFile(Platform):
    name, broken = "explicit", {"KEYLEASE_ID_TOKEN_FILE": "/nonexistent/token"}

    def env(self, text: str) -> dict[str, str]:
        path = self.directory / "token"
        path.write_text(text + "\n")
        self.seeded.allow_file(path)
        return {"KEYLEASE_ID_TOKEN_FILE": str(path)}


class GitHub(Platform):
    name, broken = "github", {"GITHUB_ACTIONS": "true"}

    def env(self, text: str) -> dict[str, str]:
        self.server.on("/token", reply(json={"value": text}))
        return {
            **self.broken,
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.server.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.seeded.new("request"),
        }

    def arrived(self) -> str | None:
        [audience] = self.server.requests[-1].query["audience"]
        return audience


class GitLab(Platform):
    name, broken = "gitlab", {"GITLAB_CI": "true"}

    def env(self, text: str) -> dict[str, str]:
        return {**self.broken, "VAULT_ID_TOKEN": text}


class CircleCI(Platform):
    name, broken = "circleci", {"CIRCLECI": "true"}

    def env(self, text: str) -> dict[str, str]:
        return {**self.broken, "CIRCLE_OIDC_TOKEN_V2": text}


class Bitbucket(Platform):
    name, broken = "bitbucket", {"BITBUCKET_BUILD_NUMBER": "5"}

    def env(self, text: str) -> dict[str, str]:
        return {**self.broken, "BITBUCKET_STEP_OIDC_TOKEN": text}


class Buildkite(Platform):
    name, broken = "buildkite", {"BUILDKITE": "true", "PATH": "/nonexistent"}

    def env(self, text: str) -> dict[str, str]:
        answer = self.directory / "answer"
        answer.write_text(text)
        self.seeded.allow_file(answer)
        asked = self.directory / "asked"
        script(self.directory / "buildkite-agent", f'echo "$3" > {asked}; cat {answer}')
        return {**self.broken, "PATH": f"{self.directory}:/usr/bin:/bin"}

    def arrived(self) -> str | None:
        return (self.directory / "asked").read_text().strip().removeprefix("--audience=")


class AzureDevOps(Platform):
    name, broken = "azure-devops", {"TF_BUILD": "True"}
    audience = "api://AzureADTokenExchange"

    def env(self, text: str) -> dict[str, str]:
        self.server.on("/oidctoken", reply(json={"oidcToken": text}))
        return {
            **self.broken,
            "SYSTEM_OIDCREQUESTURI": f"{self.server.url}/oidctoken",
            "SYSTEM_ACCESSTOKEN": self.seeded.new("access"),
        }


class Eks(Platform):
    name, broken = "eks", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/token"}

    def env(self, text: str) -> dict[str, str]:
        path = self.directory / "token"
        path.write_text(text)
        self.seeded.allow_file(path)
        return {"AWS_WEB_IDENTITY_TOKEN_FILE": str(path)}


PLATFORMS: list[type[Platform]] = [
    ExplicitVariable,
    ExplicitFile,
    GitHub,
    GitLab,
    CircleCI,
    Bitbucket,
    Buildkite,
    AzureDevOps,
    Eks,
]


@pytest.fixture(params=PLATFORMS, ids=lambda kind: kind.__name__)
def platform(request: pytest.FixtureRequest, misbehaving: Misbehaving, tmp_path: Path, seeded: Seeded) -> Platform:
    """Each platform in turn."""
    kind: type[Platform] = request.param
    return kind(misbehaving, tmp_path, seeded)


def identity(platform: Platform, env: dict[str, str]) -> tuple[Identity, Recorder]:
    recorder = Recorder(env)
    return IDENTITIES.load(platform.name)(recorder.context), recorder


def failure(platform: Platform, text: str) -> IdentityError:
    made, recorder = identity(platform, platform.env(text))
    platform.seeded.allow("exception")  # `leaks` below looks closer
    with pytest.raises(IdentityError) as caught:
        made.token(platform.audience)
    assert leaks(told(caught.value), text) == []
    assert caught.value.exit_code == ExitCode.IDENTITY
    assert caught.value.summary.startswith(f"{made.title}: ")
    assert caught.value.change
    assert caught.value.docs
    if 0 < len(text) <= MAX_TOKEN:
        assert text in recorder.announced
    return caught.value


def test_the_battery_covers_the_registry() -> None:
    assert {kind.name for kind in PLATFORMS} == set(IDENTITIES)
    for name in IDENTITIES:
        kind = IDENTITIES.load(name)
        assert kind.name == name
        assert kind.title


def test_absent(platform: Platform) -> None:
    others = {key: value for kind in PLATFORMS if kind.name != platform.name for key, value in kind.broken.items()}
    for env in ({}, {"CI": "true", "HOME": "/root", "PATH": "/usr/bin"}, others):
        made, recorder = identity(platform, env)
        assert made.detect() is False
        assert made.token(platform.audience) is None
        assert recorder.announced == []


def test_good(platform: Platform) -> None:
    text = token_text(good_claims(platform.audience))
    platform.seeded.add(text)
    made, recorder = identity(platform, platform.env(text))
    assert made.detect() is True
    token = made.token(platform.audience)
    assert token is not None
    assert token.jwt.reveal() == text
    assert token.claims["aud"] == platform.audience
    assert (token.platform, token.audience) == (platform.name, platform.audience)
    assert token.source
    assert text in recorder.announced
    assert text not in recorder.context.masker.scrub(f"log: {text}")
    assert platform.arrived() in (None, platform.audience)


def test_good_through_the_source(platform: Platform) -> None:
    text = token_text(good_claims([platform.audience, "second"]))
    platform.seeded.add(text)
    source = IdentitySource(Recorder(platform.env(text)).context)
    assert source.platform() == platform.name
    assert source.token(platform.audience).jwt.reveal() == text
    assert source.token("").jwt.reveal() == text


def test_broken(platform: Platform) -> None:
    made, _ = identity(platform, dict(platform.broken))
    assert made.detect() is True
    with pytest.raises(IdentityError) as caught:
        made.token(platform.audience)
    assert caught.value.change
    assert caught.value.docs


def test_wrong_audience(platform: Platform) -> None:
    # GitLab, which has several tokens, tells of all of them.
    error = failure_of_wrong_audience(platform)
    assert "audience" in error.summary
    assert "'https://other.example.com'" in error.cause
    assert platform.audience in error.change or "Azure" in error.change


def failure_of_wrong_audience(platform: Platform) -> IdentityError:
    text = token_text(good_claims("https://other.example.com"))
    made, _ = identity(platform, platform.env(text))
    with pytest.raises(IdentityError) as caught:
        made.token(platform.audience)
    assert leaks(told(caught.value), text) == []
    assert "sub=project_path:acme/trainer" in caught.value.diagnostics()
    return caught.value


def test_expired(platform: Platform) -> None:
    error = failure(platform, token_text(good_claims(platform.audience, exp=int(time.time()) - 600)))
    assert "expired" in error.summary
    assert "10 min ago" in error.summary


def test_not_yet_valid(platform: Platform) -> None:
    error = failure(platform, token_text(good_claims(platform.audience, iat=int(time.time()) + 600)))
    assert "in the future" in error.summary
    assert "clock" in error.cause


@pytest.mark.parametrize(
    "make",
    [
        lambda aud: "not-a-token-at-all",
        lambda aud: token_text(good_claims(aud)) + ".x",
        lambda aud: token_text(good_claims(aud)).replace(".", " "),
        lambda aud: token_text(good_claims(aud), {"alg": "none"}),
        lambda aud: token_text([aud]),
        lambda aud: json.dumps(good_claims(aud)),
    ],
)
def test_malformed(platform: Platform, make: Callable[[str], str]) -> None:
    assert "not an identity token" in failure(platform, make(platform.audience)).summary


def test_oversized(platform: Platform) -> None:
    text = token_text(good_claims(platform.audience, filler="x" * MAX_TOKEN))
    error = failure(platform, text)
    assert "more than" in error.summary or "larger than" in error.summary

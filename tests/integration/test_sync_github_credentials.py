"""What GitHub is asked with: Apps, tokens, and what is said of those that won't do."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from keylease.errors import NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.secret import Secret
from keylease.targets.github import GitHubTarget
from keylease.vendors.github_pace import pace_of
from keylease.vendors.github_settings import GitHubSettings
from tests.fakes.github_rest import GitHubRest
from tests.fakes.loopback import Exchange
from tests.fakes.misbehaving import drop, hang
from tests.integration.github_sync import place_of, put, target_of
from tests.leaks import Seeded
from tests.servers.tls import ThrowawayCA


@pytest.fixture
def github() -> Iterator[GitHubRest]:
    """One organisation with a repository; all requests and answers are held against GitHub's description."""
    with GitHubRest() as server:
        server.add_repository("acme/trainer", environments={"prod"})
        yield server
        assert server.problems == []


@pytest.fixture(scope="module")
def key_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def app_of(github: GitHubRest, seeded: Seeded, private: str, **settings: Any) -> GitHubTarget:
    seeded.add(private)
    github.on_token = seeded.add
    return target_of(github, app_id=1234, private_key=Secret(private), **settings)


def test_an_app_gets_a_token_per_account_and_renews_it(
    github: GitHubRest, seeded: Seeded, key_pair: tuple[str, str]
) -> None:
    private, public = key_pair
    github.add_repository("other/x")
    github.organizations.discard("other")  # a person's account
    github.add_app("1234", public, {"acme": 7, "other": 8})
    target = app_of(github, seeded, private)
    places = [place_of(target, repository=name) for name in ("acme/trainer", "other/x")]
    for place in places * 2:
        put(target, place, "NAME")
    tokens = [request for request in github.requests if request.path.endswith("/access_tokens")]
    assert [request.path for request in tokens] == [
        "/app/installations/7/access_tokens",
        "/app/installations/8/access_tokens",
    ]
    github.app_token_life = 60  # ends before the spare time is over: each request needs a new one
    target = app_of(github, seeded, private, installation_id=7)
    before = len(github.requests)
    for name in ("A", "B"):
        put(target, place_of(target, repository="acme/trainer"), name)
    made = [r for r in github.requests[before:] if r.path.endswith("/access_tokens")]
    assert len(made) > 1
    assert not any(r.path.endswith("/installation") for r in github.requests[before:])


def test_an_apps_tokens_are_revoked_at_the_end(
    github: GitHubRest, seeded: Seeded, key_pair: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    private, public = key_pair
    github.add_repository("other/x")
    github.add_app("1234", public, {"acme": 7, "other": 8})
    made: list[str] = []
    target = app_of(github, seeded, private)

    def noted(token: str) -> None:
        made.append(token)
        seeded.add(token)

    github.on_token = noted
    target.close()
    for name in ("acme/trainer", "other/x"):
        target.list(place_of(target, repository=name))
    assert len(made) == 2
    with pace_of(target.context, target.settings.host or "github.com", 0, 0).turn("other", write=True):
        target.close()  # a write that waits, for a minute perhaps, holds nobody up
    assert not set(made) & set(github.credentials)
    before = len(github.requests)
    target.close()
    assert len(github.requests) == before
    target.list(place_of(target, repository="acme/trainer"))
    github.before = lambda _: drop()
    target.close()
    assert "could not be revoked" in caplog.text
    assert made[-1] not in caplog.text


def test_the_end_waits_for_no_thread_that_hangs(
    github: GitHubRest, seeded: Seeded, key_pair: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    github.add_app("1234", key_pair[1], {"acme": 7})
    target = app_of(github, seeded, key_pair[0], timeout=3, retries=0)
    place = place_of(target, repository="acme/trainer")
    github.before = lambda _: hang()

    def ask() -> None:
        with pytest.raises(UnreachableError):
            target.list(place)

    thread = threading.Thread(target=ask)
    thread.start()
    while not github.requests:
        time.sleep(0.01)
    begun = time.monotonic()
    target.close()
    assert time.monotonic() - begun < 2.5
    assert "could not be revoked" in caplog.text
    thread.join()


def test_an_apps_permissions_are_checked_before_anything_is_written(
    github: GitHubRest, seeded: Seeded, key_pair: tuple[str, str]
) -> None:
    private, public = key_pair
    github.add_app("1234", public, {"acme": 7}, secrets="read", environments="")
    target = app_of(github, seeded, private)
    for given in ({}, {"environment": "prod"}):
        place = place_of(target, repository="acme/trainer", **given)
        with pytest.raises(RefusedError, match="nothing was written") as caught:
            target.record(place, "one", {1: "{}"}, {})
        wanted = "Environments" if given else "Secrets"
        assert f"`{wanted}: read and write`" in caught.value.diagnostics()
    assert [path for _, path in github.log if not path.startswith("/app/")] == []


def test_apps_that_are_none(github: GitHubRest, seeded: Seeded, key_pair: tuple[str, str]) -> None:
    private, public = key_pair
    github.add_app("1234", public, {"other": 8})
    target = app_of(github, seeded, private)
    with pytest.raises(NotFoundError, match="there is none") as missing:
        target.list(place_of(target, repository="acme/trainer"))
    assert "install it" in missing.value.diagnostics()
    github.apps["1234"] = (public.replace("A", "B", 0), {"acme": 7}, github.apps["1234"][2])
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    target = app_of(github, seeded, stranger.decode())
    with pytest.raises(RefusedError, match="401") as refused:
        target.list(place_of(target, repository="acme/trainer"))
    assert "belongs to this App" in refused.value.diagnostics()
    target = app_of(github, seeded, "-----BEGIN NOTHING-----")
    with pytest.raises(UsageError, match="no RSA key"):
        target.list(place_of(target, repository="acme/trainer"))


def test_an_apps_key_from_a_file(github: GitHubRest, seeded: Seeded, key_pair: tuple[str, str], tmp_path: Path) -> None:
    private, public = key_pair
    seeded.add(private)
    github.on_token = seeded.add
    github.add_app("1234", public, {"acme": 7})
    path = tmp_path / "key.pem"
    path.write_text(private)
    seeded.allow_file(path, private)
    target = target_of(github, app_id="1234", private_key_file=str(path))
    assert target.list(place_of(target, repository="acme/trainer")).remotes == {}
    gone = target_of(github, app_id="1234", private_key_file=str(tmp_path / "none"))
    with pytest.raises(UsageError, match="can't read"):
        gone.list(place_of(gone, repository="acme/trainer"))


def test_the_jobs_own_token_is_told_apart(github: GitHubRest, seeded: Seeded) -> None:
    token = github.add_token(kind="integration", secrets="", actions_variables="")
    seeded.add(token)
    env = {"SYNC_TOKEN": token, "GITHUB_TOKEN": token, "GITHUB_ACTIONS": "true"}
    with pytest.raises(UsageError, match="can't write secrets"):
        GitHubTarget.complete(GitHubSettings(token_env="SYNC_TOKEN"), env)
    # Where only one of the two names is there, GitHub's refusal is explained.
    target = target_of(github, token=token)
    with pytest.raises(RefusedError) as caught:
        target.list(place_of(target, repository="acme/trainer"))
    assert "GITHUB_TOKEN can never have it" in caught.value.diagnostics()


def test_an_expired_token(github: GitHubRest, seeded: Seeded) -> None:
    token = github.add_token()
    seeded.add(token)
    github.credentials[token].expires_at = 0
    target = target_of(github, token=token)
    with pytest.raises(RefusedError, match="401") as caught:
        target.list(place_of(target, repository="acme/trainer"))
    assert "expired" in caught.value.diagnostics()


def test_a_token_without_single_sign_on(github: GitHubRest) -> None:
    def sso(exchange: Exchange) -> None:
        headers = {"X-GitHub-SSO": "required; url=https://github.com/orgs/acme/sso"}
        exchange.answer_json(403, {"message": "Resource protected by organization SAML enforcement."}, headers)

    github.before = lambda _: sso
    target = target_of(github)
    with pytest.raises(RefusedError) as caught:
        target.list(place_of(target, repository="acme/trainer"))
    assert "single sign-on" in caught.value.diagnostics()


@pytest.mark.parametrize("as_text", [False, True])
def test_an_enterprise_server_with_a_ca_of_its_own(ca: ThrowawayCA, tmp_path: Path, as_text: bool) -> None:
    with GitHubRest(tls=ca.server_context()) as server:
        server.add_repository("acme/trainer")
        url, path = f"{server.url}/api/v3", ca.write(tmp_path)
        stranger = target_of(server, url=url)
        with pytest.raises(UnreachableError, match="not trusted"):
            stranger.list(place_of(stranger, repository="acme/trainer"))
        target = target_of(server, url=url, ca_certificate=path.read_text() if as_text else str(path))
        place = place_of(target, repository="acme/trainer")
        assert place.address == f"github://acme/trainer?host=127.0.0.1:{server.port}"
        for kind in ("secret", "variable"):
            put(target, place_of(target, repository="acme/trainer", kind=kind), "NAME")
        assert {str(slot) for slot in target.list(place).remotes} == {"secret NAME", "variable NAME"}
        assert server.problems == []
        assert all(request.path.startswith("/api/v3/repos/") for request in server.requests)

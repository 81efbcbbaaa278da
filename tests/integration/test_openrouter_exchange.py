"""OpenRouter: what is sent, what is handed over, and what a vendor's SDK makes of it."""

import time
from typing import Any
from urllib.parse import parse_qs

import openai
import pytest

from keylease.errors import NotFoundError, RefusedError, UsageError
from keylease.exchange.openrouter import OpenRouterExchanger
from tests.contract.harness_openrouter import OpenRouterHarness, make
from tests.fakes.misbehaving import reply
from tests.fakes.openrouter_oauth import AUDIENCE, POLICY


@pytest.fixture
def router(request: pytest.FixtureRequest) -> OpenRouterHarness:
    """The fake behind a proxy."""
    return make(request)


def refused(router: OpenRouterHarness, settings: dict[str, Any] | None = None, **claims: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        router.exchanger(**(settings or {})).exchange(router.token(**claims))
    return caught.value


def test_the_request_is_the_documented_one(router: OpenRouterHarness) -> None:
    token = router.token()
    router.exchanger().exchange(token)
    (request,) = router.server.requests
    assert (request.method, request.target) == ("POST", "/api/v1/oauth/token")
    assert request.header("Content-Type") == "application/x-www-form-urlencoded"
    assert not request.header("Authorization")
    # The same fields as openrouter's `oauth.create_oauth_token` sends (components/tokenexchangerequest.py).
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["urn:ietf:params:oauth:grant-type:token-exchange"],
        "subject_token_type": ["urn:ietf:params:oauth:token-type:jwt"],
        "federation_policy_id": [POLICY],
        "subject_token": [token.jwt.reveal()],
    }


def test_an_sdk_calls_the_api_with_what_is_exported(router: OpenRouterHarness) -> None:
    lease = router.exchanger().exchange(router.token())
    assert set(lease.fields) == {"OPENROUTER_API_KEY"}
    assert lease.plain == {}
    key = lease.fields["OPENROUTER_API_KEY"].reveal()
    message: Any = [{"role": "user", "content": "Hello"}]
    with openai.OpenAI(api_key=key, base_url=f"{router.server.url}/api/v1", max_retries=0) as client:
        done = client.chat.completions.create(model="openai/gpt-4o-mini", messages=message)
    assert done.choices[0].message.content == "Hello from a lease"


@pytest.mark.parametrize(("lives", "longest", "warned"), [(120, 120, True), (3600, 900, False)])
def test_it_ends_with_the_identity_token(router: OpenRouterHarness, lives: int, longest: int, warned: bool) -> None:
    lease = router.exchanger().exchange(router.token(lifetime=lives))
    assert lease.expires_at is not None
    assert longest - 30 < lease.expires_at - time.time() <= longest
    assert any("ends with the job's identity token" in warning for warning in lease.warnings) is warned
    assert lease.revocation is None


def test_a_refusal_says_what_to_compare(router: OpenRouterHarness) -> None:
    error = refused(router, sub="repo:acme/trainer:ref:refs/heads/other")
    assert "invalid_grant: The subject token was not accepted." in error.summary
    assert "paused" in error.cause
    assert '"subject": "repo:acme/trainer:ref:refs/heads/other"' in error.change, "the policy for the refused job"
    assert error.claims["sub"] == "repo:acme/trainer:ref:refs/heads/other"
    assert error.docs.endswith("#openrouter-login")


def test_the_policy_is_named(router: OpenRouterHarness) -> None:
    error = refused(router, {"federation_policy_id": "another"})
    assert "another" in error.summary


def test_a_subject_that_is_too_long_is_told(router: OpenRouterHarness) -> None:
    assert "longer than 512 characters" in refused(router, sub="x" * 600).cause


def test_malformed_is_no_question_of_trust(router: OpenRouterHarness) -> None:
    router.proxy.fail("*", reply(413, json={"error": "invalid_request", "error_description": "too large"}))
    error = refused(router)
    assert "invalid_request: too large" in error.summary
    assert "cat <<" not in error.change


def test_another_path_is_not_the_endpoint(router: OpenRouterHarness) -> None:
    with pytest.raises(NotFoundError):
        router.exchanger(f"{router.proxy.url}/v2").exchange(router.token())


def test_trust(router: OpenRouterHarness) -> None:
    exchanger = router.exchanger()
    claims = router.token().claims
    named = {**claims, "sub": "repo:acme/trainer:ref:refs/heads/main"}
    assert any("takes over the name" in note for note in exchanger.trust(named).notes)
    elsewhere = exchanger.trust({**claims, "aud": "https://elsewhere.example"})
    assert '"audience": "https://elsewhere.example"' in elsewhere.text
    assert any("configure the same as audience" in note for note in elsewhere.notes)
    assert exchanger.trust({"sub": "x"}).text == ""


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "federation_policy_id"),
        ({"federation_policy_id": "a b"}, "federation_policy_id"),
        ({"federation_policy_id": POLICY, "audience": "*"}, "audience"),
        ({"federation_policy_id": POLICY, "url": "https://openrouter.ai.evil.example/api/v1"}, "url"),
        ({"federation_policy_id": POLICY, "url": "http://openrouter.ai/api/v1"}, "url"),
        ({"federation_policy_id": POLICY, "timeout": "soon"}, "timeout"),
        ({"federation_policy_id": POLICY, "retries": -1}, "retries"),
    ],
)
def test_settings_that_can_not_be(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError, match=f"`{key}`"):
        OpenRouterExchanger.complete(OpenRouterExchanger.Settings(**settings), {})


def test_defaults() -> None:
    made = OpenRouterExchanger.complete(OpenRouterExchanger.Settings(federation_policy_id=POLICY), {})
    assert (made.url, made.audience) == ("https://openrouter.ai/api/v1", AUDIENCE)

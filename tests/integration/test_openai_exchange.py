"""OpenAI: what is sent, what is handed over, and what OpenAI's own SDK makes of it."""

import json
import re
import time
from typing import Any

import openai
import pytest
from openai.auth._workload import WorkloadIdentityAuth

from keylease.errors import NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.exchange.openai import OpenAIExchanger
from tests.contract.harness_openai import OpenAIHarness, make
from tests.fakes.github_oidc import github_claims, gitlab_claims
from tests.fakes.misbehaving import reply, status
from tests.fakes.openai_sts import ACCOUNT, AUDIENCE, PROVIDER


@pytest.fixture
def ai(request: pytest.FixtureRequest) -> OpenAIHarness:
    """The fake behind a proxy."""
    return make(request)


def refused(ai: OpenAIHarness, settings: dict[str, Any] | None = None, **claims: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        ai.exchanger(**(settings or {})).exchange(ai.token(**claims))
    return caught.value


def test_the_request_is_the_documented_one(ai: OpenAIHarness) -> None:
    token = ai.token()
    ai.exchanger().exchange(token)
    (request,) = ai.sts.requests
    assert (request.method, request.target) == ("POST", "/oauth/token")
    assert request.header("Content-Type") == "application/json"
    assert not request.header("Authorization")
    assert request.json() == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": token.jwt.reveal(),
        "identity_provider_id": PROVIDER,
        "service_account_id": ACCOUNT,
    }


def test_the_sdk_sends_the_same_request(ai: OpenAIHarness) -> None:
    token = ai.token()
    ai.exchanger().exchange(token)
    provider: Any = {"token_type": "jwt", "get_token": token.jwt.reveal}
    WorkloadIdentityAuth(
        workload_identity={"identity_provider_id": PROVIDER, "service_account_id": ACCOUNT, "provider": provider},
        token_exchange_url=f"{ai.sts.url}/oauth/token",
    ).get_token()
    ours, theirs = ai.sts.requests
    assert ours.json() == theirs.json()


def test_the_sdk_calls_the_api_with_what_is_exported(ai: OpenAIHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = ai.exchanger(base_url=f"{ai.sts.url}/v1").exchange(ai.token())
    assert set(lease.fields) == {"OPENAI_API_KEY"}
    for name, value in lease.plain.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_API_KEY", lease.fields["OPENAI_API_KEY"].reveal())
    with openai.OpenAI(max_retries=0) as client:
        done = client.chat.completions.create(model="gpt-5.4-mini", messages=[{"role": "user", "content": "Hello"}])
    assert done.choices[0].message.content == "Hello from a lease"
    with openai.OpenAI(api_key="eyJanother", max_retries=0) as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="gpt-5.4-mini", messages=[{"role": "user", "content": "Hello"}])


def test_without_a_base_url_none_is_exported(ai: OpenAIHarness) -> None:
    assert ai.exchanger().exchange(ai.token()).plain == {}


def test_the_key_ends_with_the_identity_token(ai: OpenAIHarness) -> None:
    token = ai.token(lifetime=120)
    lease = ai.exchanger().exchange(token)
    assert lease.expires_at is not None
    assert token.expires_at is not None
    assert time.time() + 60 < lease.expires_at <= token.expires_at
    assert any("ends with the job's identity token" in warning for warning in lease.warnings)
    assert lease.revocation is None


def test_a_long_one_is_no_news(ai: OpenAIHarness) -> None:
    lease = ai.exchanger().exchange(ai.token(lifetime=3600))
    assert lease.warnings == []


def test_the_issuer_is_told_apart_from_the_rule(ai: OpenAIHarness) -> None:
    error = refused(ai, audience="https://elsewhere.example")
    assert "invalid_subject_token: Subject token verification failed: audience." in error.summary
    assert AUDIENCE in error.change
    error = refused(ai, repository_id="1")
    assert "invalid_grant: No service account mapping matches." in error.summary
    assert "no enabled rule" in error.cause
    assert '"repository_id": "1"' in error.change, "the rule for the job that was refused"
    assert error.claims["repository_id"] == "1"
    assert error.docs.endswith("#openai-login")


def test_an_unknown_provider_is_named(ai: OpenAIHarness) -> None:
    error = refused(ai, {"identity_provider_id": "wip_other"})
    assert "wip_other" in error.cause


def test_another_path_is_not_the_endpoint(ai: OpenAIHarness) -> None:
    with pytest.raises(NotFoundError) as caught:
        ai.exchanger(f"{ai.proxy.url}/v2").exchange(ai.token())
    assert "`url`" in caught.value.cause


def test_the_other_shape_of_errors_is_read_as_well(ai: OpenAIHarness) -> None:
    # As platform errors of auth.openai.com have been seen: an object below `error`.
    body = {"error": {"message": "Invalid token", "code": "invalid_subject_token", "type": "x", "secret": "S3CR3T"}}
    ai.proxy.fail("/oauth/token", reply(401, json=body))
    error = refused(ai)
    assert "invalid_subject_token: Invalid token" in error.summary
    assert "S3CR3T" not in error.diagnostics(debug=True)


@pytest.mark.parametrize("lifetime", [0, -5])
def test_expired_on_arrival(ai: OpenAIHarness, lifetime: int) -> None:
    ai.sts.extra = {"expires_in": lifetime}
    error = refused(ai)
    assert "already expired on arrival" in error.summary
    assert "clock" in error.cause
    assert error.retry_with_new_token


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ({"access_token": None}, "no access_token"),
        ({"access_token": ["x"]}, "no access_token"),
        ({"expires_in": "soon"}, "no usable expires_in"),
        ({"expires_in": None}, "no usable expires_in"),
        ({"token_type": "N_A"}, "not Bearer"),
    ],
)
def test_other_answers_are_none(ai: OpenAIHarness, extra: dict[str, Any], what: str) -> None:
    ai.sts.extra = extra
    with pytest.raises(UnreachableError, match=what):
        ai.exchanger().exchange(ai.token())


def test_throttling_to_the_end(ai: OpenAIHarness) -> None:
    ai.proxy.always("/oauth/token", status(429))
    with pytest.raises(UnreachableError, match="429 after all attempts"):
        ai.exchanger().exchange(ai.token())
    assert len(ai.proxy.requests) == 3


def test_a_firewalls_page_is_no_refusal_of_the_rule(ai: OpenAIHarness) -> None:
    ai.proxy.fail(
        "/oauth/token", reply(403, body=b"<html>Sorry, you have been blocked</html>", content_type="text/html")
    )
    error = refused(ai)
    assert "HTTP 403" in error.summary
    assert "firewall" in error.cause
    assert "blocked" not in error.diagnostics(debug=True)


# Settings.


def test_fallbacks_of_the_environment() -> None:
    env = {
        "OPENAI_IDENTITY_PROVIDER_ID": PROVIDER,
        "OPENAI_SERVICE_ACCOUNT_ID": ACCOUNT,
        "OPENAI_WIF_AUDIENCE": "wif://acme",
    }
    s = OpenAIExchanger.complete(OpenAIExchanger.Settings(timeout="1m30s"), env)
    assert (s.identity_provider_id, s.service_account_id, s.audience) == (PROVIDER, ACCOUNT, "wif://acme")
    assert (s.url, s.timeout) == ("https://auth.openai.com", 90.0)
    assert OpenAIExchanger.complete(s, {}) == s


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"identity_provider_id": ""}, "identity_provider_id"),
        ({"identity_provider_id": "wip/../x"}, "identity_provider_id"),
        ({"service_account_id": "a b"}, "service_account_id"),
        ({"service_account_id": "$(id)"}, "service_account_id"),
        ({"project_id": "p;x"}, "project_id"),
        ({"audience": "a\nb"}, "audience"),
        ({"audience": "https://*"}, "audience"),
        ({"url": "https://evil.example"}, "url"),
        ({"url": "http://auth.openai.com"}, "url"),
        ({"url": "https://api.openai.com.evil.example"}, "url"),
        ({"base_url": "https://evil.example/v1"}, "base_url"),
        ({"timeout": "never"}, "timeout"),
        ({"timeout": 0}, "timeout"),
        ({"retries": 99}, "retries"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, Any], key: str) -> None:
    settings = OpenAIExchanger.Settings(**{"identity_provider_id": PROVIDER, "service_account_id": ACCOUNT, **given})
    with pytest.raises(UsageError) as caught:
        OpenAIExchanger.complete(settings, {})
    assert f"OpenAI: `{key}`" in caught.value.summary
    assert caught.value.change


# The rule.


def rule_of(ai: OpenAIHarness, claims: dict[str, Any], **settings: Any) -> dict[str, Any]:
    text = ai.exchanger(**settings).trust(claims).text
    found = re.fullmatch(r"(curl .*) <<'EOF'\n(.*)\nEOF", text, re.DOTALL)
    assert found
    assert f"/organization/workload_identity_providers/{PROVIDER}/federation_rules" in found[1]
    made: dict[str, Any] = json.loads(found[2])
    return made


def claims_of(**more: Any) -> dict[str, Any]:
    return {"iss": "https://token.actions.githubusercontent.com", "aud": AUDIENCE, **github_claims(), **more}


def test_the_rule_binds_ids_and_ref(ai: OpenAIHarness) -> None:
    rule = rule_of(ai, claims_of(), project_id="proj_1")
    assert rule == {
        "attribute_matchers": {
            "iss": "https://token.actions.githubusercontent.com",
            "aud": AUDIENCE,
            "repository_owner_id": "6539",
            "repository_id": "817264",
            "ref": "refs/heads/main",
        },
        "project_id": "proj_1",
        "service_account_id": ACCOUNT,
        "permissions": {"type": "restricted", "scopes": ["api.model.request"]},
    }


def test_the_rule_has_the_fields_that_the_sdk_sends(ai: OpenAIHarness) -> None:
    from openai.types.admin.organization.workload_identity_providers import FederationRuleCreateParams

    known = FederationRuleCreateParams.__annotations__
    assert set(rule_of(ai, claims_of())) <= set(known)


def test_the_rule_of_an_environment_and_of_another_platform(ai: OpenAIHarness) -> None:
    bound = rule_of(ai, claims_of(**github_claims(environment="prod")))["attribute_matchers"]
    assert bound["environment"] == "prod"
    assert "ref" not in bound
    gitlab = {"iss": "https://gitlab.com", "aud": AUDIENCE, **gitlab_claims()}
    assert rule_of(ai, gitlab)["attribute_matchers"]["project_id"] == "20"
    assert any("GitHub Actions only" in note for note in ai.exchanger().trust(gitlab).notes)
    other = {"iss": "https://ci.example", "aud": AUDIENCE, "sub": "job:1"}
    assert rule_of(ai, other)["attribute_matchers"] == {"iss": "https://ci.example", "aud": AUDIENCE, "sub": "job:1"}


@pytest.mark.parametrize("name", ["pro*", "*"])
def test_no_claim_becomes_a_wildcard(ai: OpenAIHarness, name: str) -> None:
    trust = ai.exchanger().trust(claims_of(environment=name))
    assert trust.text == ""
    assert any("wildcard" in note for note in trust.notes)


@pytest.mark.parametrize("ref", ["x'$(id)", "x\nEOF\nid", "x\u202e", 'x"}'])
def test_the_rule_is_safe_to_paste(ai: OpenAIHarness, ref: str) -> None:
    claims = claims_of(ref=ref)
    text = ai.exchanger().trust(claims).text
    assert text.isascii()
    assert text.count("\nEOF") == 1
    assert rule_of(ai, claims)["attribute_matchers"]["ref"] == ref


def test_no_claims_no_rule(ai: OpenAIHarness) -> None:
    assert ai.exchanger().trust({"aud": AUDIENCE}).text == ""

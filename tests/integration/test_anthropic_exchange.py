"""Anthropic: what is sent, what is handed over, and what Anthropic's own SDK makes of it."""

import json
import re
import time
from typing import Any

import anthropic
import pytest
from anthropic.lib.credentials import exchange_federation_assertion

from keylease.errors import NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.exchange.anthropic import AnthropicExchanger
from tests.contract.harness_anthropic import AnthropicHarness, make
from tests.fakes.anthropic_oauth import ACCOUNT, AUDIENCE, ORGANIZATION, RULE, WORKSPACE
from tests.fakes.github_oidc import github_claims, gitlab_claims
from tests.fakes.misbehaving import reply

GIVEN = {"federation_rule_id": RULE, "organization_id": ORGANIZATION, "service_account_id": ACCOUNT}


@pytest.fixture
def claude(request: pytest.FixtureRequest) -> AnthropicHarness:
    """The fake behind a proxy."""
    return make(request)


def refused(claude: AnthropicHarness, settings: dict[str, Any] | None = None, **claims: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        claude.exchanger(**(settings or {})).exchange(claude.token(**claims))
    return caught.value


@pytest.mark.parametrize("workspace", ["", WORKSPACE, "default"])
def test_the_request_is_the_documented_one(claude: AnthropicHarness, workspace: str) -> None:
    token = claude.token()
    claude.exchanger(workspace_id=workspace).exchange(token)
    (request,) = claude.server.requests
    assert (request.method, request.target) == ("POST", "/v1/oauth/token")
    assert request.header("Content-Type") == "application/json"
    assert not request.header("Authorization")
    assert request.json() == {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": token.jwt.reveal(),
        **GIVEN,
        **({"workspace_id": workspace} if workspace else {}),
    }


def test_the_sdk_sends_the_same_request(claude: AnthropicHarness) -> None:
    first, second = claude.token(), claude.token()
    claude.exchanger(workspace_id=WORKSPACE).exchange(first)
    issued = exchange_federation_assertion(
        assertion=second.jwt.reveal(),
        base_url=claude.server.url,
        workspace_id=WORKSPACE,
        federation_rule_id=RULE,
        organization_id=ORGANIZATION,
        service_account_id=ACCOUNT,
    )
    assert claude.server.is_alive(issued.token)
    ours, theirs = (request.json() for request in claude.server.requests)
    assert {**ours, "assertion": second.jwt.reveal()} == theirs


def test_the_sdk_calls_the_api_with_what_is_exported(claude: AnthropicHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = claude.exchanger().exchange(claude.token())
    assert set(lease.fields) == {"ANTHROPIC_AUTH_TOKEN"}
    assert lease.plain == {"ANTHROPIC_BASE_URL": claude.proxy.url}
    for name, value in {**lease.plain, "ANTHROPIC_AUTH_TOKEN": lease.fields["ANTHROPIC_AUTH_TOKEN"].reveal()}.items():
        monkeypatch.setenv(name, value)
    with anthropic.Anthropic(max_retries=0) as client:
        done = client.messages.create(
            model="claude-sonnet-4-6", max_tokens=16, messages=[{"role": "user", "content": "Hello"}]
        )
    assert [block.text for block in done.content if block.type == "text"] == ["Hello from a lease"]
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "sk-ant-oat01-another")
    with anthropic.Anthropic(max_retries=0) as client, pytest.raises(anthropic.AuthenticationError):
        client.messages.create(
            model="claude-sonnet-4-6", max_tokens=16, messages=[{"role": "user", "content": "Hello"}]
        )


def test_the_lifetime_is_the_servers(claude: AnthropicHarness) -> None:
    lease = claude.exchanger().exchange(claude.token(lifetime=300))
    assert lease.expires_at is not None
    assert 560 < lease.expires_at - time.time() <= 600
    assert lease.revocation is None
    assert lease.warnings == []


def test_an_api_key_in_the_job_is_told(claude: AnthropicHarness) -> None:
    claude.context.env = {"ANTHROPIC_API_KEY": ""}
    lease = claude.exchanger().exchange(claude.token())
    assert any("wins over ANTHROPIC_AUTH_TOKEN" in warning for warning in lease.warnings)


@pytest.mark.parametrize("observed", [False, True], ids=["documented", "observed"])
def test_a_mismatch_is_refused_for_good(claude: AnthropicHarness, observed: bool) -> None:
    claude.server.observed = observed
    error = refused(claude, repository_id="1")
    assert ("authentication_error" if observed else "invalid_grant") in error.summary
    assert "in its Console only" in error.cause
    assert "workspace_id" in error.cause
    assert '"repository_id": "1"' in error.change, "the rule for the job that was refused"
    assert error.docs.endswith("#anthropic-login")
    assert error.detail["request id"] == "req_0123"
    assert not error.retry_with_new_token
    assert len(claude.proxy.requests) == 1


def test_a_token_is_good_for_one_exchange(claude: AnthropicHarness) -> None:
    token = claude.token()
    claude.exchanger().exchange(token)
    with pytest.raises(RefusedError) as caught:
        claude.exchanger().exchange(token)
    assert caught.value.retry_with_new_token
    assert "used up" in caught.value.cause
    assert claude.is_alive(claude.exchanger().exchange(claude.token()))


def test_a_lost_answer_wants_a_new_token(claude: AnthropicHarness) -> None:
    claude.server.lose_next = 1
    exchanger = claude.exchanger(claude.server.url)  # a proxy would answer 502
    with pytest.raises(RefusedError) as caught:
        exchanger.exchange(claude.token())
    assert len(claude.server.requests) == 2
    assert caught.value.retry_with_new_token
    assert claude.is_alive(exchanger.exchange(claude.token()))


def test_several_workspaces(claude: AnthropicHarness) -> None:
    claude.server.workspaces = 2
    error = refused(claude)
    assert "workspace_id_required" in error.summary
    assert error.cause == "the rule is enabled for several workspaces"
    assert error.change.startswith("workspace_id: ")
    assert claude.is_alive(claude.exchanger(workspace_id=WORKSPACE).exchange(claude.token()))


def test_another_rule_and_another_path(claude: AnthropicHarness) -> None:
    assert "fdrl_other" in refused(claude, {"federation_rule_id": "fdrl_other"}).cause
    with pytest.raises(NotFoundError) as caught:
        claude.exchanger(f"{claude.proxy.url}/v2").exchange(claude.token())
    assert "`url`" in caught.value.cause


def test_the_body_is_not_shown(claude: AnthropicHarness) -> None:
    body = {"type": "error", "error": {"type": "invalid_grant", "message": "no"}, "echo": "S3CR3T"}
    claude.proxy.fail("/v1/oauth/token", reply(400, json=body))
    assert "S3CR3T" not in refused(claude).diagnostics(debug=True)


def test_a_token_that_is_too_large_is_not_sent(claude: AnthropicHarness) -> None:
    with pytest.raises(UsageError, match="16 KiB"):
        claude.exchanger().exchange(claude.token(groups="x" * 20_000))
    assert claude.proxy.requests == []


@pytest.mark.parametrize(
    ("extra", "what"), [({"access_token": None}, "no access_token"), ({"expires_in": "x"}, "expires")]
)
def test_other_answers_are_none(claude: AnthropicHarness, extra: dict[str, Any], what: str) -> None:
    claude.server.extra = extra
    with pytest.raises(UnreachableError, match=what):
        claude.exchanger().exchange(claude.token())


def test_expired_on_arrival(claude: AnthropicHarness) -> None:
    claude.server.extra = {"expires_in": 0}
    error = refused(claude)
    assert "already expired on arrival" in error.summary
    assert error.retry_with_new_token


def test_a_firewalls_page_is_no_refusal_of_the_rule(claude: AnthropicHarness) -> None:
    claude.proxy.fail(
        "/v1/oauth/token", reply(403, body=b"<html>Sorry, you have been blocked</html>", content_type="text/html")
    )
    error = refused(claude)
    assert "HTTP 403" in error.summary
    assert "firewall" in error.cause
    assert "blocked" not in error.diagnostics(debug=True)


# Settings.


def test_fallbacks_of_the_environment() -> None:
    env = {f"ANTHROPIC_{name.upper()}": value for name, value in {**GIVEN, "workspace_id": "default"}.items()}
    s = AnthropicExchanger.complete(AnthropicExchanger.Settings(), env)
    assert {name: getattr(s, name) for name in GIVEN} == GIVEN
    assert (s.workspace_id, s.url, s.audience) == ("default", "https://api.anthropic.com", AUDIENCE)
    assert AnthropicExchanger.complete(s, {}) == s


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"federation_rule_id": ""}, "federation_rule_id"),
        ({"federation_rule_id": "rule_1"}, "federation_rule_id"),
        ({"organization_id": ""}, "organization_id"),
        ({"organization_id": "acme"}, "organization_id"),
        ({"service_account_id": "svac_1'"}, "service_account_id"),
        ({"workspace_id": "mine"}, "workspace_id"),
        ({"issuer_id": "fdrl_1"}, "issuer_id"),
        ({"audience": "é"}, "audience"),
        ({"url": "https://api.anthropic.com.evil.example"}, "url"),
        ({"url": "http://api.anthropic.com"}, "url"),
        ({"timeout": "2h"}, "timeout"),
        ({"retries": -1}, "retries"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError) as caught:
        AnthropicExchanger.complete(AnthropicExchanger.Settings(**{**GIVEN, **given}), {})
    assert f"Anthropic: `{key}`" in caught.value.summary
    assert caught.value.change


# The rule.


def rule_of(claude: AnthropicHarness, claims: dict[str, Any], **settings: Any) -> dict[str, Any]:
    text = claude.exchanger(**settings).trust(claims).text
    found = re.fullmatch(r"(curl .*) <<'EOF'\n(.*)\nEOF", text, re.DOTALL)
    assert found
    made: dict[str, Any] = json.loads(found[2])
    return made


def claims_of(**more: Any) -> dict[str, Any]:
    return {"iss": "https://token.actions.githubusercontent.com", "aud": AUDIENCE, **github_claims(), **more}


def test_the_rule_binds_ids_and_ref(claude: AnthropicHarness) -> None:
    assert rule_of(claude, claims_of(), issuer_id="fdis_1", workspace_id=WORKSPACE) == {
        "name": "ci-github",
        "issuer_id": "fdis_1",
        "match": {
            "audience": AUDIENCE,
            "claims": {
                "repository_owner_id": "6539",
                "repository_id": "817264",
                "repository_owner": "acme",
                "ref": "refs/heads/main",
            },
        },
        "target": {"type": "service_account", "service_account_id": ACCOUNT},
        "workspace_id": WORKSPACE,
        "oauth_scope": "workspace:inference",
        "token_lifetime_seconds": 600,
    }


def test_the_rule_has_the_fields_that_the_sdk_sends(claude: AnthropicHarness) -> None:
    from anthropic.types.organization.federation import FederationRuleMatchParam, RuleCreateParams

    rule = rule_of(claude, claims_of())
    assert set(rule) <= set(RuleCreateParams.__annotations__)
    assert set(rule["match"]) <= set(FederationRuleMatchParam.__annotations__)


def test_the_rule_of_other_platforms_binds_the_subject(claude: AnthropicHarness) -> None:
    claims = gitlab_claims()
    match = rule_of(claude, {"iss": "https://gitlab.com", "aud": AUDIENCE, **claims})["match"]
    assert match["subject_prefix"] == claims["sub"]
    assert match["claims"]["project_id"] == "20"
    other = rule_of(claude, {"iss": "https://ci.example", "aud": AUDIENCE, "sub": "job:1"})["match"]
    assert other == {"audience": AUDIENCE, "subject_prefix": "job:1"}


@pytest.mark.parametrize("claims", [claims_of(environment="*"), {"iss": "x", "aud": AUDIENCE, "sub": "job:*"}])
def test_no_claim_becomes_a_wildcard(claude: AnthropicHarness, claims: dict[str, Any]) -> None:
    trust = claude.exchanger().trust(claims)
    assert trust.text == ""
    assert any("wildcard" in note for note in trust.notes)


@pytest.mark.parametrize("ref", ["x'$(id)", "x\nEOF\nid", "x\u202e", 'x"}'])
def test_the_rule_is_safe_to_paste(claude: AnthropicHarness, ref: str) -> None:
    claims = claims_of(ref=ref)
    text = claude.exchanger().trust(claims).text
    assert text.isascii()
    assert text.count("\nEOF") == 1
    assert rule_of(claude, claims)["match"]["claims"]["ref"] == ref

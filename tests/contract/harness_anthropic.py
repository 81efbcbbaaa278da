"""Anthropic: a fake that verifies the token as Anthropic says it does, and takes it once."""

from typing import Any

import pytest

from keylease.context import Context
from keylease.exchange.anthropic import AnthropicExchanger
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Lease
from tests.contract.harness import Harness
from tests.fakes.anthropic_oauth import ACCOUNT, AUDIENCE, ORGANIZATION, RULE, AnthropicOAuth
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Proxy, reply
from tests.fakes.verifier import Verifier


class AnthropicHarness(Harness):
    audience = AUDIENCE
    login_pattern = "/v1/oauth/token"
    garbage: tuple[object, ...] = (
        {},
        {"access_token": 5, "token_type": "Bearer", "expires_in": 60},
        {"access_token": "", "token_type": "Bearer", "expires_in": 60},
        {"access_token": "sk-ant-oat01-x y", "token_type": "Bearer", "expires_in": 60},
        {"access_token": "sk-ant-oat01-xyz-1", "token_type": "mac", "expires_in": 60},
        {"access_token": "sk-ant-oat01-xyz-2", "token_type": "Bearer"},
        {"access_token": "sk-ant-oat01-xyz-3", "token_type": "Bearer", "expires_in": 0},
        {"access_token": "sk-ant-oat01-xyz-4", "token_type": "Bearer", "expires_in": -60},
        {"access_token": "sk-ant-oat01-xyz-5", "token_type": "Bearer", "expires_in": 1e300},
        {"access_token": "sk-ant-oat01-xyz-6", "token_type": "Bearer", "expires_in": True},
    )

    # https://platform.claude.com/docs/en/api/errors
    throttled = staticmethod(
        reply(429, json={"type": "error", "error": {"type": "rate_limit_error", "message": "Too many"}})
    )
    unavailable = staticmethod(
        reply(529, json={"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    )

    def __init__(self, issuer: OIDCIssuer, server: AnthropicOAuth, proxy: Proxy) -> None:
        self.issuer, self.server, self.proxy = issuer, server, proxy
        self.context = Context({}, Masker(), Deadline(20))

    def exchanger(self, url: str | None = None, **settings: Any) -> AnthropicExchanger:
        given = {
            "federation_rule_id": RULE,
            "organization_id": ORGANIZATION,
            "service_account_id": ACCOUNT,
            "retries": 2,
            "timeout": 5.0,
        }
        made = AnthropicExchanger.Settings(**{**given, "url": url or self.proxy.url, **settings})
        return AnthropicExchanger("claude", AnthropicExchanger.complete(made, self.context.env), self.context)

    def is_alive(self, lease: Lease) -> bool:
        return self.server.is_alive(lease.fields["ANTHROPIC_AUTH_TOKEN"].reveal())


def verifier(issuer: OIDCIssuer, audience: str) -> Verifier:
    """What the rule that `trust` prints would admit."""
    names = ("repository_owner_id", "repository_id", "repository", "ref")
    return Verifier(issuer, audience, claims={name: issuer.claims[name] for name in names})


def make(request: pytest.FixtureRequest) -> AnthropicHarness:
    """See tests/contract/test_exchange.py."""
    issuer = request.getfixturevalue("issuer")
    server = AnthropicOAuth(verifier(issuer, AUDIENCE)).start()
    request.addfinalizer(server.stop)
    proxy = Proxy(server.url).start()
    request.addfinalizer(proxy.stop)
    return AnthropicHarness(issuer, server, proxy)

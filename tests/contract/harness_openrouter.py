"""OpenRouter: a fake that verifies the token as OpenRouter says it does."""

from typing import Any

import pytest

from keylease.context import Context
from keylease.exchange.openrouter import OpenRouterExchanger
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Lease
from tests.contract.harness import Harness
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Proxy, reply
from tests.fakes.openrouter_oauth import AUDIENCE, POLICY, OpenRouterOAuth
from tests.fakes.verifier import Verifier


class OpenRouterHarness(Harness):
    audience = AUDIENCE
    login_pattern = "/api/v1/oauth/token"
    garbage: tuple[object, ...] = (
        {},
        {"access_token": 5, "token_type": "Bearer", "expires_in": 60},
        {"access_token": "", "token_type": "Bearer", "expires_in": 60},
        {"access_token": "eyJx y", "token_type": "Bearer", "expires_in": 60},
        {"access_token": "eyJxyz-1", "token_type": "mac", "expires_in": 60},
        {"access_token": "eyJxyz-2", "token_type": "Bearer"},
        {"access_token": "eyJxyz-3", "token_type": "Bearer", "expires_in": 0},
        {"access_token": "eyJxyz-4", "token_type": "Bearer", "expires_in": True},
    )
    other = {"sub": "repo:evil/fork:ref:refs/heads/main", "repository": "evil/fork"}  # noqa: RUF012
    # "Errors" of the guide.
    throttled = staticmethod(
        reply(429, json={"error": "invalid_request", "error_description": "Slow"}, headers={"Retry-After": "0"})
    )
    unavailable = staticmethod(
        reply(503, json={"error": "temporarily_unavailable", "error_description": "The issuer's keys can't be had"})
    )

    def __init__(self, issuer: OIDCIssuer, server: OpenRouterOAuth, proxy: Proxy) -> None:
        self.issuer, self.server, self.proxy = issuer, server, proxy
        self.context = Context({}, Masker(), Deadline(20))

    def exchanger(self, url: str | None = None, **settings: Any) -> OpenRouterExchanger:
        given = {"federation_policy_id": POLICY, "retries": 2, "timeout": 5.0}
        made = OpenRouterExchanger.Settings(**{**given, "url": f"{url or self.proxy.url}/api/v1", **settings})
        return OpenRouterExchanger("router", OpenRouterExchanger.complete(made, self.context.env), self.context)

    def is_alive(self, lease: Lease) -> bool:
        return self.server.is_alive(lease.fields["OPENROUTER_API_KEY"].reveal())


def make(request: pytest.FixtureRequest) -> OpenRouterHarness:
    """See tests/contract/test_exchange.py."""
    issuer = request.getfixturevalue("issuer")
    server = OpenRouterOAuth(Verifier(issuer, AUDIENCE, subject=issuer.claims["sub"])).start()
    request.addfinalizer(server.stop)
    proxy = Proxy(server.url).start()
    request.addfinalizer(proxy.stop)
    return OpenRouterHarness(issuer, server, proxy)

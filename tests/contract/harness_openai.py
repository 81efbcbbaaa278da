"""OpenAI: a fake that verifies the token as OpenAI says it does."""

from typing import Any

import pytest

from keylease.context import Context
from keylease.exchange.openai import OpenAIExchanger
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Lease
from tests.contract.harness import Harness
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Proxy, reply
from tests.fakes.openai_sts import ACCOUNT, AUDIENCE, PROVIDER, OpenAISts
from tests.fakes.verifier import Verifier


class OpenAIHarness(Harness):
    audience = AUDIENCE
    login_pattern = "/oauth/token"
    garbage: tuple[object, ...] = (
        {},
        {"access_token": 5, "token_type": "Bearer", "expires_in": 60},
        {"access_token": "", "token_type": "Bearer", "expires_in": 60},
        {"access_token": "eyJx y", "token_type": "Bearer", "expires_in": 60},
        {"access_token": "eyJxyz-1", "token_type": "mac", "expires_in": 60},
        {"access_token": "eyJxyz-2", "token_type": "Bearer"},
        {"access_token": "eyJxyz-3", "token_type": "Bearer", "expires_in": 0},
        {"access_token": "eyJxyz-4", "token_type": "Bearer", "expires_in": -60},
        {"access_token": "eyJxyz-5", "token_type": "Bearer", "expires_in": 1e300},
        {"access_token": "eyJxyz-6", "token_type": "Bearer", "expires_in": True},
    )

    # https://developers.openai.com/api/docs/guides/error-codes
    throttled = staticmethod(
        reply(429, json={"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}})
    )
    unavailable = staticmethod(
        reply(
            503, json={"error": {"message": "The engine is currently overloaded", "type": "service_unavailable_error"}}
        )
    )

    def __init__(self, issuer: OIDCIssuer, sts: OpenAISts, proxy: Proxy) -> None:
        self.issuer, self.sts, self.proxy = issuer, sts, proxy
        self.context = Context({}, Masker(), Deadline(20))

    def exchanger(self, url: str | None = None, **settings: Any) -> OpenAIExchanger:
        given = {"identity_provider_id": PROVIDER, "service_account_id": ACCOUNT, "retries": 2, "timeout": 5.0}
        made = OpenAIExchanger.Settings(**{**given, "url": url or self.proxy.url, **settings})
        return OpenAIExchanger("ai", OpenAIExchanger.complete(made, self.context.env), self.context)

    def is_alive(self, lease: Lease) -> bool:
        return self.sts.is_alive(lease.fields["OPENAI_API_KEY"].reveal())


def verifier(issuer: OIDCIssuer, audience: str) -> Verifier:
    """What the rule that `trust` prints would admit."""
    names = ("repository_owner_id", "repository_id", "repository", "ref")
    return Verifier(issuer, audience, claims={name: issuer.claims[name] for name in names})


def make(request: pytest.FixtureRequest) -> OpenAIHarness:
    """See tests/contract/test_exchange.py."""
    issuer = request.getfixturevalue("issuer")
    sts = OpenAISts(verifier(issuer, AUDIENCE)).start()
    request.addfinalizer(sts.stop)
    proxy = Proxy(sts.url).start()
    request.addfinalizer(proxy.stop)
    return OpenAIHarness(issuer, sts, proxy)

"""Azure: a fake that verifies the assertion as Entra's documentation says it does."""

from collections.abc import Mapping
from typing import Any

import pytest

from keylease.context import Context
from keylease.exchange.azure import AzureExchanger
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Lease
from tests.contract.harness import Harness
from tests.fakes.azure_entra import AUDIENCE, CLIENT, TENANT, AzureEntra
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Proxy, reply
from tests.fakes.verifier import Verifier


class AzureHarness(Harness):
    audience = AUDIENCE
    login_pattern = "*/oauth2/v2.0/token"
    garbage: tuple[object, ...] = (
        {},
        {"access_token": 5, "token_type": "Bearer", "expires_in": 60},
        {"access_token": "", "token_type": "Bearer", "expires_in": 60},
        {"access_token": "eyJx y", "token_type": "Bearer", "expires_in": 60},
        {"access_token": "eyJxyz-1", "token_type": "pop", "expires_in": 60},
        {"access_token": "eyJxyz-2", "token_type": "Bearer"},
        {"access_token": "eyJxyz-3", "token_type": "Bearer", "expires_in": 0},
        {"access_token": "eyJxyz-4", "token_type": "Bearer", "expires_in": -60},
        {"access_token": "eyJxyz-5", "token_type": "Bearer", "expires_in": 1e300},
    )
    # https://learn.microsoft.com/entra/identity-platform/reference-error-codes (90033; 90024 with 429)
    throttled = staticmethod(reply(429, json={"error": "temporarily_unavailable", "error_codes": [90024]}))
    unavailable = staticmethod(reply(400, json={"error": "temporarily_unavailable", "error_codes": [90033]}))
    other = {"sub": "repo:evil/fork:ref:refs/heads/main", "repository": "evil/fork"}  # noqa: RUF012

    def __init__(self, issuer: OIDCIssuer, entra: AzureEntra, proxy: Proxy) -> None:
        self.issuer, self.entra, self.proxy = issuer, entra, proxy
        self.context = self.new_context({})

    def new_context(self, env: Mapping[str, str]) -> Context:
        """A run with `env` as its environment; the exchangers made later belong to it."""
        self.context = Context(dict(env), Masker(), Deadline(20))
        return self.context

    def exchanger(self, url: str | None = None, **settings: Any) -> AzureExchanger:
        given = {"tenant_id": TENANT, "client_id": CLIENT, "retries": 2, "timeout": 5.0}
        made = AzureExchanger.Settings(**{**given, "authority_host": url or self.proxy.url, **settings})
        return AzureExchanger("azure", AzureExchanger.complete(made, self.context.env), self.context)

    def is_alive(self, lease: Lease) -> bool:
        return self.entra.is_alive(lease.fields["AZURE_ACCESS_TOKEN"].reveal())


def make(request: pytest.FixtureRequest) -> AzureHarness:
    """See tests/contract/test_exchange.py."""
    issuer = request.getfixturevalue("issuer")
    entra = AzureEntra(Verifier(issuer, AUDIENCE, subject=issuer.claims["sub"])).start()
    request.addfinalizer(entra.stop)
    proxy = Proxy(entra.url).start()
    request.addfinalizer(proxy.stop)
    return AzureHarness(issuer, entra, proxy)

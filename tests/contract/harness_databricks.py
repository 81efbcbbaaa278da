"""Databricks: a fake that verifies the token as its documentation says it does."""

from collections.abc import Mapping
from typing import Any

import pytest

from keylease.context import Context
from keylease.exchange.databricks import DatabricksExchanger
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Lease
from tests.contract.harness import Harness
from tests.fakes.databricks_oidc import ACCOUNT, CLIENT, DatabricksOidc
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Proxy, reply
from tests.fakes.verifier import Verifier


class DatabricksHarness(Harness):
    audience = ACCOUNT
    login_pattern = "/oidc/*"
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
    )
    other = {"sub": "repo:evil/fork:ref:refs/heads/main", "repository": "evil/fork"}  # noqa: RUF012

    # Codes: databricks/sdk/errors/mapping.py (`ERROR_CODE_MAPPING`) of databricks-sdk.
    throttled = staticmethod(reply(429, json={"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Too many"}))
    unavailable = staticmethod(reply(503, json={"error_code": "TEMPORARILY_UNAVAILABLE", "message": "Try again"}))

    def __init__(self, issuer: OIDCIssuer, oidc: DatabricksOidc, proxy: Proxy) -> None:
        self.issuer, self.oidc, self.proxy = issuer, oidc, proxy
        self.context = self.new_context({})

    def new_context(self, env: Mapping[str, str]) -> Context:
        """A run with `env` as its environment; the exchangers made later belong to it."""
        self.context = Context(dict(env), Masker(), Deadline(20))
        return self.context

    def exchanger(self, url: str | None = None, **settings: Any) -> DatabricksExchanger:
        given = {"client_id": CLIENT, "account_id": ACCOUNT, "retries": 2, "timeout": 5.0}
        made = DatabricksExchanger.Settings(**{**given, "host": url or self.proxy.url, **settings})
        complete = DatabricksExchanger.complete(made, self.context.env)
        return DatabricksExchanger("lakehouse", complete, self.context)

    def is_alive(self, lease: Lease) -> bool:
        return self.oidc.is_alive(lease.fields["DATABRICKS_TOKEN"].reveal())


def make(request: pytest.FixtureRequest) -> DatabricksHarness:
    """See tests/contract/test_exchange.py."""
    issuer = request.getfixturevalue("issuer")
    oidc = DatabricksOidc(Verifier(issuer, ACCOUNT, subject=issuer.claims["sub"])).start()
    request.addfinalizer(oidc.stop)
    proxy = Proxy(oidc.url).start()
    request.addfinalizer(proxy.stop)
    return DatabricksHarness(issuer, oidc, proxy)

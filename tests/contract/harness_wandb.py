"""Weights & Biases: a fake that verifies the token as its documentation says it does."""

from typing import Any

import pytest

from keylease.context import Context
from keylease.exchange.wandb import WandbExchanger
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Lease
from tests.contract.harness import Harness
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Proxy
from tests.fakes.verifier import Verifier
from tests.fakes.wandb_oidc import ACCOUNT, ORGANIZATION, WandbOidc


class WandbHarness(Harness):
    audience = ORGANIZATION
    login_pattern = "/oidc/token"
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

    def __init__(self, issuer: OIDCIssuer, server: WandbOidc, proxy: Proxy) -> None:
        self.issuer, self.server, self.proxy = issuer, server, proxy
        self.context = Context({}, Masker(), Deadline(20))

    def exchanger(self, url: str | None = None, **settings: Any) -> WandbExchanger:
        given = {"audience": ORGANIZATION, "service_account": ACCOUNT, "retries": 2, "timeout": 5.0}
        made = WandbExchanger.Settings(**{**given, "base_url": url or self.proxy.url, **settings})
        return WandbExchanger("wb", WandbExchanger.complete(made, self.context.env), self.context)

    def is_alive(self, lease: Lease) -> bool:
        return self.server.is_alive(lease.fields["WANDB_ACCESS_TOKEN"].reveal())


def make(request: pytest.FixtureRequest) -> WandbHarness:
    """See tests/contract/test_exchange.py."""
    issuer = request.getfixturevalue("issuer")
    server = WandbOidc(Verifier(issuer, ORGANIZATION, subject=issuer.claims["sub"])).start()
    request.addfinalizer(server.stop)
    proxy = Proxy(server.url).start()
    request.addfinalizer(proxy.stop)
    return WandbHarness(issuer, server, proxy)

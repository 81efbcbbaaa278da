"""Vault: a real OpenBao."""

from typing import Any

import pytest

from keylease.exchange.base import Exchanger
from keylease.model import IdentityToken, Lease
from tests.contract.harness import Harness
from tests.fakes.misbehaving import Proxy
from tests.integration.vault_job import Job
from tests.servers.trust import Trust


class VaultHarness(Harness):
    login_pattern = "/v1/auth/*/login"
    garbage: tuple[object, ...] = ({}, {"auth": None}, {"auth": {"client_token": 5}}, {"auth": {"client_token": ""}})

    def __init__(self, trust: Trust, proxy: Proxy) -> None:
        self.proxy = proxy
        self._job = Job(trust, url=proxy.url)

    def exchanger(self, url: str | None = None) -> Exchanger:
        return self._job.exchanger(**({"url": url} if url else {}))

    def token(self, **claims: Any) -> IdentityToken:
        return self._job.token(**claims)

    def is_alive(self, lease: Lease) -> bool:
        return self._job.trust.bao.token_lookup(lease.fields["VAULT_TOKEN"].reveal()) is not None


def make(request: pytest.FixtureRequest) -> Harness:
    """See tests/contract/test_exchange.py."""
    return VaultHarness(request.getfixturevalue("trust"), request.getfixturevalue("proxy"))

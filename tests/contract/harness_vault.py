"""Vault: a real OpenBao."""

from typing import Any

import pytest

from keylease.exchange.base import Exchanger
from keylease.model import IdentityToken, Lease
from tests.contract.harness import Harness
from tests.fakes.misbehaving import Behaviour, Proxy, reply, status, too_many
from tests.integration.vault_job import Job
from tests.servers.trust import Trust


class VaultHarness(Harness):
    login_pattern = "/v1/auth/*/login"
    garbage: tuple[object, ...] = ({}, {"auth": None}, {"auth": {"client_token": 5}}, {"auth": {"client_token": ""}})

    # The words of OpenBao's rate limit quotas, and of a sealed node.
    throttled = staticmethod(too_many("0"))
    unavailable = staticmethod(status(503, errors=("Vault is sealed",)))

    absurd = (9e15,)  # how long a token lives is the operator's choice

    def __init__(self, trust: Trust, proxy: Proxy) -> None:
        self.proxy = proxy
        self._job = Job(trust, url=proxy.url)

    def exchanger(self, url: str | None = None, **settings: Any) -> Exchanger:
        return self._job.exchanger(**({"url": url} if url else {}), **settings)

    def token(self, **claims: Any) -> IdentityToken:
        return self._job.token(**claims)

    def refusal(self, code: int, words: str) -> Behaviour:
        return status(code, errors=(words,))

    def issued(self, value: str, lifetime: float) -> Behaviour:
        return reply(json={"auth": {"client_token": value, "lease_duration": int(lifetime), "renewable": False}})

    def is_alive(self, lease: Lease) -> bool:
        return self._job.trust.bao.token_lookup(lease.fields["VAULT_TOKEN"].reveal()) is not None


def make(request: pytest.FixtureRequest) -> Harness:
    """See tests/contract/test_exchange.py."""
    return VaultHarness(request.getfixturevalue("trust"), request.getfixturevalue("proxy"))

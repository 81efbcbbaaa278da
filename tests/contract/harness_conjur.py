"""Conjur: a fake that verifies the token and the host's annotations as the server's source does."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from keylease.context import Context
from keylease.exchange.conjur import ConjurExchanger
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Lease
from tests.contract.harness import Harness
from tests.fakes.conjur_server import ACCOUNT, HOST, SERVICE, ConjurServer
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Behaviour, Proxy, reply
from tests.fakes.verifier import Verifier

AUDIENCE = "https://conjur.example.com"
BOUND = ("repository_owner_id", "repository_id", "ref")


class ConjurHarness(Harness):
    audience = AUDIENCE
    login_pattern = "/authn-jwt/*"
    garbage: tuple[object, ...] = (
        {},
        {"protected": "eyJh", "payload": "eyJzdWIiOiJhIn0="},
        {"protected": "eyJh", "payload": 5, "signature": "signed-1"},
        {"protected": "eyJh", "payload": "not base64!", "signature": "signed-2"},
        {"protected": "eyJh", "payload": "W10=", "signature": "signed-3"},
        {"protected": "eyJh", "payload": "eyJzdWIiOiJhIn0=", "signature": "signed-4"},
        {"protected": "eyJh", "payload": "eyJzdWIiOjUsImlhdCI6MX0=", "signature": "signed-5"},
        {"access_token": "eyJxyz-1", "token_type": "Bearer", "expires_in": 60},
    )
    other = {"repository": "evil/fork", "repository_id": "666"}  # noqa: RUF012

    def __init__(self, issuer: OIDCIssuer, server: ConjurServer, proxy: Proxy) -> None:
        self.issuer, self.server, self.proxy = issuer, server, proxy
        self.context = self.new_context({})

    def new_context(self, env: Mapping[str, str]) -> Context:
        """A run with `env` as its environment; the exchangers made later belong to it."""
        self.context = Context(dict(env), Masker(), Deadline(20))
        return self.context

    def exchanger(self, url: str | None = None, **settings: Any) -> ConjurExchanger:
        given = {"account": ACCOUNT, "service_id": SERVICE, "host_id": HOST, "audience": AUDIENCE}
        made = ConjurExchanger.Settings(
            **{**given, "url": url or self.proxy.url, "retries": 2, "timeout": 5.0, **settings}
        )
        return ConjurExchanger("conjur", ConjurExchanger.complete(made, self.context.env), self.context)

    def is_alive(self, lease: Lease) -> bool:
        return self.server.role_of(lease.fields["CONJUR_AUTHN_TOKEN"].reveal()) == HOST

    def issued(self, value: str, lifetime: float) -> Behaviour:
        now = time.time()
        token = self.server.issue(HOST, min(now, now + lifetime - 1), now + lifetime)
        return reply(json={**token, "signature": value})

    def secret_values(self, lease: Lease) -> list[str]:
        token = lease.fields["CONJUR_AUTHN_TOKEN"].reveal()
        return [token, json.loads(token)["signature"], lease.session.token.encoded.reveal()]  # type: ignore[attr-defined]


def make(request: pytest.FixtureRequest) -> ConjurHarness:
    """See tests/contract/test_exchange.py. Whatever did not fit Conjur's OpenAPI fails the test at its end."""
    issuer = request.getfixturevalue("issuer")
    annotations = {name: issuer.claims[name] for name in BOUND}
    server = ConjurServer(Verifier(issuer, AUDIENCE), annotations).start()
    proxy = Proxy(server.url).start()

    def stop() -> None:
        proxy.stop()
        server.stop()
        assert server.problems == []

    request.addfinalizer(stop)
    return ConjurHarness(issuer, server, proxy)

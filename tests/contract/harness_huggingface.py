"""Hugging Face: a fake that verifies the token as its documentation says it does."""

from collections.abc import Mapping
from typing import Any

import pytest

from keylease.context import Context
from keylease.exchange.huggingface import HuggingFaceExchanger
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Lease
from tests.contract.harness import Harness
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.huggingface_oidc import REPOSITORY, HuggingFaceOidc
from tests.fakes.misbehaving import Proxy, reply
from tests.fakes.verifier import Verifier

AUDIENCE = "https://huggingface.co"


class HuggingFaceHarness(Harness):
    audience = AUDIENCE
    login_pattern = "/oauth/token"
    garbage: tuple[object, ...] = (
        {},
        {"access_token": 5, "token_type": "bearer", "expires_in": 3600},
        {"access_token": "", "token_type": "bearer", "expires_in": 3600},
        {"access_token": "hf_jwt_x y", "token_type": "bearer", "expires_in": 3600},
        {"access_token": "hf_jwt_xyz-1", "token_type": "mac", "expires_in": 3600},
        {"access_token": "hf_jwt_xyz-2", "token_type": "bearer"},
        {"access_token": "hf_jwt_xyz-3", "token_type": "bearer", "expires_in": 0},
        {"access_token": "hf_jwt_xyz-4", "token_type": "bearer", "expires_in": -60},
        {"access_token": "hf_jwt_xyz-5", "token_type": "bearer", "expires_in": 1e300},
    )

    # https://huggingface.co/docs/hub/rate-limits: the header says how many seconds are left of the window.
    throttled = staticmethod(
        reply(429, json={"error": "We had to rate limit your IP"}, headers={"RateLimit": '"pages";r=0;t=1'})
    )
    unavailable = staticmethod(reply(503, json={"error": "Service Unavailable"}))

    def __init__(self, issuer: OIDCIssuer, hub: HuggingFaceOidc, proxy: Proxy) -> None:
        self.issuer, self.hub, self.proxy = issuer, hub, proxy
        self.context = self.new_context({})

    def new_context(self, env: Mapping[str, str]) -> Context:
        """A run with `env` as its environment; the exchangers made later belong to it."""
        self.context = Context(dict(env), Masker(), Deadline(20))
        return self.context

    def exchanger(self, url: str | None = None, **settings: Any) -> HuggingFaceExchanger:
        given = {"resource": REPOSITORY, "audience": AUDIENCE, "retries": 2, "timeout": 5.0}
        made = HuggingFaceExchanger.Settings(**{**given, "endpoint": url or self.proxy.url, **settings})
        return HuggingFaceExchanger("hub", HuggingFaceExchanger.complete(made, self.context.env), self.context)

    def is_alive(self, lease: Lease) -> bool:
        return self.hub.is_alive(lease.fields["HF_TOKEN"].reveal())


def make(request: pytest.FixtureRequest) -> HuggingFaceHarness:
    """See tests/contract/test_exchange.py."""
    issuer = request.getfixturevalue("issuer")
    names = ("repository_owner_id", "repository_id", "repository", "ref")
    hub = HuggingFaceOidc(Verifier(issuer, AUDIENCE, claims={name: issuer.claims[name] for name in names})).start()
    request.addfinalizer(hub.stop)
    proxy = Proxy(hub.url).start()
    request.addfinalizer(proxy.stop)
    return HuggingFaceHarness(issuer, hub, proxy)

"""Google Cloud: a fake that verifies the token as a workload identity provider does."""

from collections.abc import Sequence
from typing import Any

import pytest

from keylease.context import Context
from keylease.exchange.gcp import GcpExchanger
from keylease.http import Deadline
from keylease.identity.github import GitHubIdentity
from keylease.masking import Masker
from keylease.model import IdentityToken, Lease, Read
from tests.contract.harness import Harness
from tests.fakes.gcp_sts import AUDIENCE, PROVIDER, GcpSts
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Proxy, reply
from tests.fakes.verifier import Verifier


class GcpHarness(Harness):
    audience = AUDIENCE
    login_pattern = "/v1/token"
    garbage: tuple[object, ...] = (
        {},
        {"access_token": 5, "token_type": "Bearer", "expires_in": 60},
        {"access_token": "", "token_type": "Bearer", "expires_in": 60},
        {"access_token": "ya29.x y", "token_type": "Bearer", "expires_in": 60},
        {"access_token": "ya29.xyz-1", "token_type": "mac", "expires_in": 60},
        {"access_token": "ya29.xyz-2", "token_type": "Bearer"},
        {"access_token": "ya29.xyz-3", "token_type": "Bearer", "expires_in": 0},
        {"access_token": "ya29.xyz-4", "token_type": "Bearer", "expires_in": -60},
        {"access_token": "ya29.xyz-5", "token_type": "Bearer", "expires_in": 1e300},
    )

    # https://cloud.google.com/apis/design/errors ("Error payloads")
    throttled = staticmethod(
        reply(429, json={"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}})
    )
    unavailable = staticmethod(reply(503, json={"error": {"code": 503, "message": "", "status": "UNAVAILABLE"}}))

    def __init__(self, issuer: OIDCIssuer, sts: GcpSts, proxy: Proxy) -> None:
        self.issuer, self.sts, self.proxy = issuer, sts, proxy
        self.context = Context({}, Masker(), Deadline(20))

    def exchanger(self, url: str | None = None, reads: Sequence[Read] = (), **settings: Any) -> GcpExchanger:
        where = url or self.proxy.url
        given: dict[str, Any] = {"workload_identity_provider": PROVIDER, "retries": 2, "timeout": 5.0}
        urls = dict.fromkeys(("sts_url", "iam_url", "oauth_url", "secret_manager_url"), where)
        made = GcpExchanger.Settings(**{**given, **urls, **settings})
        return GcpExchanger("cloud", GcpExchanger.complete(made, self.context.env), self.context, reads)

    def github_token(self) -> IdentityToken:
        """From the issuer's token endpoint, over the wire."""
        context = Context(self.issuer.github_env(), self.context.masker, self.context.deadline)
        token = GitHubIdentity(context).token(AUDIENCE)
        assert token is not None
        return token

    def is_alive(self, lease: Lease) -> bool:
        return self.sts.is_alive(lease.fields["CLOUDSDK_AUTH_ACCESS_TOKEN"].reveal())


def make(request: pytest.FixtureRequest) -> GcpHarness:
    """See tests/contract/test_exchange.py."""
    issuer = request.getfixturevalue("issuer")
    # What the condition that `trust` prints would admit, and the name, for a fork.
    names = ("repository_owner_id", "repository_id", "repository", "ref")
    sts = GcpSts(Verifier(issuer, AUDIENCE, claims={name: issuer.claims[name] for name in names})).start()

    def stop() -> None:
        sts.stop()
        assert not sts.defects, "the fake answered what Google's discovery document does not know"

    request.addfinalizer(stop)
    proxy = Proxy(sts.url).start()
    request.addfinalizer(proxy.stop)
    return GcpHarness(issuer, sts, proxy)

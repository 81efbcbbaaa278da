"""What the contract battery of exchangers needs to know of an implementation."""

from abc import ABC, abstractmethod
from typing import Any

import jwt

from keylease.context import Context
from keylease.exchange.base import Exchanger
from keylease.model import IdentityToken, Lease
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Behaviour, Proxy, reply, status


class Harness(ABC):
    """A server that trusts one job, behind a proxy that can misbehave.

    login_pattern: path of the login, as `Proxy.fail` takes it. garbage: answers with status 200 that are no credential;
    the battery adds those that every API shares. other: claims of a job that is not trusted.
    audience: of the job's identity token, which `issuer` makes.
    throttled: how the vendor itself words too many requests. unavailable: the same for trouble of its own.
    absurd: lifetimes in seconds that no credential of the vendor's has.
    """

    proxy: Proxy
    issuer: OIDCIssuer
    context: Context
    audience: str
    login_pattern: str
    garbage: tuple[object, ...] = ({},)
    other: dict[str, Any] = {"repository": "evil/fork"}  # noqa: RUF012
    throttled: Behaviour = staticmethod(status(429))
    unavailable: Behaviour = staticmethod(status(503))
    absurd: tuple[float, ...] = (400 * 86400, 9e15)

    @abstractmethod
    def exchanger(self, url: str | None = None, **settings: Any) -> Exchanger:
        """With complete settings for the trusting server (or another address); `settings` besides."""

    def token(self, **claims: Any) -> IdentityToken:
        """The job's identity token; changed claims make it another job's (`OIDCIssuer.mint`)."""
        minted = self.issuer.mint(**{"audience": self.audience, **claims})
        found = jwt.decode(minted, options={"verify_signature": False})
        return IdentityToken(self.context.seal(minted, "identity token"), found, "github", "a test", self.audience)

    @abstractmethod
    def is_alive(self, lease: Lease) -> bool:
        """Whether the issued credential works, asked without the code under test."""

    def secret_values(self, lease: Lease) -> list[str]:
        """Everything secret that was issued."""
        return [value.reveal() for value in lease.fields.values()]

    def refusal(self, code: int, words: str) -> Behaviour:
        """A no with these words: by default RFC 6749 §5.2."""
        return reply(code, json={"error": "invalid_grant", "error_description": words})

    def issued(self, value: str, lifetime: float) -> Behaviour:
        """The answer with the credential `value` that lives for `lifetime` seconds: by default RFC 6749 §5.1."""
        return reply(json={"access_token": value, "token_type": "Bearer", "expires_in": lifetime})

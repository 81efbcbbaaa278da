"""What the contract battery of exchangers needs to know of an implementation."""

from abc import ABC, abstractmethod
from typing import Any

from keylease.exchange.base import Exchanger
from keylease.model import IdentityToken, Lease
from tests.fakes.misbehaving import Proxy


class Harness(ABC):
    """A server that trusts one job, behind a proxy that can misbehave.

    login_pattern: path of the login, as `Proxy.fail` takes it. garbage: answers with status 200 that are no credential;
    the battery adds those that every API shares. other: claims of a job that is not trusted.
    """

    proxy: Proxy
    login_pattern: str
    garbage: tuple[object, ...] = ({},)
    other: dict[str, Any] = {"repository": "evil/fork"}  # noqa: RUF012

    @abstractmethod
    def exchanger(self, url: str | None = None) -> Exchanger:
        """With complete settings for the trusting server (or another address)."""

    @abstractmethod
    def token(self, **claims: Any) -> IdentityToken:
        """The job's identity token; changed claims make it another job's (`OIDCIssuer.mint`)."""

    @abstractmethod
    def is_alive(self, lease: Lease) -> bool:
        """Whether the issued credential works, asked without the code under test."""

    def secret_values(self, lease: Lease) -> list[str]:
        """Everything secret that was issued."""
        return [value.reveal() for value in lease.fields.values()]

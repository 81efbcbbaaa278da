"""What the exchangers with one OAuth token endpoint share: one POST, one token, no revocation."""

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from keylease.context import Context
from keylease.errors import KeyleaseError, UsageError
from keylease.exchange.base import Exchanger
from keylease.http import TRANSIENT, HttpSettings
from keylease.model import IdentityToken, Lease, Revocation, fingerprint
from keylease.vendors.answers import Answer, server_trouble
from keylease.vendors.token_exchange import granted

TOKEN_EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
}
"""RFC 8693 §2.1."""

MAX_BODY = 1024 * 1024
"""Bytes of an answer: a token and its lifetime."""

SHORT = 600.0
"""Seconds: a token that lives no longer is worth a warning, for the job may."""


class OAuthExchanger(Exchanger):
    """Sends the identity token to one endpoint and hands the access token over in one variable.

    vendor: as messages name it. variable: what the vendor's SDKs read. credential: what it is called there.
    address: the setting with the endpoint's address. request_id: the header with the request's id.
    busy: statuses that another try may mend, besides those of `http`.

    The settings have `audience`, `timeout` (seconds) and `retries`.
    """

    vendor: ClassVar[str]
    variable: ClassVar[str]
    credential: ClassVar[str] = "access token"
    address: ClassVar[str] = "url"
    request_id: ClassVar[str] = "x-request-id"
    busy: ClassVar[frozenset[int]] = frozenset()

    def audience(self) -> str | None:
        """See the base class."""
        audience: str = self.settings.audience
        return audience

    def exchange(self, token: IdentityToken | None) -> Lease:
        """See the base class."""
        if token is None:
            raise UsageError(f"{self.vendor}: an identity token is needed", docs="identity-none")
        s = self.settings
        session = self.context.http.session(
            self.vendor,
            HttpSettings(timeout=s.timeout, retries=s.retries, max_body=MAX_BODY, retry_statuses=TRANSIENT | self.busy),
            connections=1,
        )
        sent_at = time.time()
        answer = Answer.of(session.post(**self.request(token)), self.request_id)
        trouble = server_trouble(self.vendor, "exchanging the identity token", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise self.refused(answer, token)
        label = f"{self.name}: {self.vendor} {self.credential}"
        issued = granted(self.vendor, answer, sent_at, self.context.seal, label, key=self.address)
        lease = Lease(
            self.name,
            self.kind,
            {self.variable: issued.token},
            session=None,
            expires_at=issued.expires_at,
            fingerprint=fingerprint(issued.token),
            token=token,
        )
        self.describe(lease)
        return lease

    @abstractmethod
    def request(self, token: IdentityToken) -> Mapping[str, Any]:
        """`url` and body (`json` or `data`) of the vendor's documented request."""

    @abstractmethod
    def refused(self, answer: Answer, token: IdentityToken) -> KeyleaseError:
        """The error for a refusal in the vendor's own words."""

    @abstractmethod
    def describe(self, lease: Lease) -> None:
        """Put the account, what is handed over besides, and warnings into a new lease."""

    @classmethod
    def revoke(cls, revocation: Revocation, context: Context) -> None:
        """See the base class. No lease of ours has a revocation: these vendors document none for such tokens."""
        del context  # there is nobody to ask
        raise KeyleaseError(
            f"{cls.vendor}: {revocation.label} can't be revoked: it ends by itself", docs="no-revocation"
        )


def ends_soon(lease: Lease, what: str) -> list[str]:
    """A warning where the token may not outlive the job's next step. what: why that is so, and what to do."""
    left = (lease.expires_at or 0.0) - time.time()
    return [] if left >= SHORT else [what.format(minutes=f"{max(left, 0.0) / 60:.1f} minutes")]

"""The job's identity token for a short-lived OpenAI API credential (RFC 8693).

https://developers.openai.com/api/reference/workload-identity-federation
"""

import time
from collections.abc import Mapping
from typing import Any

from keylease.context import Context
from keylease.errors import KeyleaseError, UsageError
from keylease.exchange.base import Exchanger
from keylease.http import HttpSettings
from keylease.model import Env, IdentityToken, Lease, Revocation, Trust, fingerprint
from keylease.vendors.answers import Answer, server_trouble
from keylease.vendors.openai_settings import PATH, VENDOR, OpenAISettings, complete
from keylease.vendors.openai_trust import login_refused, trust_for
from keylease.vendors.token_exchange import granted

MAX_BODY = 1024 * 1024
"""Bytes of an answer: a token and its lifetime."""

SHORT = 600.0
"""Seconds: a key that lives no longer is worth a warning, for the job may."""


class OpenAIExchanger(Exchanger):
    """One POST; the access token is handed over as ``OPENAI_API_KEY``, which OpenAI's SDKs send as bearer."""

    kind = "openai"
    Settings = OpenAISettings

    settings: OpenAISettings

    @classmethod
    def complete(cls, settings: OpenAISettings, env: Env) -> OpenAISettings:
        """See the base class."""
        return complete(settings, env)

    def audience(self) -> str | None:
        """See the base class."""
        return self.settings.audience

    def exchange(self, token: IdentityToken | None) -> Lease:
        """See the base class. Fields of the request: "Request parameters" of the reference."""
        if token is None:
            raise UsageError("OpenAI: an identity token is needed", docs="openai-settings")
        s = self.settings
        assert isinstance(s.timeout, float)
        session = self.context.http.session(
            VENDOR, HttpSettings(timeout=s.timeout, retries=s.retries, max_body=MAX_BODY), connections=1
        )
        sent_at = time.time()
        response = session.post(
            s.url + PATH,
            json={
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "subject_token": token.jwt.reveal(),
                "identity_provider_id": s.identity_provider_id,
                "service_account_id": s.service_account_id,
            },
        )
        answer = Answer.of(response, "x-request-id")
        trouble = server_trouble(VENDOR, "exchanging the identity token", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise login_refused(answer, s, token)
        issued = granted(VENDOR, answer, sent_at, self.context.seal, f"{self.name}: OpenAI access token")
        return Lease(
            self.name,
            self.kind,
            {"OPENAI_API_KEY": issued.token},
            session=None,
            account=s.service_account_id,
            expires_at=issued.expires_at,
            fingerprint=fingerprint(issued.token),
            plain={"OPENAI_BASE_URL": s.base_url} if s.base_url else {},
            warnings=_warnings(issued.expires_at - time.time(), token),
        )

    @classmethod
    def revoke(cls, revocation: Revocation, context: Context) -> None:
        """See the base class. No lease of ours has a revocation: OpenAI documents none for these tokens."""
        del context  # there is nobody to ask
        raise KeyleaseError(
            f"OpenAI: {revocation.label} can't be revoked: it ends by itself, within an hour", docs="openai-revoke"
        )

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: the request that creates a federation rule."""
        return trust_for(claims, self.settings)


def _warnings(lifetime: float, token: IdentityToken) -> list[str]:
    # "A JWT exchange token never outlives its external subject token": GitHub's live five minutes.
    if lifetime >= SHORT or token.expires_at is None:
        return []
    minutes = f"{max(lifetime, 0.0) / 60:.1f}"
    return [f"OpenAI: OPENAI_API_KEY ends with the job's identity token, in {minutes} minutes: use it at once"]

"""The job's identity token for a short-lived Hugging Face token (trusted publishers, RFC 8693).

https://huggingface.co/docs/hub/trusted-publishers
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
from keylease.vendors.huggingface_settings import ENDPOINT, PATH, VENDOR, HuggingFaceSettings, complete
from keylease.vendors.huggingface_trust import login_refused, trust_for
from keylease.vendors.token_exchange import granted

MAX_BODY = 1024 * 1024
"""Bytes of an answer: a token and its lifetime."""


class HuggingFaceExchanger(Exchanger):
    """One POST; the token is handed over as ``HF_TOKEN``."""

    kind = "huggingface"
    Settings = HuggingFaceSettings

    settings: HuggingFaceSettings

    @classmethod
    def complete(cls, settings: HuggingFaceSettings, env: Env) -> HuggingFaceSettings:
        """See the base class."""
        return complete(settings, env)

    def audience(self) -> str | None:
        """See the base class."""
        return self.settings.audience

    def exchange(self, token: IdentityToken | None) -> Lease:
        """See the base class. Fields of the request: "API reference" of the page; huggingface_hub/_oidc.py."""
        if token is None:
            raise UsageError("Hugging Face: an identity token is needed", docs="huggingface-settings")
        s = self.settings
        assert isinstance(s.timeout, float)
        session = self.context.http.session(
            VENDOR, HttpSettings(timeout=s.timeout, retries=s.retries, max_body=MAX_BODY), connections=1
        )
        sent_at = time.time()
        response = session.post(
            s.endpoint + PATH,
            json={
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
                "subject_token": token.jwt.reveal(),
                "resource": s.resource,
            },
        )
        answer = Answer.of(response, "x-request-id")
        trouble = server_trouble(VENDOR, "exchanging the identity token", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise login_refused(answer, s, token)
        issued = granted(VENDOR, answer, sent_at, self.context.seal, f"{self.name}: Hugging Face token", key="endpoint")
        plain = {}
        if s.endpoint != ENDPOINT or self.context.env.get("HF_ENDPOINT"):
            plain["HF_ENDPOINT"] = s.endpoint  # a mirror in the job's own variable must not be sent the token
        if self.context.env.get("HF_OIDC_RESOURCE"):
            # huggingface_hub takes it for the order to exchange by itself, and then ignores HF_TOKEN
            # (utils/_auth.py, get_token); empty, it is none.
            plain["HF_OIDC_RESOURCE"] = ""
        return Lease(
            self.name,
            self.kind,
            {"HF_TOKEN": issued.token},
            session=None,
            account=s.resource,
            expires_at=issued.expires_at,
            fingerprint=fingerprint(issued.token),
            plain=plain,
        )

    @classmethod
    def revoke(cls, revocation: Revocation, context: Context) -> None:
        """See the base class. No lease of ours has a revocation: Hugging Face documents none for these tokens."""
        del context  # there is nobody to ask
        raise KeyleaseError(
            f"Hugging Face: {revocation.label} can't be revoked: it ends by itself, within an hour",
            docs="huggingface-revoke",
        )

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: what to enter in the settings of the repository or account."""
        return trust_for(claims, self.settings)

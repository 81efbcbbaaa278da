"""The job's identity token for a short-lived Anthropic access token (RFC 7523).

https://platform.claude.com/docs/en/manage-claude/wif-reference
"""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keylease.context import Context
from keylease.errors import KeyleaseError, UsageError
from keylease.exchange.base import Exchanger
from keylease.http import HttpSettings
from keylease.model import Env, IdentityToken, Lease, Revocation, Trust, fingerprint
from keylease.vendors.answers import Answer, server_trouble
from keylease.vendors.anthropic_settings import PATH, URL, VENDOR, AnthropicSettings, complete
from keylease.vendors.anthropic_trust import login_refused, trust_for
from keylease.vendors.token_exchange import granted

if TYPE_CHECKING:
    from requests import PreparedRequest

MAX_BODY = 1024 * 1024
"""Bytes of an answer. The same limit as the vendor's SDK has for it."""

MAX_ASSERTION = 16 * 1024
"""Bytes: "The assertion JWT must be at most 16 KiB" (wif-reference, "JWT verification")."""


class _Sent:
    """How often each identity token went out, in this process.

    One is good for one exchange: a second provider with the same audience, or an attempt after a lost answer, finds it
    used up, and the answer does not tell that from a rule that does not match.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, token: str) -> None:
        with self._lock:
            self._counts[token] += 1

    def more_than_once(self, token: str) -> bool:
        with self._lock:
            return self._counts[token] > 1


_sent = _Sent()


class AnthropicExchanger(Exchanger):
    """One POST; the access token is handed over as ``ANTHROPIC_AUTH_TOKEN``, which the SDKs send as bearer."""

    kind = "anthropic"
    Settings = AnthropicSettings

    settings: AnthropicSettings

    @classmethod
    def complete(cls, settings: AnthropicSettings, env: Env) -> AnthropicSettings:
        """See the base class."""
        return complete(settings, env)

    def audience(self) -> str | None:
        """See the base class."""
        return self.settings.audience

    def exchange(self, token: IdentityToken | None) -> Lease:
        """See the base class. Fields of the request: "Token exchange request" of the reference."""
        if token is None:
            raise UsageError("Anthropic: an identity token is needed", docs="anthropic-settings")
        s = self.settings
        assert isinstance(s.timeout, float)
        if len(token.jwt.reveal_bytes()) > MAX_ASSERTION:
            raise UsageError(
                "Anthropic: the identity token is larger than the 16 KiB that it takes",
                cause="it holds many groups or claims of its own",
                change="have the platform put less into it",
                docs="anthropic-login",
            )
        mark = fingerprint(token.jwt)

        def counted(request: "PreparedRequest") -> "PreparedRequest":
            # requests calls this for each attempt; there is no credential to add.
            _sent.add(mark)
            return request

        session = self.context.http.session(
            VENDOR, HttpSettings(timeout=s.timeout, retries=s.retries, max_body=MAX_BODY), connections=1
        )
        sent_at = time.time()
        response = session.post(
            s.url + PATH,
            json={
                "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "assertion": token.jwt.reveal(),
                "federation_rule_id": s.federation_rule_id,
                "organization_id": s.organization_id,
                "service_account_id": s.service_account_id,
                **({"workspace_id": s.workspace_id} if s.workspace_id else {}),
            },
            auth=counted,
        )
        answer = Answer.of(response, "request-id")
        trouble = server_trouble(VENDOR, "exchanging the identity token", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise login_refused(answer, s, token, maybe_used=_sent.more_than_once(mark))
        issued = granted(VENDOR, answer, sent_at, self.context.seal, f"{self.name}: Anthropic access token")
        return Lease(
            self.name,
            self.kind,
            {"ANTHROPIC_AUTH_TOKEN": issued.token},
            session=None,
            account=s.service_account_id,
            expires_at=issued.expires_at,
            fingerprint=fingerprint(issued.token),
            # A token is good only where it was issued; the SDKs read this variable.
            plain={} if s.url == URL else {"ANTHROPIC_BASE_URL": s.url},
            warnings=_warnings(self.context.env),
        )

    @classmethod
    def revoke(cls, revocation: Revocation, context: Context) -> None:
        """See the base class. No lease of ours has a revocation: Anthropic documents none for these tokens."""
        del context  # there is nobody to ask
        raise KeyleaseError(
            f"Anthropic: {revocation.label} can't be revoked: it ends by itself", docs="anthropic-revoke"
        )

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: the request that creates a federation rule."""
        return trust_for(claims, self.settings)


def _warnings(env: Env) -> list[str]:
    if "ANTHROPIC_API_KEY" not in env:
        return []
    return [
        "Anthropic: ANTHROPIC_API_KEY is set in this job, and wins over ANTHROPIC_AUTH_TOKEN: take it out (not empty)"
    ]

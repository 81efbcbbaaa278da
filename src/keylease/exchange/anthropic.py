"""The job's identity token for a short-lived Anthropic access token (RFC 7523).

https://platform.claude.com/docs/en/manage-claude/wif-reference
"""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keylease.errors import KeyleaseError, UsageError
from keylease.exchange.oauth import OAuthExchanger
from keylease.model import Env, IdentityToken, Lease, Trust, fingerprint
from keylease.vendors.answers import Answer
from keylease.vendors.anthropic_settings import PATH, URL, VENDOR, AnthropicSettings, complete
from keylease.vendors.anthropic_trust import login_refused, trust_for

if TYPE_CHECKING:
    from requests import PreparedRequest

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


class AnthropicExchanger(OAuthExchanger):
    """Handed over as ``ANTHROPIC_AUTH_TOKEN``, which the SDKs send as bearer."""

    kind = "anthropic"
    Settings = AnthropicSettings
    vendor = VENDOR
    variable = "ANTHROPIC_AUTH_TOKEN"
    request_id = "request-id"
    busy = frozenset({529})  # overloaded_error: https://platform.claude.com/docs/en/api/errors

    settings: AnthropicSettings

    @classmethod
    def complete(cls, settings: AnthropicSettings, env: Env) -> AnthropicSettings:
        """See the base class."""
        return complete(settings, env)

    def request(self, token: IdentityToken) -> Mapping[str, Any]:
        """See the base class. Fields: "Token exchange request" of the reference."""
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

        s = self.settings
        body = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": token.jwt.reveal(),
            "federation_rule_id": s.federation_rule_id,
            "organization_id": s.organization_id,
            "service_account_id": s.service_account_id,
            **({"workspace_id": s.workspace_id} if s.workspace_id else {}),
        }
        return {"url": s.url + PATH, "json": body, "auth": counted}

    def refused(self, answer: Answer, token: IdentityToken) -> KeyleaseError:
        """See the base class."""
        return login_refused(answer, self.settings, token, maybe_used=_sent.more_than_once(fingerprint(token.jwt)))

    def describe(self, lease: Lease) -> None:
        """See the base class."""
        s = self.settings
        lease.account = s.service_account_id
        # A token is good only where it was issued; the SDKs read this variable.
        # One that the job has already, of a gateway, must not be sent the token.
        if s.url != URL or self.context.env.get("ANTHROPIC_BASE_URL"):
            lease.plain = {"ANTHROPIC_BASE_URL": s.url}
        lease.warnings = _warnings(self.context.env)

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: the request that creates a federation rule."""
        return trust_for(claims, self.settings)


def _warnings(env: Env) -> list[str]:
    if "ANTHROPIC_API_KEY" not in env:
        return []
    return [
        "Anthropic: ANTHROPIC_API_KEY is set in this job, and wins over ANTHROPIC_AUTH_TOKEN: take it out (not empty)"
    ]

"""The job's identity token for a short-lived OpenRouter access token (RFC 8693).

https://openrouter.ai/docs/guides/overview/auth/workload-identity-federation
"""

from collections.abc import Mapping
from typing import Any

from keylease.errors import KeyleaseError
from keylease.exchange.oauth import TOKEN_EXCHANGE, OAuthExchanger, ends_soon
from keylease.model import Env, IdentityToken, Lease, Trust
from keylease.vendors.answers import Answer
from keylease.vendors.openrouter_settings import PATH, VENDOR, OpenRouterSettings, complete
from keylease.vendors.openrouter_trust import login_refused, trust_for


class OpenRouterExchanger(OAuthExchanger):
    """Handed over as ``OPENROUTER_API_KEY``, which OpenRouter's SDKs send as bearer (openrouter/utils/security.py)."""

    kind = "openrouter"
    Settings = OpenRouterSettings
    vendor = VENDOR
    variable = "OPENROUTER_API_KEY"

    settings: OpenRouterSettings

    @classmethod
    def complete(cls, settings: OpenRouterSettings, env: Env) -> OpenRouterSettings:
        """See the base class."""
        return complete(settings, env)

    def request(self, token: IdentityToken) -> Mapping[str, Any]:
        """See the base class. Fields: ``post /oauth/token`` of OpenRouter's OpenAPI description."""
        form = {
            **TOKEN_EXCHANGE,
            "federation_policy_id": self.settings.federation_policy_id,
            "subject_token": token.jwt.reveal(),
        }
        return {"url": self.settings.url + PATH, "data": form}

    def refused(self, answer: Answer, token: IdentityToken) -> KeyleaseError:
        """See the base class."""
        return login_refused(answer, self.settings, token)

    def describe(self, lease: Lease) -> None:
        """See the base class."""
        lease.account = self.settings.federation_policy_id
        # "15 minutes at most, and never longer than the JWT that was exchanged": GitHub's live five.
        why = "OpenRouter: OPENROUTER_API_KEY ends with the job's identity token, in {minutes}: use it at once"
        lease.warnings = ends_soon(lease, why)

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: what to enter in the organization's settings."""
        return trust_for(claims, self.settings)

"""The job's identity token for a short-lived OpenAI API credential (RFC 8693).

https://developers.openai.com/api/reference/workload-identity-federation
"""

from collections.abc import Mapping
from typing import Any

from keylease.errors import KeyleaseError
from keylease.exchange.oauth import TOKEN_EXCHANGE, OAuthExchanger, ends_soon
from keylease.model import Env, IdentityToken, Lease, Trust
from keylease.vendors.answers import Answer
from keylease.vendors.openai_settings import PATH, VENDOR, OpenAISettings, complete, is_api
from keylease.vendors.openai_trust import login_refused, trust_for


class OpenAIExchanger(OAuthExchanger):
    """Handed over as ``OPENAI_API_KEY``, which OpenAI's SDKs send as bearer."""

    kind = "openai"
    Settings = OpenAISettings
    vendor = VENDOR
    variable = "OPENAI_API_KEY"

    settings: OpenAISettings

    @classmethod
    def complete(cls, settings: OpenAISettings, env: Env) -> OpenAISettings:
        """See the base class."""
        return complete(settings, env)

    def request(self, token: IdentityToken) -> Mapping[str, Any]:
        """See the base class. Fields: "Request parameters" of the reference."""
        body = {
            **TOKEN_EXCHANGE,
            "subject_token": token.jwt.reveal(),
            "identity_provider_id": self.settings.identity_provider_id,
            "service_account_id": self.settings.service_account_id,
        }
        return {"url": self.settings.url + PATH, "json": body}

    def refused(self, answer: Answer, token: IdentityToken) -> KeyleaseError:
        """See the base class."""
        return login_refused(answer, self.settings, token)

    def describe(self, lease: Lease) -> None:
        """See the base class."""
        s = self.settings
        lease.account = s.service_account_id
        lease.plain = {"OPENAI_BASE_URL": s.base_url} if s.base_url else {}
        # "A JWT exchange token never outlives its external subject token": GitHub's live five minutes.
        why = "OpenAI: OPENAI_API_KEY ends with the job's identity token, in {minutes}: use it at once"
        lease.warnings = ends_soon(lease, why) + _gateway(s, self.context.env)

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: the request that creates a federation rule."""
        return trust_for(claims, self.settings)


def _gateway(settings: OpenAISettings, env: Env) -> list[str]:
    # A region's address is as good as any; another host may be meant, and may be an earlier step's.
    where = env.get("OPENAI_BASE_URL", "")
    if settings.base_url or not where or is_api(where, env):
        return []
    return [
        "OpenAI: OPENAI_BASE_URL of this job is not OpenAI's, and its SDKs send OPENAI_API_KEY there: set `base_url`"
    ]

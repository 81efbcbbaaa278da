"""The job's identity token for a short-lived Hugging Face token (trusted publishers, RFC 8693).

https://huggingface.co/docs/hub/trusted-publishers
"""

from collections.abc import Mapping
from typing import Any

from keylease.errors import KeyleaseError
from keylease.exchange.oauth import TOKEN_EXCHANGE, OAuthExchanger
from keylease.model import Env, IdentityToken, Lease, Trust
from keylease.vendors.answers import Answer
from keylease.vendors.huggingface_settings import ENDPOINT, PATH, VENDOR, HuggingFaceSettings, complete
from keylease.vendors.huggingface_trust import login_refused, trust_for


class HuggingFaceExchanger(OAuthExchanger):
    """Handed over as ``HF_TOKEN``."""

    kind = "huggingface"
    Settings = HuggingFaceSettings
    vendor = VENDOR
    variable = "HF_TOKEN"
    credential = "token"
    address = "endpoint"

    settings: HuggingFaceSettings

    @classmethod
    def complete(cls, settings: HuggingFaceSettings, env: Env) -> HuggingFaceSettings:
        """See the base class."""
        return complete(settings, env)

    def request(self, token: IdentityToken) -> Mapping[str, Any]:
        """See the base class. Fields: "API reference" of the page; huggingface_hub/_oidc.py."""
        body = {
            **TOKEN_EXCHANGE,
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "subject_token": token.jwt.reveal(),
            "resource": self.settings.resource,
        }
        return {"url": self.settings.endpoint + PATH, "json": body}

    def refused(self, answer: Answer, token: IdentityToken) -> KeyleaseError:
        """See the base class."""
        return login_refused(answer, self.settings, token)

    def describe(self, lease: Lease) -> None:
        """See the base class."""
        s, env = self.settings, self.context.env
        lease.account = s.resource
        plain = {}
        if s.endpoint != ENDPOINT or env.get("HF_ENDPOINT"):
            plain["HF_ENDPOINT"] = s.endpoint  # a mirror in the job's own variable must not be sent the token
        if env.get("HF_OIDC_RESOURCE"):
            # huggingface_hub takes it for the order to exchange by itself, and then ignores HF_TOKEN
            # (utils/_auth.py, get_token); empty, it is none.
            plain["HF_OIDC_RESOURCE"] = ""
        lease.plain = plain

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: what to enter in the settings of the repository or account."""
        return trust_for(claims, self.settings)

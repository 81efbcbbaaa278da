"""The job's identity token for a short-lived Weights & Biases access token (RFC 7523).

https://docs.wandb.ai/platform/hosting/iam/identity_federation
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from keylease.errors import KeyleaseError
from keylease.exchange.oauth import OAuthExchanger
from keylease.model import Env, IdentityToken, Lease, LeaseFile, Trust
from keylease.secret import Secret
from keylease.vendors.answers import Answer
from keylease.vendors.wandb_settings import PATH, VENDOR, WandbSettings, complete
from keylease.vendors.wandb_trust import login_refused, trust_for


class WandbExchanger(OAuthExchanger):
    """Handed over as the two files that the SDK reads: it has no variable for an access token.

    ``WANDB_CREDENTIALS_FILE`` holds the access token; when that is about to end, the SDK exchanges the identity token
    in ``WANDB_IDENTITY_TOKEN_FILE`` again. ``WANDB_ACCESS_TOKEN`` is ours, for calls of the API with a bearer.
    """

    kind = "wandb"
    Settings = WandbSettings
    vendor = VENDOR
    variable = "WANDB_ACCESS_TOKEN"
    address = "base_url"

    settings: WandbSettings

    @classmethod
    def complete(cls, settings: WandbSettings, env: Env) -> WandbSettings:
        """See the base class."""
        return complete(settings, env)

    def request(self, token: IdentityToken) -> Mapping[str, Any]:
        """See the base class. As fetchAccessToken of core/internal/api/credentials.go sends it."""
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": token.jwt.reveal()}
        return {"url": self.settings.base_url + PATH, "data": form}

    def refused(self, answer: Answer, token: IdentityToken) -> KeyleaseError:
        """See the base class."""
        return login_refused(answer, self.settings, token)

    def describe(self, lease: Lease) -> None:
        """See the base class."""
        s = self.settings
        assert lease.token is not None
        lease.account = s.service_account or s.audience
        # The SDK's default differs by version, and the token is good here only.
        lease.plain = {"WANDB_BASE_URL": s.base_url}
        lease.files = [
            LeaseFile("WANDB_IDENTITY_TOKEN_FILE", "identity-token", lease.token.jwt, fresh=lambda new: new.jwt),
            LeaseFile("WANDB_CREDENTIALS_FILE", "credentials.json", _credentials(s.base_url, lease)),
        ]
        if self.context.env.get("WANDB_API_KEY"):
            lease.warnings = [
                f"{VENDOR}: WANDB_API_KEY is set in this job; beside an identity token the SDK refuses it: take it out"
            ]

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: what to enter in the settings of the organization and the team."""
        return trust_for(claims, self.settings)


def _credentials(base_url: str, lease: Lease) -> Secret:
    """The SDK's cache of access tokens: accessTokenInfo and expiresAtLayout of core/internal/api/credentials.go."""
    (token,) = lease.fields.values()
    ends = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(lease.expires_at))
    entry = {"expires_at": ends, "access_token": token.reveal()}
    # Not sealed as a whole: the token is, and the rest is no secret.
    return Secret(json.dumps({"credentials": {base_url: entry}}))

"""The job's identity token for a short-lived Databricks OAuth token of a service principal (RFC 8693).

https://docs.databricks.com/aws/en/dev-tools/auth/oauth-federation-exchange
"""

from collections.abc import Mapping
from typing import Any

from keylease.errors import KeyleaseError
from keylease.exchange.oauth import TOKEN_EXCHANGE, OAuthExchanger, ends_soon
from keylease.model import Env, IdentityToken, Lease, Trust
from keylease.vendors.answers import Answer
from keylease.vendors.databricks_settings import VENDOR, DatabricksSettings, complete
from keylease.vendors.databricks_trust import login_refused, trust_for


class DatabricksExchanger(OAuthExchanger):
    """Handed over as ``DATABRICKS_HOST`` and ``DATABRICKS_TOKEN``, which MLflow reads as well."""

    kind = "databricks"
    Settings = DatabricksSettings
    vendor = VENDOR
    variable = "DATABRICKS_TOKEN"
    credential = "OAuth token"
    address = "host"

    settings: DatabricksSettings

    @classmethod
    def complete(cls, settings: DatabricksSettings, env: Env) -> DatabricksSettings:
        """See the base class."""
        return complete(settings, env)

    def request(self, token: IdentityToken) -> Mapping[str, Any]:
        """See the base class. The fields are those of the documentation's request with a service principal policy."""
        form = {
            **TOKEN_EXCHANGE,
            "client_id": self.settings.client_id,
            "subject_token": token.jwt.reveal(),
            "scope": self.settings.scope,
        }
        return {"url": self.settings.token_url, "data": form}

    def refused(self, answer: Answer, token: IdentityToken) -> KeyleaseError:
        """See the base class."""
        return login_refused(answer, self.settings, token)

    def describe(self, lease: Lease) -> None:
        """See the base class."""
        s = self.settings
        lease.account = s.client_id
        # The token is sent like a personal access token. Without the type, a DATABRICKS_CLIENT_ID in the same job makes
        # the SDKs stop: "more than one authorization method configured" (databricks/sdk/config.py, _validate).
        lease.plain = {"DATABRICKS_HOST": s.host, "DATABRICKS_AUTH_TYPE": "pat"}
        if s.level == "account":
            lease.plain["DATABRICKS_ACCOUNT_ID"] = s.account_id
        # "The lifetime of each access token is derived from the lifetime of the federated token": GitHub's live five
        # minutes.
        why = (
            "Databricks: DATABRICKS_TOKEN is good for {minutes} only, for its lifetime follows the identity token's: "
            "use it at once, and take another lease for a later step"
        )
        lease.warnings = ends_soon(lease, why)

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: the command that creates a federation policy."""
        return trust_for(claims, self.settings)

"""The job's identity token for a short-lived Databricks OAuth token of a service principal (RFC 8693).

https://docs.databricks.com/aws/en/dev-tools/auth/oauth-federation-exchange
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
from keylease.vendors.databricks_settings import VENDOR, DatabricksSettings, complete
from keylease.vendors.databricks_trust import login_refused, trust_for
from keylease.vendors.token_exchange import granted

MAX_BODY = 1024 * 1024
"""Bytes of an answer: a token and its lifetime."""

SHORT = 600.0
"""Seconds: a token that lives no longer is worth a warning, for the job may."""


class DatabricksExchanger(Exchanger):
    """One POST; handed over as ``DATABRICKS_HOST`` and ``DATABRICKS_TOKEN``, which MLflow reads as well."""

    kind = "databricks"
    Settings = DatabricksSettings

    settings: DatabricksSettings

    @classmethod
    def complete(cls, settings: DatabricksSettings, env: Env) -> DatabricksSettings:
        """See the base class."""
        return complete(settings, env)

    def audience(self) -> str | None:
        """See the base class."""
        return self.settings.audience

    def exchange(self, token: IdentityToken | None) -> Lease:
        """See the base class. The fields are those of the documentation's request with a service principal policy."""
        if token is None:
            raise UsageError("Databricks: an identity token is needed", docs="databricks-settings")
        s = self.settings
        assert isinstance(s.timeout, float)
        session = self.context.http.session(
            VENDOR, HttpSettings(timeout=s.timeout, retries=s.retries, max_body=MAX_BODY), connections=1
        )
        sent_at = time.time()
        response = session.post(
            s.token_url,
            data={
                "client_id": s.client_id,
                "subject_token": token.jwt.reveal(),
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "scope": s.scope,
            },
        )
        answer = Answer.of(response, "x-request-id")
        trouble = server_trouble(VENDOR, "exchanging the identity token", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise login_refused(answer, s, token)
        issued = granted(VENDOR, answer, sent_at, self.context.seal, f"{self.name}: Databricks OAuth token", key="host")
        # The token is sent like a personal access token. Without the type, a DATABRICKS_CLIENT_ID in the same job makes
        # the SDKs stop: "more than one authorization method configured" (databricks/sdk/config.py, _validate).
        plain = {"DATABRICKS_HOST": s.host, "DATABRICKS_AUTH_TYPE": "pat"}
        if s.level == "account":
            plain["DATABRICKS_ACCOUNT_ID"] = s.account_id
        return Lease(
            self.name,
            self.kind,
            {"DATABRICKS_TOKEN": issued.token},
            session=None,
            account=s.client_id,
            expires_at=issued.expires_at,
            fingerprint=fingerprint(issued.token),
            plain=plain,
            warnings=_warnings(issued.expires_at - time.time()),
        )

    @classmethod
    def revoke(cls, revocation: Revocation, context: Context) -> None:
        """See the base class. No lease of ours has a revocation: Databricks documents none for these tokens."""
        del context  # there is nobody to ask
        raise KeyleaseError(
            f"Databricks: {revocation.label} can't be revoked: it ends when its lifetime is over",
            docs="databricks-revoke",
        )

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: the command that creates a federation policy."""
        return trust_for(claims, self.settings)


def _warnings(lifetime: float) -> list[str]:
    # "The lifetime of each access token is derived from the lifetime of the federated token": GitHub's live 5 minutes.
    if lifetime >= SHORT:
        return []
    minutes = f"{max(lifetime, 0) / 60:.1f} minutes"
    what = f"Databricks: DATABRICKS_TOKEN is good for {minutes} only, for its lifetime follows the identity token's"
    return [f"{what}: use it at once, and take another lease for a later step"]

"""The job's identity token for access tokens of Microsoft Entra (client credentials with a federated assertion).

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow ("Third case: Access token request
with a federated credential")
"""

import time
from collections.abc import Mapping
from typing import Any

from keylease.context import Context
from keylease.errors import KeyleaseError, RefusedError, UsageError
from keylease.exchange.base import Exchanger
from keylease.http import HttpSettings, Session
from keylease.model import Env, IdentityToken, Lease, LeaseFile, Revocation, Trust, fingerprint
from keylease.parallel import parallel
from keylease.vendors.answers import Answer, server_trouble
from keylease.vendors.azure_errors import is_busy, login_refused
from keylease.vendors.azure_settings import CLOUDS, VENDOR, AzureSettings, complete
from keylease.vendors.azure_trust import trust_for
from keylease.vendors.token_exchange import Granted, granted

MAX_BODY = 1024 * 1024
"""Bytes of an answer: a token and its lifetime."""


class AzureExchanger(Exchanger):
    """One POST per resource, side by side; besides, what azure-identity and ``az login`` need to log in themselves."""

    kind = "azure"
    Settings = AzureSettings

    settings: AzureSettings

    @classmethod
    def complete(cls, settings: AzureSettings, env: Env) -> AzureSettings:
        """See the base class."""
        return complete(settings, env)

    def audience(self) -> str | None:
        """See the base class."""
        return self.settings.audience

    def exchange(self, token: IdentityToken | None) -> Lease:
        """See the base class. All tokens or none; without `resources`, one is asked for to see that the trust holds."""
        if token is None:
            raise UsageError("Azure: an identity token is needed", docs="azure-settings")
        s = self.settings
        assert isinstance(s.timeout, float)
        variables = dict(s.resources or {})
        # Two variables may want the same resource: it is asked for once.
        scopes = list(dict.fromkeys(variables.values())) or [CLOUDS[s.cloud].scopes["arm"]]
        session = self.context.http.session(
            VENDOR,
            HttpSettings(timeout=s.timeout, retries=s.retries, max_body=MAX_BODY, transient=is_busy),
            connections=min(8, len(scopes)),
        )
        answers = parallel(
            lambda scope: self._token(session, scope, token), scopes, self.context.deadline, "Azure: asking for tokens"
        )
        issued = _all(scopes, answers)
        fields = {variable: issued[scope].token for variable, scope in variables.items()}
        return Lease(
            self.name,
            self.kind,
            fields,
            session=None,
            account=f"{s.client_id} in {s.tenant_id}",
            expires_at=min(each.expires_at for each in issued.values()),
            fingerprint=fingerprint(next(iter(fields.values()))) if fields else None,
            plain=self._plain(),
            files=[
                LeaseFile(
                    "AZURE_FEDERATED_TOKEN_FILE",
                    "identity-token",
                    content=token.jwt,
                    also=("ARM_OIDC_TOKEN_FILE_PATH",) if s.terraform else (),
                    fresh=lambda new: new.jwt,
                )
            ],
        )

    def _token(self, session: Session, scope: str, token: IdentityToken) -> Granted:
        s = self.settings
        sent_at = time.time()
        response = session.post(
            s.token_url,
            data={
                "client_id": s.client_id,
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": token.jwt.reveal(),
                "grant_type": "client_credentials",
                "scope": scope,
            },
        )
        answer = Answer.of(response, "x-ms-request-id")
        trouble = server_trouble(VENDOR, f"asking for a token for {scope}", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise login_refused(answer, s, scope, token)
        return granted(
            VENDOR, answer, sent_at, self.context.seal, f"{self.name}: Azure token for {scope}", key="authority_host"
        )

    def _plain(self) -> dict[str, str]:
        # https://learn.microsoft.com/python/api/overview/azure/identity-readme (workload identity), and for Terraform
        # https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/guides/service_principal_oidc
        s = self.settings
        ids = {"CLIENT_ID": s.client_id, "TENANT_ID": s.tenant_id, "SUBSCRIPTION_ID": s.subscription_id}
        plain = {f"AZURE_{name}": value for name, value in ids.items() if value}
        plain["AZURE_AUTHORITY_HOST"] = f"{s.authority_host}/"
        if s.terraform:
            plain |= {f"ARM_{name}": value for name, value in ids.items() if value}
            plain |= {"ARM_USE_OIDC": "true", "ARM_ENVIRONMENT": CLOUDS[s.cloud].terraform}
        return plain

    @classmethod
    def revoke(cls, revocation: Revocation, context: Context) -> None:
        """See the base class. No lease of ours has a revocation: Entra has none for an application's access tokens."""
        del context  # there is nobody to ask
        raise KeyleaseError(
            f"Azure: {revocation.label} can't be revoked: it ends by itself, after about an hour", docs="azure-revoke"
        )

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: the command that creates a federated credential."""
        return trust_for(claims, self.settings)


def _all(scopes: list[str], answers: list[Granted | Exception]) -> dict[str, Granted]:
    errors = [each for each in answers if isinstance(each, Exception)]
    if errors:
        # A refusal says more than what broke beside it.
        raise next((each for each in errors if isinstance(each, RefusedError)), errors[0])
    return {scope: each for scope, each in zip(scopes, answers, strict=True) if isinstance(each, Granted)}

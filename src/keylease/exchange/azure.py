"""The job's identity token for access tokens of Microsoft Entra (client credentials with a federated assertion).

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow ("Third case: Access token request
with a federated credential")
"""

from collections.abc import Mapping
from typing import Any

from keylease.context import Context
from keylease.errors import KeyleaseError, RefusedError, UsageError
from keylease.exchange.base import Exchanger
from keylease.model import Env, IdentityToken, Lease, LeaseFile, Revocation, Trust, fingerprint
from keylease.parallel import parallel
from keylease.vendors.azure_session import AzureSession
from keylease.vendors.azure_settings import CLOUDS, AzureSettings, complete
from keylease.vendors.azure_trust import trust_for
from keylease.vendors.token_exchange import Granted


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
        """See the base class. All tokens or none.

        A run that only reads asks for a Key Vault token alone; where none is wanted at all, one for ARM shows that the
        trust holds.
        """
        if token is None:
            raise UsageError("Azure: an identity token is needed", docs="azure-settings")
        s = self.settings
        variables = dict(s.resources or {}) if self.used else {}
        vault = [CLOUDS[s.cloud].scopes["keyvault"]] if self.reads else []
        # Two variables may want the same resource: it is asked for once.
        scopes = list(dict.fromkeys([*variables.values(), *vault])) or [CLOUDS[s.cloud].scopes["arm"]]
        session = AzureSession(self.name, s, self.context, token, self.reads)
        answers = parallel(session.granted, scopes, self.context.deadline, "Azure: asking for tokens")
        issued = _all(scopes, answers)
        fields = {variable: issued[scope].token for variable, scope in variables.items()}
        return Lease(
            self.name,
            self.kind,
            fields,
            session=session,
            account=f"{s.client_id} in {s.tenant_id}",
            expires_at=min(each.expires_at for each in issued.values()),
            fingerprint=fingerprint(issued[scopes[0]].token),
            plain=self._plain(),
            files=[
                LeaseFile(
                    "AZURE_FEDERATED_TOKEN_FILE",
                    "identity-token",
                    content=token.jwt,
                    also=("ARM_OIDC_TOKEN_FILE_PATH",) if s.terraform and not _terraform_asks(s, token) else (),
                    fresh=lambda new: new.jwt,
                )
            ],
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
        """See the base class: the commands that create a federated credential and assign roles for `reads`."""
        return trust_for(claims, self.settings, self.reads)


def _terraform_asks(settings: AzureSettings, token: IdentityToken) -> bool:
    # On GitHub, azurerm asks for an identity token of its own whenever it logs in, with the usual audience, unless it
    # has one: a file is read once, at its start, and a run of more than an hour would end with AADSTS700024.
    # https://github.com/hashicorp/go-azure-sdk/blob/main/sdk/auth/auth.go (NewAuthorizerFromCredentials)
    return token.endpoint is not None and settings.audience == CLOUDS["public"].audience


def _all(scopes: list[str], answers: list[Granted | Exception]) -> dict[str, Granted]:
    errors = [each for each in answers if isinstance(each, Exception)]
    if errors:
        # A refusal says more than what broke beside it.
        raise next((each for each in errors if isinstance(each, RefusedError)), errors[0])
    return {scope: each for scope, each in zip(scopes, answers, strict=True) if isinstance(each, Granted)}

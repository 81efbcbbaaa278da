"""The job's identity token for a short-lived access token of CyberArk Conjur, by its JWT authenticator.

https://docs.cyberark.com/conjur-open-source/latest/en/content/developer/conjur_api_jwt_authenticator.htm
https://github.com/cyberark/conjur-openapi-spec (spec/authentication.yml)
"""

import time
from collections.abc import Mapping
from typing import Any

from keylease.context import Context
from keylease.errors import KeyleaseError, UsageError
from keylease.exchange.base import Exchanger
from keylease.model import Env, IdentityToken, Lease, LeaseFile, Revocation, Trust, fingerprint
from keylease.vendors.conjur_session import AccessToken, ConjurSession, Connection, login
from keylease.vendors.conjur_settings import VENDOR, ConjurSettings, complete
from keylease.vendors.conjur_trust import trust_for
from keylease.vendors.pem import pem_text


class ConjurExchanger(Exchanger):
    """One POST; handed over as conjur-api-go reads it, and so the CLI, Summon and Terraform: variables and a file."""

    kind = "conjur"
    any_host = True
    Settings = ConjurSettings

    settings: ConjurSettings

    @classmethod
    def complete(cls, settings: ConjurSettings, env: Env) -> ConjurSettings:
        """See the base class."""
        return complete(settings, env)

    def audience(self) -> str | None:
        """See the base class: the configured one, else the origin of `url`."""
        return self.settings.audience

    def exchange(self, token: IdentityToken | None) -> Lease:
        """See the base class. One request."""
        if token is None:
            raise UsageError("Conjur: an identity token is needed", docs="conjur-settings")
        plain = self._plain()
        connection = Connection.of(self.settings, self.context)
        issued = self._login(connection, token)
        return Lease(
            self.name,
            self.kind,
            {"CONJUR_AUTHN_TOKEN": issued.text},
            ConjurSession(connection, issued),
            account=f"{issued.role} in {self.settings.account}",
            expires_at=issued.expires_at,
            fingerprint=fingerprint(issued.text),
            plain=plain,
            # Tools prefer the file to the variable, and read it again when it has changed: while `exec` runs, it always
            # holds a live token.
            files=[
                LeaseFile(
                    "CONJUR_AUTHN_TOKEN_FILE",
                    "access-token",
                    content=issued.text,
                    fresh=lambda new: self._login(connection, new).text,
                    lifetime=issued.expires_at - time.time(),
                )
            ],
        )

    def _login(self, connection: Connection, token: IdentityToken) -> AccessToken:
        label = f"{self.name}: Conjur access token"
        return login(connection, self.settings, token, self.context.seal, label, self.reads)

    def _plain(self) -> dict[str, str]:
        s = self.settings
        plain = {"CONJUR_APPLIANCE_URL": s.url, "CONJUR_ACCOUNT": s.account}
        if s.ca_certificate:
            # As text: a path of this container may be none of the next step's.
            plain["CONJUR_SSL_CERTIFICATE"] = _pem(s.ca_certificate)
        return plain

    @classmethod
    def revoke(cls, revocation: Revocation, context: Context) -> None:
        """See the base class. No lease of ours has a revocation: Conjur has no request that ends an access token."""
        del context  # there is nobody to ask
        raise KeyleaseError(
            f"Conjur: {revocation.label} can't be revoked: it ends by itself, after some minutes", docs="conjur-revoke"
        )

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: commands that load a policy."""
        return trust_for(claims, self.settings, self.reads)


def _pem(source: str) -> str:
    text = pem_text(source)
    if text is None:
        try:
            with open(source, encoding="ascii") as file:
                text = pem_text(file.read(1024 * 1024))
        except (OSError, UnicodeDecodeError):
            text = None
    if text is None:
        raise UsageError(
            f"{VENDOR}: `ca_certificate`: {source!r} holds no PEM text",
            change="give the CA certificate as PEM (-----BEGIN CERTIFICATE-----)",
            docs="tls",
        )
    return text

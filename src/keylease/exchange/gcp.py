"""The job's identity token for a Google Cloud access token, of the job itself or of a service account.

STS: https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
Impersonation: https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
and …/generateIdToken, …/signJwt
"""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keylease.context import Context
from keylease.errors import KeyleaseError, UsageError
from keylease.exchange.base import Exchanger
from keylease.http import HttpSettings
from keylease.model import Env, IdentityToken, Lease, LeaseFile, Revocation, Trust, fingerprint
from keylease.secret import Secret
from keylease.vendors.answers import Answer, server_trouble
from keylease.vendors.gcp_api import issued_by_iam, issued_id_token
from keylease.vendors.gcp_delegation import assertion_of, signed_assertion, user_refused
from keylease.vendors.gcp_files import credentials_file, source_of_endpoint, source_of_file
from keylease.vendors.gcp_session import GcpSession
from keylease.vendors.gcp_settings import SCOPE, VENDOR, GcpSettings, complete
from keylease.vendors.gcp_trust import account_refused, login_refused, member, trust_for
from keylease.vendors.token_exchange import Granted, granted

if TYPE_CHECKING:
    from keylease.http import Session

MAX_BODY = 1024 * 1024
"""Bytes of an answer: a token and its lifetime."""

TOKEN_FILE = "GOOGLE_IDENTITY_TOKEN_FILE"  # noqa: S105  # a variable's name
"""Set to the path of the identity token, which the credentials file names as well."""


class GcpExchanger(Exchanger):
    """One POST to STS; with a service account, one more for each token of it."""

    kind = "gcp"
    Settings = GcpSettings

    settings: GcpSettings

    @classmethod
    def complete(cls, settings: GcpSettings, env: Env) -> GcpSettings:
        """See the base class."""
        return complete(settings, env)

    def audience(self) -> str | None:
        """See the base class."""
        return self.settings.audience

    def exchange(self, token: IdentityToken | None) -> Lease:
        """See the base class."""
        if token is None:
            raise UsageError(f"{VENDOR}: an identity token is needed", docs="gcp-settings")
        s = self.settings
        assert isinstance(s.timeout, float)
        if self.reads and SCOPE not in s.scopes and not s.access_token_subject:
            raise UsageError(
                f"{VENDOR}: `scopes` lacks the one scope that Secret Manager takes, and {self.reads[0]} is to be read",
                change=f"scopes: [{SCOPE}]",
                docs="gcp-settings",
            )
        files = self._files(token) if s.credentials_file and self.used else []
        session = self.context.http.session(
            VENDOR, HttpSettings(timeout=s.timeout, retries=s.retries, max_body=MAX_BODY), connections=1
        )
        federated = self._federated(session, token)
        issued = reading = federated
        account = s.service_account or s.workload_identity_provider
        if s.access_token_subject:
            if self.reads:
                reading = self._impersonated(session, federated, token, [SCOPE])
            issued = self._of_user(session, federated, token)
            account = f"{s.access_token_subject} through {account}"
        elif s.service_account:
            issued = reading = self._impersonated(session, federated, token, s.scopes)
        fields = {}
        if s.access_token:
            # https://cloud.google.com/sdk/docs/authorizing (gcloud); the second is what Terraform's providers read.
            fields = {"CLOUDSDK_AUTH_ACCESS_TOKEN": issued.token, "GOOGLE_OAUTH_ACCESS_TOKEN": issued.token}
        if s.id_token_audience and self.used:
            fields["GOOGLE_ID_TOKEN"] = self._id_token(session, federated, token)
        return Lease(
            self.name,
            self.kind,
            fields,
            session=GcpSession(s, reading.token, member(token.claims, s)),
            account=account,
            expires_at=issued.expires_at,
            fingerprint=fingerprint(issued.token),
            plain=_project_variables(s.project_id),
            files=files,
        )

    def _federated(self, session: "Session", token: IdentityToken) -> Granted:
        s = self.settings
        sent_at = time.time()
        response = session.post(
            f"{s.sts_url}/v1/token",
            headers=s.headers,
            json={
                "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
                "audience": s.resource,
                "scope": SCOPE if s.service_account else " ".join(s.scopes),
                "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
                "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
                "subjectToken": token.jwt.reveal(),
            },
        )
        answer = Answer.of(response)
        trouble = server_trouble(VENDOR, "exchanging the identity token", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise login_refused(answer, s, token)
        return granted(VENDOR, answer, sent_at, self.context.seal, f"{self.name}: Google federated token")

    def _impersonated(
        self, session: "Session", federated: Granted, token: IdentityToken, scopes: Sequence[str]
    ) -> Granted:
        s = self.settings
        assert isinstance(s.lifetime, float)
        body: dict[str, object] = {"scope": list(scopes), "lifetime": f"{int(s.lifetime)}s"}
        answer = self._of_account(session, "generateAccessToken", body, federated, token)
        return issued_by_iam(answer, self.context.seal, f"{self.name}: Google access token")

    def _id_token(self, session: "Session", federated: Granted, token: IdentityToken) -> Secret:
        s = self.settings
        body: dict[str, object] = {"audience": s.id_token_audience, "includeEmail": s.id_token_include_email}
        answer = self._of_account(session, "generateIdToken", body, federated, token)
        return issued_id_token(answer, self.context.seal, f"{self.name}: Google ID token")

    def _of_user(self, session: "Session", federated: Granted, token: IdentityToken) -> Granted:
        """A user's token: domain-wide delegation, with an assertion that Google signs with the account's own key."""
        s = self.settings
        body: dict[str, object] = {"payload": assertion_of(s, time.time())}
        signed = signed_assertion(self._of_account(session, "signJwt", body, federated, token), self.context.seal)
        sent_at = time.time()
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed.reveal()}
        answer = Answer.of(session.post(f"{s.oauth_url}/token", headers=s.headers, data=form))
        trouble = server_trouble(VENDOR, f"a token of {s.access_token_subject}", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise user_refused(answer, s)
        return granted(
            VENDOR, answer, sent_at, self.context.seal, f"{self.name}: Google user's access token", key="oauth_url"
        )

    def _of_account(
        self, session: "Session", method: str, body: dict[str, object], federated: Granted, token: IdentityToken
    ) -> Answer:
        s = self.settings
        if s.delegates:
            body["delegates"] = [f"projects/-/serviceAccounts/{each}" for each in s.delegates]
        bearer = {"Authorization": f"Bearer {federated.token.reveal()}"}
        response = session.post(s.account_url(method), json=body, headers={**s.headers, **bearer})
        answer = Answer.of(response)
        trouble = server_trouble(VENDOR, f"{method} of {s.service_account}", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise account_refused(answer, s, token, method)
        return answer

    def _files(self, token: IdentityToken) -> list[LeaseFile]:
        s = self.settings
        if s.credential_source == "url" and token.endpoint is None:
            raise UsageError(
                f"{VENDOR}: `credential_source` is url, but this identity token comes from {token.source}",
                cause="Google's libraries can only ask GitHub for more of them",
                change="credential_source: auto",
                docs="gcp-settings",
            )
        from_url = token.endpoint if s.credential_source != "file" else None
        variable = "GOOGLE_APPLICATION_CREDENTIALS"
        # gcloud's property auth/credential_file_override, and what other Google actions look for.
        also = ("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "GOOGLE_GHA_CREDS_PATH")
        if from_url:
            content = credentials_file(s, source_of_endpoint(from_url))
            return [LeaseFile(variable, "credentials.json", content=content, also=also)]
        return [
            LeaseFile(TOKEN_FILE, "identity-token", content=token.jwt, fresh=lambda newer: newer.jwt),
            LeaseFile(
                variable,
                "credentials.json",
                render=lambda paths: credentials_file(s, source_of_file(paths[TOKEN_FILE])),
                also=also,
            ),
        ]

    @classmethod
    def revoke(cls, revocation: Revocation, context: Context) -> None:
        """See the base class. No lease of ours has a revocation: Google documents none for these tokens."""
        del context  # there is nobody to ask
        raise KeyleaseError(
            f"{VENDOR}: {revocation.label} can't be revoked: it ends by itself, within its lifetime", docs="gcp-revoke"
        )

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        """See the base class: gcloud's commands for the provider's condition and the binding."""
        return trust_for(claims, self.settings, self.reads)


def _project_variables(project: str) -> dict[str, str]:
    names = ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT", "CLOUDSDK_PROJECT", "GCLOUD_PROJECT", "GCP_PROJECT")
    return dict.fromkeys(names, project) if project else {}

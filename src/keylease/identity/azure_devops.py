"""Azure DevOps Pipelines: a POST to ``SYSTEM_OIDCREQUESTURI`` mints a token with a fixed audience.

https://learn.microsoft.com/rest/api/azure/devops/distributedtask/oidctoken/create
https://learn.microsoft.com/azure/devops/release-notes/2024/sprint-240-update
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from keylease.context import Context
from keylease.errors import IdentityError
from keylease.http import Session
from keylease.identity.base import Identity
from keylease.identity.endpoint import SETTINGS, Endpoint
from keylease.model import IdentityToken

URL = "SYSTEM_OIDCREQUESTURI"
TOKEN = "SYSTEM_ACCESSTOKEN"  # noqa: S105  # a variable's name
AUDIENCE = "api://AzureADTokenExchange"
API_VERSION = "7.1"

MAPPING = f"""\
map it into the step, which Azure does for no script by itself:
- script: keylease lease
  env:
    {TOKEN}: $(System.AccessToken)"""

ENDPOINT = Endpoint(
    title="Azure DevOps",
    url_variable=URL,
    token_variable=TOKEN,
    method="POST",
    field="oidcToken",
    refused=MAPPING,
    docs="identity-missing",
)


class AzureDevOpsIdentity(Identity):
    """A job of Azure DevOps Pipelines."""

    name = "azure-devops"
    title = "Azure DevOps"
    fetches = True
    meanings: ClassVar[Mapping[str, str]] = {
        "org_id": "the organisation",
        "prj_id": "the project",
        "def_id": "the pipeline's definition",
        "rpo_id": "the repository",
        "rpo_uri": "the repository's address",
        "rpo_ver": "commit that runs",
        "rpo_ref": "branch or tag that runs",
        "run_id": "the run",
    }

    def __init__(self, context: Context, variables: Sequence[str] = ()) -> None:
        super().__init__(context, variables)
        self._session: Session | None = None

    def detect(self) -> bool:
        """``TF_BUILD=True``."""
        return self.value("TF_BUILD").lower() == "true"

    def token(self, audience: str) -> IdentityToken | None:
        """See :meth:`Identity.token`. The only audience there is, is ``api://AzureADTokenExchange``."""
        if not self.detect():
            return None
        if not self.value(URL):
            raise IdentityError(
                f"Azure DevOps: this job can't ask for an identity token ({URL} is not set)",
                cause="Azure DevOps Server and agents from before June 2024 don't offer it; or the step runs in a "
                "container that the variable was not handed to",
                change=f"update the agent; for a container: docker run -e {URL} -e {TOKEN} …",
                docs="identity-missing",
            )
        if not self.value(TOKEN):
            raise IdentityError(
                f"Azure DevOps: this step has no access token ({TOKEN} is not set)",
                cause="$(System.AccessToken) is a secret variable; scripts get it only when it is mapped",
                change=MAPPING,
                docs="identity-missing",
            )
        credential = self.context.seal(ENDPOINT.credential(self.value(TOKEN)), TOKEN)
        url = ENDPOINT.url(self.value(URL).rstrip("/"), {"api-version": API_VERSION})
        if self._session is None:
            self._session = self.context.http.session("Azure DevOps", SETTINGS)
        # Without this header a refusal is a redirect to the sign-in page instead of a 401.
        headers = {"Content-Type": "application/json", "X-TFS-FedAuthRedirect": "Suppress"}
        text = ENDPOINT.ask(self._session, url, credential, headers)
        return self.checked(
            text,
            audience,
            "the token endpoint",
            audience_change=f"Azure DevOps knows one audience only: set `audience: {AUDIENCE}` of the provider, and "
            "have its role accept it (bound_audiences), bound to this pipeline's sub",
        )

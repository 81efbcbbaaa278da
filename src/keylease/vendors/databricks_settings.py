"""How Databricks' token endpoint is reached, as the user writes it."""

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from keylease.errors import UsageError
from keylease.model import Env
from keylease.vendors.endpoints import checked
from keylease.vendors.token_exchange import attempts, audience, identifier

VENDOR = "Databricks"
DOCS = "databricks-settings"

DOMAINS = ("databricks.com", "azuredatabricks.net", "databricks.azure.us", "databricks.azure.cn", "databricks.us")
"""The clouds' DNS zones: databricks/sdk/environments.py of databricks-sdk (ALL_ENVS)."""

_SCOPES = re.compile(r"[!-~]+( [!-~]+)*")


class DatabricksSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Databricks' workload identity federation for service principals.

    host: of the workspace, or of the account console. Falls back to ``DATABRICKS_HOST``.
    client_id: the service principal's application id (a UUID). Falls back to ``DATABRICKS_CLIENT_ID``.
    account_id: the Databricks account; needed for a token of the account. Falls back to ``DATABRICKS_ACCOUNT_ID``.
    level: what the token is for; `auto` takes `account` for a host that begins with ``accounts``.
    audience: the `aud` that the federation policy expects. Falls back to ``DATABRICKS_TOKEN_AUDIENCE``, then to the
        account id (what a policy without audiences expects), then to the host's token endpoint.
    scope: of the token, separated by blanks.
    service_principal_id: the numeric id, for the command that `whoami` and refusals print; nothing else needs it.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    host: str = ""
    client_id: str = ""
    account_id: str = ""
    level: Literal["auto", "workspace", "account"] = "auto"
    audience: str = ""
    scope: str = "all-apis"
    service_principal_id: str = ""
    timeout: float | str = 10.0
    retries: int = 4

    @property
    def token_url(self) -> str:
        """The token endpoint, of complete settings.

        https://docs.databricks.com/aws/en/dev-tools/auth/oauth-federation-exchange: ``/oidc/v1/token`` of a workspace,
        ``/oidc/accounts/<account-id>/v1/token`` of the account's host.
        """
        account = f"accounts/{self.account_id}/" if self.level == "account" else ""
        return f"{self.host}/oidc/{account}v1/token"


def complete(settings: DatabricksSettings, env: Env) -> DatabricksSettings:
    """The settings with fallbacks from `env` and everything checked. Raises :class:`UsageError` naming the key.

    Variables: https://docs.databricks.com/aws/en/dev-tools/auth/env-vars
    """
    s = settings
    timeout, retries = attempts(VENDOR, s.timeout, s.retries, docs=DOCS)
    host = (s.host or env.get("DATABRICKS_HOST", "")).strip()
    if not host:
        raise UsageError(
            "Databricks: `host` is missing", change="host: https://dbc-a1b2345c-d6e7.cloud.databricks.com", docs=DOCS
        )
    # The SDKs take a host without a scheme, and the variable often has none.
    host = checked(host if "://" in host else f"https://{host}", "host", VENDOR, DOMAINS, env)
    if urlsplit(host).path:
        raise UsageError(
            "Databricks: `host` has a path", change="host: its address up to the first slash behind https://", docs=DOCS
        )
    client = identifier(
        VENDOR,
        "client_id",
        s.client_id or env.get("DATABRICKS_CLIENT_ID", ""),
        "the service principal's application id (a UUID)",
        docs=DOCS,
    )
    if client.isascii() and client.isdigit():
        raise UsageError(
            "Databricks: `client_id` is a number: the service principal's numeric id, it seems",
            change="client_id: its application id, a UUID; the numeric one may stand in `service_principal_id`",
            docs=DOCS,
        )
    account_id = (s.account_id or env.get("DATABRICKS_ACCOUNT_ID", "")).strip()
    level = s.level
    if level == "auto":
        # databricks/sdk/config.py, host_type: the same test.
        level = "account" if re.match(r"https://accounts(-dod)?\.", host) else "workspace"
    if account_id or level == "account":
        account_id = identifier(VENDOR, "account_id", account_id, "the Databricks account's id (a UUID)", docs=DOCS)
    if s.service_principal_id and not (s.service_principal_id.isascii() and s.service_principal_id.isdigit()):
        raise UsageError(
            "Databricks: `service_principal_id` is no number",
            change='service_principal_id: "5581763342009999" (not the application id)',
            docs=DOCS,
        )
    if not _SCOPES.fullmatch(s.scope) or len(s.scope) > 1000:
        raise UsageError("Databricks: `scope` is no list of scopes", change="scope: all-apis", docs=DOCS)
    made = msgspec.structs.replace(
        s, host=host, client_id=client, account_id=account_id, level=level, timeout=timeout, retries=retries
    )
    wanted = s.audience or env.get("DATABRICKS_TOKEN_AUDIENCE") or account_id or made.token_url
    return msgspec.structs.replace(made, audience=audience(VENDOR, wanted, docs=DOCS))

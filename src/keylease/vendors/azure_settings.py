"""How Microsoft Entra's token endpoint is reached, as the user writes it."""

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from keylease.errors import UsageError
from keylease.model import Env
from keylease.vendors.endpoints import checked
from keylease.vendors.token_exchange import attempts, audience

VENDOR = "Azure"
DOCS = "azure-settings"
DEFAULT_VARIABLE = "AZURE_ACCESS_TOKEN"

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DOMAIN = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9:/._~-]{0,300}/\.default")
_OURS = re.compile(
    r"(AZURE_(CLIENT_ID|TENANT_ID|SUBSCRIPTION_ID|AUTHORITY_HOST|FEDERATED_TOKEN_FILE)|ARM_.*)", re.IGNORECASE
)


class Cloud(Struct, frozen=True):
    """One of Microsoft's clouds.

    authority: host of the token endpoint. audience: `aud` that its federated credentials expect.
    terraform: its name in ``ARM_ENVIRONMENT``. scopes: of the resources that have a short name here.
    """

    authority: str
    audience: str
    terraform: str
    scopes: Mapping[str, str]


# Storage and Databricks have one id for all clouds:
# https://learn.microsoft.com/azure/storage/blobs/authorize-access-azure-active-directory
# https://learn.microsoft.com/azure/databricks/dev-tools/auth/azure-sp
_EVERYWHERE = {
    "storage": "https://storage.azure.com/.default",
    "databricks": "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default",
}


def _scopes(arm: str, keyvault: str) -> Mapping[str, str]:
    return {"arm": f"https://{arm}/.default", "keyvault": f"https://{keyvault}/.default", **_EVERYWHERE}


# Hosts: azure-identity's AzureAuthorityHosts. Audiences: "Important considerations and restrictions for federated
# identity credentials", https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
CLOUDS: Mapping[str, Cloud] = {
    "public": Cloud(
        "https://login.microsoftonline.com",
        "api://AzureADTokenExchange",
        "public",
        _scopes("management.azure.com", "vault.azure.net"),
    ),
    "usgovernment": Cloud(
        "https://login.microsoftonline.us",
        "api://AzureADTokenExchangeUSGov",
        "usgovernment",
        _scopes("management.usgovcloudapi.net", "vault.usgovcloudapi.net"),
    ),
    "china": Cloud(
        "https://login.chinacloudapi.cn",
        "api://AzureADTokenExchangeChina",
        "china",
        _scopes("management.chinacloudapi.cn", "vault.azure.cn"),
    ),
}

# Whole login hosts only: other names below those domains can belong to customers.
HOSTS = (
    "login.microsoftonline.com",
    "login.microsoft.com",
    "login.windows.net",
    "login.microsoftonline.us",
    "login.chinacloudapi.cn",
    "login.partner.microsoftonline.cn",
)


class AzureSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Microsoft Entra's workload identity federation for an application or a user-assigned managed identity.

    tenant_id: the directory (tenant), a UUID or a domain. Falls back to ``AZURE_TENANT_ID``.
    client_id: the application's or the managed identity's client id, a UUID. Falls back to ``AZURE_CLIENT_ID``.
    subscription_id: handed over for tools; no request needs it. Falls back to ``AZURE_SUBSCRIPTION_ID``.
    cloud: where the tenant is; `auto` goes by the authority host, else `public`.
    authority_host: of the token endpoint. Falls back to ``AZURE_AUTHORITY_HOST`` where `cloud` is `auto`, else the
        cloud's own.
    audience: the `aud` that the federated credential expects; the cloud's own if empty.
    resources: variable → ``arm``, ``keyvault``, ``storage``, ``databricks`` or a scope that ends in ``/.default``: each
        variable gets an access token for it. Without the key: ``AZURE_ACCESS_TOKEN`` for ``arm``. An empty mapping
        proves the login and hands over no token.
    vaults: name of a key vault → its address, where that is not https://NAME and the cloud's domain (an emulator, a
        gateway). Key Vault's domain and this machine only, and hosts in ``KEYLEASE_ALLOW_HOSTS``.
    terraform: also hand over the ``ARM_*`` variables that Terraform's azurerm, azuread and azapi read.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    tenant_id: str = ""
    client_id: str = ""
    subscription_id: str = ""
    cloud: Literal["auto", "public", "usgovernment", "china"] = "auto"
    authority_host: str = ""
    audience: str = ""
    resources: dict[str, str] | None = None
    vaults: dict[str, str] = {}  # msgspec gives each instance its own
    terraform: bool = False
    timeout: float | str = 10.0
    retries: int = 4

    @property
    def token_url(self) -> str:
        """https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow"""
        return f"{self.authority_host}/{self.tenant_id}/oauth2/v2.0/token"


def complete(settings: AzureSettings, env: Env) -> AzureSettings:
    """The settings with fallbacks from `env` and everything checked. Raises :class:`UsageError` naming the key.

    Variables: https://learn.microsoft.com/python/api/overview/azure/identity-readme#environment-variables
    """
    s = settings
    timeout, retries = attempts(VENDOR, s.timeout, s.retries, docs=DOCS)
    tenant = _id("tenant_id", s.tenant_id or env.get("AZURE_TENANT_ID", ""), "az account show --query tenantId")
    client = _id("client_id", s.client_id or env.get("AZURE_CLIENT_ID", ""), "az ad app list --display-name NAME")
    subscription = (s.subscription_id or env.get("AZURE_SUBSCRIPTION_ID", "")).strip()
    if subscription:
        subscription = _id("subscription_id", subscription, "az account show --query id")
    host = s.authority_host.strip() or (env.get("AZURE_AUTHORITY_HOST", "").strip() if s.cloud == "auto" else "")
    if host:
        # azure-identity takes a host without a scheme as well.
        host = checked(host if "://" in host else f"https://{host}", "authority_host", VENDOR, HOSTS, env)
        if urlsplit(host).path:
            raise UsageError(
                "Azure: `authority_host` has a path",
                change="authority_host: https://login.microsoftonline.com (the tenant goes into `tenant_id`)",
                docs=DOCS,
            )
    cloud = _cloud_of(host) if s.cloud == "auto" else s.cloud
    known = CLOUDS[cloud]
    wanted = {DEFAULT_VARIABLE: "arm"} if s.resources is None else s.resources
    return msgspec.structs.replace(
        s,
        tenant_id=tenant,
        client_id=client,
        subscription_id=subscription,
        cloud=cloud,
        authority_host=host or known.authority,
        audience=audience(VENDOR, s.audience or known.audience, docs=DOCS),
        resources={name: _scope(name, scope, known) for name, scope in wanted.items()},
        vaults={name.lower(): _vault(name, url, env) for name, url in s.vaults.items()},
        timeout=timeout,
        retries=retries,
    )


def _vault(name: str, url: str, env: Env) -> str:
    domains = [urlsplit(cloud.scopes["keyvault"]).hostname or "" for cloud in CLOUDS.values()]
    found = checked(url, f"vaults: {name[:30]}", VENDOR, domains, env)
    if urlsplit(found).path:
        raise UsageError(
            f"Azure: `vaults: {name[:30]}` has a path", change="only https://HOST, with a port if need be", docs=DOCS
        )
    return found


def _cloud_of(host: str) -> Literal["public", "usgovernment", "china"]:
    name = urlsplit(host).hostname or ""
    if name.endswith(".us"):
        return "usgovernment"
    return "china" if name.endswith(".cn") else "public"


def _id(key: str, value: str, command: str) -> str:
    text = value.strip()
    if not text:
        raise UsageError(
            f"Azure: `{key}` is missing",
            cause=f"neither the key nor AZURE_{key.upper()} is set",
            change=f"{key}: 00000000-0000-0000-0000-000000000000   # {command}",
            docs=DOCS,
        )
    if _GUID.fullmatch(text) or (key == "tenant_id" and _DOMAIN.fullmatch(text)):
        return text
    raise UsageError(
        f"Azure: `{key}` is no UUID" + (" and no domain" if key == "tenant_id" else ""),
        cause="common, organizations and a display name are no ids" if key != "subscription_id" else "",
        change=f"{key}: 00000000-0000-0000-0000-000000000000   # {command}",
        docs=DOCS,
    )


def _scope(variable: str, scope: str, cloud: Cloud) -> str:
    if not _VARIABLE.fullmatch(variable) or _OURS.fullmatch(variable):
        raise UsageError(
            f"Azure: `resources`: {variable[:100]!r} is no variable's name, or one that is set anyway",
            change="resources: {VAULT_ACCESS_TOKEN: keyvault}",
            docs=DOCS,
        )
    found = cloud.scopes.get(scope, scope)
    if not _SCOPE.fullmatch(found):
        raise UsageError(
            f"Azure: `resources`: {variable}: neither a short name nor a scope that ends in /.default",
            cause="for an application, Entra takes a resource's `/.default` only (AADSTS1002012)",
            change=f"resources: {{{variable}: keyvault}}   # {', '.join(cloud.scopes)}, or https://RESOURCE/.default",
            docs=DOCS,
        )
    return found

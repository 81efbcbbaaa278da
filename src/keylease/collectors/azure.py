"""Azure: secrets, certificates and federated credentials of applications, and who has which role.

Applications: https://learn.microsoft.com/graph/api/application-list (`$expand=federatedIdentityCredentials`: 20 at the
most, which is as many as an application can have; the expression of a flexible one is in beta alone).
Last sign-ins: https://learn.microsoft.com/graph/api/reportroot-list-appcredentialsigninactivities (beta)
Roles: https://learn.microsoft.com/rest/api/authorization/role-assignments/list-for-subscription
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import msgspec

from keylease.audit.credentials import utc
from keylease.audit.model import Inventory
from keylease.collectors.base import Access, Collector
from keylease.collectors.credentials import Sealed, common, secret_of, variable_checked
from keylease.collectors.facts import elements, ended, mapped, objects, uncut
from keylease.context import Context
from keylease.errors import UsageError
from keylease.model import Env
from keylease.vendors.azure_inventory import AzureLists, Wanted, no_list
from keylease.vendors.azure_session import AzureSession
from keylease.vendors.azure_settings import CLOUDS, VENDOR
from keylease.vendors.endpoints import checked

CREDENTIAL, FEDERATED, ROLE = "azure.credential", "azure.federated_credential", "azure.role_assignment"

DOCS = "azure-inventory"

# https://learn.microsoft.com/graph/deployments
GRAPHS = {
    "public": "https://graph.microsoft.com",
    "usgovernment": "https://graph.microsoft.us",
    "china": "https://microsoftgraph.chinacloudapi.cn",
}
EXPANDED = 20
"""Objects that `$expand` answers at the most. https://learn.microsoft.com/graph/known-issues (query parameters)"""

_PAGE = "999"
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DEFINITION = re.compile(r".*/roleDefinitions/([0-9a-fA-F-]{36})", re.IGNORECASE)


class AzureInventorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a tenant and its subscriptions is listed, and as whom.

    subscriptions: ids; the provider's, else all that the credential sees. An empty list means no roles are asked for.
    graph_token, graph_token_env, management_token, management_token_env: access tokens for Microsoft Graph and Azure
        Resource Manager, where no provider is named; what there is no token for is not listed.
    last_use: whether to ask when each secret was last used, which takes AuditLog.Read.All and Entra ID P1.
    cloud: the provider's, or the public one. graph_url, management_url: of a gateway.
    timeout: of one attempt, in seconds. retries: attempts after the first one.
    """

    subscriptions: tuple[str, ...] | None = None
    graph_token: Sealed | None = None
    graph_token_env: str | None = None
    management_token: Sealed | None = None
    management_token_env: str | None = None
    last_use: bool = True
    cloud: Literal["auto", "public", "usgovernment", "china"] = "auto"
    graph_url: str = ""
    management_url: str = ""
    timeout: float | str = 30.0
    retries: int = 4


class AzureCollector(Collector):
    """Two lists of all applications, one of sign-ins, and per subscription its assignments and roles."""

    type = "azure"
    kinds = (CREDENTIAL, FEDERATED, ROLE)
    permissions = (
        "Application.Read.All of Microsoft Graph (application permission, with admin consent)",
        "AuditLog.Read.All of Microsoft Graph, for last sign-ins",
        "the role Reader on each subscription (Microsoft.Authorization/roleAssignments/read is what it needs)",
    )
    via = "provider"
    via_types = ("azure",)
    optional = True
    Settings = AzureInventorySettings

    settings: AzureInventorySettings

    def __init__(self, settings: AzureInventorySettings, context: Context, access: Access) -> None:
        super().__init__(settings, context, access)
        session = access.lease.session if access.lease else None
        self._session = session if isinstance(session, AzureSession) else None
        self._cloud = settings.cloud
        if self._cloud == "auto":
            self._cloud = self._session.settings.cloud if self._session else "public"
        s = settings
        graph, arm = GRAPHS[self._cloud], CLOUDS[self._cloud].scopes["arm"].removesuffix("/.default")
        self._graph = self._lists(s.graph_url or graph, "graph_token", f"{graph}/.default")
        self._arm = self._lists(s.management_url or arm, "management_token", f"{arm}/.default")

    @classmethod
    def complete(cls, settings: AzureInventorySettings, env: Env) -> AzureInventorySettings:
        """See the base class."""
        s = settings
        for each in s.subscriptions or ():
            if not _GUID.fullmatch(each):
                raise _wrong("`subscriptions`: there is what is no UUID", "az account list --query '[].id'")
        for name in ("graph_token", "management_token"):
            variable_checked(VENDOR, s, name, env, required=False, docs=DOCS)
        graphs = [urlsplit(each).hostname or "" for each in GRAPHS.values()]
        arms = [urlsplit(each.scopes["arm"]).hostname or "" for each in CLOUDS.values()]
        return msgspec.structs.replace(
            s,
            subscriptions=None if s.subscriptions is None else tuple(dict.fromkeys(map(str.lower, s.subscriptions))),
            graph_url=checked(s.graph_url, "graph_url", VENDOR, graphs, env) if s.graph_url else "",
            management_url=checked(s.management_url, "management_url", VENDOR, arms, env) if s.management_url else "",
            **common(VENDOR, s, DOCS),
        )

    @classmethod
    def alone(cls, settings: AzureInventorySettings, env: Env) -> None:
        """See the base class."""
        del env
        s = settings
        given = (s.graph_token, s.graph_token_env, s.management_token, s.management_token_env)
        if all(each is None for each in given):
            raise _wrong("there is no credential", "`provider: azure` (a provider's name), or `graph_token_env: NAME`")

    def _lists(self, url: str, name: str, scope: str) -> AzureLists | None:
        token = secret_of(VENDOR, self.settings, name, self.context, DOCS)
        if token is None and self._session is not None:
            token = self._session.granted(scope).token
        if token is None:
            return None
        assert isinstance(self.settings.timeout, float)
        return AzureLists(self.context, url, token, self.settings.timeout, self.settings.retries)

    def collect(self) -> Inventory:
        """See the base class."""
        if self._graph is not None:
            self._credentials(self._graph)
            self._federated(self._graph)
            self.whole(CREDENTIAL, FEDERATED)
        if self._arm is not None and self.settings.subscriptions != ():
            self._roles(self._arm)
            self.whole(ROLE)
        return self.inventory

    # Applications.

    def _credentials(self, graph: AzureLists) -> None:
        wanted = Wanted("applications", _GRANT.format("Application.Read.All"))
        fields = "id,appId,displayName,passwordCredentials,keyCredentials"
        apps = self.attempt((CREDENTIAL,), lambda: graph.all("/v1.0/applications", wanted, _select=fields, _top=_PAGE))
        found: list[tuple[dict[str, Any], str, dict[str, Any]]] = []
        for app in apps or []:
            for sort, key in (("password", "passwordCredentials"), ("certificate", "keyCredentials")):
                listed = app.get(key)
                ids = _GUID.fullmatch(str(app.get("appId")))
                if not ids or not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
                    self.problem(CREDENTIAL, no_list(wanted))
                    continue
                found += [(app, sort, each) for each in listed]
        used = self._last_uses(graph) if found and self.settings.last_use else {}
        for app, sort, each in found:
            self._credential(app, sort, each, used, wanted)

    def _credential(
        self, app: dict[str, Any], sort: str, each: dict[str, Any], used: dict[str, str], wanted: Wanted
    ) -> None:
        key = str(each.get("keyId"))
        if not _GUID.fullmatch(key):
            self.problem(CREDENTIAL, no_list(wanted))
            return
        facts: dict[str, Any] = {}
        for name, field in (("created_at", "startDateTime"), ("expires_at", "endDateTime")):
            told = utc(each.get(field))
            if told:
                facts[name] = told
        if key.lower() in used:
            facts["last_used_at"] = used[key.lower()]
        self.record(
            CREDENTIAL,
            f"azure://{app['appId'].lower()}/credential/{key.lower()}",
            name=uncut(each.get("displayName")) or key,
            key_id=key,
            holder=uncut(app.get("displayName")) or app["appId"],
            application=app["appId"].lower(),
            application_name=uncut(app.get("displayName")),
            sort=sort,
            hint=uncut(each.get("hint")),
            active=not ended(facts.get("expires_at"), self.inventory.now),
            **facts,
        )

    def _last_uses(self, graph: AzureLists) -> dict[str, str]:
        wanted = Wanted(
            "last sign-ins of credentials",
            f"{_GRANT.format('AuditLog.Read.All')} (the tenant needs Entra ID P1); or `last_use: false` goes without",
        )
        path = "/beta/reports/appCredentialSignInActivities"
        found: dict[str, str] = {}
        for each in self.attempt((CREDENTIAL,), lambda: graph.all(path, wanted)) or []:
            last = utc(mapped(each.get("signInActivity")).get("lastSignInDateTime"))
            if last:
                key = str(each.get("keyId")).lower()
                found[key] = max(last, found.get(key, ""))
        return found

    def _federated(self, graph: AzureLists) -> None:
        wanted = Wanted("federated credentials of applications", _GRANT.format("Application.Read.All"))
        apps = self.attempt(
            (FEDERATED,),
            lambda: graph.all(
                "/beta/applications",
                wanted,
                _select="id,appId,displayName",
                _expand="federatedIdentityCredentials",
                _top=_PAGE,
            ),
        )
        for app in apps or []:
            listed, ids = app.get("federatedIdentityCredentials"), str(app.get("id"))
            if not isinstance(listed, list) or not _GUID.fullmatch(ids) or not _GUID.fullmatch(str(app.get("appId"))):
                self.problem(FEDERATED, no_list(wanted))
                continue
            if len(listed) >= EXPANDED:  # there may be more of them, should an application be let have more
                path = f"/beta/applications/{ids}/federatedIdentityCredentials"
                listed = self.attempt((FEDERATED,), partial(graph.all, path, wanted)) or []
            for each in listed:
                self._trust(app, each, wanted)

    def _trust(self, app: dict[str, Any], each: object, wanted: Wanted) -> None:
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(each, dict) or not isinstance(name, str) or not isinstance(each.get("issuer"), str):
            self.problem(FEDERATED, no_list(wanted))
            return
        facts = {
            "name": uncut(name),
            "application": app["appId"].lower(),
            "application_name": uncut(app.get("displayName")),
            "issuer": uncut(each["issuer"]),
            "subject": uncut(each.get("subject")),
            "audiences": [uncut(a) for a in elements(each.get("audiences"))],
            "expression": uncut(mapped(each.get("claimsMatchingExpression")).get("value")),
        }
        subject = f"azure://{facts['application']}/federated_credential/{quote(uncut(name), safe='')}"
        self.record(FEDERATED, subject, **facts)

    # Roles.

    def _subscriptions(self, arm: AzureLists) -> Sequence[str]:
        if self.settings.subscriptions is not None:
            return self.settings.subscriptions
        if self._session is not None and self._session.settings.subscription_id:
            return (self._session.settings.subscription_id.lower(),)
        wanted = Wanted("subscriptions", _READER)
        listed = self.attempt((ROLE,), lambda: arm.all("/subscriptions", wanted, api_version="2022-12-01"))
        ids = [str(each.get("subscriptionId")).lower() for each in listed or []]
        if listed is not None and (not ids or not all(map(_GUID.fullmatch, ids))):
            # An application without a role sees none: that is no clean tenant.
            self.problem(ROLE, f"{VENDOR}: the credential sees no subscription", _READER)
        return [each for each in ids if _GUID.fullmatch(each)]

    def _roles(self, arm: AzureLists) -> None:
        found: dict[str, dict[str, Any]] = {}
        roles: dict[str, dict[str, Any]] = {}
        for subscription in self._subscriptions(arm):
            base = f"/subscriptions/{subscription}/providers/Microsoft.Authorization"
            wanted = Wanted(f"role assignments of {subscription}", _READER.replace("SUBSCRIPTION", subscription))
            version = {"api_version": "2022-04-01"}
            listed = self.attempt((ROLE,), partial(arm.all, f"{base}/roleAssignments", wanted, **version))
            defined = self.attempt((ROLE,), partial(arm.all, f"{base}/roleDefinitions", wanted, **version))
            for each in listed or []:
                if not isinstance(each.get("id"), str) or not isinstance(each.get("properties"), dict):
                    self.problem(ROLE, no_list(wanted))
                else:
                    found[each["id"].lower()] = each["properties"]  # those from above come with each subscription
            roles |= {str(each.get("name")).lower(): each for each in defined or []}
        people = self._principals() if any(p.get("principalType") == "ServicePrincipal" for p in found.values()) else {}
        for name, properties in found.items():
            self._role(name, properties, roles, people)

    def _role(
        self, name: str, p: dict[str, Any], roles: dict[str, dict[str, Any]], people: dict[str, dict[str, Any]]
    ) -> None:
        defined = _DEFINITION.fullmatch(str(p.get("roleDefinitionId")))
        role = mapped(roles.get(defined[1].lower(), {}).get("properties")) if defined else {}
        scope = uncut(p.get("scope"))
        who = people.get(str(p.get("principalId")).lower(), {})
        self.record(
            ROLE,
            f"azure://{_owner(scope)}/role_assignment/{quote(uncut(name).rpartition('/')[2], safe='')}",
            principal=uncut(p.get("principalId")),
            principal_type=uncut(p.get("principalType")),
            principal_name=uncut(who.get("displayName")),
            application=uncut(who.get("appId")).lower(),
            managed=who.get("servicePrincipalType") == "ManagedIdentity",
            role=uncut(role.get("roleName")) or (defined[1].lower() if defined else ""),
            role_id=defined[1].lower() if defined else "",
            custom=role.get("type") == "CustomRole",
            everything=_allows_everything(role.get("permissions")),
            scope=scope,
            condition=uncut(p.get("condition")) or None,
            created_at=utc(p.get("createdOn")),
        )

    def _principals(self) -> dict[str, dict[str, Any]]:
        """Object id → service principal, as far as Graph may be asked."""
        graph = self._graph
        if graph is None:
            return {}
        wanted = Wanted("service principals", _GRANT.format("Application.Read.All"))
        fields = "id,appId,displayName,servicePrincipalType"
        listed = self.attempt((ROLE,), lambda: graph.all("/v1.0/servicePrincipals", wanted, _select=fields, _top=_PAGE))
        return {str(each.get("id")).lower(): each for each in listed or []}


def _owner(scope: str) -> str:
    """The subscription, or what is above it, of a scope."""
    found = re.match(r"/subscriptions/([0-9a-fA-F-]{36})(?:/|\Z)", scope)
    return found[1].lower() if found else "tenant"


def _allows_everything(permissions: object) -> bool:
    """Whether a role has every action that is not taken out by name."""
    return any("*" in (each.get("actions") or ()) for each in objects(permissions))


def _wrong(what: str, change: str) -> UsageError:
    return UsageError(f"{VENDOR}: {what}", change=change, docs=DOCS)


_GRANT = "give the application {} of Microsoft Graph (application permission), and consent as an administrator"
_READER = "az role assignment create --assignee CLIENT_ID --role Reader --scope /subscriptions/SUBSCRIPTION"

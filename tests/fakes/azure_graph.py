"""Microsoft Graph and Azure Resource Manager, for the lists of an audit.

What is answered has the properties and types of Microsoft's own metadata (tests/data/azure/inventory.json says which),
what is asked for must be a path, property and expansion that they have. Words of refusals: Graph's
``Authorization_RequestDenied`` https://learn.microsoft.com/graph/resolve-auth-errors, the licence
https://learn.microsoft.com/graph/known-issues, ARM's ``AuthorizationFailed``
https://learn.microsoft.com/azure/role-based-access-control/troubleshooting. `$expand` answers 20 at the most.

What it can't show: which permission a real application needs, throttling, how long after a change a list has it, other
tenants' applications, and whether the beta lists will stay as they are.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tests.fakes.loopback import Exchange, LoopbackServer

GRAPH_TOKEN, ARM_TOKEN = "graph-token-of-the-audit", "management-token-of-the-audit"
SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
_GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

LISTS = {
    "/v1.0/applications": ("v1.0", "application", "Application.Read.All"),
    "/beta/applications": ("beta", "application", "Application.Read.All"),
    "/v1.0/servicePrincipals": ("v1.0", "servicePrincipal", "Application.Read.All"),
    "/beta/reports/appCredentialSignInActivities": ("beta", "appCredentialSignInActivity", "AuditLog.Read.All"),
    "/subscriptions": ("arm", "subscriptions", ""),
}


@cache
def types() -> dict[str, Any]:
    """Version → type → its properties."""
    path = Path(__file__).parent.parent / "data" / "azure" / "inventory.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["types"]
    return found


def check(version: str, kind: str, value: object) -> None:
    """Raises AssertionError where `value` is none of Microsoft's `kind`."""
    known = types()[version][kind]
    assert isinstance(value, dict), kind
    for name, inner in value.items():
        assert name in known, f"{kind} has no {name}"
        one = re.sub(r"Collection\((.+)\)", r"\1", known[name]["type"])
        listed = inner if one != known[name]["type"] else [inner]
        for each in listed:
            if one.startswith("graph."):
                if each is not None:
                    check(version, one.removeprefix("graph."), each)
            else:
                assert each is None or _is(one, each), f"{kind}.{name}: {each!a} is no {one}"
        assert inner is not None or known[name].get("nullable", True), f"{kind}.{name} can't be null"


def _is(kind: str, value: object) -> bool:
    if kind == "Edm.Int32":
        return isinstance(value, int)
    if kind == "Edm.Guid":
        return isinstance(value, str) and re.fullmatch(_GUID, value) is not None
    if kind == "Edm.DateTimeOffset":
        return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value) is not None
    return isinstance(value, str)


class AzureGraph(LoopbackServer):
    """Both servers at one address. Each list is what it answers, whole; page: items of an answer at the most.

    refused: permissions (of Graph), or paths (of ARM), that are denied. licensed: whether the tenant has Entra ID P1.
    takes: (token, whether for Graph) → whether it is accepted.
    answers: path → instead of all this, (status, JSON or bytes). link: makes another address of the next page's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.applications: list[dict[str, Any]] = []
        self.federated: dict[str, list[dict[str, Any]]] = {}
        self.sign_ins: list[dict[str, Any]] = []
        self.principals: list[dict[str, Any]] = []
        self.subscriptions = [SUBSCRIPTION]
        self.assignments: list[dict[str, Any]] = []
        self.roles: list[dict[str, Any]] = []
        self.refused: set[str] = set()
        self.licensed = True
        self.page = 2
        self.answers: dict[str, tuple[int, Any]] = {}
        self.link: Callable[[str], str] = str
        self.takes: Callable[[str, bool], bool] = lambda token, graph: token == (GRAPH_TOKEN if graph else ARM_TOKEN)
        self.mismatches: list[str] = []

    def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        path, query = request.path, request.query
        if path in self.answers:
            status, body = self.answers[path]
            if isinstance(body, bytes):
                exchange.answer(status, body, {"Content-Type": "application/json"})
            else:
                exchange.answer_json(status, body)
            return
        graph = path.startswith(("/v1.0/", "/beta/"))
        if not self.takes(request.header("Authorization").removeprefix("Bearer "), graph):
            code = "InvalidAuthenticationToken"
            exchange.answer_json(401, {"error": {"code": code, "message": "Access token validation failure."}})
            return
        try:
            version, kind, permission, items = self._asked(path, query)
        except AssertionError as fault:
            self.mismatches.append(f"{request.method} {request.target}: {fault}")
            exchange.answer_json(400, {"error": {"code": "Request_BadRequest", "message": str(fault)}})
            return
        if permission in self.refused or path in self.refused:
            code = "Authorization_RequestDenied" if graph else "AuthorizationFailed"
            message = "Insufficient privileges to complete the operation."
            exchange.answer_json(403, {"error": {"code": code, "message": message}})
            return
        if kind == "appCredentialSignInActivity" and not self.licensed:
            code = "Authentication_RequestFromNonPremiumTenantOrB2CTenant"
            message = "Neither tenant is B2C or tenant doesn't have premium license"
            exchange.answer_json(403, {"error": {"code": code, "message": message}})
            return
        for each in items:
            check(version, kind, each)
        start = int(query.get("$skiptoken", ["0"])[0])
        more = {}
        if start + self.page < len(items):
            base = re.sub(r"[?&]\$skiptoken=\d+", "", request.target)
            separator = "&" if "?" in base else "?"
            right = f"{self.url}{base}{separator}$skiptoken={start + self.page}"
            more = {"@odata.nextLink" if graph else "nextLink": self.link(right)}
        context = {"@odata.context": f"{self.url}/$metadata"} if graph else {}
        exchange.answer_json(200, {**context, "value": items[start : start + self.page], **more})

    def _asked(self, path: str, query: dict[str, list[str]]) -> tuple[str, str, str, list[dict[str, Any]]]:
        own = re.fullmatch(rf"/beta/applications/({_GUID})/federatedIdentityCredentials", path)
        if own:
            return "beta", "federatedIdentityCredential", "Application.Read.All", self.federated.get(own[1], [])
        role = re.fullmatch(
            rf"/subscriptions/({_GUID})/providers/Microsoft\.Authorization/(roleAssignments|roleDefinitions)", path
        )
        if role or path == "/subscriptions":
            wanted = "2022-04-01" if role else "2022-12-01"
            assert query.get("api-version") == [wanted], "api-version"
            if not role:
                made = [
                    {"id": f"/subscriptions/{s}", "subscriptionId": s, "state": "Enabled"} for s in self.subscriptions
                ]
                return "arm", "subscriptions", "", made
            kind = role[3]
            return "arm", kind, "", self.assignments if kind == "roleAssignments" else self.roles
        assert path in LISTS, "no such list"
        version, kind, permission = LISTS[path]
        assert not set(query) - {"$select", "$expand", "$top", "$skiptoken"}, "a parameter that is not there"
        assert 1 <= int(query.get("$top", ["1"])[0]) <= 999, "$top"
        fields = query["$select"][0].split(",") if "$select" in query else list(types()[version][kind])
        expanded = query.get("$expand", [""])[0]
        assert not {*fields, *filter(None, [expanded])} - set(types()[version][kind]), "no such property"
        whole = {"application": self.applications, "servicePrincipal": self.principals}.get(kind, self.sign_ins)
        items = [{name: value for name, value in each.items() if name in fields} for each in whole]
        if expanded:
            for item in items:
                item[expanded] = self.federated.get(item["id"], [])[:20]
        return version, kind, permission, items

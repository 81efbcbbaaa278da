"""Google's IAM, Resource Manager and Policy Analyzer APIs, for the lists of an audit.

Every request and answer is held against Google's discovery documents (gcp_discovery.py). Words of refusals:
https://cloud.google.com/iam/docs/troubleshoot-policies and those of gcp_secretmanager.py.

What it can't show: which role has which permission (a permission is refused by its name), quotas, policies that a
folder or the organisation hands down, soft-deleted pools, and how late the last use of a key is known.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.gcp_discovery import Discovery, Mismatch
from tests.fakes.loopback import Exchange, LoopbackServer

PROJECT, NUMBER = "acme-ml", "123456789012"
TOKEN = "ya29.fake-token-of-the-audit"
DOCUMENTS = ("iam.v1", "policyanalyzer.v1", "cloudresourcemanager.v3")

_P = r"/v[13]/projects/[^/:]+"
_ACCOUNTS = rf"{_P}/serviceAccounts"
_POOLS = rf"{_P}/locations/global/workloadIdentityPools"
_ACTIVITIES = rf"{_P}/locations/global/activityTypes/serviceAccountKeyLastAuthentication/activities:query"

PERMISSIONS = {
    _ACCOUNTS: "iam.serviceAccounts.list",
    rf"{_ACCOUNTS}/[^/]+/keys": "iam.serviceAccountKeys.list",
    rf"{_ACCOUNTS}/[^/]+:getIamPolicy": "iam.serviceAccounts.getIamPolicy",
    _POOLS: "iam.workloadIdentityPools.list",
    rf"{_POOLS}/[^/]+/providers": "iam.workloadIdentityPoolProviders.list",
    rf"{_P}:getIamPolicy": "resourcemanager.projects.getIamPolicy",
    _ACTIVITIES: "policyanalyzer.serviceAccountKeyLastAuthenticationActivities.query",
}


class GcpIam(LoopbackServer):
    """One project. accounts: email → its keys; policies: email (empty: the project's) → bindings; pools → providers.

    refused: permissions that the token lacks. disabled: services that are off. page: items of an answer at the most.
    last_uses: full names of keys → RFC 3339 or None. answers: path → instead of all this, (status, JSON or bytes).
    """

    def __init__(self) -> None:
        super().__init__()
        self.accounts: dict[str, list[dict[str, Any]]] = {}
        self.account_facts: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, list[dict[str, Any]]] = {}
        self.pools: dict[str, list[dict[str, Any]]] = {}
        self.last_uses: dict[str, str | None] = {}
        self.refused: set[str] = set()
        self.disabled: set[str] = set()
        self.page = 2
        self.repeat = False
        self.answers: dict[str, tuple[int, Any]] = {}
        self.mismatches: list[str] = []
        self._documents = [Discovery(each) for each in DOCUMENTS]

    def key(self, email: str, name: str, **facts: Any) -> str:
        """Add a key; its full resource name."""
        full = f"projects/{PROJECT}/serviceAccounts/{email}/keys/{name}"
        made = {
            "name": full,
            "validAfterTime": "2026-01-10T08:00:00Z",
            "validBeforeTime": "9999-12-31T23:59:59Z",
            "keyAlgorithm": "KEY_ALG_RSA_2048",
            "keyOrigin": "GOOGLE_PROVIDED",
            "keyType": "USER_MANAGED",
            **facts,
        }
        self.accounts.setdefault(email, []).append(made)
        return f"//iam.googleapis.com/{full}"

    def provider(self, pool: str, name: str, **facts: Any) -> None:
        """Add a provider of GitHub's issuer."""
        made = {
            "name": f"projects/{NUMBER}/locations/global/workloadIdentityPools/{pool}/providers/{name}",
            "state": "ACTIVE",
            "oidc": {"issuerUri": "https://token.actions.githubusercontent.com"},
            "attributeMapping": {"google.subject": "assertion.sub"},
            **facts,
        }
        self.pools.setdefault(pool, []).append(made)

    def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.path in self.answers:
            status, body = self.answers[request.path]
            if isinstance(body, bytes):
                exchange.answer(status, body, {"Content-Type": "application/json"})
            else:
                exchange.answer_json(status, body)
            return
        if request.header("Authorization") != f"Bearer {TOKEN}":
            self._refuse(exchange, 401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
            return
        try:
            document, method = self._method(exchange)
            document.check_request(method, request.json() if request.body else None)
        except Mismatch as fault:
            self.mismatches.append(str(fault))
            self._refuse(exchange, 400, "INVALID_ARGUMENT", str(fault))
            return
        permission = next(word for path, word in PERMISSIONS.items() if re.fullmatch(path, request.path))
        service = document._document["name"]
        if service in self.disabled:
            message = f"{service} API has not been used in project {NUMBER} before or it is disabled."
            self._refuse(exchange, 403, "PERMISSION_DENIED", message, "SERVICE_DISABLED")
            return
        if permission in self.refused:
            message = f"Permission '{permission}' denied on resource (or it may not exist)."
            self._refuse(exchange, 403, "PERMISSION_DENIED", message, "IAM_PERMISSION_DENIED")
            return
        if f"/projects/{PROJECT}" not in request.path:
            self._refuse(exchange, 404, "NOT_FOUND", "Unknown project id")
            return
        body = self._answer(request.path, request.query)
        document.check_answer(method, body)
        exchange.answer_json(200, body)

    def _method(self, exchange: Exchange) -> tuple[Discovery, dict[str, Any]]:
        request = exchange.request
        for document in self._documents:
            found = document.method(request.method, request.path, request.query)
            if found:
                return document, found
        raise Mismatch(f"no method {request.method} {request.path}")

    def _refuse(self, exchange: Exchange, code: int, status: str, message: str, reason: str = "") -> None:
        details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
        exchange.answer_json(code, {"error": {"code": code, "message": message, "status": status, "details": details}})

    def _answer(self, path: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
        parts = path.split("/")
        makers: list[tuple[str, Callable[[], dict[str, Any]]]] = [
            (_ACCOUNTS, lambda: self._page("accounts", self._listed_accounts(), query)),
            (rf"{_ACCOUNTS}/[^/]+/keys", lambda: self._keys(parts[5], query)),
            (rf"{_ACCOUNTS}/[^/]+:getIamPolicy", lambda: self._policy(parts[5].partition(":")[0])),
            (_POOLS, lambda: self._page("workloadIdentityPools", self._listed_pools(), query)),
            (
                rf"{_POOLS}/[^/]+/providers",
                lambda: self._page("workloadIdentityPoolProviders", self.pools[parts[7]], query),
            ),
            (rf"{_P}:getIamPolicy", lambda: self._policy("")),
            (_ACTIVITIES, lambda: self._page("activities", self._activities(), query)),
        ]
        return next(make() for pattern, make in makers if re.fullmatch(pattern, path))

    def _listed_accounts(self) -> list[dict[str, Any]]:
        return [
            {
                "name": f"projects/{PROJECT}/serviceAccounts/{email}",
                "projectId": PROJECT,
                "email": email,
                "uniqueId": "1" * 21,
                **self.account_facts.get(email, {}),
            }
            for email in self.accounts
        ]

    def _listed_pools(self) -> list[dict[str, Any]]:
        base = f"projects/{NUMBER}/locations/global/workloadIdentityPools"
        return [{"name": f"{base}/{name}", "state": "ACTIVE"} for name in self.pools]

    def _keys(self, email: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
        types = query.get("keyTypes", ["USER_MANAGED", "SYSTEM_MANAGED"])
        found = [key for key in self.accounts[email] if key["keyType"] in types]
        return {"keys": found} if found else {}

    def _policy(self, email: str) -> dict[str, Any]:
        return {"version": 1, "etag": "BwWKmjvelug=", "bindings": self.policies.get(email, [])}

    def _activities(self) -> list[dict[str, Any]]:
        made = []
        for name, last in self.last_uses.items():
            told = {"lastAuthenticatedTime": last} if last else {}
            made.append(
                {
                    "fullResourceName": name,
                    "activityType": "serviceAccountKeyLastAuthentication",
                    "observationPeriod": {"startTime": "2026-01-01T07:00:00Z", "endTime": "2026-10-30T07:00:00Z"},
                    "activity": {"serviceAccountKey": {"fullResourceName": name}, **told},
                }
            )
        return made

    def _page(self, key: str, items: list[dict[str, Any]], query: Mapping[str, list[str]]) -> dict[str, Any]:
        start = int(query.get("pageToken", ["0"])[0])
        end = start + min(self.page, int(query.get("pageSize", ["20"])[0]))
        more = {"nextPageToken": str(end if not self.repeat else 0)} if end < len(items) or self.repeat else {}
        shown = items[start:end]
        return {**({key: shown} if shown else {}), **more}

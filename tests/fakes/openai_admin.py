"""The lists of OpenAI's Admin API that an audit reads, page by page.

Paths, parameters and fields: openai-python (`openai/resources/admin/organization`, `openai/types/admin/organization`),
which the tests ask it with: pages are asked for by ``after``, the id of the last item, and hold ``first_id``,
``last_id``, ``has_more``. Without ``owner_project_access`` keys whose owner has no access are left out ("may exclude
some enabled keys"). ``redacted_value``: the reference's examples show ``sk-abc...def``; here four signs at the end.

What it can't show: how real values are redacted, the words of refusals, permissions of Admin keys other than "all or
none", rate limits, and that `last_used_at` may lag.
"""

from typing import Any

from tests.fakes.loopback import Exchange, LoopbackServer

AT = 1_756_000_000


def redacted(key: str) -> str:
    """A key as the API shows it."""
    return f"{key[: key.index('-', 4) + 4] if key.startswith('sk-') and '-' in key[4:] else key[:6]}...{key[-4:]}"


class OpenAIAdmin(LoopbackServer):
    """One organisation. `lists`: path below ``/v1/organization/`` → items. `refuse`: path → status.

    key: the Admin key that is taken. override: path → what the answer holds besides, or instead.
    """

    def __init__(self, key: str, *, largest: int = 100) -> None:
        super().__init__()
        self.key = key
        self.largest = largest
        self.lists: dict[str, list[dict[str, Any]]] = {
            "projects": [],
            "admin_api_keys": [],
            "workload_identity_providers": [],
        }
        self.refuse: dict[str, int] = {}
        self.override: dict[str, dict[str, Any]] = {}

    def project(self, ident: str, name: str) -> None:
        """One more, without keys."""
        self.lists["projects"].append(
            {
                "id": ident,
                "object": "organization.project",
                "name": name,
                "created_at": AT,
                "archived_at": None,
                "status": "active",
            }
        )
        self.lists[f"projects/{ident}/api_keys"] = []
        self.lists[f"projects/{ident}/service_accounts"] = []

    def api_key(
        self, project: str, ident: str, value: str, *, user: str = "", active: bool = True, **more: Any
    ) -> None:
        """One more key of a project, of a person, or of the service account ``ci``."""
        who = {"id": f"user-{ident}", "created_at": AT, "name": user or "ci", "role": "member"}
        owner: dict[str, Any] = {"type": "user", "user": {**who, "email": f"{user}@example.com"}}
        if not user:
            owner = {"type": "service_account", "service_account": who}
        self.lists[f"projects/{project}/api_keys"].append(
            {
                "object": "organization.project.api_key",
                "id": ident,
                "name": f"key {ident}",
                "redacted_value": redacted(value),
                "created_at": AT,
                "last_used_at": None,
                "expires_at": None,
                "owner": owner,
                "owner_project_access": "active" if active else "inactive",
                **more,
            }
        )

    def service_account(self, project: str, ident: str, role: str = "member") -> None:
        """One more."""
        self.lists[f"projects/{project}/service_accounts"].append(
            {
                "object": "organization.project.service_account",
                "id": ident,
                "name": "ci",
                "role": role,
                "created_at": AT,
            }
        )

    def admin_key(self, ident: str, value: str, **more: Any) -> None:
        """One more Admin key."""
        self.lists["admin_api_keys"].append(
            {
                "object": "organization.admin_api_key",
                "id": ident,
                "name": "audit",
                "redacted_value": redacted(value),
                "created_at": AT,
                "last_used_at": AT,
                "expires_at": None,
                "owner": {
                    "type": "user",
                    "object": "organization.user",
                    "id": "user-1",
                    "name": "Ada",
                    "role": "owner",
                },
                **more,
            }
        )

    def provider(self, ident: str, issuer: str, **more: Any) -> None:
        """One more workload identity provider, without rules."""
        self.lists["workload_identity_providers"].append(
            {
                "object": "organization.workload_identity_provider",
                "id": ident,
                "name": ident,
                "type": "oidc",
                "issuer": issuer,
                "audience": "https://api.openai.com/v1",
                "attribute_transformations": [],
                "verification": {"type": "discovery", "discovery_url": None},
                "enabled": True,
                "created_at": AT,
                "updated_at": AT,
                **more,
            }
        )
        self.lists[f"workload_identity_providers/{ident}/federation_rules"] = []

    def rule(self, provider: str, ident: str, matchers: dict[str, Any], scopes: list[str] | None = None) -> None:
        """One more federation rule; without scopes with all that the service account may do."""
        permissions = {"type": "restricted", "scopes": scopes} if scopes else {"type": "service_account_default"}
        self.lists[f"workload_identity_providers/{provider}/federation_rules"].append(
            {
                "object": "organization.workload_identity_federation_rule",
                "id": ident,
                "name": ident,
                "description": None,
                "enabled": True,
                "attribute_matchers": matchers,
                "permissions": permissions,
                "project_id": "proj_1",
                "service_account_id": "user-svc",
                "workload_identity_provider_id": provider,
                "created_at": AT,
                "updated_at": AT,
            }
        )

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        request = exchange.request
        path = request.path.removeprefix("/v1/organization/")
        if request.header("Authorization") != f"Bearer {self.key}":
            error = {
                "message": "Incorrect API key provided",
                "type": "invalid_request_error",
                "code": "invalid_api_key",
            }
            exchange.answer_json(401, {"error": error})
            return
        status = self.refuse.get(path, 200 if path in self.lists and request.method == "GET" else 404)
        if status != 200:
            message = "You have insufficient permissions for this operation."
            exchange.answer_json(status, {"error": {"message": message, "type": "invalid_request_error"}})
            return
        query = {name: values[0] for name, values in request.query.items()}
        limit = min(int(query.get("limit", "20")), self.largest)
        items = self.lists[path]
        if path.endswith("/api_keys") and query.get("owner_project_access") != "any":
            items = [item for item in items if item["owner_project_access"] == "active"]
        ids = [item["id"] for item in items]
        start = ids.index(query["after"]) + 1 if query.get("after") else 0
        page = items[start : start + limit]
        answer = {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": start + limit < len(items),
        }
        exchange.answer_json(200, {**answer, **self.override.get(path, {})})

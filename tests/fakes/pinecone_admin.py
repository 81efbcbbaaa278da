"""``/admin/projects`` and ``/admin/projects/{id}/api-keys`` of Pinecone.

Header, paths and fields: https://docs.pinecone.io/reference/api/2026-04/admin/list_api_keys and …/list_projects; keys
of the version 2025-04 also have ``created_at``, as `dated` here. Neither list is paged there.

What it can't show: Pinecone has no SDK in the test environment to check it with; refusals are invented (401, 403).
"""

from typing import Any

from tests.fakes.loopback import Exchange, LoopbackServer


class PineconeAdmin(LoopbackServer):
    """projects: id → (name, keys)."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token
        self.projects: dict[str, tuple[str, list[dict[str, Any]]]] = {}
        self.refuse: dict[str, int] = {}

    def add(self, project: str, ident: str, *roles: str, dated: str = "") -> None:
        """One more key, and its project."""
        keys = self.projects.setdefault(project, (f"name of {project}", []))[1]
        key: dict[str, Any] = {"id": ident, "name": f"key {ident}", "project_id": project, "roles": list(roles)}
        keys.append({**key, "created_at": dated} if dated else key)

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        request = exchange.request
        parts = request.path.strip("/").split("/")
        if not request.header("X-Pinecone-Api-Version"):
            exchange.answer_json(400, {"error": {"code": "INVALID_ARGUMENT", "message": "no version"}, "status": 400})
        elif request.header("Authorization") != f"Bearer {self.token}":
            exchange.answer_json(401, {"error": {"code": "UNAUTHENTICATED", "message": "Invalid token"}, "status": 401})
        elif request.path in self.refuse:
            status = self.refuse[request.path]
            exchange.answer_json(status, {"error": {"code": "FORBIDDEN", "message": "no"}, "status": status})
        elif parts == ["admin", "projects"]:
            items = [{"id": ident, "name": name, "organization_id": "-O"} for ident, (name, _) in self.projects.items()]
            exchange.answer_json(200, {"data": items})
        elif parts[:2] == ["admin", "projects"] and parts[3:] == ["api-keys"] and parts[2] in self.projects:
            exchange.answer_json(200, {"data": self.projects[parts[2]][1]})
        else:
            exchange.answer_json(404, {"error": {"code": "NOT_FOUND", "message": "Not found"}, "status": 404})

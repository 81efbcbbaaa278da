"""What GitLab tells of groups, projects and their tokens, read-only, besides gitlab_rest.py.

From docs.gitlab.com/api (project_access_tokens, deploy_tokens, deploy_keys, project_job_token_scopes) and
lib/api/resource_access_tokens.rb, which refuses lists with 401. It can't show how GitLab works roles out.
"""

from typing import Any
from urllib.parse import unquote

from tests.fakes.gitlab_rest import Answer, GitLab
from tests.fakes.loopback import Received


class GitLabInventory(GitLab):
    """lists: ``projects/acme/trainer/access_tokens`` → items. limited: of the job token's scope. No role: 401."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.limited = True
        self.refused: set[str] = set()
        self.answers: dict[str, object] = {}
        """The same keys → what is answered instead, whatever it is."""

    def _route(self, request: Received) -> None:
        parts = [unquote(part) for part in request.path.removeprefix("/api/v4/").split("/")]
        if parts[0] in ("projects", "groups") and parts[2:3] not in (["variables"], ["projects"]):
            token = self._authenticated(request)
            found = self._visible(parts[0][:-1], parts[1], token)
            if parts[-1] in self.refused:
                raise Answer(401, {"message": "401 Unauthorized"})
            if "/".join(parts) in self.answers:
                raise Answer(200, self.answers["/".join(parts)])
            if parts[2:] == ["descendant_groups"]:
                below = [
                    c for c in self.containers.values() if c.level == "group" and c.path.startswith(f"{found.path}/")
                ]
                rows = [{"id": 20 + n, "full_path": c.path, "visibility": "private"} for n, c in enumerate(below)]
                self._page(request, rows)
            if len(parts) == 2:
                path = "path_with_namespace" if parts[0] == "projects" else "full_path"
                raise Answer(200, {"id": 7, path: found.path, "visibility": "private", "public_jobs": True})
            if parts[2:] == ["job_token_scope"]:
                raise Answer(200, {"inbound_enabled": self.limited, "outbound_enabled": False})
            self._page(request, self.lists.get("/".join(parts), []))
        super()._route(request)

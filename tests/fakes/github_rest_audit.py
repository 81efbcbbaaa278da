"""The part of the fake GitHub (github_rest.py) that an audit looks at: environments, deploy keys, files, members, Apps.

Permissions as https://docs.github.com/rest/authentication/permissions-required-for-fine-grained-personal-access-tokens
and …/permissions-required-for-github-apps list them. What it can't show: who of an organisation's members is concealed
from whom, the audit log's search beyond the one phrase, and how GitHub answers about files of branches.
"""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.fakes.github_openapi import sample
from tests.fakes.github_rest_state import Credential, Repository
from tests.fakes.loopback import Received

AT = "2026-01-01T00:00:00Z"

_REPOSITORY = re.compile(r"/repos/(?P<full>[^/]+/[^/]+)/(?P<what>actions/permissions/workflow|environments|keys)")
_FILES = re.compile(r"/repos/(?P<full>[^/]+/[^/]+)/(?P<what>contents|git/blobs)/(?P<rest>.*)")
_ENVIRONMENT = re.compile(
    r"/repos/(?P<full>[^/]+/[^/]+)/environments/(?P<env>[^/]+)"
    r"/(?P<what>deployment-branch-policies|deployment_protection_rules)"
)
_ORGANIZATION = re.compile(
    r"/orgs/(?P<org>[^/]+)(?P<what>|/installations|/personal-access-tokens|/members|/audit-log"
    r"|/actions/permissions/workflow)"
)
_NEEDS = {
    "environments": "actions",
    "deployment-branch-policies": "actions",
    "deployment_protection_rules": "actions",
    "keys": "administration",
    "actions/permissions/workflow": "administration",
    "contents": "contents",
    "git/blobs": "contents",
    "": "metadata",
    "/installations": "organization_administration",
    "/personal-access-tokens": "organization_personal_access_tokens",
    "/members": "members",
    "/audit-log": "organization_administration",
    "/actions/permissions/workflow": "organization_administration",
}


@dataclass
class Organization:
    """log: the audit log's events, the newest first; None: it is not of GitHub Enterprise Cloud. hidden: private
    repositories beyond those that the fake has. tells: the credential is an owner's, who may see how many there are."""

    members: list[str] = field(default_factory=list)
    installations: list[dict[str, Any]] = field(default_factory=list)
    grants: list[dict[str, Any]] = field(default_factory=list)
    log: list[dict[str, Any]] | None = None
    workflow_permissions: tuple[str, bool] = ("read", False)
    hidden: int = 0
    tells: bool = True


def audited(
    server: Any, request: Received, credential: Credential, path: str, headers: dict[str, str]
) -> tuple[int, Any] | None:
    """The answer to a request; None for one that is not of this part."""
    for pattern, answer in ((_REPOSITORY, _repository), (_FILES, _files), (_ENVIRONMENT, _environment)):
        found = pattern.fullmatch(path)
        if found and request.method == "GET":
            repository = server._visible(credential, found["full"])
            if repository.visibility != "public" or found["what"] in ("keys", "actions/permissions/workflow"):
                server._must(credential, _NEEDS[found["what"]], "read", headers)
            return answer(server, request, repository, found, headers)
    found = _ORGANIZATION.fullmatch(path)
    if found is None or request.method != "GET" or found["org"].lower() not in server.organizations:
        return None
    if found["what"] == "/audit-log" and server.organization(found["org"]).log is None:
        return _missing()
    if found["what"] == "/personal-access-tokens" and credential.kind != "integration":
        return 403, {"message": "This endpoint is only accessible by GitHub Apps.", "documentation_url": "https://x"}
    server._must(credential, _NEEDS[found["what"]], "read", headers)
    return _organization(server, request, found["org"].lower(), found["what"], headers)


def _missing() -> tuple[int, Any]:
    return 404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}


def permissions(given: tuple[str, bool]) -> dict[str, Any]:
    return {"default_workflow_permissions": given[0], "can_approve_pull_request_reviews": given[1]}


def _repository(server: Any, request: Received, repository: Repository, found: Any, headers: Any) -> tuple[int, Any]:
    if found["what"] == "keys":
        return 200, server._paged(request, repository.keys, 100, headers, link=True)
    if found["what"] == "environments":
        names = server._paged(request, sorted(repository.environments), 100, headers, link=True)
        shown = [environment(repository, name) for name in names]
        return 200, {"total_count": len(repository.environments), "environments": shown}
    return 200, permissions(repository.workflow_permissions)


def environment(repository: Repository, name: str) -> dict[str, Any]:
    given = {
        key: value for key, value in repository.protection.get(name, {}).items() if key not in ("patterns", "apps")
    }
    number = int(hashlib.sha256(f"{repository.id} {name}".encode()).hexdigest()[:8], 16)
    made = {"protection_rules": [], "can_admins_bypass": True, **given}
    made.setdefault("deployment_branch_policy", None)
    shown = sample("environment", id=number, name=name, **made)
    if shown["deployment_branch_policy"] is None and "patterns" in repository.protection.get(name, {}):
        shown["deployment_branch_policy"] = {"protected_branches": False, "custom_branch_policies": True}
    return shown


def _environment(server: Any, request: Received, repository: Repository, found: Any, headers: Any) -> tuple[int, Any]:
    name = unquote(found["env"]).lower()
    if name not in repository.environments:
        return _missing()
    held = repository.protection.get(name, {})
    if found["what"] == "deployment-branch-policies":
        patterns = server._paged(request, held.get("patterns", []), 100, headers)
        shown = [{"id": held["patterns"].index(each) + 1, "name": each, "type": "branch"} for each in patterns]
        return 200, {"total_count": len(held.get("patterns", [])), "branch_policies": shown}
    apps = [sample("deployment-protection-rule", id=number, enabled=True) for number in range(held.get("apps", 0))]
    page = server._paged(request, apps, 100, headers)
    return 200, {"total_count": len(apps), "custom_deployment_protection_rules": page}


def _files(_: Any, request: Received, repository: Repository, found: Any, headers: Any) -> tuple[int, Any]:
    del request, headers
    files, where = repository.files, found["rest"]
    by_sha = {sha_of(data): data for data in files.values()}
    if found["what"] == "git/blobs":
        data = by_sha.get(where)
        if data is None:
            return _missing()
        text = base64.encodebytes(data).decode()
        return 200, sample("blob", sha=where, content=text, encoding="base64", size=len(data), url="https://x")
    if where == "" and not files:
        return 404, {"message": "This repository is empty.", "documentation_url": "https://docs.github.com/rest"}
    inside = {path: data for path, data in files.items() if not where or path.startswith(f"{where}/")}
    if not inside:
        return _missing()
    cut = len(where) + 1 if where else 0
    return 200, [_entry(path, data) for path, data in sorted(inside.items()) if "/" not in path[cut:]]


def _entry(path: str, data: bytes) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "file", "size": len(data), "name": path.rpartition("/")[2], "path": path}
    if data.startswith(b"-> "):
        made["type"] = "symlink"
    made |= {"sha": sha_of(data), "url": "https://x", "git_url": None, "html_url": None, "download_url": None}
    return {**made, "_links": {"git": None, "html": None, "self": "https://x"}}


def sha_of(data: bytes) -> str:
    """Git's name of a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _organization(server: Any, request: Received, org: str, what: str, headers: dict[str, str]) -> tuple[int, Any]:
    held: Organization = server.organization(org)
    if what == "":
        mine = [each for name, each in server.repositories.items() if name.startswith(f"{org}/")]
        public = sum(each.visibility == "public" for each in mine)
        private = {"total_private_repos": len(mine) - public + held.hidden} if held.tells else {}
        return 200, sample("organization-full", login=org, public_repos=public, **private)
    if what == "/members":
        people = [sample("simple-user", id=number, login=each) for number, each in enumerate(held.members, 1)]
        return 200, server._paged(request, people, 100, headers, link=True)
    if what == "/installations":
        page = server._paged(request, held.installations, 100, headers)
        return 200, {"total_count": len(held.installations), "installations": page}
    if what == "/personal-access-tokens":
        return 200, server._paged(request, held.grants, 100, headers, link=True)
    if what == "/audit-log":
        return 200, _log(server, request, held.log or [], headers)
    return 200, permissions(held.workflow_permissions)


def _log(server: Any, request: Received, events: list[dict[str, Any]], headers: dict[str, str]) -> list[dict[str, Any]]:
    """Pages by cursor. A phrase chooses by ``action:``."""
    action = re.search(r"action:(\S+)", request.query.get("phrase", [""])[0])
    events = [each for each in events if action is None or each["action"] == action[1]]
    size = min(int(request.query.get("per_page", ["30"])[0]), 100)
    start = int(request.query.get("after", ["0"])[0])
    links = [f'<{server.url}{request.path}?per_page={size}&before=>; rel="first"'] if start else []
    if start + size < len(events):
        links.insert(0, f'<{server.url}{request.path}?per_page={size}&after={start + size}>; rel="next"')
    if links:
        headers["Link"] = ", ".join(links)
    return events[start : start + size]


def removal(person: str, at: int, **more: Any) -> dict[str, Any]:
    """An event. at: Unix seconds."""
    return {
        "@timestamp": at * 1000,
        "created_at": at * 1000,
        "action": "org.remove_member",
        "actor": "owner",
        "user": person,
        "_document_id": f"{person}-{at}",
        "org": "acme",
        **more,
    }


def key(number: int, title: str, **more: Any) -> dict[str, Any]:
    """A deploy key."""
    given = {"read_only": True, "created_at": AT, "last_used": None, "added_by": "ada", "enabled": True, **more}
    return sample("deploy-key", id=number, title=title, key="ssh-ed25519 AAAA", **given)


def grant(number: int, name: str, owner: str, **more: Any) -> dict[str, Any]:
    """A fine-grained token that was let in."""
    made = {
        "id": number,
        "owner": sample("simple-user", login=owner),
        "repository_selection": "subset",
        "repositories_url": "https://x",
        "permissions": {"organization": {}, "repository": {"contents": "read"}},
        "access_granted_at": "2026-01-01T02:00:00.000+02:00",
        "token_id": number + 10_000,
        "token_name": name,
        "token_expired": False,
        "token_expires_at": None,
        "token_last_used_at": None,
    }
    return {**made, **more}


def installed(number: int, slug: str, **more: Any) -> dict[str, Any]:
    """An App."""
    return sample("installation", id=number, app_slug=slug, **{"permissions": {"contents": "read"}, **more})

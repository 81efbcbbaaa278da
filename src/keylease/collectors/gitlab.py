"""GitLab: CI/CD variables, tokens of all sorts, and whom a project's job tokens let in.

https://docs.gitlab.com/api/: project_level_variables, group_level_variables, instance_level_ci_variables,
project_access_tokens, group_access_tokens, personal_access_tokens, deploy_tokens, deploy_keys, pipeline_triggers,
project_job_token_scopes, groups#list-descendant-groups. Variables come with their values: none is kept.
"""

from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote

import msgspec

from keylease.audit.credentials import utc
from keylease.audit.literals import credentials_in
from keylease.audit.model import Inventory
from keylease.collectors.base import Collector
from keylease.collectors.facts import last_four
from keylease.errors import KeyleaseError, UnreachableError, UsageError
from keylease.model import Env
from keylease.sync.naming import matches
from keylease.vendors.gitlab_api import GitLabApi
from keylease.vendors.gitlab_errors import Container
from keylease.vendors.gitlab_to import PATH, listed

_ROLES = {10: "guest", 15: "planner", 20: "reporter", 30: "developer", 40: "maintainer", 50: "owner"}
"""https://docs.gitlab.com/api/project_access_tokens/#create-a-project-access-token"""

_MAINTAINER = "a token with the scope `read_api` and the role Maintainer of {}"
_OWNER = "a token with the scope `read_api` and the role Owner of {}"


class GitLabCollectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of GitLab is looked at: one of the three.

    project: ``acme/trainer``. group: ``acme``, with its projects. instance: its own variables (an administrator's
        token). subgroups: whether subgroups and their projects are meant. names: globs on a project's path below the
        group.
    """

    project: str = ""
    group: str = ""
    instance: bool = False
    subgroups: bool = True
    names: str | list[str] = []


class GitLabCollector(Collector):
    """shard: (which, of how many), from 1: the first one has the group itself, and the token's own record."""

    type = "gitlab"
    kinds = ("gitlab.project", "gitlab.group", "gitlab.variable", "gitlab.token")
    permissions = ("scope `read_api`; projects: role Maintainer; groups: role Owner; instance: an administrator's",)
    via = "target"
    via_types = ("gitlab",)
    sharded = True
    Settings = GitLabCollectSettings

    settings: GitLabCollectSettings

    @classmethod
    def complete(cls, settings: GitLabCollectSettings, env: Env) -> GitLabCollectSettings:
        """See the base class."""
        del env
        if sum(map(bool, (settings.project, settings.group, settings.instance))) != 1:
            raise UsageError(
                "GitLab: what is to be looked at is not told, or several times",
                change="give one of `project: acme/trainer`, `group: acme`, `instance: true`",
                docs="sync-gitlab",
            )
        path = settings.project or settings.group
        if path and not PATH.fullmatch(path):
            raise UsageError(f"GitLab: {path!a} is no path", change="group: acme", docs="sync-gitlab")
        return settings

    def collect(self) -> Inventory:
        """See the base class."""
        self._api: GitLabApi = cast(Any, self.access.target).api
        host = self._api.settings.host
        self._begin = f"{host}/" if host else ""
        self.server = host or "gitlab.com"
        self.whole("gitlab.variable", "gitlab.token")
        s, first = self.settings, self.shard[0] == 1
        if s.group:
            self._group(s.group)
        elif s.project and first:
            self._project(self._one("projects", s.project, "project"))
        elif first:
            self._known()
            self._variables("instance", "")
        if first:
            self._try("gitlab.token", self._own, "a personal, project or group access token; GitLab 15.5 or later")
        return self.inventory

    def _known(self) -> None:
        """Raises for a token that nobody knows: lists are refused with 401 for a role that lacks, too."""
        try:
            self._api.read("/version", "look whether the token is known")
        except KeyleaseError as error:
            if isinstance(error, UnreachableError) or (error.detail or {}).get("status") == 401:
                raise

    def _at(self, rest: str) -> str:
        """A record's subject: of gitlab.com without the server's name, which paths of other servers begin with."""
        return f"gitlab://{self._begin}{rest}"

    def _one(self, kind: str, path: str, doing: str) -> dict[str, Any]:
        return self._api.read(f"/{kind}/{quote(path, safe='')}", f"gitlab://{path}: read the {doing}")

    def _try(self, kind: str, does: Callable[[], None], change: str) -> None:
        """What is refused lacks; the others go on. (GitLab refuses lists of access tokens with 401.)"""
        try:
            does()
        except UnreachableError:
            raise
        except KeyleaseError as error:
            self.problem(kind, error, f"use {change}")

    def _group(self, path: str) -> None:
        number, count = self.shard
        group = self._one("groups", path, "group")
        self.whole("gitlab.group", "gitlab.project")
        if number == 1:
            self._one_group(group, path)
        if self.settings.subgroups:
            self._try("gitlab.group", lambda: self._subgroups(path), f"a token of a member of {path}")
        query = {
            "with_shared": "false",
            "order_by": "id",
            "sort": "asc",
            "include_subgroups": "true" if self.settings.subgroups else "false",
        }
        doing = f"gitlab://{path}: list its projects"
        found = self._api.items(f"/groups/{quote(path, safe='')}/projects", doing, query=query)
        names = listed(self.settings.names)
        for each in found:
            below = _path(each, doing)[len(path) + 1 :]
            known = not names or any(matches(glob, text) for glob in names for text in (below, below.split("/")[-1]))
            if known and _number(each, doing) % count == number - 1:
                self._project(each)

    def _subgroups(self, path: str) -> None:
        doing = f"gitlab://{path}: list its subgroups"
        # Else subgroups that are public and have no member of ours would lack: never less than there is.
        query = {"order_by": "id", "sort": "asc", "all_available": "true"}
        for each in self._api.items(f"/groups/{quote(path, safe='')}/descendant_groups", doing, query=query):
            below = _path(each, doing, "full_path")
            if _number(each, doing) % self.shard[1] == self.shard[0] - 1:
                self._one_group(each, below)

    def _one_group(self, group: dict[str, Any], path: str) -> None:
        self.record("gitlab.group", self._at(path), path=path, visibility=group.get("visibility"))
        self._variables("group", path)
        self._tokens("group", path)

    def _project(self, project: dict[str, Any]) -> None:
        path = _path(project, "read a project")
        self.whole("gitlab.project")
        facts = {
            "path": path,
            "visibility": project.get("visibility"),
            "archived": project.get("archived"),
            "job_token_may_push": project.get("ci_push_repository_for_job_token_allowed"),
            "public_jobs": project.get("public_jobs"),
            "fork_pipelines": project.get("ci_allow_fork_pipelines_to_run_in_parent_project"),
        }

        def scope() -> None:
            at = f"/projects/{quote(path, safe='')}/job_token_scope"
            doing = f"gitlab://{path}: read the job token's scope"
            limited = self._api.read(at, doing).get("inbound_enabled")
            if isinstance(limited, bool):
                facts["job_token_inbound_limited"] = limited
            lists = (("allowlist", "path_with_namespace"), ("groups_allowlist", "web_url"))
            facts["job_token_allowlist"] = [
                str(each.get(key)) for name, key in lists for each in self._api.items(f"{at}/{name}", doing)
            ]

        self._try("gitlab.project", scope, _MAINTAINER.format(path))
        known = {name: value for name, value in facts.items() if value is not None}
        self.record("gitlab.project", self._at(path), **known)
        self._variables("project", path)
        self._tokens("project", path)

    def _variables(self, level: Any, path: str) -> None:
        container = Container(level, path, f"gitlab://{path}" if path else "gitlab://?level=instance")

        def read() -> None:
            doing = f"{container.address}: list variables"
            for each in self._api.items(container.variables, doing, container):
                name, scope = _text(each, "key", doing), str(each.get("environment_scope") or "*")
                facts: dict[str, Any] = {
                    flag: each[flag]
                    for flag in ("masked", "hidden", "protected", "raw")
                    if type(each.get(flag)) is bool
                }
                value = each.get("value")
                for form in credentials_in(value, name) if isinstance(value, str) else ():
                    self.context.seal(form.value, f"GitLab variable {name}")
                    facts["looks_like"] = form.what
                    if form.prefix and not form.prefix.startswith("-"):  # else there is nothing public about it
                        facts["hint"] = last_four(form.value, form.prefix)
                    break
                at = f"{path}/variable" if path else "-/variable"
                subject = self._at(f"{at}/{quote(name, safe='')}?scope={quote(scope, safe='/*')}")
                more = {"environment": scope, "file": each.get("variable_type") == "file"}
                self.record("gitlab.variable", subject, name=name, level=level, holder=path, **more, **facts)

        self._try("gitlab.variable", read, f"a token with {container.permission.replace('`api`', '`read_api`')}")

    def _tokens(self, level: str, path: str) -> None:
        at, needs = f"/{level}s/{quote(path, safe='')}", _OWNER if level == "group" else _MAINTAINER
        lists = [("access_tokens", level), ("deploy_tokens", "deploy")]
        if level == "project":
            lists += [("deploy_keys", "deploy_key"), ("triggers", "trigger")]
        for what, sort in lists:

            def read(what: str = what, sort: str = sort) -> None:
                for each in self._api.items(f"{at}/{what}", f"gitlab://{path}: list {what}"):
                    self._token(each, sort, path, f"{level}/{path}")

            self._try("gitlab.token", read, needs.format(path))

    def _own(self) -> None:
        found = self._api.read("/personal_access_tokens/self", "read about the own token")
        # A project's or group's token is told here too; it is listed there with its role.
        self._token(found, "personal", f"user {found.get('user_id')}", "self")

    def _token(self, each: dict[str, Any], sort: str, holder: str, place: str) -> None:
        doing = f"gitlab://{holder}: read a token"
        facts: dict[str, Any] = {"name": str(each.get("name") or each.get("title") or each.get("description") or "")}
        facts |= {"sort": sort, "holder": holder}
        used = "last_used" if sort == "trigger" else "last_used_at"
        for name, key in (("created_at", "created_at"), ("last_used_at", used), ("expires_at", "expires_at")):
            if key in each:
                facts[name] = _moment(each[key], doing)
        scopes = each.get("scopes")
        if isinstance(scopes, list):
            facts["scopes"] = [str(scope) for scope in scopes]
        if each.get("access_level") in _ROLES:
            facts["access_level"] = _ROLES[each["access_level"]]
        if isinstance(each.get("can_push"), bool):
            facts["can_push"] = each["can_push"]
        facts["active"] = each.get("active") is not False and True not in (each.get("revoked"), each.get("expired"))
        self.record("gitlab.token", self._at(f"{place}/{sort}/{_number(each, doing)}"), **facts)


def _garbage(doing: str) -> UnreachableError:
    return UnreachableError(f"GitLab: {doing}: the answer is not the API's", docs="garbage")


def _text(each: dict[str, Any], key: str, doing: str) -> str:
    if not isinstance(found := each.get(key), str) or not found:
        raise _garbage(doing)
    return found


def _path(each: dict[str, Any], doing: str, key: str = "path_with_namespace") -> str:
    if not PATH.fullmatch(found := _text(each, key, doing)):
        raise _garbage(doing)
    return found


def _number(each: dict[str, Any], doing: str) -> int:
    if type(found := each.get("id")) is not int:
        raise _garbage(doing)
    return found


def _moment(text: object, doing: str) -> str | None:
    """A time or a date of GitLab in UTC: tokens end at midnight of a date."""
    if text is None:
        return None
    found = utc(text) or utc(f"{text}T00:00:00Z")
    if found is None:
        raise _garbage(doing)
    return found

"""GitLab's REST API for CI/CD variables, with state: projects, groups, the instance.

What it takes and answers was written down from GitLab's documentation (project_level_variables, group_level_variables,
instance_level_ci_variables, personal_access_tokens, groups#list-projects, rest#pagination, user_and_ip_rate_limits) and
its source (lib/api/ci/variables.rb, lib/api/group_variables.rb, lib/api/admin/ci/variables.rb, Ci::Maskable,
Ci::HidableVariable, Ci::HasVariable, Ci::ChangeVariableService, Limitable, Gitlab::Regex): names of fields, rules,
statuses and bodies of errors. python-gitlab's own calls are tried on it too (test_sync_gitlab.py). GitLab's OpenAPI
document is under CC BY-SA and so is not kept here.

What it can't show, as no GitLab can be had in these tests: what GitLab does and does not document, roles that are made
up of several (custom roles, inheritance), audit events, how long changes take to reach replicas, OAuth, fine-grained
tokens, redirects of renamed projects. Values are kept as they are; a real one keeps them encrypted.
"""

# long file: one server, one table of routes

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.loopback import Exchange, LoopbackServer, Received

MASKED = re.compile(r"[a-zA-Z0-9_+=/@:.~-]{8,}")
MASKED_AND_RAW = re.compile(r"[^ \t\r\n\f\v]{8,}")
KEY = re.compile(r"[a-zA-Z0-9_]+")
SCOPE = re.compile(r"[a-zA-Z0-9_/\\${}. *-]+")
BOOLEANS: Mapping[Any, bool] = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
TOP = 100
CREATED = ("key", "value", "description", "masked", "masked_and_hidden", "protected", "raw", "variable_type")
"""Fields of GitLab 19. Of an older one, those that it did not know yet are left out without a word."""
SINCE = {"raw": (15, 7), "description": (16, 2), "masked_and_hidden": (17, 4), "hidden": (17, 4)}


@dataclass
class Container:
    """A project, a group or the instance. roles: token → access level (30 Developer, 40 Maintainer, 50 Owner)."""

    level: str
    path: str = ""
    roles: dict[str, int] = field(default_factory=dict)
    variables: list[dict[str, Any]] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    archived: bool = False
    most: int = 8000

    @property
    def least(self) -> int:
        return {"project": 40, "group": 50, "instance": 60}[self.level]


@dataclass
class Token:
    """scopes: of a token. admin: an administrator's."""

    scopes: list[str]
    admin: bool = False
    active: bool = True
    expires_at: str | None = None


class Answer(Exception):  # noqa: N818  # an answer, not an error
    """What to answer, raised from wherever it is clear."""

    def __init__(self, status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(status))
        self.status, self.body, self.headers = status, body, dict(headers or {})


Fault = Callable[[Exchange, Callable[[], Answer]], bool]
"""Given a request and how it would be answered; True if it saw to it all."""


class GitLab(LoopbackServer):
    """`gitlab = GitLab(); gitlab.project("acme/trainer"); gitlab.token("…", ["api"], roles={"acme/trainer": 40})`.

    version, premium: what the server knows. fault: may answer itself. throttle: requests until it says 429.
    """

    def __init__(self, *, version: tuple[int, int] = (19, 0), premium: bool = True, port: int = 0) -> None:
        super().__init__(port=port)
        self.version = version
        self.premium = premium
        self.lock = threading.RLock()
        self.containers: dict[tuple[str, str], Container] = {("instance", ""): Container("instance", most=25)}
        self.tokens: dict[str, Token] = {}
        self.fault: Fault | None = None
        self.throttle: list[Mapping[str, str]] = []
        """Headers of the 429s to come."""
        self.writes: list[str] = []
        self._id = 0

    # What is there.

    def project(self, path: str, **more: Any) -> Container:
        return self.containers.setdefault(("project", path.lower()), Container("project", path, **more))

    def group(self, path: str, **more: Any) -> Container:
        made = Container("group", path, most=30000, **more)
        return self.containers.setdefault(("group", path.lower()), made)

    @property
    def instance(self) -> Container:
        return self.containers["instance", ""]

    def token(
        self, text: str, scopes: list[str], *, admin: bool = False, roles: Mapping[str, int] | None = None
    ) -> str:
        """A token, with access levels by path."""
        self.tokens[text] = Token(scopes, admin)
        for container in self.containers.values():
            if roles and container.path in roles:
                container.roles[text] = roles[container.path]
        return text

    def set(self, container: Container, key: str, value: str, scope: str = "*", **fields: Any) -> None:
        """As somebody does it in the user interface."""
        with self.lock:
            found = self._find(container, key, scope)
            if not found:
                self._id += 1
                made = {"id": self._id, "key": key, "environment_scope": scope, **self._defaults()}
                container.variables.append(made)
                found = [made]
            found[0].update(value=value, **fields)

    def value(self, container: Container, key: str, scope: str = "*") -> str | None:
        """What is really there."""
        with self.lock:
            found = self._find(container, key, scope)
            return found[0]["value"] if found else None

    def _defaults(self) -> dict[str, Any]:
        return {
            "variable_type": "env_var",
            "masked": False,
            "hidden": False,
            "protected": False,
            "raw": False,
            "description": None,
        }

    def _find(self, container: Container, key: str, scope: str | None) -> list[dict[str, Any]]:
        return [
            each for each in container.variables if each["key"] == key and scope in (None, each["environment_scope"])
        ]

    # Requests.

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        request = exchange.request

        def answered() -> Answer:
            with self.lock:
                try:
                    self._route(request)
                except Answer as answer:
                    return answer
            raise AssertionError("every request has an answer")

        if self.throttle:
            headers = {"Content-Type": "text/plain", **self.throttle.pop(0)}
            exchange.answer(429, b"Retry later\n", headers)
            return
        if self.fault is None or not self.fault(exchange, answered):
            reply(exchange, answered())

    def _route(self, request: Received) -> None:
        path = request.path
        if not path.startswith("/api/v4/"):
            raise Answer(302, None, {"Location": f"{self.url}/users/sign_in"})
        token = self._authenticated(request)
        parts = [unquote(part) for part in path.removeprefix("/api/v4/").split("/")]
        match parts:
            case ["personal_access_tokens", "self"] if request.method == "GET":
                known = self.tokens[token]
                raise Answer(
                    200,
                    {
                        "id": 1,
                        "name": "sync",
                        "revoked": False,
                        "created_at": "2026-11-01T00:00:00.000Z",
                        "description": None,
                        "scopes": known.scopes,
                        "user_id": 2,
                        "last_used_at": None,
                        "active": known.active,
                        "expires_at": known.expires_at,
                    },
                )
            case ["version"] if request.method == "GET":
                raise Answer(200, {"version": f"{self.version[0]}.{self.version[1]}.0-ee", "revision": "0a1b2c3"})
            case ["application", "plan_limits"] if request.method == "GET":
                if not self.tokens[token].admin:
                    raise Answer(403, {"message": "403 Forbidden"})
                raise Answer(200, {"ci_instance_level_variables": self.instance.most, "dotenv_size": 5120})
            case ["groups", group, "projects"] if request.method == "GET":
                self._projects(request, token, group)
            case ["admin", "ci", "variables", *rest]:
                if not self.tokens[token].admin:
                    raise Answer(403, {"message": "403 Forbidden"})
                self._variables(request, token, self.instance, rest)
            case ["projects" | "groups" as kind, of, "variables", *rest]:
                self._variables(request, token, self._visible(kind[:-1], of, token), rest)
        raise Answer(404, {"error": "404 Not Found"})

    def _authenticated(self, request: Received) -> str:
        token = request.header("PRIVATE-TOKEN") or request.header("Authorization").removeprefix("Bearer ")
        if token not in self.tokens or not self.tokens[token].active:
            raise Answer(401, {"message": "401 Unauthorized"})
        scopes = set(self.tokens[token].scopes)
        needed = {"api", "read_api"} if request.method == "GET" else {"api"}
        if not scopes & needed:
            said = "The request requires higher privileges than provided by the access token."
            raise Answer(403, {"error": "insufficient_scope", "error_description": said, "scope": "api"})
        return token

    def _visible(self, level: str, path: str, token: str) -> Container:
        container = self.containers.get((level, path.lower()))
        if container is None or (token not in container.roles and not self.tokens[token].admin):
            raise Answer(404, {"message": f"404 {level.capitalize()} Not Found"})
        return container

    def _projects(self, request: Received, token: str, group: str) -> None:
        self._visible("group", group, token)
        query = request.query
        deep = query.get("include_subgroups") == ["true"]
        found = []
        for number, project in enumerate(self.containers.values()):
            parent = project.path.rpartition("/")[0].lower()
            inside = parent == group.lower() or (deep and parent.startswith(f"{group.lower()}/"))
            if project.level != "project" or not inside:
                continue
            if query.get("archived") == ["false"] and project.archived:
                continue
            if "topic" in query and query["topic"][0] not in project.topics:
                continue
            simple: dict[str, Any] = {"id": number, "path": project.path.rpartition("/")[2], "topics": project.topics}
            if query.get("simple") != ["true"]:
                simple["archived"] = project.archived
            found.append({**simple, "name": simple["path"], "path_with_namespace": project.path})
        self._page(request, found)

    def _variables(self, request: Received, token: str, container: Container, rest: list[str]) -> None:
        admin = self.tokens[token].admin
        if not admin and container.roles.get(token, 0) < container.least:
            raise Answer(403, {"message": "403 Forbidden"})
        match request.method, rest:
            case "GET", []:
                self._page(request, [self._shown(container, each) for each in container.variables])
            case "POST", []:
                self._create(container, self._parameters(request))
            case "GET", [key]:
                raise Answer(200, self._shown(container, self._one(container, key, self._scope(request, container))))
            case "PUT", [key]:
                self._update(container, key, self._parameters(request), self._scope(request, container))
            case "DELETE", [key]:
                found = self._one(container, key, self._scope(request, container))
                container.variables.remove(found)
                self.writes.append(f"DELETE {container.path} {key} {found['environment_scope']}")
                raise Answer(204)
        raise Answer(405, {"error": "405 Not Allowed"})

    def _scope(self, request: Received, container: Container) -> str | None:
        if container.level == "instance" or (container.level == "group" and self.version < (16, 9)):
            return None
        return request.query.get("filter[environment_scope]", [None])[0] or None

    def _one(self, container: Container, key: str, scope: str | None) -> dict[str, Any]:
        found = self._find(container, key, scope)
        if not found:
            kind = {"project": "", "group": "Group", "instance": "Instance"}[container.level]
            raise Answer(404, {"message": f"404 {kind}Variable Not Found"})
        if len(found) > 1 and not (container.level == "group" and self.version < (16, 9)):
            text = "There are multiple variables with provided parameters. Please use 'filter[environment_scope]'"
            raise Answer(409, {"message": text})
        return found[0]

    def _parameters(self, request: Received) -> dict[str, Any]:
        given: dict[str, Any] = {name: values[0] for name, values in parse_qs(urlsplit(request.target).query).items()}
        if request.header("Content-Type").startswith("application/json") and request.body:
            given |= json.loads(request.body)
        known = {}
        for name in (*CREATED, "environment_scope"):
            if name in given and self.version >= SINCE.get(name, (0, 0)):
                known[name] = given[name]
        for name in ("masked", "masked_and_hidden", "protected", "raw"):
            if name in known:
                if known[name] not in BOOLEANS:
                    raise Answer(400, {"error": f"{name} is invalid"})
                known[name] = BOOLEANS[known[name]]
        if known.get("variable_type", "env_var") not in ("env_var", "file"):
            raise Answer(400, {"error": "variable_type does not have a valid value"})
        return known

    def _create(self, container: Container, given: dict[str, Any]) -> None:
        missing = [name for name in ("key", "value") if not isinstance(given.get(name), str)]
        if missing:
            raise Answer(400, {"error": ", ".join(f"{name} is missing" for name in missing)})
        if not self._has_scopes(container):
            given.pop("environment_scope", None)
        if container.level == "instance":
            given.pop("masked_and_hidden", None)
        made = {**self._defaults(), "environment_scope": "*", **given}
        if made.pop("masked_and_hidden", False):
            made |= {"masked": True, "hidden": True}
        made["key"] = made["key"].strip()
        errors = self._errors(container, made)
        if self._find(container, made["key"], made["environment_scope"]):
            errors.setdefault("key", []).append(f"({made['key']}) has already been taken")
        if len(container.variables) >= container.most:
            name = {"project": "project ci", "group": "group ci", "instance": "ci instance level"}[container.level]
            errors.setdefault("base", []).append(f"Maximum number of {name} variables ({container.most}) exceeded")
        if errors:
            raise Answer(400, {"message": errors})
        self._id += 1
        made["id"] = self._id
        container.variables.append(made)
        self.writes.append(f"POST {container.path} {made['key']} {made['environment_scope']}")
        raise Answer(201, self._shown(container, made))

    def _update(self, container: Container, key: str, given: dict[str, Any], scope: str | None) -> None:
        found = self._one(container, key, scope)
        given.pop("key", None)
        given.pop("masked_and_hidden", None)
        if not self._has_scopes(container):
            given.pop("environment_scope", None)
        changed = {**found, **given}
        errors = self._errors(container, changed)
        if found["hidden"] and changed["masked"] != found["masked"]:
            text = "The visibility setting cannot be changed for masked and hidden variables."
            errors.setdefault("base", []).append(text)
        if errors:
            raise Answer(400, {"message": errors})
        found.update(changed)
        self.writes.append(f"PUT {container.path} {key} {found['environment_scope']}")
        raise Answer(200, self._shown(container, found))

    def _has_scopes(self, container: Container) -> bool:
        return container.level == "project" or (container.level == "group" and self.premium)

    def _errors(self, container: Container, made: Mapping[str, Any]) -> dict[str, list[str]]:
        errors: dict[str, list[str]] = {}
        key, value = made["key"], made["value"]
        if len(key) > 255:
            errors.setdefault("key", []).append("is too long (maximum is 255 characters)")
        if not KEY.fullmatch(key):
            errors.setdefault("key", []).append("can contain only letters, digits and '_'.")
        loose = made["raw"] and self.version >= (15, 10)
        if made["masked"] and not (MASKED_AND_RAW if loose else MASKED).fullmatch(value):
            errors.setdefault("value", []).append("is invalid")
        if container.level == "instance" and len(value) > 10_000:
            text = "The value of the provided variable exceeds the 10000 character limit"
            errors.setdefault("value", []).append(text)
        if "\0" in value:
            raise Answer(400, {"error": "value is invalid"})
        if not SCOPE.fullmatch(made["environment_scope"]):
            text = "can contain only letters, digits, '-', '_', '/', '$', '{', '}', '.', '*' and spaces"
            errors.setdefault("environment_scope", []).append(text)
        if made["description"] is not None and len(made["description"]) > 255:
            errors.setdefault("description", []).append("is too long (maximum is 255 characters)")
        return errors

    def _shown(self, container: Container, variable: Mapping[str, Any]) -> dict[str, Any]:
        shown = {
            name: variable[name]
            for name in ("variable_type", "key", "value", "hidden", "protected", "masked", "raw", "description")
            if self.version >= SINCE.get(name, (0, 0))
        }
        if variable["hidden"]:
            shown["value"] = None
        if container.level == "instance":
            shown.pop("hidden", None)
        else:
            shown["environment_scope"] = variable["environment_scope"]
        return shown

    def _page(self, request: Received, items: list[Any]) -> None:
        query = request.query
        size = min(TOP, int(query.get("per_page", ["20"])[0]))
        page = int(query.get("page", ["1"])[0])
        last = max(1, -(-len(items) // size))
        following = str(page + 1) if page < last else ""
        headers = {"X-Page": str(page), "X-Per-Page": str(size), "X-Next-Page": following, "X-Request-Id": "01JD"}
        if len(items) <= 10_000:
            headers |= {"X-Total": str(len(items)), "X-Total-Pages": str(last)}
        if following:
            headers["Link"] = f'<{self.url}{request.path}?page={following}&per_page={size}>; rel="next"'
        raise Answer(200, items[(page - 1) * size : page * size], headers)


def reply(exchange: Exchange, answer: Answer) -> None:
    """Send an answer."""
    limits = {"RateLimit-Limit": "2000", "RateLimit-Remaining": "1999", "RateLimit-Reset": str(int(time.time()) + 60)}
    if answer.status == 204 or answer.body is None:
        exchange.answer(answer.status, b"", {**limits, **answer.headers})
    else:
        exchange.answer_json(answer.status, answer.body, {**limits, **answer.headers})

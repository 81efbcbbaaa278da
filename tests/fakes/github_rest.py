"""GitHub's REST API for secrets and variables, stateful: what is put is there, sealed boxes are opened.

Contract: GitHub's OpenAPI description; every request and every answer is held against it (`problems`). Behaviour:
https://docs.github.com/rest (pagination, conditional requests, rate limits, permissions) and
https://docs.github.com/actions/reference/security/secrets (names, sizes, how many).

    with GitHubRest() as github:
        github.add_repository("acme/trainer", environments={"prod"})
        token = github.add_token()                       # may do all; add_token(secrets="read") does not
        github.value("acme/trainer", "secret", "NAME")   # as a workflow would see it; None if there is none

What it can't show: the wording of GitHub's errors beyond the documented ones (caps, names and sizes above all), real
secondary limits (they are not published in full), replication delays, SAML, enterprise policies, classic tokens, what
GitHub's own clock and ETags do under load, and whether its real caps of Dependabot secrets are others.
"""
# long file: one server, whose parts all share its state

import hashlib
import json
import random
import re
import secrets
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import jwt
from nacl.exceptions import CryptoError

from tests.fakes.github_openapi import SPEC, problem, sample
from tests.fakes.github_rest_audit import Organization, audited
from tests.fakes.github_rest_state import (
    ALL,
    CAPS,
    LARGEST,
    Clock,
    Credential,
    Limits,
    Repository,
    Store,
    Value,
    as_it_is,
    may_see,
    minimal,
    properties,
)
from tests.fakes.loopback import Exchange, LoopbackServer, Received

_KINDS = {
    "actions/secrets": "secret",
    "actions/variables": "variable",
    "dependabot/secrets": "dependabot",
    "codespaces/secrets": "codespaces",
    "secrets": "secret",
    "variables": "variable",
}
_VALUES = re.compile(
    r"/(?:orgs/(?P<org>[^/]+)|repos/(?P<repo>[^/]+/[^/]+)(?:/environments/(?P<env>[^/]+))?)"
    r"/(?P<kind>actions/secrets|actions/variables|dependabot/secrets|codespaces/secrets|secrets|variables)"
    r"(?:/(?P<name>[^/]+)(?P<rest>/repositories)?)?"
)
APP_PERMISSIONS = SPEC["components"]["schemas"]["app-permissions"]["properties"]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Handler = Callable[[Exchange], None]


class _Refused(Exception):  # noqa: N818  # an answer
    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


class GitHubRest(LoopbackServer):
    """See the module. All of the state may be looked at and changed by a test.

    before: called with each request; may give another behaviour for it (a fault). after: called with a write that is
    done and not yet answered; likewise. shuffle: lists come in another order at each request, as if values were being
    changed meanwhile. log: (method, path) of all writes that were done. overlapping: writes that came while another was
    being done. validate: hold everything against the description (switch off for measuring).
    """

    def __init__(self, *, port: int = 0, validate: bool = True, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(port=port, tls=tls)
        self.clock = Clock()
        self.limits = Limits(self.clock)
        self.organizations: set[str] = set()
        self.repositories: dict[str, Repository] = {}
        self.credentials: dict[str, Credential] = {}
        self.stores: dict[tuple[str, str], Store] = {}
        self.facts: dict[str, Organization] = {}
        self.apps: dict[str, tuple[str, dict[str, int], Credential]] = {}
        self.app_token_life = 3600.0
        self.before: Callable[[Received], Handler | None] = lambda _: None
        self.after: Callable[[Received], Handler | None] = lambda _: None
        self.shuffle: random.Random | None = None
        self.validate = validate
        self.problems: list[str] = []
        self.log: list[tuple[str, str]] = []
        self.statuses: Counter[int] = Counter()
        self.overlapping = 0
        self.largest_page: dict[str, int] = {"variable": 30}
        self.on_token: Callable[[str], None] = lambda _: None
        self._lock = threading.RLock()
        self._writing = 0
        self._next_id = 1000

    # State.

    def add_repository(self, full_name: str, **more: Any) -> Repository:
        """With what :class:`Repository` has. The owner becomes an organisation."""
        self.organizations.add(full_name.partition("/")[0].lower())
        self._next_id += 1
        made = self.repositories[full_name.lower()] = Repository(self._next_id, full_name, **more)
        return made

    def add_token(self, repositories: Collection[str] | None = None, *, kind: str = "", **permissions: str) -> str:
        """One that may do all, but for what `permissions` says (``secrets="read"``, ``secrets=""``)."""
        token = ("ghs_" if kind else "github_pat_") + secrets.token_hex(18)
        chosen = {name.lower() for name in repositories} if repositories is not None else None
        self.credentials[token] = Credential({**ALL, **permissions}, chosen, kind or "personal access token")
        return token

    def add_app(self, app: str, public_key: str, installations: dict[str, int], **permissions: str) -> None:
        """A GitHub App; its installations: account → id."""
        self.apps[app] = public_key, installations, Credential({**ALL, **permissions}, None, "integration")

    def organization(self, name: str) -> Organization:
        """What an audit sees of it: to be changed by a test."""
        return self.facts.setdefault(name.lower(), Organization())

    def store(self, place: str, kind: str) -> Store:
        """place: ``acme``, ``acme/trainer`` or ``acme/trainer?prod``."""
        return self.stores.setdefault((place.lower(), kind), Store())

    def put(self, place: str, kind: str, name: str, value: str | bytes, **more: Any) -> None:
        """As somebody else does, on the web site."""
        with self._lock:
            values, now = self.store(place, kind).values, self.clock.text()
            data = value.encode() if isinstance(value, str) else value
            if "/" not in place:
                more.setdefault("visibility", "private")
            old = values.get(name.upper())
            values[name.upper()] = Value(data, old.created_at if old else now, now, **more)

    def value(self, place: str, kind: str, name: str) -> bytes | None:
        """What a workflow would get."""
        with self._lock:
            found = self.store(place, kind).values.get(name.upper())
            return found.data if found else None

    def held(self, place: str, kind: str) -> dict[str, str]:
        """Name → value of all."""
        with self._lock:
            return {name: each.data.decode() for name, each in self.store(place, kind).values.items()}

    # Requests.

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        # An Enterprise Server's API is below this path.
        request = replace(exchange.request, target=exchange.request.target.removeprefix("/api/v3"))
        fault = self.before(request)
        if fault is not None:
            fault(exchange)
            return
        write = request.method != "GET"
        with self._lock:
            self._writing += write
            self.overlapping += write and self._writing > 1
        try:
            with self._lock:
                status, data, headers = self._answer(request)
            fault = self.after(request) if write and status < 300 else None
        finally:
            with self._lock:
                self._writing -= write
        if fault is not None:
            fault(exchange)
            return
        body = b"" if status in (204, 304) else json.dumps(data).encode()
        with self._lock:
            self.statuses[status] += 1
            if self.validate:
                wrong = problem(request, status, body)
                if wrong:
                    self.problems.append(wrong)
        exchange.answer(status, body, {"Content-Type": "application/json; charset=utf-8", **headers})

    def _answer(self, request: Received) -> tuple[int, Any, dict[str, str]]:
        token = request.header("Authorization").partition(" ")[2]
        who = token[:12]
        headers: dict[str, str] = {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(self.clock.now()))}
        headers["X-GitHub-Request-Id"] = secrets.token_hex(8)
        write = request.method != "GET"
        try:
            self._limited(request, token, headers, write=write)
            status, data = self._routed(request, token, headers)
        except _Refused as refused:
            status, data = (
                refused.status,
                {"message": refused.message, "documentation_url": "https://docs.github.com/rest"},
            )
            headers |= {name.replace("_", "-"): value for name, value in refused.headers.items()}
        if status == 200 and not write:
            tag = hashlib.sha256(json.dumps([who, data]).encode()).hexdigest()
            headers["ETag"] = f'W/"{tag}"'
            if request.header("If-None-Match") == headers["ETag"]:
                status = 304
        if status != 304 and status != 429:
            self.limits.count(token)
        if token in self.credentials:
            headers |= self.credentials[token].headers
        remaining, reset = self.limits.standing(token)
        headers |= {"X-RateLimit-Limit": str(self.limits.primary), "X-RateLimit-Remaining": str(remaining)}
        headers |= {"X-RateLimit-Reset": str(reset)}
        if write and status < 300:
            self.log.append((request.method, request.path))
        return status, data, headers

    def _limited(self, request: Received, token: str, headers: dict[str, str], *, write: bool) -> None:
        if self.limits.standing(token)[0] == 0:
            self.limits.hits += 1
            raise _Refused(self.limits.status, "API rate limit exceeded for user ID 1.")
        if self.limits.barred(write=write):
            more = {} if self.limits.retry_after is None else {"Retry_After": str(self.limits.retry_after)}
            raise _Refused(
                self.limits.status,
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
                **more,
            )

    def _routed(self, request: Received, token: str, headers: dict[str, str]) -> tuple[int, Any]:
        path = request.target.partition("?")[0]
        if path.startswith("/app/") or path.endswith("/installation"):
            return self._as_app(request, path, token)
        credential = self.credentials.get(token)
        if credential is None or credential.expires_at <= self.clock.now():
            raise _Refused(401, "Bad credentials")
        if (request.method, path) == ("DELETE", "/installation/token"):
            del self.credentials[token]
            return 204, None
        found = _VALUES.fullmatch(path)
        if found:
            return self._values(request, credential, found, headers)
        return self._repositories(request, credential, path, headers)

    # Apps.

    def _as_app(self, request: Received, path: str, token: str) -> tuple[int, Any]:
        try:
            app = str(jwt.decode(token, options={"verify_signature": False})["iss"])
            key, installations, grant = self.apps[app]
            claims = jwt.decode(token, key, algorithms=["RS256"], options={"verify_iat": False})
            if claims["exp"] - claims["iat"] > 660:
                raise ValueError("too long")
        except (jwt.PyJWTError, KeyError, ValueError):
            raise _Refused(401, "A JSON web token could not be decoded") from None
        account = re.fullmatch(r"/(orgs|users)/([^/]+)/installation", path)
        if account:
            is_org = account[2].lower() in self.organizations
            number = installations.get(account[2].lower())
            if number is None or is_org != (account[1] == "orgs"):
                raise _Refused(404, "Not Found")
            return 200, sample("installation", id=number)
        number = int(path.split("/")[3])
        if number not in installations.values():
            raise _Refused(404, "Not Found")
        made = "ghs_" + secrets.token_hex(18)
        self.on_token(made)
        until = self.clock.now() + self.app_token_life
        self.credentials[made] = Credential(grant.permissions, grant.repositories, grant.kind, until)
        held = {key: level for key, level in grant.permissions.items() if key in APP_PERMISSIONS and level}
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(until))
        return 201, {"token": made, "expires_at": at, "permissions": held}

    # Repositories.

    def _repositories(
        self, request: Received, credential: Credential, path: str, headers: dict[str, str]
    ) -> tuple[int, Any]:
        one = re.fullmatch(r"/repos/([^/]+/[^/]+)", path)
        if one:
            shown = minimal(self._visible(credential, one[1]))
            keys = SPEC["components"]["schemas"]["full-repository"]["properties"]
            return 200, sample("full-repository", **{key: shown[key] for key in shown if key in keys and shown[key]})
        seen = audited(self, request, credential, path, headers)
        if seen is not None:
            return seen
        found = re.fullmatch(r"/orgs/([^/]+)/(repos|properties/values)", path)
        if not found or found[1].lower() not in self.organizations:
            raise _Refused(404, "Not Found")
        if found[2] != "repos":
            self._must(credential, "organization_custom_properties", "read", headers)
        mine = [
            each
            for name, each in sorted(self.repositories.items())
            if name.startswith(f"{found[1].lower()}/") and may_see(credential, name)
        ]
        if request.query.get("sort") == ["created"]:
            mine.sort(key=lambda each: each.id, reverse=request.query.get("direction", ["desc"]) == ["desc"])
        page = self._paged(request, mine, 100, headers, link=True)
        return 200, [minimal(each) if found[2] == "repos" else properties(each) for each in page]

    def _visible(self, credential: Credential, full_name: str) -> Repository:
        repository = self.repositories.get(full_name.lower())
        if repository is None or not may_see(credential, full_name):
            raise _Refused(404, "Not Found")
        return repository

    def _must(self, credential: Credential, key: str, level: str, headers: dict[str, str]) -> None:
        headers["X-Accepted-GitHub-Permissions"] = f"{key}={level}"
        if not credential.may(key, level):
            raise _Refused(403, f"Resource not accessible by {credential.kind}")

    def _paged(
        self, request: Received, items: list[Any], most: int, headers: dict[str, str], *, link: bool = False
    ) -> list[Any]:
        default = 10 if most == 30 else 30
        size = max(1, min(int(request.query.get("per_page", [str(default)])[0]), most))
        page = max(1, int(request.query.get("page", ["1"])[0]))
        if self.shuffle is not None:
            items = self.shuffle.sample(items, len(items))
        # As https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api shows: the last page has
        # one too, with the way back.
        others = {"prev": page - 1} if page > 1 else {}
        others |= {"next": page + 1} if len(items) > page * size else {}
        if others:
            headers["Link"] = ", ".join(
                f'<{self.url}{request.path}?page={n}>; rel="{rel}"' for rel, n in others.items()
            )
        return items[(page - 1) * size : page * size]

    # Values.

    def _values(
        self, request: Received, credential: Credential, found: re.Match[str], headers: dict[str, str]
    ) -> tuple[int, Any]:
        kind, name = _KINDS[found["kind"]], unquote(found["name"] or "")
        level = "organization" if found["org"] else "environment" if found["env"] else "repository"
        place = (found["org"] or found["repo"]).lower()
        if level == "organization":
            if place not in self.organizations:
                raise _Refused(404, "Not Found")
        else:
            repository = self._visible(credential, place)
            if found["env"]:
                place = f"{place}?{unquote(found['env']).lower()}"
                if place.partition("?")[2] not in repository.environments:
                    raise _Refused(404, "Not Found")
        key = (
            "environments"
            if level == "environment"
            else {"secret": "secrets", "variable": "actions_variables"}.get(kind, f"{kind}_secrets")
        )
        access = "read" if request.method == "GET" else "write"
        self._must(credential, f"organization_{key}" if level == "organization" else key, access, headers)
        store = self.store(place, kind)
        if not name:
            return (
                self._list(request, store, kind, headers) if access == "read" else self._create(request, store, level)
            )
        if name == "public-key":
            store.key_fetches += 1
            return 200, {"key_id": store.key_id, "key": store.public}
        if found["rest"]:
            return self._selection(request, store, name, headers)
        return self._one(request, store, kind, level, name)

    def _list(self, request: Received, store: Store, kind: str, headers: dict[str, str]) -> tuple[int, Any]:
        most = self.largest_page.get(kind, 100)
        names = self._paged(request, sorted(store.values), most, headers)
        items = [self._shown(kind, name, store.values[name], request.path) for name in names]
        return 200, {"total_count": len(store.values), "variables" if kind == "variable" else "secrets": items}

    def _shown(self, kind: str, name: str, value: Value, path: str) -> dict[str, Any]:
        shown = {"name": name, "created_at": value.created_at, "updated_at": value.updated_at}
        if kind == "variable":
            shown["value"] = value.data.decode()
        if value.visibility:
            shown["visibility"] = value.visibility
            if value.visibility == "selected":
                shown["selected_repositories_url"] = f"{self.url}{path}/{name}/repositories"
        return shown

    def _create(self, request: Received, store: Store, level: str) -> tuple[int, Any]:
        body = request.json()
        name = str(body["name"]).upper()
        if name in store.values:
            raise _Refused(409, "Already exists - Variable already exists")
        self._check(store, "variable", level, name, body["value"].encode())
        self._keep(store, name, body["value"].encode(), body, level)
        return 201, {}

    def _one(self, request: Received, store: Store, kind: str, level: str, name: str) -> tuple[int, Any]:
        name, there = name.upper(), store.values.get(name.upper())
        if request.method == "PUT" and kind != "variable":
            body = request.json()
            if body.get("key_id") != store.key_id:
                raise _Refused(422, "key_id does not match the public key")
            try:
                data = store.opened(body["encrypted_value"])
            except (CryptoError, ValueError, TypeError):
                raise _Refused(422, "Bad request - failed to decrypt the value") from None
            self._check(store, kind, level, name, data)
            self._keep(store, name, data, body, level)
            return (204, None) if there else (201, {})
        if there is None:
            raise _Refused(404, "Not Found")
        if request.method == "DELETE":
            del store.values[name]
            return 204, None
        if request.method == "PATCH" and kind == "variable":
            body = request.json()
            data = body["value"].encode() if "value" in body else there.data
            self._check(store, kind, level, name, data)
            self._keep(store, name, data, {**as_it_is(there), **body}, level)
            return 204, None
        if request.method == "GET":
            return 200, self._shown(kind, name, there, request.path.rpartition("/")[0])
        raise _Refused(404, "Not Found")

    def _selection(self, request: Received, store: Store, name: str, headers: dict[str, str]) -> tuple[int, Any]:
        there = store.values.get(name.upper())
        if there is None:
            raise _Refused(404, "Not Found")
        if there.visibility != "selected":
            raise _Refused(409, "Visibility type not set to 'selected'")
        if request.method == "PUT":
            there.selected = list(request.json()["selected_repository_ids"])
            there.updated_at = self.clock.text()
            return 204, None
        chosen = [each for each in self.repositories.values() if each.id in there.selected]
        page = self._paged(request, chosen, 100, headers)
        return 200, {"total_count": len(chosen), "repositories": [minimal(each) for each in page]}

    def _check(self, store: Store, kind: str, level: str, name: str, data: bytes) -> None:
        if not _NAME.fullmatch(name) or name.startswith("GITHUB_"):
            raise _Refused(422, "Secret names can only contain alphanumeric characters or underscores, and …")
        if len(data) > LARGEST:
            raise _Refused(422, "Value is too large")
        if name not in store.values and len(store.values) >= CAPS[level, kind]:
            raise _Refused(422, "The limit of values has been reached")

    def _keep(self, store: Store, name: str, data: bytes, body: dict[str, Any], level: str) -> None:
        now, old = self.clock.text(), store.values.get(name)
        made = store.values[name] = Value(data, old.created_at if old else now, now)
        if level == "organization":
            made.visibility = body["visibility"]
            # Whoever does not name the selected ones has none: https://github.com/external-secrets/external-secrets
            # issue 6514.
            made.selected = list(body.get("selected_repository_ids", ())) if made.visibility == "selected" else []

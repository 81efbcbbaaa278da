"""What the fake GitHub of github_rest.py holds: accounts, repositories, values, credentials, limits."""

import base64
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nacl.public import PrivateKey, SealedBox

from tests.fakes.github_openapi import sample

LARGEST = 48 * 1024
CAPS = {
    ("repository", "secret"): 100,
    ("repository", "variable"): 500,
    ("repository", "dependabot"): 100,
    ("repository", "codespaces"): 100,
    ("environment", "secret"): 100,
    ("environment", "variable"): 100,
    ("organization", "secret"): 1000,
    ("organization", "variable"): 1000,
    ("organization", "dependabot"): 1000,
    ("organization", "codespaces"): 100,
}
LEVELS = {"read": 1, "write": 2, "admin": 3}


@dataclass
class Value:
    """A secret or a variable. selected: ids of repositories, of an organisation's."""

    data: bytes
    created_at: str
    updated_at: str
    visibility: str = ""
    selected: list[int] = field(default_factory=list)


class Store:
    """All values of one kind at one place, and the key pair that secrets are sealed for."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self._key: PrivateKey | None = None
        self.key_fetches = 0

    @property
    def key(self) -> PrivateKey:
        if self._key is None:
            self._key = PrivateKey.generate()
        return self._key

    @property
    def key_id(self) -> str:
        return str(int.from_bytes(bytes(self.key.public_key)[:7]))

    @property
    def public(self) -> str:
        return base64.b64encode(bytes(self.key.public_key)).decode()

    def opened(self, sealed: str) -> bytes:
        """Raises ValueError or nacl's CryptoError."""
        return bytes(SealedBox(self.key).decrypt(base64.b64decode(sealed, validate=True)))


@dataclass
class Repository:
    """environments: in lower case. properties: custom ones. files: of the default branch, path → content.

    protection: environment → what the API says of it (``protection_rules``, ``deployment_branch_policy``, and
    ``patterns``, ``apps`` of requests of their own). keys: deploy keys, as the API gives them.
    """

    id: int
    full_name: str
    archived: bool = False
    topics: tuple[str, ...] = ()
    properties: dict[str, str | list[str] | None] = field(default_factory=dict)
    environments: set[str] = field(default_factory=set)
    visibility: str = "private"
    disabled: bool = False
    fork: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    protection: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=list)
    workflow_permissions: tuple[str, bool] = ("read", False)


@dataclass
class Credential:
    """A fine-grained token. permissions: GitHub's key → level. repositories: None is all.

    kind: ``personal access token`` or ``integration``: an App's installation, or the job's own GITHUB_TOKEN.
    headers: what answers say of it.
    """

    permissions: dict[str, str]
    repositories: set[str] | None = None
    kind: str = "personal access token"
    expires_at: float = float("inf")
    headers: dict[str, str] = field(default_factory=dict)

    def may(self, key: str, level: str) -> bool:
        return LEVELS.get(self.permissions.get(key, ""), 0) >= LEVELS[level]


ALL = {
    "metadata": "read",
    "secrets": "write",
    "actions_variables": "write",
    "environments": "write",
    "dependabot_secrets": "write",
    "codespaces_secrets": "write",
    "organization_secrets": "write",
    "organization_actions_variables": "write",
    "organization_dependabot_secrets": "write",
    "organization_codespaces_secrets": "write",
    "organization_custom_properties": "read",
    "actions": "read",
    "administration": "read",
    "contents": "read",
    "members": "read",
    "organization_administration": "read",
    "organization_personal_access_tokens": "read",
}
"""All that a sync or an audit can need."""


class Clock:
    """GitHub's time, to the second; `skip` moves it on."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        return time.time() + self.offset

    def skip(self, seconds: float) -> None:
        self.offset += seconds

    def text(self) -> str:
        return datetime.fromtimestamp(int(self.now()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Limits:
    """Primary and secondary rate limits. 304s are free of the primary one.

    primary: requests per `window` seconds, per credential. writes: how many per minute; 0 is any number. retry_after:
    whether a secondary limit says for how long. status: of an answer that says later.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.primary = 5000
        self.window = 3600.0
        self.writes = 0
        self.retry_after: int | None = 1
        self._used: dict[str, tuple[float, int]] = {}
        self._written: list[float] = []
        self._barred_until = 0.0
        self.hits = 0
        self.status = 403

    def standing(self, token: str) -> tuple[int, int]:
        """(remaining, reset)."""
        reset, used = self._used.get(token, (0.0, 0))
        if reset <= self._clock.now():
            reset, used = self._clock.now() + self.window, 0
            self._used[token] = reset, used
        return max(0, self.primary - used), int(reset)

    def count(self, token: str) -> None:
        self.standing(token)
        reset, used = self._used[token]
        self._used[token] = reset, used + 1

    def barred(self, *, write: bool) -> bool:
        """Whether the secondary limit is hit by this request."""
        now = time.monotonic()
        if now < self._barred_until:
            self.hits += 1
            return True
        if write and self.writes:
            self._written = [at for at in self._written if at > now - 60]
            if len(self._written) >= self.writes:
                self._written.clear()
                self._barred_until = now + (self.retry_after or 0)
                self.hits += 1
                return True
            self._written.append(now)
        return False


def as_it_is(value: Value) -> dict[str, Any]:
    """Who sees a value, as a request would say it."""
    return {"visibility": value.visibility, "selected_repository_ids": value.selected} if value.visibility else {}


def may_see(credential: Credential, full_name: str) -> bool:
    """Whether the repository is in the credential's list."""
    return credential.repositories is None or full_name.lower() in credential.repositories


def minimal(repository: Repository) -> dict[str, Any]:
    """As in a list of repositories."""
    _, _, name = repository.full_name.partition("/")
    given: dict[str, Any] = {"id": repository.id, "name": name, "full_name": repository.full_name}
    given |= {"archived": repository.archived, "topics": list(repository.topics), "fork": repository.fork}
    given |= {"private": repository.visibility != "public", "visibility": repository.visibility}
    return sample("minimal-repository", **given, disabled=repository.disabled, default_branch="main")


def properties(repository: Repository) -> dict[str, Any]:
    """As in a list of custom property values."""
    return {
        "repository_id": repository.id,
        "repository_name": repository.full_name.partition("/")[2],
        "repository_full_name": repository.full_name,
        "properties": [{"property_name": name, "value": value} for name, value in repository.properties.items()],
    }

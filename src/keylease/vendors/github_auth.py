"""What GitHub's API is asked with: a token, or a GitHub App's installation tokens.

https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app: a JWT signed with the App's key (10
minutes at the most) buys a token for one installation, good for an hour.
"""

import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from keylease.errors import KeyleaseError, NotFoundError, UnreachableError, UsageError
from keylease.model import Seal
from keylease.secret import Secret
from keylease.vendors.github_api import Api, Wire
from keylease.vendors.github_cache import CacheKey
from keylease.vendors.github_errors import error_of, garbage

_SPARE = 120.0
"""Seconds before its end that a token is replaced: a request that waits for its turn must not outlive it."""

_PATIENCE = 1.0
"""Seconds that the end of a run waits for another thread."""

TOLD = frozenset({"secrets", "dependabot_secrets", "environments", "organization_secrets"})
"""Permissions that GitHub's OpenAPI has among those of an installation's token (``app-permissions``)."""


class Credentials:
    """Gives the :class:`Api` for an account (the owner of repositories, or an organisation)."""

    def api(self, owner: str) -> Api:
        """Raises KeyleaseError."""
        raise NotImplementedError

    def lacking(self, owner: str, wanted: Iterable[str]) -> list[str]:  # noqa: ARG002
        """Those of the permissions `wanted` (GitHub's keys, to write) that are known to lack. A token tells of none."""
        return []

    def give_back(self) -> list[str]:
        """Revoke the tokens that were made for this run. Returns those that could not be, for people."""
        return []


class TokenCredentials(Credentials):
    """One token for all."""

    def __init__(self, wire: Wire, token: Secret) -> None:
        from github.Auth import Token

        key = CacheKey(token)
        self._api = Api(wire, Token(token.reveal()), lambda: key)

    def api(self, owner: str) -> Api:  # noqa: ARG002
        return self._api


class AppCredentials(Credentials):
    """A GitHub App, with one installation per account. installation: its id, or 0: it is looked up."""

    def __init__(self, wire: Wire, seal: Seal, app: str, key: Secret, installation: int) -> None:
        from github.Auth import AppAuth

        self._wire, self._seal, self._app, self._installation = wire, seal, app, installation
        self._lock = threading.Lock()
        self._apis: dict[str, Api] = {}
        self._tokens: dict[str, _Installation] = {}
        auth = AppAuth(app, key.reveal())
        try:
            auth.create_jwt()
        except Exception:  # noqa: BLE001  # PyJWT and cryptography have many; none may show the key
            raise UsageError(
                "GitHub: `private_key` is no RSA key in PEM",
                change="take the .pem file as GitHub gave it: App settings → Private keys",
                docs="github-app",
            ) from None
        self._as_app = Api(wire, auth, lambda: CacheKey(key))

    def api(self, owner: str) -> Api:
        owner = owner.lower() if not self._installation else ""
        with self._lock:
            found = self._apis.get(owner)
            if found is None:
                number = self._installation or self._find(owner)
                tokens = self._tokens[owner] = _Installation(lambda: self._token(number))
                found = self._apis[owner] = Api(self._wire, tokens.auth(), tokens.key)
        return found

    def lacking(self, owner: str, wanted: Iterable[str]) -> list[str]:
        """See :meth:`Credentials.lacking`."""
        self.api(owner)
        tokens = self._tokens[owner.lower() if not self._installation else ""]
        tokens.token()
        return sorted(key for key in set(wanted) & TOLD if tokens.held and tokens.held.get(key) != "write")

    def give_back(self) -> list[str]:
        """https://docs.github.com/rest/apps/installations#revoke-an-installation-access-token"""
        left = []
        # A thread that asks for an installation just now, and may do so for long, is not waited for.
        if not self._lock.acquire(timeout=_PATIENCE):
            return [f"what was taken for App {self._app}"]
        owners = list(self._tokens)
        self._lock.release()
        owners = [owner for owner in owners if self._tokens[owner].is_live]
        for owner in owners:
            try:
                done = self._apis[owner].at_once("DELETE", "/installation/token") in (204, 401)
            except KeyleaseError:
                done = False
            if not done:
                left.append(f"the token of App {self._app}" + (f" at {owner}" if owner else ""))
            self._tokens[owner].forget()
        return left

    def _find(self, owner: str) -> int:
        doing = f"looking for the installation of App {self._app} at {owner}"
        reply = self._as_app.send("GET", f"/orgs/{owner}/installation")
        if reply.status == 404:
            reply = self._as_app.send("GET", f"/users/{owner}/installation")
        if reply.status == 404:
            raise NotFoundError(
                f"GitHub: {doing}: there is none",
                cause="the App is not installed there",
                change="install it: App settings → Install App; choose the repositories that a sync writes to",
                docs="github-app",
                detail=reply.detail,
            )
        if reply.status != 200:
            raise self._refused(error_of(reply, doing, "the App's key"))
        number = reply.data.get("id") if isinstance(reply.data, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            raise garbage(doing, reply.status)
        return number

    def _token(self, number: int) -> tuple[Secret, float, dict[str, Any]]:
        doing = f"getting a token of installation {number} of App {self._app}"
        reply = self._as_app.send("POST", f"/app/installations/{number}/access_tokens")
        if reply.status != 201:
            raise self._refused(error_of(reply, doing, "the App's key"))
        data = reply.data if isinstance(reply.data, dict) else {}
        token, until = data.get("token"), data.get("expires_at")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise garbage(doing, reply.status)
        held = data.get("permissions")
        secret = self._seal(token, "GitHub App installation token")
        try:
            seconds = datetime.fromisoformat(str(until)).timestamp() - time.time()
        except ValueError:
            raise garbage(doing, reply.status) from None
        return secret, time.monotonic() + min(seconds, 3600.0), held if isinstance(held, dict) else {}

    def _refused(self, error: KeyleaseError) -> KeyleaseError:
        if not isinstance(error, UnreachableError):
            error.change = "check `app_id`, `installation_id` and that the private key belongs to this App"
            error.docs = error.docs.rpartition("#")[0] + "#github-app"
        return error


class _Installation:
    """A token that is replaced before it ends. held: its permissions, as far as GitHub tells."""

    def __init__(self, fetch: Callable[[], tuple[Secret, float, dict[str, Any]]]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._token: Secret | None = None
        self._until = 0.0
        self.held: dict[str, Any] = {}

    def token(self) -> Secret:
        """The one that is good now. Raises KeyleaseError."""
        with self._lock:
            if self._token is None or time.monotonic() > self._until - _SPARE:
                self._token, self._until, self.held = self._fetch()
            return self._token

    @property
    def is_live(self) -> bool:
        """Whether there is one that is good now: none is made to be revoked, nor waited for."""
        return self._token is not None and time.monotonic() <= self._until - _SPARE

    def forget(self) -> None:
        """It was given back: who asks again gets a new one."""
        self._until = 0.0

    def key(self) -> CacheKey:
        """Of the token that is good now."""
        return CacheKey(self.token())

    def auth(self) -> Any:
        """As PyGithub wants it."""
        from github.Auth import Auth

        class Fresh(Auth):
            token_type = "token"  # noqa: S105  # the scheme of the header
            token = property(lambda _: self.token().reveal())

        return Fresh()

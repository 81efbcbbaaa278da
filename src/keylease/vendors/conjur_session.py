"""What is done at a Conjur server: log in with an identity token, then ask with the access token."""

import base64
import binascii
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from keylease.context import Context
from keylease.errors import KeyleaseError, RefusedError, UnreachableError
from keylease.http import HttpSettings, Session
from keylease.model import IdentityToken, Read, Seal
from keylease.secret import Secret
from keylease.vendors.answers import Answer, one_line, server_trouble
from keylease.vendors.conjur_settings import VENDOR, ConjurSettings
from keylease.vendors.pem import PemFiles

if TYPE_CHECKING:
    import requests

LIFETIME = 480.0
"""Seconds that a token without `exp` is good for: conjurapi/authn/auth_token.go of conjur-api-go, `ShouldRefresh`."""

_LONGEST = 24 * 3600.0
"""Seconds. A server grants 5 hours at the most (app/domain/token_factory.rb of cyberark/conjur)."""

_PARTS = ("protected", "payload", "signature")


class AccessToken(Struct, frozen=True):
    """text: the token as JSON, as Conjur's tools want it. encoded: the same in base64, as the API wants it.

    role: who we are (``host/ci/trainer``). expires_at: Unix time.
    """

    text: Secret
    encoded: Secret
    role: str
    expires_at: float


class Connection(Struct, frozen=True):
    """A server, and how to reach it. pem: holds the CA's file as long as it is needed."""

    url: str
    account: str
    http: Session
    pem: PemFiles

    @classmethod
    def of(cls, settings: ConjurSettings, context: Context) -> "Connection":
        """From complete settings."""
        pem = PemFiles()
        assert isinstance(settings.timeout, float), "complete() makes it one"
        http = context.http.session(
            VENDOR,
            HttpSettings(
                timeout=settings.timeout,
                retries=settings.retries,
                ca_certificate=pem.path("ca", settings.ca_certificate),
            ),
        )
        return cls(settings.url, settings.account, http, pem)


class ConjurSession(Struct, frozen=True):
    """What a lease hands to the manager."""

    connection: Connection
    token: AccessToken

    def get(self, path: str, query: str = "", headers: dict[str, str] | None = None) -> "requests.Response":
        """GET below the server's address. path, query: percent-encoded already."""
        url = f"{self.connection.url}/{path}" + (f"?{query}" if query else "")
        # spec/openapi.yml of cyberark/conjur-openapi-spec: conjurAuth.
        authorization = f'Token token="{self.token.encoded.reveal()}"'
        return self.connection.http.get(url, headers={**(headers or {}), "Authorization": authorization})


def login(
    connection: Connection,
    settings: ConjurSettings,
    token: IdentityToken,
    seal: Seal,
    label: str,
    reads: Sequence[Read] = (),
) -> AccessToken:
    """Exchange the identity token. reads: what for. Raises RefusedError, UnreachableError.

    spec/authentication.yml of cyberark/conjur-openapi-spec: getAccessTokenViaJWT, getAccessTokenViaJWTWithId.
    """
    response = connection.http.post(
        settings.login_url,
        data={"jwt": token.jwt.reveal()},
        # Answered with the token in base64; a proxy that drops the header gets us the JSON.
        headers={"Accept-Encoding": "base64", "Accept": "*/*"},
    )
    if response.status_code == 200:
        return _issued(response.content, seal, label)
    answer = Answer.of(response, "x-request-id")
    trouble = server_trouble(VENDOR, "logging in", answer)
    if trouble:
        raise trouble
    from keylease.vendors.conjur_trust import login_refused

    raise login_refused(answer, settings, token, reads, is_empty=not response.content.strip())


def _issued(body: bytes, seal: Seal, label: str) -> AccessToken:
    found = _decoded(body)
    if found is None:
        raise _garbage("is no access token")
    text = json.dumps(found, separators=(",", ":"))
    secret = seal(text, label)
    encoded = seal(base64.b64encode(text.encode()).decode(), f"{label} (base64)")
    # Whoever has the signature can guess the rest: it stays hidden also where a tool prints the token its own way.
    seal(found["signature"], f"{label} (signature)")
    payload = _json(_base64(found["payload"]))
    role, issued_at, expires_at = payload.get("sub"), _time(payload.get("iat")), _time(payload.get("exp"))
    if not isinstance(role, str) or not role or issued_at is None or ("exp" in payload and expires_at is None):
        raise _garbage("has an access token that does not say for whom and since when")
    if expires_at is None:
        expires_at = issued_at + LIFETIME
    now = time.time()
    if expires_at <= now:
        raise _expired(now - expires_at)
    if expires_at > now + _LONGEST:
        raise _garbage("has an access token that is good for more than a day")
    return AccessToken(secret, encoded, one_line(role), expires_at)


def _decoded(body: bytes) -> dict[str, str] | None:
    found = _json(body) or _json(_base64(body.decode("ascii", "replace")))
    if all(isinstance(found.get(part), str) and found[part] for part in _PARTS):
        return {part: found[part] for part in _PARTS}
    return None


def _base64(text: str) -> bytes:
    """Of either alphabet, padded or not; empty if it is none."""
    plain = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _time(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 < value < 1e11 else None


def _garbage(what: str) -> KeyleaseError:
    return UnreachableError(
        f"{VENDOR}: the answer to the login {what}",
        cause="something else than Conjur's JWT authenticator answered: a proxy, a login page, another path",
        change="check `url`: the address of the API (of a SaaS tenant it ends in /api)",
        docs="garbage",
    )


def _expired(since: float) -> KeyleaseError:
    return RefusedError(
        f"{VENDOR}: the access token had already expired on arrival, {since:.0f} s ago",
        cause="the clocks of this runner and of the server disagree, or the server's token lifetime is nearly nothing",
        change="set both clocks by NTP; look at CONJUR_HOST_AUTHORIZATION_TOKEN_TTL on the server",
        docs="token-expired",
    )

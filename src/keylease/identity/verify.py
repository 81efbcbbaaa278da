"""Checking an identity token's signature with the issuer's published keys, for `keylease whoami --verify`.

Not part of a lease: the provider checks the signature, and a check by the bearer protects nobody. It answers
"would a provider that trusts this issuer accept this token?".
"""

import ipaddress
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from keylease.context import Context
from keylease.errors import IdentityError, UnreachableError, UsageError
from keylease.http import HttpSettings, Session
from keylease.identity.claims import LEEWAY, header, show
from keylease.model import IdentityToken

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones only: with HS256 the published key would be the signing key (RFC 8725 §2.1)."""

MAX_KEYS = 1024 * 1024
"""Bytes of a discovery document or key set."""


class Verified(Struct, frozen=True):
    """A good signature: whose, and with which key."""

    issuer: str
    keys_url: str
    key_id: str
    algorithm: str


def verify(token: IdentityToken, context: Context) -> Verified:
    """Fetch the issuer's keys (OpenID Connect Discovery 1.0 §4) and check signature, times and audience.

    Only asks https addresses (http on loopback). Raises :class:`IdentityError` when the token is not the
    issuer's, :class:`UnreachableError` when the keys can't be had, :class:`UsageError` without the extra `verify`.
    """
    import jwt

    if not jwt.algorithms.has_crypto:
        raise UsageError(
            "whoami --verify: this installation can't check signatures",
            cause="the package cryptography is not installed; a lease does not need it",
            change="pip install 'keylease[verify]'",
            docs="verify",
        )
    issuer = token.claims.get("iss")
    if not isinstance(issuer, str) or not _may_ask(issuer):
        raise _refused(token, "its `iss` is not an https URL", "it was not made by a platform with public keys")
    session = context.http.session("Issuer", HttpSettings(max_body=MAX_KEYS))
    discovery = _get(session, issuer.rstrip("/") + "/.well-known/openid-configuration", issuer)
    if discovery.get("issuer") != issuer:
        raise _refused(
            token,
            f"the issuer's own document names another issuer: {show(discovery.get('issuer'))}",
            "a mirror or proxy answers at this address; providers refuse such a token too",
        )
    keys_url = discovery.get("jwks_uri")
    if not isinstance(keys_url, str) or not _may_ask(keys_url):
        raise _unusable(issuer, "its `jwks_uri` is not an https URL")
    head = header(token.jwt.reveal())
    algorithm, key_id = head.get("alg"), head.get("kid")
    if algorithm not in ALGORITHMS:
        raise _refused(token, f"it is signed with {show(algorithm)}", "a shared key can't prove who signed")
    key = _key(_get(session, keys_url, issuer), key_id, algorithm)
    if key is None:
        raise _refused(
            token,
            f"the issuer publishes no key {show(key_id)}",
            "the token is older than the last change of keys, or somebody else's",
        )
    try:
        jwt.decode(
            token.jwt.reveal(),
            jwt.PyJWK(key, algorithm),
            algorithms=[algorithm],
            issuer=issuer,
            audience=token.audience or None,
            leeway=LEEWAY,
            options={"verify_aud": bool(token.audience)},
        )
    except jwt.PyJWTError as error:
        reason = type(error).__name__
    else:
        return Verified(issuer, keys_url, show(key_id)[1:-1], algorithm)
    bad = reason == "InvalidSignatureError"
    raise _refused(
        token,
        "the signature is not the issuer's" if bad else f"PyJWT refuses it ({reason})",
        "the token was changed or forged" if bad else "the key set or the token is malformed",
    )


def _may_ask(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        return False
    if not host or port == 0 or parts.username or parts.query or parts.fragment or not url.isprintable():
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _get(session: Session, url: str, issuer: str) -> dict[str, Any]:
    response = session.get(url)
    if response.status_code != 200:
        raise _unusable(issuer, f"{show(url)} answered {response.status_code}")
    try:
        document = json.loads(response.content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _unusable(issuer, f"{show(url)} is not a JSON object")
    return document


def _key(keys: Mapping[str, Any], key_id: object, algorithm: str) -> dict[str, Any] | None:
    found = keys.get("keys")
    usable = [
        key
        for key in (found if isinstance(found, list) else [])
        if isinstance(key, dict)
        and key.get("kty") in ("RSA", "EC", "OKP")
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (key_id is None or key.get("kid") == key_id)
    ]
    # Without a kid in the token there must be no choice.
    return usable[0] if usable and (key_id is not None or len(usable) == 1) else None


def _refused(token: IdentityToken, reason: str, cause: str) -> IdentityError:
    return IdentityError(
        f"Identity: the token from {token.source} does not verify: {reason}",
        cause=cause,
        change="make a new token; if that does not verify either, the provider's trust names the wrong issuer",
        claims={"iss": token.claims.get("iss"), "sub": token.claims.get("sub")},
        docs="verify",
    )


def _unusable(issuer: str, reason: str) -> UnreachableError:
    return UnreachableError(
        f"Issuer: can't get the keys of {show(issuer)}: {reason}",
        cause="the issuer is not reachable from here, or does not publish OpenID Connect discovery",
        change="providers need the same documents: let them be reached, or configure the provider with a key set",
        docs="verify",
    )

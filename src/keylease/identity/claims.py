"""Reading and checking an identity token before it is used.

The signature is not checked here: the provider does that, and only its verdict counts. What is checked is what
would otherwise come back from the provider as an unexplained refusal. PyJWT is not imported: it pulls in
cryptography (60 ms), which this path has no use for; a property test holds our verdict to PyJWT's.
"""

import base64
import binascii
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from keylease.context import Context
from keylease.errors import IdentityError
from keylease.model import IdentityToken

LEEWAY = 30
"""Seconds by which this machine's clock and the issuer's may differ."""

MAX_TOKEN = 64 * 1024
"""Bytes. GitHub's tokens have 2 KiB, GitLab's with many groups up to 10; what is larger is not a token."""

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_PLACEHOLDER = re.compile(r"\$\{?\{?[ \w.\-]+\}?\}?")
_TIMES = ("iat", "nbf", "exp")


class MalformedError(Exception):
    """The text is not a JWT. The message says why, without quoting it."""


class Fault(Struct, frozen=True):
    """Why a token can't be used. seconds: by how much, for `early` and `expired`. claim: the one at fault."""

    kind: Literal["malformed", "early", "expired", "audience"]
    claim: str
    seconds: float = 0.0


def decode(text: str) -> dict[str, Any]:
    """The claims of a JWT in compact form (RFC 7519 §3, RFC 7515 §7.1). Raises :class:`MalformedError`."""
    if len(text) > MAX_TOKEN:
        raise MalformedError(f"it has {len(text)} characters; no CI platform's token has more than {MAX_TOKEN}")
    parts = text.split(".")
    if len(parts) == 5:
        raise MalformedError("it has five parts: an encrypted token (JWE), which no provider can read")
    if len(parts) != 3:
        raise MalformedError(f"a JWT has three parts with dots between them; this has {len(parts)}")
    header = _json_object(parts[0], "header")
    claims = _json_object(parts[1], "payload")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or not algorithm:
        raise MalformedError("its header names no algorithm (`alg`)")
    if algorithm.lower() == "none" or not parts[2]:
        raise MalformedError("it is not signed (`alg` is none, or the signature is empty)")
    _bytes(parts[2], "signature")
    return claims


def header(text: str) -> dict[str, Any]:
    """The header of a JWT that :func:`decode` accepted."""
    return _json_object(text.split(".")[0], "header")


def _bytes(part: str, what: str) -> bytes:
    if not _SEGMENT.fullmatch(part):
        raise MalformedError(f"its {what} is not base64url")
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise MalformedError(f"its {what} is not base64url") from None
    # One spelling per content: bits that encode nothing must be zero (RFC 4648 §3.5), as PyJWT demands too.
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part.encode():
        raise MalformedError(f"its {what} is not base64url: its last character is wrong, maybe it was cut off")
    return data


def _json_object(part: str, what: str) -> dict[str, Any]:
    data = _bytes(part, what)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    # Outside the handler: a JSON error carries the document it could not read.
    if not isinstance(value, dict):
        raise MalformedError(f"its {what} is not a JSON object")
    return value


def audiences(claims: Mapping[str, Any]) -> list[str]:
    """`aud` as a list: it is a string or a list of strings (RFC 7519 §4.1.3). Empty when absent or neither."""
    aud = claims.get("aud")
    if isinstance(aud, str):
        return [aud] if aud else []
    if isinstance(aud, list) and all(isinstance(one, str) for one in aud):
        return aud
    return []


def find_fault(claims: Mapping[str, Any], audience: str, now: float) -> Fault | None:
    """What is wrong with these claims at Unix time `now`, or None.

    An empty `audience` accepts any. Times that are absent are not missed: providers decide which they demand.
    """
    for name in _TIMES:
        if name not in claims:
            continue
        at = _seconds(claims[name])
        if at is None:
            return Fault("malformed", name)
        if name == "exp":
            if at <= now - LEEWAY:
                return Fault("expired", name, now - at)
        elif at > now + LEEWAY:
            return Fault("early", name, at - now)
    if audience and audience not in audiences(claims):
        return Fault("audience", "aud")
    return None


def _seconds(value: object) -> int | None:
    # RFC 7519 §2, NumericDate: a JSON number. A numeric string, which PyJWT would take, is refused by Vault.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def matching(candidates: Sequence[tuple[str, str]], audience: str) -> list[tuple[str, str]]:
    """Those (name, token text) whose `aud` holds `audience`, in the order given. Malformed ones never match."""
    found = []
    for name, text in candidates:
        try:
            claims = decode(text)
        except MalformedError:
            continue
        if not audience or audience in audiences(claims):
            found.append((name, text))
    return found


def check(
    jwt_text: str,
    audience: str,
    platform: str,
    source: str,
    context: Context,
    *,
    title: str = "",
    fresh: bool = False,
    audience_change: str = "",
    renew_change: str = "",
) -> IdentityToken:
    """Seal a token, then make sure that a provider could accept it for `audience`.

    audience: the wanted `aud`; empty: whatever the platform put there.
    platform: the identity's name in the registry. title: its name for people.
    source: the variable, file or endpoint it came from. fresh: it was minted just now, so a time that does not
    fit means that a clock is wrong.
    audience_change, renew_change: what to write to get another audience, or a token that is not expired.

    Raises :class:`IdentityError`: malformed, not yet valid, expired or for another audience, each with its own
    text; never with a part of the token other than the claims iss, sub, aud, iat, nbf, exp.
    """
    name = title or platform
    text = jwt_text.strip()
    if len(text) > MAX_TOKEN:
        # Not sealed: it goes nowhere from here, and a mask of this size would slow down every line of the log.
        raise _malformed(name, source, f"it has {len(text)} characters, more than {MAX_TOKEN}", renew_change)
    if not text:
        raise _malformed(name, source, "it is empty", renew_change)
    jwt = context.seal(text, source)
    if _PLACEHOLDER.fullmatch(text):
        why = "it is a variable's name that nobody replaced by its value (`$NAME` as plain text)"
        raise _malformed(name, source, why, renew_change)
    try:
        claims = decode(text)
    except MalformedError as error:
        reason = str(error)
    else:
        fault = find_fault(claims, audience, time.time())
        if fault is None:
            return IdentityToken(jwt, claims, platform, source, audience or ", ".join(audiences(claims)))
        raise _error(fault, claims, name, source, audience, fresh, audience_change, renew_change)
    raise _malformed(name, source, reason, renew_change)


def _malformed(name: str, source: str, reason: str, change: str) -> IdentityError:
    return IdentityError(
        f"{name}: what {source} holds is not an identity token: {reason}",
        cause="another value was put there, or it was cut off or quoted on the way",
        change=change or f"put the job's OIDC token (three parts, eyJ….eyJ….…) into {source}, and nothing else",
        docs="identity-malformed",
    )


def _error(
    fault: Fault,
    claims: Mapping[str, Any],
    name: str,
    source: str,
    audience: str,
    fresh: bool,
    audience_change: str,
    renew_change: str,
) -> IdentityError:
    shown = {key: claims.get(key) for key in ("iss", "sub", "aud")}
    if fault.kind == "malformed":
        return IdentityError(
            f"{name}: the identity token from {source} is malformed: its `{fault.claim}` is not a number",
            cause="it was not made by a CI platform: times in a JWT are seconds as a JSON number (RFC 7519)",
            change=renew_change or "have the issuer write iat, nbf and exp as numbers of seconds since 1970",
            claims=shown,
            docs="identity-malformed",
        )
    if fault.kind == "audience":
        seen = " and ".join(map(show, audiences(claims))) or "nothing"
        return IdentityError(
            f"{name}: the identity token from {source} is for another audience",
            cause=f"the provider wants {show(audience)}, the token is for {seen}",
            change=audience_change
            or f"ask for a token with aud {show(audience)}, or set `audience` of the provider to one it is for",
            claims=shown,
            docs="identity-audience",
        )
    when = claims[fault.claim]
    shown[fault.claim] = f"{when} ({utc(when)})"
    by = span(fault.seconds)
    if fault.kind == "early":
        verb = "issued" if fault.claim == "iat" else "valid only"
        return IdentityError(
            f"{name}: the identity token from {source} is {verb} {by} in the future (`{fault.claim}`)",
            cause=f"this runner's clock is at least {by} behind; it says {utc(time.time())}",
            change="set the runner's clock: `timedatectl set-ntp true`, or `chronyc makestep`",
            claims=shown,
            docs="identity-clock",
        )
    if fresh:
        return IdentityError(
            f"{name}: the identity token from {source} was minted just now and has expired {by} ago",
            cause=f"this runner's clock is ahead; it says {utc(time.time())}",
            change="set the runner's clock: `timedatectl set-ntp true`, or `chronyc makestep`",
            claims=shown,
            docs="identity-clock",
        )
    return IdentityError(
        f"{name}: the identity token from {source} expired {by} ago",
        cause="it was made earlier in the job (or in another job) and is too old now",
        change=renew_change or "make the token right before this step",
        claims=shown,
        docs="identity-expired",
    )


def show(text: object) -> str:
    """A claim or a name from outside, quoted for a message: one line, printable, at most 200 characters."""
    line = "".join(c if c.isprintable() else "?" for c in str(text))
    return f"'{line if len(line) <= 200 else line[:197] + '...'}'"


def utc(seconds: object) -> str:
    """A Unix time for people; ``?`` when it is none."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(int(seconds)))  # type: ignore[call-overload]
    except (ValueError, OverflowError, OSError, TypeError):
        return "?"


def span(seconds: float) -> str:
    """A duration for people."""
    whole = abs(round(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 2 * 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h" if whole < 48 * 3600 else f"{whole // 86400} days"


def yaml_text(text: str) -> str:
    """`text` as a YAML scalar: bare where that is safe, else in double quotes (JSON is YAML)."""
    plain = re.fullmatch(r"[A-Za-z_/](?:[\w./@+~-]|:(?=[^\s]))*", text)
    reserved = text.lower() in ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
    return text if plain and not reserved else json.dumps(text)

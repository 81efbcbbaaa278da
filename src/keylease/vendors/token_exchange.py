"""What the OAuth token endpoints of vendors have in common: one request with the identity token, one answer.

RFC 8693 (token exchange), RFC 7523 (JWT bearer grant); answers and errors as in RFC 6749 §5.1 and §5.2.
"""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.model import IdentityToken, Seal, Trust
from keylease.secret import Secret
from keylease.vendors.answers import Answer, one_line
from keylease.vendors.github_claims import both_forms
from keylease.vendors.job_claims import (
    GITHUB,
    bindable,
    platform_of,
    shown_claims,
    subject_hint,
    subject_lets_in,
    unbindable,
)

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")


LONGEST = 7 * 86400.0
"""Seconds. The vendors' tokens live a day at the most: what lives longer is no answer of theirs."""


class Granted(Struct, frozen=True):
    """An issued token. expires_at: Unix time, counted from before the request was sent."""

    token: Secret
    expires_at: float


def granted(vendor: str, answer: Answer, sent_at: float, seal: Seal, label: str, *, key: str = "url") -> Granted:
    """The access token of a 2xx answer (RFC 6749 §5.1), sealed first thing.

    key: the setting that holds the endpoint's address.
    Raises :class:`RefusedError` when it had expired on arrival, :class:`UnreachableError` when the answer is none.
    """
    value = answer.value("access_token")
    if value is None:
        raise _garbage(vendor, answer, "no access_token", key)
    token = seal(value, label)
    kind = answer.at("token_type")
    if kind is not None and (not isinstance(kind, str) or kind.lower() != "bearer"):
        raise _garbage(vendor, answer, "a token_type that is not Bearer", key)
    lifetime = answer.seconds("expires_in")
    if lifetime is None or lifetime > LONGEST:
        given = answer.at("expires_in")
        if isinstance(given, int | float) and not isinstance(given, bool) and given <= 0:
            raise _expired(vendor, answer)
        raise _garbage(vendor, answer, "no usable expires_in", key)
    expires_at = sent_at + lifetime
    if expires_at <= time.time():
        raise _expired(vendor, answer)
    return Granted(token, expires_at)


def _garbage(vendor: str, answer: Answer, what: str, key: str) -> UnreachableError:
    return UnreachableError(
        f"{vendor}: the token endpoint answered with {what}",
        cause="something else than the vendor's token endpoint answered, or its API has changed",
        change=f"check `{key}`; if it is right, report it",
        docs="garbage",
        detail=answer.detail,
    )


def _expired(vendor: str, answer: Answer) -> RefusedError:
    error = RefusedError(
        f"{vendor}: the issued token had already expired on arrival",
        cause="the identity token was about to expire, the answer took too long, or a clock is wrong",
        change="run the job again; if it stays, check the runner's clock against an NTP server",
        docs="token-expired",
        detail=answer.detail,
    )
    error.retry_with_new_token = True
    return error


# Settings.


def identifier(vendor: str, key: str, value: str, example: str, *, docs: str, prefix: str = "") -> str:
    """`value` if it can be an identifier of the vendor's; else a :class:`UsageError` that names `key`."""
    text = value.strip()
    if not text:
        raise UsageError(f"{vendor}: `{key}` is missing", change=f"{key}: {example}", docs=docs)
    if not _IDENTIFIER.fullmatch(text) or not text.startswith(prefix):
        raise UsageError(
            f"{vendor}: `{key}` is no identifier" + (f" that begins with {prefix}" if prefix else ""),
            change=f"{key}: {example}",
            docs=docs,
        )
    return text


def audience(vendor: str, value: str, *, docs: str) -> str:
    """The `aud` to ask for, if it can be one."""
    # A * would be a wildcard in the trust that is printed.
    if not value.isascii() or not value.isprintable() or not value.strip() or "*" in value or len(value) > 300:
        raise UsageError(
            f"{vendor}: `audience` is empty, too long, or holds a * or characters outside ASCII",
            change="audience: the one that the vendor was told to expect, letter for letter",
            docs=docs,
        )
    return value.strip()


def attempts(vendor: str, timeout: float | str, retries: int, *, docs: str) -> tuple[float, int]:
    """(seconds of one attempt, further attempts), checked."""
    seconds = seconds_of(timeout)
    if seconds is None or not 0 < seconds <= 3600:
        raise UsageError(f"{vendor}: `timeout` is no duration between 0 and 1 h", change="timeout: 10s", docs=docs)
    if not 0 <= retries <= 20:
        raise UsageError(f"{vendor}: `retries` is not between 0 and 20", change="retries: 4", docs=docs)
    return seconds, retries


def seconds_of(value: float | str) -> float | None:
    """Seconds of a duration as settings give it (``90``, ``10s``, ``1h30m``); None if it is none."""
    if not isinstance(value, str):
        return None if isinstance(value, bool) else float(value)
    text = value.strip()
    if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text):
        return float(text)
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        return None
    hours, minutes, seconds, millis = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + millis / 1000


# Refusals.


class Refusal(Struct, frozen=True):
    """How an endpoint words its no. code, message: allow-listed texts of the answer."""

    code: str
    message: str

    @classmethod
    def of(cls, answer: Answer) -> "Refusal":
        """RFC 6749 §5.2 (``error``, ``error_description``), or an object below ``error`` as both APIs have it."""
        if isinstance(answer.at("error"), dict):
            code = answer.text("error", "code") or answer.text("error", "type")
            return cls(code, answer.text("error", "message"))
        return cls(answer.text("error"), answer.text("error_description"))

    def __str__(self) -> str:
        return ": ".join(filter(None, [self.code, self.message]))


def not_the_endpoint(vendor: str, summary: str, answer: Answer, *, key: str = "url") -> KeyleaseError | None:
    """The error for a no that is not the token endpoint's: a path that is not there, or a page for people."""
    if answer.status == 404:
        return NotFoundError(
            summary,
            cause=f"`{key}` is not {vendor}'s",
            change="leave `url` out" if key == "url" else f"correct `{key}`",
            docs="garbage",
            detail=answer.detail,
        )
    if not answer.is_json:
        return RefusedError(
            summary,
            cause=f"the answer is not the token endpoint's: a proxy, or {vendor}'s firewall, refuses this runner",
            change=f"check the proxy, and whether {vendor} serves this runner's network and country",
            docs="garbage",
            detail=answer.detail,
        )
    return None


def has_expired(token: IdentityToken) -> bool:
    """Whether the identity token is over by our clock."""
    return token.expires_at is not None and token.expires_at <= time.time()


def unusual_audience(asked: str, *usual: str) -> str:
    """What to add to a cause where keylease.yml asks for another `aud` than the vendor's usual one (the first)."""
    return "" if asked in usual else f"; `audience` is set to {asked!a}, and the usual one is {usual[0]}"


def refused(
    summary: str, answer: Answer, token: IdentityToken, *, cause: str, words: str, trust: Trust | None, docs: str
) -> KeyleaseError:
    """The error for a refused exchange: the claims that were sent, and the trust to create.

    trust: None where the refusal is not about the claims.
    """
    if has_expired(token):
        error = RefusedError(
            summary,
            cause="the identity token had expired before it was exchanged",
            change="take the lease early in the job; a new token is asked for where the platform gives one",
            claims=shown_claims(token.claims, "exp"),
            docs=docs,
            detail=answer.detail,
        )
        error.retry_with_new_token = True
        return error
    change = words
    if trust is not None:
        cause = "; ".join(filter(None, [cause, subject_hint(token.claims)]))
        notes = [f"# {note}" for note in trust.notes]
        change = "\n".join([words, "", *([trust.text] if trust.text else []), *notes])
    return RefusedError(
        summary, cause=cause, change=change, claims=shown_claims(token.claims), docs=docs, detail=answer.detail
    )


# The trust.


_PLACES = ("ref", "environment", "branchName", "build_branch", "oidc.circleci.com/vcs-ref")


def exact_claims(claims: Mapping[str, Any], names: Sequence[str] = ()) -> tuple[dict[str, str], list[str]]:
    """({claim: exact value} that only this job has, notes). Empty when nothing can be bound safely.

    Ids that never change, and the place (environment or ref); else `sub`. names: bound besides, where they are there.
    A value with ``*`` in it is never bound: both vendors take one at the end for "anything".
    """
    platform = platform_of(claims)
    notes: list[str] = []
    bound: dict[str, str] = {}
    if platform:
        place: Sequence[str] = (*platform.place, "environment")
        if platform is GITHUB and bindable(claims.get("environment")):
            place = ("environment",)
            notes.append("any ref that the rules of the environment admit gets in; add ref to narrow it")
        if bad := unbindable(claims, (*platform.ids, *names, *place)):
            return {}, bad
        found = {n: claims[n] for n in (*platform.ids, *names, *place) if bindable(claims.get(n))}
        if all(name in found for name in platform.ids):
            bound = found
            if not any(name in found for name in _PLACES):
                notes.append("the token names no branch and no environment: every job of the repository gets in")
            forms = both_forms(claims) if platform is GITHUB else None
            if forms and claims.get("sub") in forms:
                notes.append(
                    "bound by ids, not by sub: it holds when GitHub changes the subject form of this repository"
                )
    if not bound and bindable(claims.get("sub")):
        alone, more = subject_lets_in(claims)
        if not alone:
            return {}, more
        bound, notes = {"sub": claims["sub"]}, [*notes, *more]
    if not bound:
        return {}, ["the token has no claim that could be bound safely"]
    if any("*" in value for value in bound.values()):
        return {}, ["a claim of this job holds a *, which the vendor would take for a wildcard: bind it by hand"]
    return bound, notes


def audience_of(claims: Mapping[str, Any], wanted: str) -> str:
    """`wanted` where the token has it, else what the token has: whoami may only have that one."""
    has = claims.get("aud")
    listed = [str(each) for each in (has if isinstance(has, list) else [has]) if bindable(each)]
    found = [each for each in listed if "*" not in each]
    return wanted if wanted in found or not found else one_line(found[0])

"""Why a login was refused: the server's words, the claims that were sent, and the role that would let this job in."""

import re
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from keylease.errors import KeyleaseError, NotFoundError, RefusedError
from keylease.model import IdentityToken
from keylease.vendors.github_claims import both_forms, is_github
from keylease.vendors.vault_client import Answer, VaultClient
from keylease.vendors.vault_errors import server_trouble
from keylease.vendors.vault_settings import VaultSettings
from keylease.vendors.vault_trust import jwt_trust, kubernetes_trust, shown_claims


class _Attempt(Struct, frozen=True):
    settings: VaultSettings
    claims: Mapping[str, Any]
    said: str

    @property
    def where(self) -> str:
        return f"auth/{self.settings.mount}"

    @property
    def role(self) -> str:
        return self.settings.role or "(the mount's default_role)"

    def trust(self) -> str:
        s = self.settings
        if s.method == "kubernetes":
            made = kubernetes_trust(self.claims, mount=s.mount, role=s.role, namespace=s.namespace)
        else:
            audience = s.audience or ""
            made = jwt_trust(self.claims, mount=s.mount, role=s.role, audience=audience, namespace=s.namespace)
        return "\n".join([made.text, *(f"# {note}" for note in made.notes)]).strip()


Explain = Callable[[_Attempt, re.Match[str]], tuple[str, str]]
"""(attempt, match) → (likely cause, change)."""


def _audience(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    cause = f"role {a.role} does not have the token's `aud` in bound_audiences"
    shown = "bao read " + shlex.quote(f"{a.where}/role/{a.settings.role or 'NAME'}")
    return cause, f"set `audience:` to what the role expects ({shown}), or let the role expect this one:\n{a.trust()}"


def _claim(a: _Attempt, match: re.Match[str]) -> tuple[str, str]:
    name, verdict = match["claim"], match["verdict"]
    if verdict == "is missing":
        cause = f"role {a.role} binds the claim {name!r}, which this token does not have"
        if name == "environment":
            cause += ": the job runs in no `environment:`"
    else:
        cause = f"role {a.role} is for another {name}"
    return cause, f"run the job where the role allows it, or let the role admit this job:\n{a.trust()}"


def _subject(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    cause = f"role {a.role} binds another subject (bound_subject)"
    forms = both_forms(a.claims) if is_github(a.claims) else None
    if forms:
        other = forms[0] if a.claims.get("sub") == forms[1] else forms[1]
        cause += f"; perhaps the other form of this one, {other!r}: repositories new since July 2026 have ids in it"
    return cause, f"bind ids, which do not change, instead:\n{a.trust()}"


def _no_role(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    return f"a typing error in `role`, or the role is on another mount than {a.where}", f"create it:\n{a.trust()}"


def _which_role(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    return f"{a.where} has no default_role", "role: NAME"


def _issuer(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    return f"{a.where} trusts another issuer than the token's `iss`", _configure(a)


def _signature(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    return (
        f"the token is not signed by a key that {a.where} knows: another issuer's, or the server can't fetch new keys",
        _configure(a) + "\n# and the server must be able to reach the issuer, to fetch keys that were rotated",
    )


def _configure(a: _Attempt) -> str:
    issuer = shlex.quote("".join(c for c in str(a.claims.get("iss", "ISSUER")) if c.isprintable()))
    return f"bao write {shlex.quote(f'{a.where}/config')} oidc_discovery_url={issuer} bound_issuer={issuer}"


def _unconfigured(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    return f"{a.where} has never been configured", _configure(a)


def _expired(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    left = _number(a.claims.get("exp")) - time.time()
    if left > 0:
        return (
            f"the server's clock is ahead of ours: here the token is good for {left:.0f} s more",
            "synchronise the clocks, or set `expiration_leeway` on the role",
        )
    return "identity tokens live some minutes; this one was fetched too early", "ask for a fresh one (run again)"


def _too_early(_a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    return "the server's clock is behind the token issuer's", "synchronise it, or set `not_before_leeway` on the role"


def _user_claim(a: _Attempt, match: re.Match[str]) -> tuple[str, str]:
    return (
        f"the user_claim of role {a.role} is {match['claim']!r}, which this token lacks",
        f"write it anew:\n{a.trust()}",
    )


def _oidc(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    return f"role {a.role} is for people's browsers (role_type oidc)", f"create one for jobs:\n{a.trust()}"


def _approle(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    return (
        f"unknown role_id on {a.where}, or the secret id is unknown, used up or expired",
        "issue a new secret id: bao write -f auth/…/role/NAME/secret-id",
    )


def _kubernetes(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    return f"role {a.role} does not admit this service account", f"create it:\n{a.trust()}"


# Messages: OpenBao 2.7 and Vault's builtin/credential, seen or read in their sources.
_CAUSES: tuple[tuple[str, Explain], ...] = (
    (r"\(exp\) claim|token is expired", _expired),
    (r"\(nbf\) claim|\(iat\) claim|token not yet valid|used before issued", _too_early),
    (r"\(aud\) claim|invalid audience|audience claim", _audience),
    (r"\(iss\) claim|invalid issuer", _issuer),
    (r"\(sub\) claim|invalid subject", _subject),
    (r'claim "(?P<claim>[^"]+)" (?P<verdict>is missing|does not match)', _claim),
    (r'claim "(?P<claim>[^"]+)" not found in token', _user_claim),
    (r'role "[^"]*" could not be found', _no_role),
    (r"missing role", _which_role),
    (r"verifying token signature|verify id token signature|no known key|signature", _signature),
    (r"could not load (backend )?configuration|not configured", _unconfigured),
    (r"oidc role_type is not allowed|role_type", _oidc),
    (r"invalid role or secret ID|invalid role ID|invalid secret id|missing secret_id", _approle),
    (r"invalid role name|service account name not authorized|namespace not authorized", _kubernetes),
)


def login_refused(
    client: VaultClient, answer: Answer, settings: VaultSettings, token: IdentityToken | None
) -> KeyleaseError:
    """The error for a login that was answered with no token.

    `retry_with_new_token` is set on it when the identity token had expired on its way.
    """
    trouble = server_trouble(client, answer, f"logging in at auth/{settings.mount}")
    if trouble:
        return trouble
    attempt = _Attempt(settings, token.claims if token else {}, answer.said)
    named = re.search(r'claim "([^"]+)"', answer.said)
    claims = shown_claims(attempt.claims, *(named.groups() if named else ())) if token else {}
    summary = f"Vault: {attempt.where} refused the login as role {attempt.role}: {answer.said or answer.status}"
    if answer.status == 404:
        where = f" {settings.namespace!r}" if settings.namespace else ""
        return NotFoundError(
            summary,
            cause=f"there is no such namespace{where}, or `url` has a path that is not the server's",
            change="correct `namespace` and `url`",
            docs="vault-namespace",
            detail=answer.detail,
        )
    if answer.status == 403:
        return RefusedError(summary, claims=claims, docs="vault-login-403", detail=answer.detail, **_forbidden(attempt))
    for pattern, explain in _CAUSES:
        match = re.search(pattern, answer.said)
        if match:
            cause, change = explain(attempt, match)
            error = RefusedError(
                summary, cause=cause, change=change, claims=claims, docs="vault-login", detail=answer.detail
            )
            error.retry_with_new_token = explain is _expired and token is not None
            return error
    change = f"a role that admits this job:\n{attempt.trust()}" if settings.method in ("jwt", "kubernetes") else ""
    return RefusedError(summary, change=change, claims=claims, docs="vault-login", detail=answer.detail)


def _forbidden(a: _Attempt) -> dict[str, str]:
    method, mount = a.settings.method, a.settings.mount
    inside = f" in namespace {a.settings.namespace!r}" if a.settings.namespace else ""
    enable = f"bao auth enable -path={shlex.quote(mount)} {method}"
    if method == "jwt":
        enable += f"\n{_configure(a)}"
    return {
        "cause": f"nothing is mounted at {a.where}/{inside}, or the role's token_bound_cidrs leave out this runner",
        "change": f"`bao auth list` shows the mounts: correct `mount`, or\n{enable}",
    }


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0

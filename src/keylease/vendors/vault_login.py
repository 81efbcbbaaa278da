"""Why a login was refused: the server's words, the claims that were sent, and the role that would let this job in."""

import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from keylease.errors import KeyleaseError, NotFoundError, RefusedError
from keylease.model import IdentityToken, Read
from keylease.vendors.github_claims import both_forms, is_github
from keylease.vendors.job_claims import shown_claims
from keylease.vendors.vault_client import Answer, VaultClient
from keylease.vendors.vault_errors import in_namespace, server_trouble
from keylease.vendors.vault_settings import VaultSettings
from keylease.vendors.vault_trust import trust_for


class _Attempt(Struct, frozen=True):
    settings: VaultSettings
    claims: Mapping[str, Any]
    said: str
    reads: Sequence[Read] = ()

    @property
    def where(self) -> str:
        return f"auth/{self.settings.mount}"

    @property
    def role(self) -> str:
        return self.settings.role or "(the mount's default_role)"

    @property
    def shown(self) -> str:
        """The command that shows the role."""
        where = in_namespace(self.settings.namespace)
        return f"bao read {where}{shlex.quote(f'{self.where}/role/' + (self.settings.role or 'NAME'))}"

    def with_trust(self, words: str, *, replaces: bool, role: str | None = None) -> str:
        """`words`, then the commands that set up a role for this job, to paste. replaces: there is a role already."""
        made = trust_for(self.claims, self.settings, self.reads, role)
        if replaces and made.text:
            words += "\nCAREFUL: the commands below REPLACE that role, and the policy of its name, for all who use them"
        return "\n".join([words, "", *([made.text] if made.text else []), *(f"# {note}" for note in made.notes)])


Explain = Callable[[_Attempt, re.Match[str]], tuple[str, str]]
"""(attempt, match) → (likely cause, change)."""


def _audience(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    change = (
        f"set `audience:` (vault-action: `jwtGithubAudience:`) to one that the role has ({a.shown}),\n"
        "or add the token's `aud` to the role's bound_audiences, keeping the rest of the role"
    )
    return f"role {a.role} does not have the token's `aud` in bound_audiences", change


def _claim(a: _Attempt, match: re.Match[str]) -> tuple[str, str]:
    name, verdict = match["claim"], match["verdict"]
    if verdict == "is missing":
        cause = f"role {a.role} binds the claim {name!r}, which this token does not have"
        if name == "environment":
            cause += ": the job runs in no `environment:`"
    else:
        cause = f"role {a.role} is for another {name}"
    words = f"run the job where the role allows it ({a.shown}), or let a role admit this job"
    return cause, a.with_trust(words, replaces=True)


def _subject(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    cause = f"role {a.role} binds another subject (bound_subject)"
    forms = both_forms(a.claims) if is_github(a.claims) else None
    if forms:
        other = forms[0] if a.claims.get("sub") == forms[1] else forms[1]
        cause += f"; perhaps the other form of this one, {other!r}: repositories new since July 2026 have ids in it"
    words = f"correct the role's bound_subject ({a.shown}), or bind ids, which do not change, instead"
    return cause, a.with_trust(words, replaces=True)


def _no_role(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    listed = f"bao list {in_namespace(a.settings.namespace)}{shlex.quote(f'{a.where}/role')}"
    return (
        f"a typing error in `role`, or the role is on another mount than {a.where}",
        a.with_trust(f"correct `role` ({listed}), or create it by the commands below", replaces=False),
    )


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
        a.with_trust(f"set another user_claim on the role ({a.shown}), or write it anew", replaces=True),
    )


def _oidc(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    name = f"{a.settings.role or 'NAME'}-ci"
    words = f"keep it, create one for jobs by the commands below, and set `role: {name}`"
    return (
        f"role {a.role} is for people's browsers (role_type oidc)",
        a.with_trust(words, replaces=False, role=name),
    )


def _approle(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    return (
        f"unknown role_id on {a.where}, or the secret id is unknown, used up or expired",
        "issue a new secret id: bao write -f auth/…/role/NAME/secret-id",
    )


def _kubernetes(a: _Attempt, _: re.Match[str]) -> tuple[str, str]:
    if "invalid role name" in a.said:
        return f"there is no role {a.role} on {a.where}", a.with_trust("create it", replaces=False)
    words = f"add the service account to the role ({a.shown}), or write the role anew"
    return f"role {a.role} does not admit this service account", a.with_trust(words, replaces=True)


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
    client: VaultClient,
    answer: Answer,
    settings: VaultSettings,
    token: IdentityToken | None,
    reads: Sequence[Read] = (),
) -> KeyleaseError:
    """The error for a login that was answered with no token. reads: what the token was wanted for.

    `retry_with_new_token` is set on it when the identity token had expired on its way.
    """
    trouble = server_trouble(client, answer, f"logging in at auth/{settings.mount}")
    if trouble:
        return trouble
    attempt = _Attempt(settings, token.claims if token else {}, answer.said, reads)
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
    change = ""
    if settings.method in ("jwt", "kubernetes"):
        words = f"compare the role ({attempt.shown}) with the token, or let a role admit this job"
        change = attempt.with_trust(words, replaces=True)
    return RefusedError(summary, change=change, claims=claims, docs="vault-login", detail=answer.detail)


def _forbidden(a: _Attempt) -> dict[str, str]:
    method, mount = a.settings.method, a.settings.mount
    inside = f" in namespace {a.settings.namespace!r}" if a.settings.namespace else ""
    enable = f"bao auth enable -path={shlex.quote(mount)} {method}"
    if method == "jwt":
        enable += f"\n{_configure(a)}"
    return {
        "cause": f"nothing is mounted at {a.where}/{inside}, or the role's token_bound_cidrs leave out this runner",
        "change": f"`bao auth list` shows the mounts: correct `mount`, or enable it\n\n{enable}",
    }


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0

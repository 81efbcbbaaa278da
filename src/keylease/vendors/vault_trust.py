"""The narrowest JWT role for one job, ready to paste.

Claims are written by whoever may name a branch: they are quoted as JSON inside a quoted heredoc, in ASCII, so that
no quote, ``$(…)``, line break or invisible character of theirs reaches a shell.

Role: https://openbao.org/api-docs/auth/jwt/#create-update-role
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from keylease.model import Read, Trust
from keylease.vendors.github_claims import both_forms
from keylease.vendors.job_claims import GITHUB, bindable, heredoc, json_block, platform_of, unbindable
from keylease.vendors.vault_errors import (
    RENEW_LEASE,
    RENEW_SELF,
    REVOKE_LEASE,
    REVOKE_SELF,
    SELF_POLICY,
    in_namespace,
    stanza,
)
from keylease.vendors.vault_settings import VaultSettings

_TTL = "15m"
_MAX_TTL = "1h"


def role_for(claims: Mapping[str, Any], audience: str, policies: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The role (as its API takes it) that lets exactly this job in, and notes about it.

    Empty when the claims name nothing to bind to.
    """
    platform = platform_of(claims)
    notes: list[str] = []
    role: dict[str, Any] = {"role_type": "jwt", "bound_audiences": [audience]}
    bound: dict[str, Any] = {}
    if platform:
        bound = {name: claims[name] for name in platform.ids if bindable(claims.get(name))}
        place: Sequence[str] = (*platform.place, "environment")
        if platform is GITHUB and bindable(claims.get("environment")):
            # GitHub checks an environment's branch rules and reviewers before it mints the token.
            place = ("environment",)
            notes.append("any ref that the rules of the environment admit gets in; add ref to narrow it")
        if bad := unbindable(claims, (*platform.ids, *place)):
            return {}, bad
        bound |= {name: claims[name] for name in place if bindable(claims.get(name))}
    complete = platform is not None and all(name in bound for name in platform.ids)
    if platform and complete:
        role["user_claim"] = platform.user
        role["bound_claims_type"] = "string"
        role["bound_claims"] = bound
        role["claim_mappings"] = {n: n.rpartition("/")[2] for n in platform.trace if bindable(claims.get(n))}
        forms = both_forms(claims) if platform is GITHUB else None
        if forms and claims.get("sub") in forms:
            notes.append("bound by ids, not by sub: it holds when GitHub changes the subject form of this repository")
    elif bindable(claims.get("sub")):
        role["user_claim"] = "sub"
        role["bound_subject"] = claims["sub"]
    else:
        return {}, ["the token has no claim that could be bound safely"]
    role |= {
        "token_policies": list(policies),
        "token_no_default_policy": True,
        "token_type": "service",
        "token_ttl": _TTL,
        "token_max_ttl": _MAX_TTL,
    }
    return role, notes


def trust_for(
    claims: Mapping[str, Any], settings: VaultSettings, reads: Sequence[Read] = (), role: str | None = None
) -> Trust:
    """The trust for settings of method jwt or kubernetes. role: another name than the settings'."""
    s = settings
    name = s.role if role is None else role
    if s.method == "kubernetes":
        return kubernetes_trust(claims, mount=s.mount, role=name, namespace=s.namespace, reads=reads)
    audience = s.audience or ""
    return jwt_trust(claims, mount=s.mount, role=name, audience=audience, namespace=s.namespace, reads=reads)


def jwt_trust(
    claims: Mapping[str, Any],
    *,
    mount: str,
    role: str,
    audience: str,
    namespace: str | None,
    reads: Sequence[Read] = (),
) -> Trust:
    """Commands: a policy to clean up with, one for what the job reads, and the role for this very job."""
    name = role or "ci"
    expected = _audience_of(claims, audience)
    made, notes = role_for(claims, expected, [SELF_POLICY, policy_name(name)])
    title = f"Vault/OpenBao role {name!r} on auth/{mount}"
    if not made:
        return Trust(title, "", notes)
    if not role:
        notes.append("ci is an example: choose the name by --role (in keylease.yml: role)")
    if expected != audience:
        notes.append("the role expects the aud of the token that is there: configure the same as audience")
    return Trust(title, _commands(made, mount, name, namespace, reads), notes)


def _audience_of(claims: Mapping[str, Any], wanted: str) -> str:
    """`wanted` where the token has it, else what the token has: whoami may only have that one."""
    has = claims.get("aud")
    found = [each for each in (has if isinstance(has, list) else [has]) if bindable(each)]
    return wanted if wanted in found or not found else str(found[0])


def _commands(made: Mapping[str, Any], mount: str, name: str, namespace: str | None, reads: Sequence[Read]) -> str:
    # Comments hold no quote, backtick or foreign text: zsh, typed at, does not take them for comments.
    where = in_namespace(namespace)
    policy = shlex.quote(policy_name(name))
    own = heredoc(f"bao policy write {where}{SELF_POLICY} -", "\n".join(own_stanzas()))
    allowed = read_stanzas(reads)
    if allowed:
        wanted = "# What the job reads. This replaces the policy of that name, if there is one.\n" + heredoc(
            f"bao policy write {where}{policy} -", "\n".join(allowed)
        )
    else:
        wanted = (
            "# What the job reads is not known here: write a policy for it, named as the last one in token_policies,\n"
            f"# with lines such as {stanza('secret/data/ci', 'read')}"
        )
    role = heredoc(f"bao write {where}{shlex.quote(f'auth/{mount}/role/{name}')} -", json_block(made))
    return f"{own}\n{wanted}\n# This replaces the role of that name, if there is one.\n{role}"


def policy_name(role: str) -> str:
    """The policy for what a role's jobs read. Names are lower case; two of them are the server's, one is ours."""
    name = role.lower()
    return f"{name}-job" if name in ("root", "default", SELF_POLICY) else name


def read_stanzas(reads: Sequence[Read]) -> list[str]:
    """A policy for exactly these. Where only the server knows the KV version, both paths: one of them is nothing."""
    lines: list[str] = []
    for read in reads:
        options, path = dict(read.options), read.path.strip("/")
        if "unwrap_env" in options:
            continue  # the wrapping token is its own permission
        mount = options.get("mount", path.partition("/")[0]).strip("/")
        kv2 = stanza(f"{mount}/data/{path[len(mount) :].strip('/')}", "read")
        plain = stanza(path, "read")
        if read.parameters is not None:
            lines.append(stanza(path, "update"))
        elif read.raw or options.get("kv") == "1":
            lines.append(plain)
        elif options.get("kv") == "2":
            lines.append(kv2)
        else:
            lines += ["# with data/ where the mount is KV version 2, without it elsewhere", kv2, plain]
    return list(dict.fromkeys(lines))


def own_stanzas() -> list[str]:
    """What a token without the default policy needs for renewing and revoking itself and its leases."""
    return [stanza(path, "update") for path in (REVOKE_SELF, RENEW_SELF, RENEW_LEASE, REVOKE_LEASE)]


def kubernetes_trust(
    claims: Mapping[str, Any], *, mount: str, role: str, namespace: str | None = None, reads: Sequence[Read] = ()
) -> Trust:
    """The role of the kubernetes auth method for this service account."""
    subject = str(claims.get("sub", "")).split(":")
    account = (
        subject[2:] if subject[:2] == ["system", "serviceaccount"] and len(subject) == 4 else ["NAMESPACE", "NAME"]
    )
    made = {
        "bound_service_account_namespaces": [account[0]],
        "bound_service_account_names": [account[1]],
        "token_policies": [SELF_POLICY, policy_name(role)],
        "token_no_default_policy": True,
        "token_ttl": _TTL,
        "token_max_ttl": _MAX_TTL,
    }
    title = f"Vault/OpenBao role {role!r} on auth/{mount}"
    return Trust(title, _commands(made, mount, role, namespace, reads))

"""The narrowest JWT role for one job, ready to paste.

Claims are written by whoever may name a branch: they are quoted as JSON inside a quoted heredoc, in ASCII, so that
no quote, ``$(…)``, line break or invisible character of theirs reaches a shell.

Role: https://openbao.org/api-docs/auth/jwt/#create-update-role
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from keylease.model import Trust
from keylease.vendors.github_claims import both_forms, is_github
from keylease.vendors.vault_errors import RENEW_LEASE, RENEW_SELF, REVOKE_LEASE, REVOKE_SELF, stanza

SELF_POLICY = "keylease-self"
"""A policy that lets a token renew and revoke itself and its leases, and nothing else."""

_TTL = "15m"
_MAX_TTL = "1h"
_LONGEST_CLAIM = 1024


class _Platform(Struct, frozen=True):
    """Which claims of a platform identify a job for ever (ids), where it runs, and what to trace it by."""

    name: str
    ids: Sequence[str]
    place: Sequence[str]
    trace: Sequence[str]
    shown: Sequence[str]
    user: str


_GITHUB = _Platform(
    "GitHub",
    ids=("repository_owner_id", "repository_id"),
    place=("ref",),
    trace=("repository", "run_id", "run_attempt", "actor", "ref", "event_name", "job_workflow_ref"),
    shown=("repository", "repository_id", "ref", "environment", "event_name"),
    user="repository_id",
)
_GITLAB = _Platform(
    "GitLab",
    ids=("namespace_id", "project_id"),
    place=("ref_type", "ref", "ref_protected"),
    trace=("project_path", "pipeline_id", "job_id", "ref", "user_login", "ci_config_ref_uri"),
    shown=("project_path", "project_id", "ref_type", "ref", "ref_protected", "environment"),
    user="project_id",
)
# https://circleci.com/docs/openid-connect-tokens/
_CIRCLECI = _Platform(
    "CircleCI",
    ids=("oidc.circleci.com/project-id",),
    place=("oidc.circleci.com/vcs-origin", "oidc.circleci.com/vcs-ref"),
    trace=("oidc.circleci.com/project-id", "oidc.circleci.com/job-id", "oidc.circleci.com/vcs-ref"),
    shown=("oidc.circleci.com/project-id", "oidc.circleci.com/vcs-ref"),
    user="oidc.circleci.com/project-id",
)
# https://support.atlassian.com/bitbucket-cloud/docs/integrate-pipelines-with-resource-servers-using-oidc/
_BITBUCKET = _Platform(
    "Bitbucket",
    ids=("workspaceUuid", "repositoryUuid"),
    place=("branchName",),
    trace=("repositoryUuid", "pipelineUuid", "stepUuid", "branchName"),
    shown=("repositoryUuid", "branchName", "deploymentEnvironmentUuid"),
    user="repositoryUuid",
)
# https://buildkite.com/docs/pipelines/security/oidc
_BUILDKITE = _Platform(
    "Buildkite",
    ids=("organization_id", "pipeline_id"),
    place=("build_branch",),
    trace=("organization_slug", "pipeline_slug", "build_number", "job_id", "build_branch"),
    shown=("pipeline_slug", "pipeline_id", "build_branch"),
    user="pipeline_id",
)


def platform_of(claims: Mapping[str, Any]) -> _Platform | None:
    """Whose token it is, by its claims; None for an issuer we have no table for."""
    if is_github(claims):
        return _GITHUB
    for platform in (_GITLAB, _CIRCLECI, _BITBUCKET, _BUILDKITE):
        if all(isinstance(claims.get(name), str) and claims[name] for name in platform.ids):
            return platform
    return None


def shown_claims(claims: Mapping[str, Any], *extra: str) -> dict[str, object]:
    """The claims that decide a login, for a refusal; None for those that the token does not have."""
    platform = platform_of(claims)
    names = ["sub", "aud", "iss", *(platform.shown if platform else ()), *extra]
    return {name: claims.get(name) for name in dict.fromkeys(names)}


def role_for(claims: Mapping[str, Any], audience: str, policies: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The role (as its API takes it) that lets exactly this job in, and notes about it.

    Empty when the claims name nothing to bind to.
    """
    platform = platform_of(claims)
    notes: list[str] = []
    role: dict[str, Any] = {"role_type": "jwt", "bound_audiences": [audience]}
    bound: dict[str, Any] = {}
    if platform:
        bound = {name: claims[name] for name in platform.ids if _bindable(claims.get(name))}
        place: Sequence[str] = (*platform.place, "environment")
        if platform is _GITHUB and _bindable(claims.get("environment")):
            # GitHub checks an environment's branch rules and reviewers before it mints the token.
            place = ("environment",)
            notes.append("any ref that the environment's protection rules admit gets in; add `ref` to narrow it")
        bound |= {name: claims[name] for name in place if _bindable(claims.get(name))}
    complete = platform is not None and all(name in bound for name in platform.ids)
    if platform and complete:
        role["user_claim"] = platform.user
        role["bound_claims_type"] = "string"
        role["bound_claims"] = bound
        role["claim_mappings"] = {n: n.rpartition("/")[2] for n in platform.trace if _bindable(claims.get(n))}
        forms = both_forms(claims) if platform is _GITHUB else None
        if forms and claims.get("sub") in forms:
            notes.append("bound by ids, not by `sub`: it holds when GitHub changes this repository's subject form")
    elif _bindable(claims.get("sub")):
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


def jwt_trust(claims: Mapping[str, Any], *, mount: str, role: str, audience: str, namespace: str | None) -> Trust:
    """Two commands: the policy that a CI token needs to clean up after itself, and the role for this very job."""
    name = role or "ci"
    made, notes = role_for(claims, audience, [SELF_POLICY, name])
    title = f"Vault/OpenBao role {name!r} on auth/{mount}"
    if not made:
        return Trust(title, "", notes)
    where = f"-namespace={shlex.quote(namespace)} " if namespace else ""
    text = (
        _heredoc(f"bao policy write {where}{SELF_POLICY} -", "\n".join(own_stanzas()))
        + "\n"
        + _heredoc(f"bao write {where}{shlex.quote(f'auth/{mount}/role/{name}')} -", _json(made))
    )
    notes.append(f"what the job reads goes into policy {name!r}: {stanza('secret/data/ci', 'read')}")
    notes.append("writing a role replaces the one of that name: keep what it has for others")
    return Trust(title, text, notes)


def _json(value: Mapping[str, Any]) -> str:
    """JSON in ASCII, a key a line. json.dumps escapes line breaks, so no claim can make a line of its own."""
    return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n}"


def own_stanzas() -> list[str]:
    """What a token without the default policy needs for renewing and revoking itself and its leases."""
    return [stanza(path, "update") for path in (REVOKE_SELF, RENEW_SELF, RENEW_LEASE, REVOKE_LEASE)]


def kubernetes_trust(claims: Mapping[str, Any], *, mount: str, role: str, namespace: str | None = None) -> Trust:
    """The role of the kubernetes auth method for this service account."""
    subject = str(claims.get("sub", "")).split(":")
    account = (
        subject[2:] if subject[:2] == ["system", "serviceaccount"] and len(subject) == 4 else ["NAMESPACE", "NAME"]
    )
    made = {
        "bound_service_account_namespaces": [account[0]],
        "bound_service_account_names": [account[1]],
        "token_policies": [SELF_POLICY, role],
        "token_no_default_policy": True,
        "token_ttl": _TTL,
        "token_max_ttl": _MAX_TTL,
    }
    where = f"-namespace={shlex.quote(namespace)} " if namespace else ""
    text = (
        _heredoc(f"bao policy write {where}{SELF_POLICY} -", "\n".join(own_stanzas()))
        + "\n"
        + _heredoc(f"bao write {where}{shlex.quote(f'auth/{mount}/role/{role}')} -", _json(made))
    )
    return Trust(f"Vault/OpenBao role {role!r} on auth/{mount}", text)


def _bindable(value: object) -> bool:
    # A very long claim is not an identity; an empty one binds nothing (GitHub: head_ref of a push).
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_CLAIM


def _heredoc(command: str, body: str) -> str:
    delimiter = "EOF"
    while delimiter in body.splitlines():
        delimiter += "_"
    return f"{command} <<'{delimiter}'\n{body}\n{delimiter}"

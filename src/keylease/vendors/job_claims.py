"""What the claims of a job's identity token say to whoever writes a trust for it, whatever the vendor.

Claims are written by whoever may name a branch: what is made of them is JSON in ASCII inside a quoted heredoc, so that
no quote, ``$(…)``, line break or invisible character of theirs reaches a shell.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from keylease.vendors.github_claims import both_forms, is_github, parse_subject

_LONGEST_CLAIM = 1024


class Platform(Struct, frozen=True):
    """Which claims of a platform identify a job for ever (ids), where it runs, and what to trace it by."""

    name: str
    ids: Sequence[str]
    place: Sequence[str]
    trace: Sequence[str]
    shown: Sequence[str]
    user: str


GITHUB = Platform(
    "GitHub",
    ids=("repository_owner_id", "repository_id"),
    place=("ref",),
    trace=("repository", "run_id", "run_attempt", "actor", "ref", "event_name", "job_workflow_ref"),
    shown=("repository", "repository_id", "ref", "environment", "event_name"),
    user="repository_id",
)
GITLAB = Platform(
    "GitLab",
    ids=("namespace_id", "project_id"),
    place=("ref_type", "ref", "ref_protected"),
    trace=("project_path", "pipeline_id", "job_id", "ref", "user_login", "ci_config_ref_uri"),
    shown=("project_path", "project_id", "ref_type", "ref", "ref_protected", "environment"),
    user="project_id",
)
# https://circleci.com/docs/openid-connect-tokens/
CIRCLECI = Platform(
    "CircleCI",
    ids=("oidc.circleci.com/project-id",),
    place=("oidc.circleci.com/vcs-origin", "oidc.circleci.com/vcs-ref"),
    trace=("oidc.circleci.com/project-id", "oidc.circleci.com/job-id", "oidc.circleci.com/vcs-ref"),
    shown=("oidc.circleci.com/project-id", "oidc.circleci.com/vcs-ref"),
    user="oidc.circleci.com/project-id",
)
# https://support.atlassian.com/bitbucket-cloud/docs/integrate-pipelines-with-resource-servers-using-oidc/
BITBUCKET = Platform(
    "Bitbucket",
    ids=("workspaceUuid", "repositoryUuid"),
    place=("branchName",),
    trace=("repositoryUuid", "pipelineUuid", "stepUuid", "branchName"),
    shown=("repositoryUuid", "branchName", "deploymentEnvironmentUuid"),
    user="repositoryUuid",
)
# https://buildkite.com/docs/pipelines/security/oidc
BUILDKITE = Platform(
    "Buildkite",
    ids=("organization_id", "pipeline_id"),
    place=("build_branch",),
    trace=("organization_slug", "pipeline_slug", "build_number", "job_id", "build_branch"),
    shown=("pipeline_slug", "pipeline_id", "build_branch"),
    user="pipeline_id",
)


def platform_of(claims: Mapping[str, Any]) -> Platform | None:
    """Whose token it is, by its claims; None for an issuer we have no table for."""
    if is_github(claims):
        return GITHUB
    for platform in (GITLAB, CIRCLECI, BITBUCKET, BUILDKITE):
        if all(isinstance(claims.get(name), str) and claims[name] for name in platform.ids):
            return platform
    return None


def shown_claims(claims: Mapping[str, Any], *extra: str) -> dict[str, object]:
    """The claims that decide a login, for a refusal; None for those that the token does not have."""
    platform = platform_of(claims)
    names = ["sub", "aud", "iss", *(platform.shown if platform else ()), *extra]
    return {name: claims.get(name) for name in dict.fromkeys(names)}


def subject_hint(claims: Mapping[str, Any]) -> str:
    """Of a GitHub job: which other form its `sub` has, for a trust that may hold that one. Empty elsewhere."""
    forms = both_forms(claims) if is_github(claims) else None
    if not forms:
        return ""
    name, immutable = forms
    if claims.get("sub") == immutable:
        return f"the trust may hold the old form, {name!r}: repositories new since July 2026 send ids in `sub`"
    return f"the trust may hold the immutable form, {immutable!r}, which this repository does not send yet"


def bindable(value: object) -> bool:
    """Whether a trust can be bound to this value."""
    # A very long claim is not an identity; an empty one binds nothing (GitHub: head_ref of a push).
    # Half a surrogate pair is no text that anything could be compared with.
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_CLAIM and not re.search("[\ud800-\udfff]", value)


def subject_lets_in(claims: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Of a trust for issuer, audience and `sub` alone: (whether only this repository gets in, what else does).

    GitHub's and GitLab's `sub` may have a form that was made up: ``repository_owner:acme`` is that of every job there.
    """
    platform, subject = platform_of(claims), str(claims.get("sub", ""))
    whole: Sequence[str]
    place: Sequence[str]
    if platform is GITHUB:
        known = parse_subject(subject)
        if known.context == "pull_request":
            return True, ["this sub is that of every pull request of the repository, reviewed or not: each gets in"]
        if known.form != "custom":
            return True, []
        whole, place = ("repository", "repository_id"), ("environment", "ref")
    elif platform is GITLAB:
        whole, place = ("project_path", "project_id"), ("ref",)
    else:
        return True, []

    def named(names: Sequence[str]) -> bool:
        values = [claims[name] for name in names if bindable(claims.get(name))]
        return any(re.search(rf"(?:^|[:/@]){re.escape(value)}(?:[:/@]|$)", subject) for value in values)

    if not named(whole):
        return False, ["this sub does not name the repository: others have the same. Have the platform put it in"]
    if not named(place):
        return True, ["this sub names no branch and no environment: every job of the repository gets in"]
    return True, []


def unbindable(claims: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """A note on the first of these claims that is there and can't be bound: left out, other jobs would get in."""
    bad = [name for name in names if isinstance(claims.get(name), str) and claims[name] and not bindable(claims[name])]
    return [f"the claim {bad[0]} is too long or no text: bind it by hand"] if bad else []


def json_block(value: Mapping[str, Any]) -> str:
    """JSON in ASCII, a key a line. json.dumps escapes line breaks, so no claim can make a line of its own.

    ``##[`` would be a workflow command in a log, and be broken up there: escaped, it stays what it is.
    """
    text = "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n}"
    return text.replace("##", "#\\u0023")


def heredoc(command: str, body: str) -> str:
    """A command with `body` as its standard input, in which a shell changes nothing."""
    delimiter = "EOF"
    while delimiter in body.splitlines():
        delimiter += "_"
    return f"{command} <<'{delimiter}'\n{body}\n{delimiter}"

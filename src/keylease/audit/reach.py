"""Whom a trust lets in that compares claims of a CI platform's token with texts, which may hold a ``*``."""

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Reach = Literal["anyone", "owner", "bound"]
"""anyone: whoever has an account at the platform. owner: all of one owner's repositories. bound: one repository."""


class Issuer(Struct, frozen=True):
    """A platform with one issuer for all its customers.

    one: claims that name one repository. owner: that name its owner. other: what binds in a way that isn't judged here.
    subject: of a token, as far as it names owner and repository. bind: a matcher that names one repository.
    forged: a subject that begins so anybody's repository can have: its template is the repository's to choose.
    """

    name: str
    one: frozenset[str]
    owner: frozenset[str]
    other: frozenset[str]
    subject: re.Pattern[str]
    owned: re.Pattern[str]
    bind: Mapping[str, str]
    forged: re.Pattern[str] | None = None


# Ids in immutable subjects follow an @: repo:acme@1/trainer@2:…
_GITHUB = Issuer(
    "GitHub",
    one=frozenset({"repository", "repository_id", "workflow_ref"}),
    owner=frozenset({"repository_owner", "repository_owner_id", "enterprise", "enterprise_id"}),
    other=frozenset({"job_workflow_ref", "actor", "actor_id", "jti", "run_id"}),
    subject=re.compile(r"(?:repo|repository):[^/:*?]+/[^/:*?]+:|repository_id:\d+:"),
    owned=re.compile(r"(?:repo|repository):[^/:*?]+/|repository_owner(?:_id)?:[^:*?]+:"),
    bind={"repository_owner_id": "OWNER_ID", "repository_id": "REPOSITORY_ID", "ref": "refs/heads/main"},
    forged=re.compile(r"(?:ref|ref_type|environment|workflow|context|event_name|head_ref|base_ref):"),
)
_GITLAB = Issuer(
    "GitLab",
    one=frozenset({"project_id", "project_path", "ci_config_ref_uri"}),
    owner=frozenset({"namespace_id", "namespace_path"}),
    other=frozenset({"user_id", "user_login", "user_email", "job_id", "pipeline_id", "runner_id"}),
    subject=re.compile(r"project_path:[^:*?]+:"),
    owned=re.compile(r"project_path:[^:*?/]+/"),
    bind={"namespace_id": "NAMESPACE_ID", "project_id": "PROJECT_ID", "ref": "main", "ref_type": "branch"},
)
_ISSUERS = {"https://token.actions.githubusercontent.com": _GITHUB, "https://gitlab.com": _GITLAB}


def shared(issuer: object) -> Issuer | None:
    """The platform that issues tokens to everybody; None for an issuer of one customer's, or one we don't know."""
    return _ISSUERS.get(issuer.rstrip("/")) if isinstance(issuer, str) else None


def reach(issuer: Issuer, matchers: Mapping[str, object]) -> Reach | None:
    """The narrowest that any of them is, for all must fit. None: it can't be told.

    matchers: claim → what it must be; a text may hold ``*``. What is neither text nor number isn't judged here.
    """
    found: Reach = "anyone"
    for claim, value in matchers.items():
        if not isinstance(value, str | int):
            return None
        text = "" if isinstance(value, bool) else str(value)
        if claim in issuer.other and text.strip("*"):
            return None
        this: Reach | None = "anyone"
        if claim == "sub":
            this = _subject(issuer, text)
        elif claim in issuer.one:
            this = _named(text)
        elif claim in issuer.owner and text and "*" not in text:
            this = "owner"
        if this is None or this == "bound":
            return this
        found = this if this != "anyone" else found
    return found


def _subject(issuer: Issuer, text: str) -> Reach | None:
    literal = text.partition("*")[0] if "*" in text else f"{text}:"
    if issuer.subject.match(literal):
        return "bound"
    if issuer.owned.match(literal):
        return "owner"
    if issuer.forged and issuer.forged.match(literal):
        return "anyone"
    # In full, and of the customer's own making: whether others can make the same depends on what it is made of.
    return None if ":" in text and "*" not in text else "anyone"


def _named(text: str) -> Reach:
    literal, star, _ = text.partition("*")
    if not text:
        return "anyone"
    if not star or literal.count("/") > 1:
        return "bound"
    return "owner" if "/" in literal else "anyone"

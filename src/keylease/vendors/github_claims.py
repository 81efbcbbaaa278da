"""What a GitHub `sub` claim says, in its two default forms.

Since 15 July 2026 repositories that are created or renamed get the immutable form, which carries the numeric ids
of owner and repository, so that nobody who takes over a name is trusted:
``repo:acme@6539/trainer@817264:ref:refs/heads/main`` instead of ``repo:acme/trainer:ref:refs/heads/main``.
Organisations and repositories can also make up their own form (`include_claim_keys`).

https://docs.github.com/en/actions/reference/security/oidc
https://github.blog/changelog/2026-04-23-immutable-subject-claims-for-github-actions-oidc-tokens/
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

ISSUER = "https://token.actions.githubusercontent.com"
"""`iss` of github.com. GitHub Enterprise Server: ``https://HOST/_services/token``."""

# `:` can't be in a git ref, and GitHub writes it as %3A in environment names: one more of them means that an
# organisation appended claims of its own.
_DEFAULT = re.compile(
    r"repo:(?P<owner>[^/:@]+)(?:@(?P<owner_id>\d+))?/(?P<name>[^/:@]+)(?:@(?P<name_id>\d+))?"
    r":(?P<context>pull_request|(?:ref|environment):[^:]+)"
)


class Subject(Struct, frozen=True):
    """A `sub`, taken apart. form ``custom``: a template of the organisation's; only `text` is filled in.

    context: ``ref:refs/heads/main``, ``environment:prod`` or ``pull_request``.
    """

    text: str
    form: Literal["name", "immutable", "custom"]
    owner: str = ""
    owner_id: str = ""
    name: str = ""
    name_id: str = ""
    context: str = ""

    def describe(self) -> str:
        """One line for people."""
        if self.form == "custom":
            return "a subject form of the organisation's or repository's own"
        if self.form == "name":
            return "the form with names only (a trust for it also trusts whoever takes over the name)"
        return f"the immutable form: owner id {self.owner_id}, repository id {self.name_id}"


def parse_subject(text: str) -> Subject:
    """Take a `sub` apart. What is in neither default form comes back as ``custom``; nothing raises."""
    match = _DEFAULT.fullmatch(text)
    if match is None or bool(match["owner_id"]) != bool(match["name_id"]):
        return Subject(text, "custom")
    parts = {key: value or "" for key, value in match.groupdict().items()}
    return Subject(text, "immutable" if parts["owner_id"] else "name", **parts)


def both_forms(claims: Mapping[str, Any]) -> tuple[str, str] | None:
    """The `sub` of this job in the form with names and in the immutable one; None when it is custom.

    For refusals: a role written for the one form refuses the other.
    """
    subject = parse_subject(str(claims.get("sub", "")))
    owner_id = subject.owner_id or claims.get("repository_owner_id")
    name_id = subject.name_id or claims.get("repository_id")
    if subject.form == "custom" or not owner_id or not name_id:
        return None
    return (
        f"repo:{subject.owner}/{subject.name}:{subject.context}",
        f"repo:{subject.owner}@{owner_id}/{subject.name}@{name_id}:{subject.context}",
    )


def is_github(claims: Mapping[str, Any]) -> bool:
    """Whether a token with these claims comes from GitHub Actions (github.com or an Enterprise Server)."""
    issuer = str(claims.get("iss", ""))
    return (
        issuer == ISSUER
        or issuer.startswith(ISSUER + "/")  # an enterprise's own issuer: ISSUER/<enterprise>
        or issuer.endswith("/_services/token")
        or ("repository_owner_id" in claims and "job_workflow_ref" in claims)
    )

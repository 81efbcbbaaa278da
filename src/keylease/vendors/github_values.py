"""Where GitHub keeps values, how many, and what it takes."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from keylease.secret import Secret
from keylease.sync.ledger import part_of
from keylease.sync.model import Limit, Slot
from keylease.vendors.github_errors import permission
from keylease.vendors.github_settings import KINDS, GitHubTo

LARGEST = 48 * 1024
"""Bytes of a value. https://docs.github.com/actions/reference/security/secrets, …/workflows-and-actions/variables"""

_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")

_PATHS = {
    "secret": "actions/secrets",
    "variable": "actions/variables",
    "dependabot": "dependabot/secrets",
    "codespaces": "codespaces/secrets",
}

_PERMISSIONS = {"secret": "secrets", "variable": "actions_variables"}

_MOST = {
    # https://docs.github.com/actions/reference/security/secrets, …/variables; codespaces/managing-codespaces-for-your-
    # organization/managing-development-environment-secrets-for-your-repository-or-organization. Dependabot: not told.
    ("repository", "secret"): 100,
    ("repository", "variable"): 500,
    ("repository", "codespaces"): 100,
    ("environment", "secret"): 100,
    ("environment", "variable"): 100,
    ("organization", "secret"): 1000,
    ("organization", "variable"): 1000,
    ("organization", "codespaces"): 100,
}


_OTHERWISE = "give it a `prefix`, or another name by `names`"


def problem_of(level: str, slot: Slot, value: Secret) -> str:
    """Why GitHub would not take a value; empty if it would. Names are in upper case."""
    if not _NAME.fullmatch(slot.name):
        return f"GitHub takes names of A-Z, 0-9 and _ that begin with no digit; {_OTHERWISE}"
    if slot.name.startswith("GITHUB_"):
        return f"GitHub keeps names that begin with GITHUB_ for itself; {_OTHERWISE}"
    if slot.kind == "variable" and part_of(slot.name):
        return "names like this one are kept for ledgers"
    if not value.is_text:
        return "it is not text (UTF-8): store it as base64"
    size = len(value.reveal_bytes())
    if size > LARGEST:
        where = "a repository" if level == "repository" else f"an {level}"
        return f"it has {size} bytes: GitHub takes {LARGEST} ({shown(slot.kind, 2)} of {where})"
    return ""


def path_of(at: GitHubTo, kind: str) -> str:
    """Of the API, for all values of a kind at a place."""
    if at.level == "organization":
        return f"/orgs/{at.organization}/{_PATHS[kind]}"
    if at.level == "environment":
        name = quote(at.environment, safe="")
        return f"/repos/{at.repository}/environments/{name}/{_PATHS[kind].partition('/')[2]}"
    return f"/repos/{at.repository}/{_PATHS[kind]}"


def needs_of(level: str, kind: str, access: str) -> str:
    """The permission that a request asks for, as the settings pages word it."""
    return permission(key_of(level, kind), access)


def key_of(level: str, kind: str) -> str:
    """GitHub's own name of the permission for a kind at a level."""
    if level == "environment":
        return "environments"
    name = _PERMISSIONS.get(kind, f"{kind}_secrets")
    return f"organization_{name}" if level == "organization" else name


def limits_of(level: str, ledgers: int) -> Sequence[Limit]:
    """Of a place; ledgers: how many variables hold them."""
    found = []
    for kind in KINDS[level]:
        most = _MOST.get((level, kind))
        if most is None:
            continue
        text = f"{most:,} {shown(kind, 2)} per {level}"
        if kind == "variable":
            kept = max(1, ledgers)
            text, most = f"{text}, {most - kept:,} without the ledgers", most - kept
        found.append(Limit(frozenset({kind}), most, text))
    return found


def shown(kind: str, number: int) -> str:
    """For people."""
    words = {"dependabot": "Dependabot secret", "codespaces": "Codespaces secret"}
    return words.get(kind, kind) + ("s" if number != 1 else "")

"""Expressions of Azure's flexible federated credentials, and how many they let in.

https://learn.microsoft.com/entra/workload-id/workload-identities-flexible-federated-identity-credentials: ``matches``
knows ``*`` and ``?``, ``eq`` none, ``and`` joins.
"""

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from keylease.audit.in_file import attributes
from keylease.audit.model import Record
from keylease.audit.workflows import shown

Breadth = Literal["everybody", "owner", "project", "exact", "?"]
"""everybody: customers of the issuer; owner: projects of one; project: branches and the like of one project."""

_TERM = r"claims\[['‘’\"](\w+)['‘’\"]\]\s+(eq|matches)\s+['‘’]([^'‘’]*)['‘’]"
_WHOLE = re.compile(rf"\s*{_TERM}(?:\s+and\s+{_TERM})*\s*\.?\s*", re.IGNORECASE)


class Pattern(Struct, frozen=True):
    """text: of one claim; wild: whether its ``*`` and ``?`` stand for others."""

    text: str
    wild: bool


def patterns(expression: str) -> Mapping[str, Pattern] | None:
    """Claim → what it must be; None where that could not be read."""
    if len(expression) > 4000 or not _WHOLE.fullmatch(expression):
        return None
    found: dict[str, Pattern] = {}
    for claim, operator, text in re.findall(_TERM, expression, re.IGNORECASE):
        if claim in found:
            return None
        wild = operator.lower() == "matches" and re.search(r"[*?]", text) is not None
        found[claim] = Pattern(text, wild)
    return found


def breadth(issuer: str, pattern: Pattern) -> Breadth:
    """Whom a pattern of ``sub`` lets in."""
    if not pattern.wild:
        return "exact"
    start = re.split(r"[*?]", pattern.text)[0]
    host = re.sub(r"^https://", "", issuer).rstrip("/")
    if host == "token.actions.githubusercontent.com" or host.startswith("token.actions.githubusercontent.com/"):
        return _of(start, r"repo:[^/:]+/", r"repo:[^/:]+/[^/:]+:")
    if host in ("app.terraform.io", "app.eu.terraform.io"):
        return _of(start, r"organization:[^:]+:", r"organization:[^:]+:project:[^:]+:")
    if start.startswith("project_path:") or "project_path:".startswith(start):
        return _of(start, r"project_path:[^/:]+/", r"project_path:[^:]+/[^:]+:")
    return "?"


def bound(record: Record, subject: str) -> str:
    """What to write so that the credential is for one subject."""
    if not record.facts.get("expression"):
        return attributes(record, {"subject": subject}) or f"subject: {shown(subject, 240)}"
    text = subject.replace("'", "")
    expression = f"claims['sub'] {'matches' if '*' in text or '?' in text else 'eq'} '{text}'"
    return attributes(record, {"claims_matching_expression": expression}) or shown(expression, 260)


def _of(start: str, owner: str, project: str) -> Breadth:
    if re.match(project, start):
        return "project"
    return "owner" if re.match(owner, start) else "everybody"

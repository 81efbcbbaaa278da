"""Whom a JWT role of Vault or OpenBao lets in, and what mends it.

How bounds are compared: https://openbao.org/docs/auth/jwt/#bound-claims. Values of one claim are alternatives, claims
must all hold; ``*`` is a wildcard, over slashes too, with ``bound_claims_type=glob`` only. Claims:
https://docs.github.com/en/actions/reference/security/oidc, https://docs.gitlab.com/ci/secrets/id_token_authentication/
"""

import json
import re
import shlex
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from keylease.audit.in_file import attributes, in_terraform
from keylease.audit.issuers import ISSUERS
from keylease.audit.model import SEVERITIES, Finding, Inventory, Record, Severity
from keylease.audit.rule import Rule
from keylease.audit.vault_policies import opened
from keylease.audit.workflows import shown

BOUNDS = "https://openbao.org/docs/auth/jwt/#bound-claims"
ROLE_API = "https://openbao.org/api-docs/auth/jwt/#create-update-role"
GITHUB_CLAIMS = "https://docs.github.com/en/actions/reference/security/oidc"
GITLAB_CLAIMS = "https://docs.gitlab.com/ci/secrets/id_token_authentication/"

_WHOLE = frozenset(
    (
        "repository_owner",
        "repository_owner_id",
        "repository_id",
        "project_id",
        "namespace_id",
        "enterprise",
        "enterprise_id",
        "enterprise_slug",
    )
)
_PATHS = {"repository": 1, "project_path": 1, "workflow_ref": 1, "namespace_path": 1, "ci_config_ref_uri": 2}
"""Claim → how many slashes end the part of it that is an organisation's own."""
_ANYBODYS = frozenset(
    (
        "aud",
        "iss",
        "ref",
        "ref_type",
        "ref_path",
        "ref_protected",
        "environment",
        "environment_protected",
        "deployment_tier",
        "event_name",
        "workflow",
        "runner_environment",
        "repository_visibility",
        "project_visibility",
        "pipeline_source",
        "head_ref",
        "base_ref",
        "run_number",
        "run_attempt",
        "namespace_visibility",
        "job_source",
    )
)
"""Those that a stranger's job can have with the same value."""
_CI = frozenset({*_WHOLE, *_PATHS, *_ANYBODYS, "sub", "job_workflow_ref", "actor", "run_id", "sha", "user_login"})

_FORGEABLE = re.compile(r"(?:ref|ref_type|environment|workflow|context|event_name|head_ref|base_ref):")
"""How subjects begin that any repository on GitHub can have: the template of a subject is its own to choose."""

Level = Literal["anyone", "callers", "crossing", "unknown", "narrow"]
Issuer = Literal["github", "gitlab", "shared", "own", ""]


class Reach(Struct, frozen=True):
    """Who gets in. anyone: every repository of the issuer. callers: who may call a workflow. crossing: strangers too,
    by a wildcard. unknown: claims that are not known here decide. claim, value: the bound that lets them.
    """

    level: Level
    claim: str = ""
    value: str = ""


def issuer(facts: Mapping[str, Any]) -> Issuer:
    """Whose tokens it takes; shared: another service for everybody; own: a server with one tenant; empty: not known."""
    host = issuer_host(facts)
    if host == "token.actions.githubusercontent.com":
        return "github"
    if host == "gitlab.com":
        return "gitlab"
    if host in ISSUERS:
        return "shared"
    return "own" if host else ""


def issuer_host(facts: Mapping[str, Any]) -> str:
    """Its server; empty where it is not known."""
    return _host(facts.get("issuer")) or _host(facts.get("keys_url"))


def _host(url: object) -> str:
    if not isinstance(url, str) or not url:
        return ""
    try:
        return (urlsplit(url if "//" in url else f"https://{url}").hostname or "").rstrip(".").lower()
    except ValueError:
        return "?"


def bounds(facts: Mapping[str, Any]) -> dict[str, list[str]]:
    """Claim → the values that will do."""
    given = facts.get("bound_claims")
    found = {}
    for name, value in given.items() if isinstance(given, Mapping) else ():
        values = value if isinstance(value, list) else [value]
        found[str(name).lstrip("/")] = [each if isinstance(each, str) else json.dumps(each) for each in values]
    return found


def is_ci(facts: Mapping[str, Any]) -> bool:
    """Whether jobs log in by it: people do by a role of type oidc."""
    if facts.get("role_type") == "oidc":
        return False
    if facts.get("role_type") == "jwt":
        return True
    return bool({*bounds(facts), str(facts.get("user_claim"))} & _CI)


def _of_value(claim: str, value: str, *, glob: bool) -> Level:
    wild = glob and "*" in value
    literal = value.partition("*")[0] if wild else value
    if claim in _ANYBODYS or (wild and not value.strip("*")):
        return "anyone"
    if claim == "job_workflow_ref":
        return "crossing" if wild and "/" not in literal else "callers"
    if claim == "sub":
        return _of_subject(literal, wild=wild)
    if claim in _PATHS:
        return "crossing" if wild and literal.count("/") < _PATHS[claim] else "narrow"
    if claim in _WHOLE:
        return "crossing" if wild else "narrow"
    return "unknown"


def _of_subject(literal: str, *, wild: bool) -> Level:
    for begin in ("repo:", "project_path:"):
        if literal.startswith(begin):
            return (
                "narrow" if "/" in literal[len(begin) :] or not wild else "crossing" if literal != begin else "anyone"
            )
        if wild and begin.startswith(literal):
            return "crossing"
    return "anyone" if _FORGEABLE.match(literal) else "unknown"


_ORDER: Sequence[Level] = ("anyone", "crossing", "callers", "unknown", "narrow")


def reach(facts: Mapping[str, Any]) -> Reach:
    """Who gets in."""
    subject = facts.get("bound_subject")
    if isinstance(subject, str) and subject:
        return Reach(_of_subject(subject, wild=False), "sub", subject)  # compared as a whole
    glob = facts.get("bound_claims_type") == "glob"
    best = Reach("anyone")
    for claim, values in bounds(facts).items():
        each = [Reach(_of_value(claim, value, glob=glob), claim, value) for value in values] or [Reach("narrow", claim)]
        widest = min(each, key=lambda one: _ORDER.index(one.level))
        best = max(best, widest, key=lambda one: _ORDER.index(one.level))
    return best


def severity(inventory: Inventory, facts: Mapping[str, Any], default: Severity = "high") -> tuple[Severity, str]:
    """By what the policies open, and who the issuer's other tenants are; and the words for it."""
    opens, which = opened(inventory, facts.get("token_policies"))
    rank = SEVERITIES.index(default) + {"admin": 1, "nothing": -1}.get(opens, 0)
    if issuer(facts) == "own":  # one that is not known may be everybody's
        rank -= 1
    if _binds_addresses(facts.get("token_bound_cidrs")):
        rank -= 1
    words = f"; its policy {shown(which)} makes an administrator" if opens == "admin" else ""
    return SEVERITIES[max(1, min(rank, len(SEVERITIES) - 1))], words


def _binds_addresses(given: object) -> bool:
    ranges = given if isinstance(given, list) else str(given or "").split(",")
    return any(ranges) and not any(str(each).strip().endswith("/0") for each in ranges)


def repository_bound(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that bind it to one repository, besides what it binds already."""
    named = {*bounds(facts), str(facts.get("user_claim"))}
    gitlab = issuer(facts) == "gitlab" or bool(named & {"project_path", "project_id", "namespace_path", "namespace_id"})
    given = facts.get("bound_claims")
    glob = facts.get("bound_claims_type") == "glob"
    kept: dict[str, Any] = {}
    for name, value in given.items() if isinstance(given, Mapping) else ():
        values = value if isinstance(value, list) else [value]
        levels = {_of_value(str(name).lstrip("/"), str(each), glob=glob) for each in values}
        if str(name).lstrip("/") in _ANYBODYS or not levels & {"anyone", "crossing"}:
            kept[name] = value
    bound = {**kept, **({"project_path": "GROUP/PROJECT"} if gitlab else {"repository": "OWNER/REPOSITORY"})}
    wild = glob and "*" in json.dumps(kept)
    return {"bound_claims_type": "glob" if wild else "string", "bound_claims": bound}


def mended(record: Record, **fields: Any) -> str:
    """These fields in the role's file, or else ``bao write``: what is not named stays, but for role_type's default."""
    facts = record.facts
    if in_terraform(record):
        claims = fields.get("bound_claims")
        # The provider's are texts, with commas between several.
        joined = {
            name: ",".join(map(str, each)) if isinstance(each, list) else each for name, each in (claims or {}).items()
        }
        fields |= {"bound_claims": joined} if claims else {}
    if written := attributes(record, fields):
        return written
    user = facts.get("user_claim")
    body = {"role_type": "jwt", "user_claim": user if isinstance(user, str) and user else "repository", **fields}
    path = shlex.quote(f"auth/{shown(facts.get('mount') or 'jwt')}/role/{shown(facts.get('name') or 'ROLE')}")
    return f"bao write {path} - <<'EOF'\n{json.dumps(body, indent=2)}\nEOF"


class RoleRule(Rule):
    """Judges roles by which jobs log in, one by one."""

    needs = ("vault.jwt_role",)
    also = ("vault.policy",)
    sample = "vault/deploy.json"

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """All findings, of all roles."""
        for record in inventory.of("vault.jwt_role"):
            if is_ci(record.facts):
                yield from self.judge(record, inventory)

    @abstractmethod
    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """Findings of one role."""

    def about(self, record: Record, message: str, change: str, **more: Any) -> Finding:
        """A finding; what the role binds is its evidence."""
        facts = record.facts
        evidence = [("role", f"auth/{shown(facts.get('mount'))}/role/{shown(facts.get('name'))}")]
        evidence.append(("issuer", shown(issuer_host(facts)) or "not known; taken for one that serves everybody"))
        evidence += [
            (key, shown(json.dumps(facts[key]), 200))
            for key in ("bound_audiences", "bound_claims_type", "bound_claims", "bound_subject", "token_policies")
            if facts.get(key)
        ]
        given = {"key": "role", "evidence": tuple(evidence), "change": change, **more}
        return self.finding(record, f"role {shown(facts.get('name'))}: {message}", **given)

"""A classic token: it may do what its owner may, in all repositories."""

from collections.abc import Iterator

import msgspec

from keylease.audit.facts import text, texts
from keylease.audit.github import written
from keylease.audit.model import Finding, Inventory, Severity
from keylease.audit.rule import Rule
from keylease.audit.workflows import listed, shown
from keylease.errors import DOCS

_CLASSIC = {"name": "audit", "holder": "acme", "expires_at": None, "scopes": ["read:org", "repo"]}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """allowed: scopes that a token may have, ends of names with ``*``."""

    allowed: tuple[str, ...] = ("read:*", "public_repo", "repo:status", "security_events", "user:email")


class GithubClassicToken(Rule):
    """Of the token that the inventory was asked with: of others' GitHub does not tell."""

    id = "github-classic-token"
    title = "a classic token with scopes over the policy"
    severity = "medium"
    needs = ("github.token",)
    covers = ("credential-no-end",)
    why = (
        "A classic token has scopes, not repositories: `repo` reads and writes each one that its owner can, private "
        "ones too, and `admin:` scopes change the organisation. Whoever gets it from a log or a runner has all that."
    )
    fix = "Take a GitHub App, or a fine-grained token for what is needed alone; revoke this one."
    links = (
        "https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps",
        "https://docs.github.com/authentication/keeping-your-account-and-data-secure/managing-your-personal-access-tokens",
    )
    sample = "inventory.json"
    bad = (
        written(("token", "acme/token/audit", _CLASSIC)),
        written(("token", "acme/token/audit", {**_CLASSIC, "scopes": ["admin:org", "delete_repo"]})),
    )
    good = (
        written(("token", "acme/token/audit", {**_CLASSIC, "scopes": ["read:org", "security_events"]})),
        written(
            ("token", "acme/token/audit", {"name": "audit", "holder": "acme", "expires_at": "2026-12-01T00:00:00Z"})
        ),
    )
    Settings = Settings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a token."""
        for record in inventory.of("github.token"):
            over = [each for each in texts(record, "scopes") if not self._may(each)]
            if not over:
                continue
            strong = [each for each in over if each.startswith("admin:") or each in ("repo", "delete_repo", "workflow")]
            never = record.facts.get("expires_at", "") is None
            severity: Severity = "high" if strong and never else "medium"
            yield self.finding(
                record,
                f"the credential of target {shown(text(record, 'name'))} is a classic token with {listed(over)}"
                f"{', and never expires' if never else ''}",
                severity=severity,
                evidence=(
                    ("scopes", listed(texts(record, "scopes"), 30)),
                    ("expires", str(record.facts.get("expires_at"))),
                ),
                change=f"give the target a GitHub App ({DOCS}/targets/github.md), and revoke the token",
                key="scopes",
            )

    def _may(self, scope: str) -> bool:
        allowed: tuple[str, ...] = self.settings.allowed
        return any(scope == each or (each.endswith("*") and scope.startswith(each[:-1])) for each in allowed)

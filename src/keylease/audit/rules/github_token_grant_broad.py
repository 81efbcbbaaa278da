"""A fine-grained token that may do more than it should."""

from collections.abc import Iterator

import msgspec

from keylease.audit.credentials import is_active
from keylease.audit.facts import text
from keylease.audit.github import levels, owner, word, written
from keylease.audit.model import Finding, Inventory, Persona, Record, Severity
from keylease.audit.rule import Rule
from keylease.audit.workflows import listed, shown

_GRANT = {
    "name": "mine",
    "owner": "ada",
    "holder": "acme",
    "id": 7,
    "repositories": "subset",
    "permissions": {"repository": {"contents": "write", "metadata": "read"}},
    "active": True,
}
_AT = "acme/token-grant/7"


class GrantSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """permissions: those that no person's token should have to write, by GitHub's keys."""

    permissions: tuple[str, ...] = (
        "administration",
        "secrets",
        "environments",
        "dependabot_secrets",
        "codespaces_secrets",
        "workflows",
        "organization_administration",
        "organization_secrets",
        "organization_self_hosted_runners",
        "members",
    )


class TokenGrantBroad(Rule):
    """Expired tokens are left alone."""

    id = "github-token-grant-broad"
    title = "a fine-grained token that may do too much"
    severity = "medium"
    needs = ("github.token_grant",)
    why = (
        "A person's token lies in files, shells and CI variables, and works from anywhere. One for all repositories, "
        "or one that administers, makes its loss the organisation's."
    )
    fix = (
        "Revoke it; let its owner make one for the repositories and permissions that are used, or take a GitHub App, "
        "whose tokens end within the hour. `permissions` of the rule's settings says what no token may write."
    )
    links = ("https://docs.github.com/organizations/managing-programmatic-access-to-your-organization",)
    sample = "inventory.json"
    bad = (
        written(("token_grant", _AT, {**_GRANT, "repositories": "all"})),
        written(("token_grant", _AT, {**_GRANT, "permissions": {"repository": {"administration": "write"}}})),
        written(("token_grant", _AT, {**_GRANT, "permissions": {"organization": {"members": "write"}}})),
    )
    good = (
        written(("token_grant", _AT, _GRANT)),
        written(("token_grant", _AT, {**_GRANT, "repositories": "all", "active": False})),
    )
    Settings = GrantSettings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a token."""
        for record in inventory.of("github.token_grant"):
            given = record.facts.get("permissions")
            held = {
                name: level
                for group in (given.values() if isinstance(given, dict) else ())
                for name, level in levels(group).items()
            }
            writes = sorted(name for name, level in held.items() if level in ("write", "admin"))
            over = [name for name in writes if {name, f"organization_{name}"} & set(self.settings.permissions)]
            every = text(record, "repositories") == "all"
            if not is_active(record) or not (every or over):
                continue
            yield self._found(record, every=every, over=over, writes=writes)

    def _found(self, record: Record, *, every: bool, over: list[str], writes: list[str]) -> Finding:
        does = f"write {listed(over or writes)}" if over or writes else "read"
        whom = " in all repositories" if every else ""
        rank: tuple[Severity, Persona] = ("medium", "regular")
        if every:
            rank = ("high", "regular") if over else ("medium", "regular") if writes else ("low", "pedantic")
        number, organization = record.subject.rpartition("/")[2], owner(text(record, "holder"))
        return self.finding(
            record,
            f"the token {shown(text(record, 'name'))!a} of {shown(text(record, 'owner'))} may {does}{whom}",
            severity=rank[0],
            persona=rank[1],
            evidence=(
                ("repositories", shown(text(record, "repositories"))),
                ("writes", listed(writes, 12) or "nothing"),
            ),
            change="revoke it when its owner has a narrower one\n\n"
            f"gh api --method POST {word(f'/orgs/{organization}/personal-access-tokens/{number}')} -f action=revoke",
            key="broad",
        )

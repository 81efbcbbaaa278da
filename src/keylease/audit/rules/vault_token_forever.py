"""A token that lives for ever."""

from collections.abc import Iterator

from keylease.audit.aging import BY_ACCESSOR, named
from keylease.audit.credentials import is_active
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown

_KIND, _AT = "vault.token", "vault://bao.example.com/token/0"
_FACTS = {
    "name": "token 12ab",
    "policies": ["app"],
    "created_at": "2025-01-01T00:00:00Z",
    "expires_at": "2026-12-01T00:00:00Z",
    "period": 3600,
    "orphan": True,
    "renewable": True,
    "sort": "service",
}


class VaultTokenForever(Rule):
    """A periodic one ends when nobody renews it; that of root is another rule's."""

    id = "vault-token-forever"
    title = "a token of Vault that lives for ever"
    severity = "medium"
    persona = "pedantic"
    needs = (_KIND,)
    covers = ("credential-no-end",)
    why = (
        "A periodic token without `explicit_max_ttl` can be renewed without an end: whoever has copied it once keeps "
        "it alive beside its owner. An orphan also outlives the one who made it."
    )
    fix = "Have the program log in by itself (a JWT, a platform's identity, AppRole), or give the token an end."
    links = ("https://openbao.org/docs/concepts/tokens/#periodic-tokens",)
    sample = "inventory.json"
    bad = (
        listed(_KIND, _AT, **_FACTS),
        listed(_KIND, _AT, **{**_FACTS, "expires_at": None, "period": None, "renewable": False}),
    )
    good = (
        listed(_KIND, _AT, **{**_FACTS, "explicit_max_ttl": 86400}),
        listed(_KIND, _AT, **{**_FACTS, "period": None}),
        listed(_KIND, _AT, **{**_FACTS, "policies": ["root"], "expires_at": None, "period": None, "renewable": False}),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a token."""
        for record in inventory.of(_KIND):
            facts = record.facts
            policies = facts.get("policies")
            if not is_active(record) or not isinstance(policies, list) or "root" in policies:
                continue
            never = "expires_at" in facts and facts["expires_at"] is None
            if facts.get("explicit_max_ttl") or not (facts.get("period") or never):
                continue
            how = "never ends" if never else "can be renewed for ever"
            orphan = ", and outlives who made it" if facts.get("orphan") else ""
            yield self.finding(
                record,
                f"{named(record)} {how}{orphan}",
                evidence=(
                    ("created", shown(facts.get("created_at"))),
                    ("period", f"{shown(facts.get('period') or 0)} s"),
                    ("policies", shown(", ".join(map(str, policies)), 200)),
                ),
                change=f"replace it by one with an end (`-explicit-max-ttl`), then revoke it\n\n{BY_ACCESSOR}",
                persona="regular" if never else "pedantic",
                key="forever",
            )

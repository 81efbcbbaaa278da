"""A root token that is alive."""

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
    "policies": ["root"],
    "created_at": "2025-01-01T00:00:00Z",
    "expires_at": None,
    "period": None,
    "orphan": True,
    "renewable": False,
    "sort": "service",
}


class VaultRootToken(Rule):
    """However short it lives: none is needed between two emergencies."""

    id = "vault-root-token"
    title = "a root token of Vault that is alive"
    severity = "high"
    needs = (_KIND,)
    covers = ("credential-no-end", "credential-stale")
    why = (
        "A root token may do everything, no policy holds it, and mostly it never ends. The one that initialising the "
        "server gives is meant to set up the first way to log in; later ones are made by the holders of the unseal "
        "keys and revoked after use."
    )
    fix = "Revoke it. `bao operator generate-root` makes another one when it is needed."
    links = ("https://openbao.org/docs/concepts/tokens/#root-tokens",)
    sample = "inventory.json"
    bad = (listed(_KIND, _AT, **_FACTS),)
    good = (
        listed(_KIND, _AT, **{**_FACTS, "policies": ["default", "admin"]}),
        listed(_KIND, _AT, **{**_FACTS, "active": False}),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a token."""
        for record in inventory.of(_KIND):
            policies = record.facts.get("policies")
            if isinstance(policies, list) and "root" in policies and is_active(record):
                yield self.finding(
                    record,
                    f"{named(record)} is a root token that is alive",
                    evidence=(
                        ("created", shown(record.facts.get("created_at"))),
                        ("expires", shown(record.facts.get("expires_at") or "never")),
                        ("path", shown(record.facts.get("holder"))),
                    ),
                    change=f"find its accessor, and revoke it\n\n{BY_ACCESSOR}",
                    key="root",
                )

"""A credential without an end, where its vendor could set one."""

from collections.abc import Iterator

from keylease.audit.aging import dates, named, rotate
from keylease.audit.credentials import SORTS, of_sorts
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed, these


class CredentialNoEnd(Rule):
    """Of those that can be given an end: AWS access keys, for one, can't."""

    id = "credential-no-end"
    title = "a credential that never expires"
    severity = "medium"
    needs = tuple(kind for kind, sort in SORTS.items() if sort.expires)
    alternatives = True
    why = "Once it has leaked it works until somebody notices. An end is the one limit that needs nobody's attention."
    fix = (
        "Exchange the job's own identity for a credential that lives as long as the job; else make a new one with an "
        "end, and let a machine renew it."
    )
    links = (
        "https://docs.github.com/authentication/keeping-your-account-and-data-secure/managing-your-personal-access-tokens",
    )
    sample = "inventory.json"
    bad = (
        listed(
            "anthropic.key",
            "anthropic://wrkspc_1/key/ci",
            name="ci",
            created_at="2026-10-01T00:00:00Z",
            expires_at=None,
        ),
    )
    good = (
        these(
            (
                "anthropic.key",
                "anthropic://wrkspc_1/key/ci",
                {"name": "ci", "created_at": "2026-10-01T00:00:00Z", "expires_at": "2026-12-01T00:00:00Z"},
            ),
            ("gcp.key", "gcp://p/key/1", {"name": "1"}),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a credential. Where the vendor does not tell, nothing is known, and nothing said."""
        for record in of_sorts(inventory):
            if SORTS[record.kind].expires and record.facts.get("expires_at", "") is None:
                yield self.finding(
                    record, f"{named(record)} never expires", evidence=dates(record), change=rotate(record)
                )

"""A credential that ends soon: what uses it will break."""

from collections.abc import Iterator

import msgspec

from keylease.audit.aging import Days, dates, in_days, named, rotate
from keylease.audit.credentials import SORTS, age, days, of_sorts
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed, these


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How early to tell. days: before the end."""

    days: Days = 14


class CredentialExpiresSoon(Rule):
    """Not of credentials that were made within the same time: those are meant to end."""

    id = "credential-expires-soon"
    title = "a credential that is about to expire"
    severity = "low"
    needs = tuple(kind for kind, sort in SORTS.items() if sort.expires)
    alternatives = True
    why = "Pipelines that use it fail on that day, and keys that are replaced in a hurry are copied around."
    fix = "Replace it now, best by a credential that each job leases for itself."
    links = ("https://docs.gitlab.com/api/project_access_tokens/",)
    sample = "inventory.json"
    bad = (
        listed(
            "azure.credential",
            "azure://t/app/1/password/2",
            name="ci",
            created_at="2026-01-01T00:00:00Z",
            expires_at="2026-11-08T00:00:00Z",
        ),
    )
    good = (
        these(
            (
                "azure.credential",
                "azure://t/app/1/password/2",
                {"name": "ci", "created_at": "2026-01-01T00:00:00Z", "expires_at": "2027-01-08T00:00:00Z"},
            ),
            (
                "vault.token",
                "vault://v/token/1",
                {"name": "jwt-ci", "created_at": "2026-10-31T23:00:00Z", "expires_at": "2026-11-01T01:00:00Z"},
            ),
        ),
    )
    Settings = Settings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a credential."""
        settings: Settings = self.settings
        for record in of_sorts(inventory):
            end, made = days(record.facts, "expires_at", inventory.now), age(record, inventory.now)
            if not SORTS[record.kind].expires or end is None or not -settings.days <= end <= 0:
                continue
            if made is not None and made > settings.days:
                yield self.finding(
                    record,
                    f"{named(record)} ends in {in_days(-end)}",
                    evidence=dates(record),
                    change=rotate(record),
                )

"""A credential that was made to live for long."""

from collections.abc import Iterator

import msgspec

from keylease.audit.aging import Days, Limit, dates, in_days, lifetime, limit_of, named, rotate
from keylease.audit.credentials import SORTS, of_sorts
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a credential may live.

    max_days: from its making to its end. ages: other limits for some; the first that covers one counts.
    """

    max_days: Days = 365
    ages: list[Limit] = []


class CredentialLongLived(Rule):
    """Judges what was given an end; without one it is `credential-no-end`."""

    id = "credential-long-lived"
    title = "a credential whose lifetime is longer than the policy allows"
    severity = "low"
    needs = tuple(kind for kind, sort in SORTS.items() if sort.expires)
    alternatives = True
    why = "An end that is years away is none: the job needs the credential for minutes."
    fix = (
        "Make a new one with an earlier end, or exchange the job's own identity for one that lives as long as the job."
    )
    links = ("https://docs.gitlab.com/user/project/settings/project_access_tokens/",)
    sample = "inventory.json"
    bad = (
        listed(
            "gitlab.token",
            "gitlab://acme/trainer/token/7",
            name="ci",
            created_at="2026-01-01T00:00:00Z",
            expires_at="2029-01-01T00:00:00Z",
        ),
    )
    good = (
        listed(
            "gitlab.token",
            "gitlab://acme/trainer/token/7",
            name="ci",
            created_at="2026-01-01T00:00:00Z",
            expires_at="2026-12-31T00:00:00Z",
        ),
    )
    Settings = Settings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a credential."""
        settings: Settings = self.settings
        for record in of_sorts(inventory):
            found, limit = lifetime(record), limit_of(record, settings.ages, settings.max_days)
            if SORTS[record.kind].expires and found is not None and found > limit:
                yield self.finding(
                    record,
                    f"{named(record)} was made to live for {in_days(found)}",
                    evidence=(*dates(record), ("limit", in_days(limit))),
                    change=rotate(record),
                )

"""A credential that nothing uses."""

from collections.abc import Iterator

import msgspec

from keylease.audit.aging import Days, Limit, dates, in_days, limit_of, named
from keylease.audit.credentials import SORTS, days, of_sorts
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed, these


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a credential counts as unused.

    max_days: since its last use. never_days: since it was made, for one that was never used. ages: other limits since
    the last use for some; the first that covers one counts.
    """

    max_days: Days = 90
    never_days: Days = 30
    ages: list[Limit] = []


class CredentialUnused(Rule):
    """Of those whose vendor tells the last use. Vendors note it with a delay of up to some days."""

    id = "credential-unused"
    title = "a credential that was never, or not for long, used"
    severity = "medium"
    needs = tuple(kind for kind, sort in SORTS.items() if sort.uses)
    alternatives = True
    why = (
        "It opens as much as on its first day, and nobody would notice if somebody else used it. Nothing breaks when "
        "it goes."
    )
    fix = "Switch it off, wait a while, delete it. What runs once a year gets a limit of its own under `ages`."
    links = (
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_finding-unused.html",
        "https://cloud.google.com/iam/docs/service-account-recent-usage",
    )
    sample = "inventory.json"
    bad = (
        listed(
            "aws.access_key",
            "aws://1/key/AKIA…WXYZ",
            name="AKIA…WXYZ",
            holder="ci",
            created_at="2026-09-01T00:00:00Z",
            last_used_at=None,
        ),
        listed(
            "openai.key",
            "openai://proj_1/key/ci",
            name="ci",
            created_at="2026-01-01T00:00:00Z",
            last_used_at="2026-03-01T00:00:00Z",
        ),
    )
    good = (
        these(
            (
                "aws.access_key",
                "aws://1/key/AKIA…WXYZ",
                {"name": "AKIA…WXYZ", "holder": "ci", "created_at": "2026-10-20T00:00:00Z", "last_used_at": None},
            ),
            ("gcp.key", "gcp://p/key/1", {"name": "1", "created_at": "2020-01-01T00:00:00Z"}),
        ),
    )
    Settings = Settings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a credential. One whose last use its vendor does not tell is none."""
        settings: Settings = self.settings
        for record in of_sorts(inventory):
            if not SORTS[record.kind].uses or "last_used_at" not in record.facts:
                continue
            limit = limit_of(record, settings.ages, settings.max_days)
            used = days(record.facts, "last_used_at", inventory.now)
            made = days(record.facts, "created_at", inventory.now)
            if used is not None and used > limit:
                what = f"{named(record)} was not used for {in_days(used)}"
            elif record.facts["last_used_at"] is None and made is not None and made > settings.never_days:
                what, limit = (
                    f"{named(record)} was never used since it was made, {in_days(made)} ago",
                    settings.never_days,
                )
            else:
                continue
            yield self.finding(
                record,
                what,
                evidence=(*dates(record), ("limit", in_days(limit))),
                change="switch it off, and delete it when nothing has missed it",
            )

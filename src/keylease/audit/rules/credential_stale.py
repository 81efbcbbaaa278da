"""A credential that has been the same for too long."""

from collections.abc import Iterator

import msgspec

from keylease.audit.aging import Days, Limit, dates, in_days, limit_of, named, rotate
from keylease.audit.credentials import SORTS, age, of_sorts
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a credential is stale.

    max_days: of credentials at their vendor. stored_days: of copies and values in CI settings and secrets managers.
    ages: other limits for some; the first that covers one counts: ``{kind: "github.*", name: "PROD_*", max_days: 30}``.
    """

    max_days: Days = 90
    stored_days: Days = 180
    ages: list[Limit] = []


class CredentialStale(Rule):
    """Medium over the limit, high over twice the limit: what nobody has changed by then nobody will by chance."""

    id = "credential-stale"
    title = "a credential older than the policy allows"
    severity = "medium"
    needs = tuple(kind for kind, sort in SORTS.items() if sort.ages)
    alternatives = True
    why = (
        "Whoever has read a key once, in a log, a laptop's backup or an old fork, can use it until it is changed. Most "
        "leaked keys are years old and still valid. The older a credential, the more copies of it there are, and the "
        "fewer people know where."
    )
    fix = (
        "Best: make the credential unnecessary, by exchanging the job's own identity for a short-lived one. Else "
        "rotate it, and let a secrets manager do so from now on. Limits are set by kind, name, holder or environment."
    )
    links = (
        "https://docs.github.com/rest/actions/secrets",
        "https://cheatsheetseries.owasp.org/cheatsheets/Secrets_Management_Cheat_Sheet.html",
    )
    sample = "inventory.json"
    bad = (
        listed(
            "github.secret",
            "github://acme/trainer/secret/NPM_TOKEN",
            name="NPM_TOKEN",
            holder="acme/trainer",
            created_at="2023-01-01T00:00:00Z",
            updated_at="2024-02-03T04:05:06Z",
        ),
        listed(
            "openai.key",
            "openai://proj_1/key/ci",
            name="ci",
            holder="training",
            created_at="2026-07-01T00:00:00Z",
            hint="sk-proj-…abcd",
        ),
    )
    good = (
        listed(
            "github.secret",
            "github://acme/trainer/secret/NPM_TOKEN",
            name="NPM_TOKEN",
            holder="acme/trainer",
            created_at="2023-01-01T00:00:00Z",
            updated_at="2026-10-03T04:05:06Z",
        ),
        listed(
            "aws.access_key",
            "aws://1/key/AKIA…WXYZ",
            name="AKIA…WXYZ",
            holder="ci",
            created_at="2020-01-01T00:00:00Z",
            active=False,
        ),
    )
    Settings = Settings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a credential."""
        settings: Settings = self.settings
        for record in of_sorts(inventory):
            days = age(record, inventory.now)
            if days is None:
                continue
            limit = limit_of(
                record, settings.ages, settings.stored_days if SORTS[record.kind].stored else settings.max_days
            )
            if days > limit:
                yield self.finding(
                    record,
                    f"{named(record)} has been the same for {in_days(days)}",
                    severity="high" if days > 2 * limit else "medium",
                    evidence=(*dates(record), ("limit", in_days(limit))),
                    change=rotate(record),
                )

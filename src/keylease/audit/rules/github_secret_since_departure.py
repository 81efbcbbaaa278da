"""Secrets that were not changed since somebody left."""

import fnmatch
from collections.abc import Iterator

import msgspec

from keylease.audit.credentials import moment
from keylease.audit.facts import text
from keylease.audit.github import owner, place, secrets, where, word, written
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import listed, shown

_SECRET = {
    "name": "NPM_TOKEN",
    "store": "actions",
    "level": "repository",
    "holder": "acme/web",
    "updated_at": "2026-01-01T00:00:00Z",
}
_GONE = {"person": "bob", "organization": "acme", "at": "2026-10-01T00:00:00Z"}
_AT = "acme/departure/bob"


class DepartureSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """who: accounts whose departure counts, with wildcards: those who could know secrets. Without: anybody's."""

    who: tuple[str, ...] = ()


class SecretSinceDeparture(Rule):
    """Regular and more confident where `who` says whose departure counts."""

    id = "github-secret-since-departure"
    title = "secrets that were not changed since somebody left"
    severity = "medium"
    confidence = "low"
    persona = "pedantic"
    needs = ("github.secret", "github.departure")
    why = (
        "Whoever wrote a secret, or could push a workflow that reads it, may still know it after leaving, and needs no "
        "account of the organisation to use it. GitHub does not tell who knew what: the rule takes everybody who left, "
        "or those that `who` names."
    )
    fix = "Rotate what the person could read, those of protected environments first; lease what can be leased."
    links = (
        "https://docs.github.com/organizations/managing-membership-in-your-organization/removing-a-member-from-your-organization",
    )
    sample = "inventory.json"
    bad = (written(("secret", "acme/web/secret/NPM_TOKEN", _SECRET), ("departure", _AT, _GONE)),)
    good = (
        written(
            ("secret", "acme/web/secret/NPM_TOKEN", {**_SECRET, "updated_at": "2026-10-02T00:00:00Z"}),
            ("secret", "other/web/secret/NPM_TOKEN", {**_SECRET, "holder": "other/web"}),
            ("departure", _AT, _GONE),
        ),
    )
    Settings = DepartureSettings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a place that holds secrets: about the last who left."""
        last: dict[str, Record] = {}
        for each in inventory.of("github.departure"):
            organization, at = text(each, "organization").lower(), moment(text(each, "at"))
            if at is None or not self._counts(text(each, "person")):
                continue
            known = moment(text(last[organization], "at")) if organization in last else None
            if known is None or known < at:
                last[organization] = each
        old: dict[str, list[Record]] = {}
        for record in secrets(inventory):
            gone = last.get(owner(text(record, "holder")))
            changed, left = moment(text(record, "updated_at")), moment(text(gone, "at")) if gone else None
            if changed and left and changed < left:
                old.setdefault(place(record), []).append(record)
        for records in old.values():
            yield self._found(records, last[owner(text(records[0], "holder"))])

    def _counts(self, person: str) -> bool:
        who = self.settings.who
        return bool(person) and (not who or any(fnmatch.fnmatchcase(person.lower(), each.lower()) for each in who))

    def _found(self, records: list[Record], gone: Record) -> Finding:
        records = sorted(records, key=lambda each: text(each, "updated_at"))
        person, at = text(gone, "person"), text(gone, "at")[:10]
        names = list(dict.fromkeys(text(each, "name") for each in records))
        those = f"{len(records)} secrets" if len(records) > 1 else f"the secret {shown(names[0])}"
        verb = "were" if len(records) > 1 else "was"
        named = bool(self.settings.who)
        return self.finding(
            records[0],
            f"{those} of {place(records[0])} {verb} not changed since {shown(person)} left on {shown(at)}",
            confidence="medium" if named else self.confidence,
            persona="regular" if named else self.persona,
            evidence=(("secrets", listed(names, 12)), ("the oldest is of", text(records[0], "updated_at")[:10])),
            change="rotate them at their vendors, then write the new values\n\n"
            + "\n".join(f"gh secret set {word(text(each, 'name'))} {where(each)}" for each in records[:20]),
            key=f"departure {person.lower()}",
        )

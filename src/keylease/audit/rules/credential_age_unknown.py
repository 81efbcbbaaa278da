"""Credentials whose age nobody knows: told as such, never taken for young."""

from collections import defaultdict
from collections.abc import Iterator

from keylease.audit.aging import named
from keylease.audit.credentials import SORTS, age, of_sorts
from keylease.audit.facts import text
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.samples import listed, these
from keylease.audit.workflows import shown

_NAMES = 50


class CredentialAgeUnknown(Rule):
    """One finding a place: Jenkins and GitLab tell of none of theirs."""

    id = "credential-age-unknown"
    title = "credentials of which no one can say how old they are"
    severity = "low"
    persona = "pedantic"
    needs = tuple(SORTS)
    alternatives = True
    why = (
        "GitLab's variables and Jenkins' credentials have no date, nor have values in Vault's first KV engine. A "
        "rule about age can't find them, however old they are."
    )
    fix = (
        "Keep the value in a secrets manager that knows its age, and lease it in the job, or let `keylease sync` write "
        "the copy: the manager's date is then the copy's."
    )
    links = ("https://docs.gitlab.com/api/project_level_variables/",)
    sample = "inventory.json"
    bad = (
        listed(
            "gitlab.variable",
            "gitlab://acme/trainer/variable/HF_TOKEN",
            name="HF_TOKEN",
            holder="acme/trainer",
            masked=True,
        ),
        listed("vault.secret", "vault://v/secret/kv/ci", name="ci", holder="kv"),
    )
    good = (
        these(
            (
                "vault.secret",
                "vault://v/secret/kv/ci",
                {"name": "ci", "holder": "kv", "updated_at": "2026-10-01T00:00:00Z"},
            ),
            (
                "gitlab.variable",
                "gitlab://acme/trainer/variable/LOG_LEVEL",
                {"name": "LOG_LEVEL", "holder": "acme/trainer", "masked": False, "hidden": False},
            ),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding for each kind at each holder."""
        places: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
        for record in of_sorts(inventory):
            if age(record, inventory.now) is None and _is_secret(record):
                places[record.kind, _server(record), text(record, "holder")].append(record)
        for (kind, server, holder), records in sorted(places.items()):
            first, number = records[0], len(records)
            names = [shown(text(each, "name") or each.subject, 100) for each in records]
            more = f" … and {number - _NAMES} more" if number > _NAMES else ""
            what = (
                named(first) if number == 1 else f"{number} {SORTS[kind].label}s of {shown(holder, 120) or 'one place'}"
            )
            vendor, _, sort = kind.partition(".")
            yield self.finding(
                Record(kind, f"{vendor}://{server}{holder or '-'}/{sort}"),
                f"nobody can say how old {what} {'is' if number == 1 else 'are'}",
                evidence=(("names", ", ".join(names[:_NAMES]) + more),),
                change="lease them in the job, or let `keylease sync` write them from a manager that knows their age",
            )


def _server(record: Record) -> str:
    """Whose place it is, as its subject begins: nothing for github.com and gitlab.com."""
    begin = f"{text(record, 'server')}/"
    return begin if record.subject.partition("://")[2].startswith(begin) else ""


def _is_secret(record: Record) -> bool:
    """GitLab's variables are settings, too: those that somebody wanted masked are meant, and what looks like a key."""
    if record.kind != "gitlab.variable":
        return True
    return any(record.facts.get(name) for name in ("masked", "hidden", "looks_like"))

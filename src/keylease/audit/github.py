"""What rules about GitHub's inventory have in common: who sees an organisation's secret, names and commands to show."""

import shlex
from collections.abc import Iterator

from keylease.audit.facts import number, text, texts
from keylease.audit.model import Inventory, Record
from keylease.audit.samples import Row, these
from keylease.audit.workflows import shown

STORES = {"actions": "Actions", "dependabot": "Dependabot", "codespaces": "Codespaces"}


def written(*rows: Row) -> str:
    """A rule's sample of rows that are all GitHub's: kind and subject are what follows ``github.`` and ``github://``."""
    return these(*((f"github.{kind}", f"github://{path}", facts) for kind, path, facts in rows))


def levels(given: object) -> dict[str, str]:
    """Permissions: name → level."""
    return {name: level for name, level in given.items() if isinstance(level, str)} if isinstance(given, dict) else {}


def owner(holder: str) -> str:
    """The account of ``acme/trainer`` or ``acme``, as names are compared."""
    return holder.partition("/")[0].lower()


def secrets(inventory: Inventory, level: str = "", store: str = "") -> Iterator[Record]:
    """Secrets with a name and a holder, of one level or store."""
    for record in inventory.of("github.secret"):
        fits = level in ("", text(record, "level")) and store in ("", text(record, "store"))
        if fits and text(record, "name") and text(record, "holder"):
            yield record


def organizations(inventory: Inventory) -> dict[str, Record]:
    """By name, in lower case."""
    return {text(record, "name").lower(): record for record in inventory.of("github.organization")}


def repositories(inventory: Inventory, organization: str = "") -> dict[str, Record]:
    """Those that can run anything, by full name in lower case."""
    found = {text(record, "name").lower(): record for record in inventory.of("github.repository")}
    return {
        name: record
        for name, record in found.items()
        if record.facts.get("archived") is not True and organization in ("", owner(name))
    }


class Visible:
    """Which repositories see an organisation's secrets."""

    def __init__(self, inventory: Inventory) -> None:
        self._organizations = organizations(inventory)
        self._repositories: dict[str, dict[str, Record]] = {}
        self._selected: dict[int, frozenset[str]] = {}  # of many shadows of one secret, made once
        for name, record in repositories(inventory).items():
            self._repositories.setdefault(owner(name), {})[name] = record

    def to(self, secret: Record) -> set[str] | None:
        """Full names in lower case; None where not all of them are known: the credential may not see all of them."""
        organization = self._organizations.get(owner(text(secret, "holder")))
        if organization is None or organization.facts.get("complete") is not True:
            return None
        if text(secret, "visibility") == "selected":
            given = isinstance(secret.facts.get("repositories"), list | tuple)
            return {name.lower() for name in texts(secret, "repositories")} if given else None
        known = self._repositories.get(owner(text(secret, "holder")), {})
        if number(organization, "active") != len(known) or text(secret, "visibility") not in ("all", "private"):
            return None
        every = text(secret, "visibility") == "all"
        return {name for name, each in known.items() if every or text(each, "visibility") != "public"}

    def is_to(self, secret: Record, repository: str) -> bool:
        """Whether this one certainly does."""
        if text(secret, "visibility") == "selected":
            if id(secret) not in self._selected:  # records outlive this
                self._selected[id(secret)] = frozenset(name.lower() for name in texts(secret, "repositories"))
            return repository.lower() in self._selected[id(secret)]
        if owner(text(secret, "holder")) != owner(repository):
            return False
        record = self._repositories.get(owner(repository), {}).get(repository.lower())
        seen = text(record, "visibility") if record else ""
        return text(secret, "visibility") == "all" or (
            text(secret, "visibility") == "private" and seen in ("private", "internal")
        )


def word(value: object) -> str:
    """A name in a command line."""
    return shlex.quote(shown(value, 200))


def where(record: Record) -> str:
    """Options of ``gh`` that say where a secret or variable is."""
    holder, environment, store = text(record, "holder"), text(record, "environment"), text(record, "store")
    if text(record, "level") == "organization":
        found = f"--org {word(holder)}"
    else:
        found = f"--repo {word(holder)}" + (f" --env {word(environment)}" if environment else "")
    return found + (f" --app {store}" if store in ("dependabot", "codespaces") else "")


def place(record: Record) -> str:
    """Where a secret or variable is, for people."""
    holder, environment = shown(text(record, "holder")), text(record, "environment")
    if text(record, "level") == "organization":
        return f"organisation {holder}"
    return f"environment {shown(environment, 60)} of {holder}" if environment else holder

"""One secret in several stores of the same place."""

from collections.abc import Iterator

from keylease.audit.facts import text
from keylease.audit.github import STORES, place, secrets, written
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_SECRET = {"name": "NPM_TOKEN", "store": "actions", "level": "repository", "holder": "acme/web"}


class SecretCopies(Rule):
    """By the name: values can't be seen."""

    id = "github-secret-copies"
    title = "copies of a secret for Dependabot or Codespaces"
    severity = "low"
    confidence = "medium"
    persona = "pedantic"
    needs = ("github.secret",)
    why = (
        "Each copy must be changed by itself, and one is forgotten. A Codespace shows its copy to everybody who opens "
        "one, and Dependabot's runs next to code of new dependencies: both are guarded less than a job."
    )
    fix = (
        "Give Dependabot and Codespaces credentials of their own that only read, or keep the copies the same with "
        "`keylease sync`, which writes all stores."
    )
    links = (
        "https://docs.github.com/code-security/dependabot/troubleshooting-dependabot/troubleshooting-dependabot-on-github-actions",
    )
    sample = "inventory.json"
    bad = (
        written(
            ("secret", "acme/web/secret/NPM_TOKEN", _SECRET),
            ("secret", "acme/web/dependabot-secret/NPM_TOKEN", {**_SECRET, "store": "dependabot"}),
        ),
    )
    good = (
        written(
            ("secret", "acme/web/secret/NPM_TOKEN", _SECRET),
            ("secret", "acme/web/dependabot-secret/NPM_READ_TOKEN", {**_SECRET, "name": "X", "store": "dependabot"}),
            (
                "secret",
                "acme/api/codespaces-secret/NPM_TOKEN",
                {**_SECRET, "holder": "acme/api", "store": "codespaces"},
            ),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a name and place."""
        found: dict[tuple[str, str], dict[str, Record]] = {}
        for record in secrets(inventory):
            if not text(record, "environment"):
                key = text(record, "holder").lower(), text(record, "name").upper()
                found.setdefault(key, {})[text(record, "store")] = record
        for stores in found.values():
            first = stores.get("actions") or next(iter(stores.values()))
            if len(stores) > 1:
                names = [label for store, label in STORES.items() if store in stores]
                yield self.finding(
                    first,
                    f"{place(first)} holds {shown(text(first, 'name'))} for {' and '.join(names)}",
                    evidence=tuple(
                        (f"{label} last changed", text(stores[store], "updated_at") or "unknown")
                        for store, label in STORES.items()
                        if store in stores
                    ),
                    change="keep one; where another store needs it, give that a credential of its own",
                    key="copies",
                )

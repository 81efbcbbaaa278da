"""An organisation's secret that many repositories share."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from keylease.audit.facts import text, texts
from keylease.audit.github import place, secrets, written
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_SECRET = {
    "name": "NPM_TOKEN",
    "store": "actions",
    "level": "organization",
    "holder": "acme",
    "visibility": "selected",
    "updated_at": "2026-10-01T00:00:00Z",
}


class ManySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """most: repositories that may share one secret."""

    most: Annotated[int, msgspec.Meta(ge=1)] = 25


class ManyRepositories(Rule):
    """Counts selected repositories; secrets that all see are `github-secret-all-repositories`."""

    id = "github-secret-many-repositories"
    title = "a secret that many repositories share"
    severity = "low"
    persona = "pedantic"
    needs = ("github.secret", "github.organization")
    why = (
        "One value in many places is as safe as the weakest of them, nobody can tell from a log which one used it, and "
        "to change it everything must be changed at once: so it is not changed."
    )
    fix = (
        "Give each repository a credential of its own, or none: lease it in the job, from a manager that knows the "
        "repository by its identity token. `most` of the rule's settings says how many may share one."
    )
    links = ("https://docs.github.com/actions/reference/security/secure-use",)
    sample = "inventory.json"
    bad = (
        written(
            ("organization", "acme", {"name": "acme"}),
            ("secret", "acme/secret/NPM_TOKEN", {**_SECRET, "repositories": [f"acme/r{each}" for each in range(26)]}),
        ),
    )
    good = (
        written(
            ("organization", "acme", {"name": "acme"}),
            ("secret", "acme/secret/NPM_TOKEN", {**_SECRET, "repositories": [f"acme/r{each}" for each in range(25)]}),
        ),
    )
    Settings = ManySettings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a secret."""
        for record in secrets(inventory, "organization"):
            count = len(texts(record, "repositories"))
            if text(record, "visibility") == "selected" and count > self.settings.most:
                yield self.finding(
                    record,
                    f"{count} repositories share the secret {shown(text(record, 'name'))} of {place(record)}",
                    evidence=(("repositories", str(count)), ("most", str(self.settings.most))),
                    change="lease it in each job instead, or split it; then delete it",
                    key="shared",
                )

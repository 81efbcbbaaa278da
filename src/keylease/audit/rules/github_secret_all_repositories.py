"""An organisation's secret that every repository sees."""

from collections.abc import Iterator

from keylease.audit.facts import number, text
from keylease.audit.github import STORES, organizations, owner, place, secrets, where, word, written
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_ACME = {"name": "acme", "public": 2, "private": 40, "internal": 0, "active": 42, "complete": True}
_SECRET = {"name": "NPM_TOKEN", "store": "actions", "level": "organization", "holder": "acme"}


class SecretAllRepositories(Rule):
    """High where some of the repositories are public; pedantic for "all private repositories"."""

    id = "github-secret-all-repositories"
    title = "an organisation's secret that every repository sees"
    severity = "medium"
    needs = ("github.secret", "github.organization")
    why = (
        "Whoever may push a branch to any repository of the organisation can run a workflow that reads the secret: the "
        "least guarded repository, a new one or a public one included, decides how well it is kept."
    )
    fix = "Give it to the repositories that need it (visibility `selected`), or move it into an environment of each."
    links = ("https://docs.github.com/actions/how-tos/write-workflows/choose-what-workflows-do/use-secrets",)
    sample = "inventory.json"
    bad = (
        written(("organization", "acme", _ACME), ("secret", "acme/secret/NPM_TOKEN", {**_SECRET, "visibility": "all"})),
        written(
            ("organization", "acme", _ACME), ("secret", "acme/secret/NPM_TOKEN", {**_SECRET, "visibility": "private"})
        ),
    )
    good = (
        written(
            ("organization", "acme", _ACME),
            ("secret", "acme/secret/NPM_TOKEN", {**_SECRET, "visibility": "selected", "repositories": ["acme/web"]}),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a secret."""
        known = organizations(inventory)
        for record in secrets(inventory, "organization"):
            seen, organization = text(record, "visibility"), known.get(owner(text(record, "holder")))
            if seen not in ("all", "private") or organization is None:
                continue
            public = number(organization, "public") or 0
            name, store = shown(text(record, "name")), STORES.get(text(record, "store"), "")
            whom = f"every repository, {public} public ones included" if public else "every repository"
            risk = "high" if public else "medium"
            yield self.finding(
                record,
                f"the {store} secret {name} of {place(record)} is visible to "
                + (whom if seen == "all" else "every private repository"),
                severity=risk if seen == "all" else "low",
                persona="regular" if seen == "all" else "pedantic",
                evidence=(("visibility", seen),),
                change="set it again for those that need it\n\n"
                f"gh secret set {word(text(record, 'name'))} {where(record)} --visibility selected --repos REPO1,REPO2",
                key="visibility",
            )

"""A repository's secret that hides its organisation's."""

from collections.abc import Iterator

from keylease.audit.facts import text
from keylease.audit.github import Visible, owner, place, secrets, where, word, written
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_OWN = {"name": "NPM_TOKEN", "store": "actions", "level": "repository", "holder": "acme/web"}
_ORG = {"name": "NPM_TOKEN", "store": "actions", "level": "organization", "holder": "acme", "visibility": "selected"}


class SecretShadowed(Rule):
    """Of one store; an environment's secret in place of the repository's is meant so, and is left alone."""

    id = "github-secret-shadowed"
    title = "a repository's secret that hides its organisation's"
    severity = "low"
    persona = "pedantic"
    needs = ("github.secret", "github.organization")
    also = ("github.repository",)
    why = (
        "The repository's wins: when the organisation's is rotated, this repository goes on with the old value, and "
        "who believes that the secret is changed everywhere is wrong."
    )
    fix = "Delete the repository's if both are for the same, else give one another name."
    links = ("https://docs.github.com/actions/concepts/security/secrets",)
    sample = "inventory.json"
    bad = (
        written(
            ("organization", "acme", {"name": "acme"}),
            ("secret", "acme/web/secret/NPM_TOKEN", _OWN),
            ("secret", "acme/secret/NPM_TOKEN", {**_ORG, "repositories": ["acme/web"]}),
        ),
    )
    good = (
        written(
            ("organization", "acme", {"name": "acme"}),
            ("secret", "acme/web/secret/NPM_TOKEN", _OWN),
            ("secret", "acme/web/dependabot-secret/X", {**_OWN, "name": "X", "store": "dependabot"}),
            ("secret", "acme/secret/NPM_TOKEN", {**_ORG, "repositories": ["acme/api"]}),
            ("secret", "acme/secret/X", {**_ORG, "name": "X", "visibility": "all"}),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a repository's secret."""
        visible = Visible(inventory)
        above: dict[tuple[str, str, str], Record] = {
            (owner(text(each, "holder")), text(each, "store"), text(each, "name").upper()): each
            for each in secrets(inventory, "organization")
        }
        for record in secrets(inventory, "repository"):
            holder, name = text(record, "holder"), text(record, "name")
            hidden = above.get((owner(holder), text(record, "store"), name.upper()))
            if hidden is not None and visible.is_to(hidden, holder):
                yield self.finding(
                    record,
                    f"the secret {shown(name)} of {place(record)} hides that of the {place(hidden)}",
                    evidence=(
                        ("last changed", text(record, "updated_at") or "unknown"),
                        ("the organisation's", text(hidden, "updated_at") or "unknown"),
                    ),
                    change=f"if both are for the same\n\ngh secret delete {word(name)} {where(record)}",
                    key="shadowed",
                )

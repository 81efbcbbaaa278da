"""A secret that no workflow uses."""

from collections.abc import Iterator

from keylease.audit.facts import text, texts
from keylease.audit.github import Visible, place, repositories, secrets, where, word, written
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_SECRET = {"name": "OLD_TOKEN", "store": "actions", "level": "repository", "holder": "acme/web"}
_USAGE = {"repository": "acme/web", "names": ["NPM_TOKEN"], "dynamic": False, "inherits": False, "whole": True}
_ORG = {"name": "OLD_TOKEN", "store": "actions", "level": "organization", "holder": "acme", "visibility": "selected"}

_ELSEWHERE = frozenset({"copilot"})
"""Environments whose secrets are used without a workflow: Copilot's agent takes its own from this one.
https://docs.github.com/copilot/how-tos/use-copilot-agents/coding-agent/customize-the-agent-environment"""


class SecretUnused(Rule):
    """Only where all uses are known: no `secrets: inherit` to elsewhere, no `secrets[…]`, no `toJSON(secrets)`."""

    id = "github-secret-unused"
    title = "a secret that no workflow uses"
    severity = "low"
    confidence = "medium"
    needs = ("github.secret", "github.usage")
    also = ("github.organization", "github.repository")
    why = (
        "A secret that nothing needs is a risk without a use: it opens something for whoever gets hold of it, nobody "
        "notices that it is old, and nothing breaks when it is taken away. Workflows of the default branch are looked "
        "at; one on another branch could still use it."
    )
    fix = "Delete it here, and revoke what it opens at its vendor."
    links = ("https://docs.github.com/actions/how-tos/write-workflows/choose-what-workflows-do/use-secrets",)
    sample = "inventory.json"
    bad = (
        written(("secret", "acme/web/secret/OLD_TOKEN", _SECRET), ("usage", "acme/web/usage/workflows", _USAGE)),
        written(
            ("organization", "acme", {"name": "acme", "active": 1, "complete": True}),
            ("secret", "acme/secret/OLD_TOKEN", {**_ORG, "repositories": ["acme/web"]}),
            ("usage", "acme/web/usage/workflows", _USAGE),
        ),
    )
    good = (
        written(
            ("secret", "acme/web/secret/NPM_TOKEN", {**_SECRET, "name": "NPM_TOKEN"}),
            ("secret", "acme/web/dependabot-secret/OLD_TOKEN", {**_SECRET, "store": "dependabot"}),
            ("usage", "acme/web/usage/workflows", _USAGE),
        ),
        written(
            ("secret", "acme/web/secret/OLD_TOKEN", _SECRET),
            ("usage", "acme/web/usage/workflows", {**_USAGE, "dynamic": True}),
        ),
        written(
            ("organization", "acme", {"name": "acme", "active": 2, "complete": True}),
            ("secret", "acme/secret/OLD_TOKEN", {**_ORG, "repositories": ["acme/web", "acme/api"]}),
            ("usage", "acme/web/usage/workflows", _USAGE),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a secret."""
        usages = {text(each, "repository").lower(): each for each in inventory.of("github.usage")}
        used = {name: set(texts(each, "names")) for name, each in usages.items() if _is_known(each)}
        known = repositories(inventory)
        archived = {text(each, "name").lower() for each in inventory.of("github.repository")} - set(known)
        visible = Visible(inventory)
        for record in secrets(inventory, store="actions"):
            if text(record, "environment").lower() in _ELSEWHERE:
                continue
            organization = text(record, "level") == "organization"
            seen = visible.to(record) if organization else {text(record, "holder").lower()}
            if seen is None or not all(name in used for name in seen - archived):
                continue
            seen = seen - archived  # their workflows don't run
            if any(text(record, "name") in used[name] for name in seen):
                continue
            more = f", of the {len(seen)} repositories that see it" if organization else ""
            yield self.finding(
                record,
                f"no workflow uses the secret {shown(text(record, 'name'))} of {place(record)}{more}",
                evidence=(("last changed", text(record, "updated_at") or "unknown"),),
                change="delete it, and revoke what it opens\n\n"
                f"gh secret delete {word(text(record, 'name'))} {where(record)}",
                key="unused",
            )


def _is_known(usage: Record) -> bool:
    """Whether all of a repository's uses are."""
    facts = usage.facts
    return facts.get("dynamic") is False and facts.get("inherits") is False and facts.get("whole") is True

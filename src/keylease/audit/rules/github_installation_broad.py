"""An App that administers all repositories."""

from collections.abc import Iterator

import msgspec

from keylease.audit.credentials import is_active
from keylease.audit.facts import number, text
from keylease.audit.github import levels, owner, written
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import listed, shown

_APP = {
    "name": "deployer",
    "app": "deployer",
    "holder": "acme",
    "id": 7,
    "repositories": "all",
    "permissions": {"contents": "write", "metadata": "read"},
    "active": True,
}
_AT = "acme/installation/deployer"


class InstallationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """permissions: those that no App should have to write in all repositories, by GitHub's keys."""

    permissions: tuple[str, ...] = (
        "administration",
        "secrets",
        "environments",
        "dependabot_secrets",
        "codespaces_secrets",
        "organization_administration",
        "organization_secrets",
        "organization_self_hosted_runners",
    )


class InstallationBroad(Rule):
    """Suspended Apps are left alone."""

    id = "github-installation-broad"
    title = "an App that administers all repositories"
    severity = "medium"
    needs = ("github.installation",)
    why = (
        "Whoever has the App's private key, its vendor above all, can replace secrets or switch off protection in "
        "every repository, those that are made later included."
    )
    fix = (
        "Install it for the repositories that it is for, or take the permission away. `permissions` of the rule's "
        "settings says which ones count."
    )
    links = ("https://docs.github.com/apps/using-github-apps/reviewing-and-modifying-installed-github-apps",)
    sample = "inventory.json"
    bad = (written(("installation", _AT, {**_APP, "permissions": {"secrets": "write"}})),)
    good = (
        written(("installation", _AT, _APP)),
        written(
            ("installation", _AT, {**_APP, "permissions": {"secrets": "write"}, "repositories": "selected"}),
            ("installation", f"{_AT}-2", {**_APP, "permissions": {"administration": "write"}, "active": False}),
        ),
    )
    Settings = InstallationSettings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding an App."""
        for record in inventory.of("github.installation"):
            held = levels(record.facts.get("permissions"))
            over = sorted(
                name
                for name, level in held.items()
                if level in ("write", "admin") and name in self.settings.permissions
            )
            if not over or text(record, "repositories") != "all" or not is_active(record):
                continue
            page = f"https://github.com/organizations/{owner(text(record, 'holder'))}/settings/installations"
            yield self.finding(
                record,
                f"the App {shown(text(record, 'app'))} may write {listed(over)} in all repositories of "
                f"{shown(text(record, 'holder'))}",
                evidence=(("repositories", "all"), ("writes", listed(over, 12))),
                change=f"select its repositories at {shown(page, 200)}/{number(record, 'id') or ''}",
                key="broad",
            )

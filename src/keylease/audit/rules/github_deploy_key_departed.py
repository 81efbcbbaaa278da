"""A deploy key of somebody who left."""

from collections.abc import Iterator

from keylease.audit.credentials import is_active
from keylease.audit.facts import text, texts
from keylease.audit.github import organizations, owner, word, written
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_KEY = {"name": "laptop", "holder": "acme/web", "read_only": True, "active": True, "added_by": "bob"}
_GONE = {"person": "bob", "organization": "acme", "at": "2026-10-01T00:00:00Z"}


class DeployKeyDeparted(Rule):
    """By the audit log; without it, an auditor is told of keys whose owner is no member."""

    id = "github-deploy-key-departed"
    title = "a deploy key of somebody who left"
    severity = "medium"
    needs = ("github.deploy_key", "github.departure")
    also = ("github.organization",)
    why = (
        "Removing a person from the organisation removes no deploy key: the private half may still be on their "
        "machine, and lets them read the repository, or push to it, without an account."
    )
    fix = "Delete the key; where something still needs it, add one whose private half only that has."
    links = ("https://docs.github.com/authentication/connecting-to-github-with-ssh/managing-deploy-keys",)
    sample = "inventory.json"
    bad = (written(("deploy_key", "acme/web/deploy-key/1", _KEY), ("departure", "acme/departure/bob", _GONE)),)
    good = (
        written(
            ("deploy_key", "acme/web/deploy-key/1", {**_KEY, "added_by": "ada"}),
            ("deploy_key", "other/web/deploy-key/2", {**_KEY, "holder": "other/web"}),
            ("departure", "acme/departure/bob", _GONE),
            ("organization", "acme", {"name": "acme", "members": ["Ada"]}),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a key."""
        gone = {
            (text(each, "organization").lower(), text(each, "person").lower()): text(each, "at")
            for each in inventory.of("github.departure")
        }
        known = organizations(inventory)
        for record in inventory.of("github.deploy_key"):
            who, organization = text(record, "added_by"), owner(text(record, "holder"))
            if not who or not is_active(record):
                continue
            left = gone.get((organization, who.lower()))
            if left is not None:
                yield self._found(
                    record,
                    f"was added by {shown(who)}, who left on {shown(left[:10])}",
                    severity="medium" if record.facts.get("read_only") is not False else "high",
                )
            elif organization in known and not who.lower().endswith("[bot]"):
                members = {each.lower() for each in texts(known[organization], "members")}
                if members and who.lower() not in members:
                    yield self._found(
                        record,
                        f"was added by {shown(who)}, who is no member of {shown(organization)} that can be seen",
                        severity="low",
                        confidence="low",
                        persona="auditor",
                    )

    def _found(self, record: Record, what: str, **more: str) -> Finding:
        number, holder = record.subject.rpartition("/")[2], text(record, "holder")
        return self.finding(
            record,
            f"the deploy key {shown(text(record, 'name'))!a} of {shown(holder)} {what}",
            change=f"delete it\n\ngh repo deploy-key delete {word(number)} --repo {word(holder)}",
            key="departed",
            **more,
        )

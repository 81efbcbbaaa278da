"""A deploy key that may push."""

from collections.abc import Iterator

from keylease.audit.credentials import is_active
from keylease.audit.facts import text
from keylease.audit.github import word, written
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_KEY = {"name": "release bot", "holder": "acme/web", "read_only": True, "active": True}


class DeployKeyWrite(Rule):
    """Keys that are switched off are left alone."""

    id = "github-deploy-key-write"
    title = "a deploy key that may push"
    severity = "medium"
    needs = ("github.deploy_key",)
    why = (
        "A deploy key never expires, belongs to no person and outlives whoever added it. With write access it can do "
        "what an administrator of the repository can by Git: push workflows, and with them read the secrets."
    )
    fix = (
        "Make it read-only; let what pushes take a GitHub App's token, which ends within the hour and is narrowed to "
        "`contents: write`."
    )
    links = ("https://docs.github.com/authentication/connecting-to-github-with-ssh/managing-deploy-keys",)
    sample = "inventory.json"
    bad = (written(("deploy_key", "acme/web/deploy-key/1", {**_KEY, "read_only": False})),)
    good = (
        written(("deploy_key", "acme/web/deploy-key/1", _KEY)),
        written(("deploy_key", "acme/web/deploy-key/1", {**_KEY, "read_only": False, "active": False})),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a key."""
        for record in inventory.of("github.deploy_key"):
            if record.facts.get("read_only") is False and is_active(record):
                number, holder = record.subject.rpartition("/")[2], text(record, "holder")
                yield self.finding(
                    record,
                    f"the deploy key {shown(text(record, 'name'))!a} of {shown(holder)} may push",
                    evidence=tuple(
                        (what, shown(record.facts.get(name) or "never"))
                        for what, name in (("added by", "added_by"), ("last used", "last_used_at"))
                        if name in record.facts
                    ),
                    change="replace it by one that only reads\n\n"
                    f"gh repo deploy-key delete {word(number)} --repo {word(holder)}\n"
                    f"gh repo deploy-key add KEY.pub --repo {word(holder)}",
                    key="write",
                )

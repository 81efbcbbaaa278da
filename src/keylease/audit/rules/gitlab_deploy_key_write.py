"""A GitLab deploy key that may push."""

from collections.abc import Iterator

from keylease.audit.credentials import is_active
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown

_KIND, _AT = "gitlab.token", "gitlab://project/acme/trainer/deploy_key/3"
_FACTS = {"name": "release bot", "sort": "deploy_key", "holder": "acme/trainer", "can_push": True}


class GitlabDeployKeyWrite(Rule):
    """What GitLab did not tell is not judged."""

    id = "gitlab-deploy-key-write"
    title = "a GitLab deploy key that may push"
    severity = "medium"
    needs = (_KIND,)
    why = (
        "A deploy key outlives whoever added it. With write access, who has it pushes branches with a CI file of "
        "theirs, and reads the variables that jobs get."
    )
    fix = "Take the write access from it; let what pushes use a project access token with an end."
    links = ("https://docs.gitlab.com/user/project/deploy_keys/#permissions",)
    sample = "inventory.json"
    bad = (listed(_KIND, _AT, **_FACTS),)
    good = (
        listed(_KIND, _AT, **{**_FACTS, "can_push": False}),
        listed(_KIND, _AT, **{**_FACTS, "active": False}),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a key and project."""
        for record in inventory.of(_KIND):
            if record.facts.get("sort") == "deploy_key" and record.facts.get("can_push") is True and is_active(record):
                name, holder = shown(record.facts.get("name")), shown(record.facts.get("holder"))
                yield self.finding(
                    record,
                    f"the deploy key {name!a} of {holder} may push",
                    change=f"in Settings, Repository, Deploy keys of {holder}: take its write permission",
                    key="write",
                )

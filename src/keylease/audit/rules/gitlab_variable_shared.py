"""A secret that a whole group or GitLab has."""

from collections.abc import Iterator

import msgspec

from keylease.audit.gitlab import holds_secret
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed, these
from keylease.audit.workflows import shown

_KIND = "gitlab.variable"
_FACTS = {"name": "DEPLOY_TOKEN", "level": "instance", "holder": "", "masked": True}
_GROUP = {**_FACTS, "level": "group", "holder": "acme"}
_PROJECTS = [("gitlab.project", f"gitlab://acme/{number}", {"path": f"acme/{number}"}) for number in range(6)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """projects: to how many a group's secret may be given."""

    projects: int = 5


class VariableShared(Rule):
    """A group's counts by the projects that were listed: there are at least so many."""

    id = "gitlab-variable-shared"
    title = "a secret that all projects of a GitLab, or of a large group, get"
    severity = "medium"
    confidence = "medium"
    persona = "pedantic"
    needs = (_KIND,)
    also = ("gitlab.project",)
    why = (
        "A variable of a group is given to the jobs of all projects below it, one of the instance to all jobs. "
        "Who may push to the least guarded one of them can read it."
    )
    fix = "Make it a variable of the projects that need it; better, let their jobs lease the credential."
    links = (
        "https://docs.gitlab.com/ci/variables/#for-a-group",
        "https://docs.gitlab.com/ci/variables/#for-an-instance",
    )
    sample = "inventory.json"
    bad = (
        listed(_KIND, "gitlab://-/variable/DEPLOY_TOKEN?scope=*", **_FACTS),
        these((_KIND, "gitlab://acme/variable/DEPLOY_TOKEN?scope=*", _GROUP), *_PROJECTS),
    )
    good = (
        these((_KIND, "gitlab://acme/variable/DEPLOY_TOKEN?scope=*", _GROUP), *_PROJECTS[:5]),
        listed(_KIND, "gitlab://-/variable/REGION?scope=*", **{**_FACTS, "name": "REGION", "masked": False}),
    )
    Settings = Settings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a variable."""
        below: dict[str, int] = {}
        for project in inventory.of("gitlab.project"):
            parts = str(project.facts.get("path", ""))[:1000].split("/")
            for count in range(1, len(parts)):
                group = "/".join(parts[:count])
                below[group] = below.get(group, 0) + 1
        for record in inventory.of(_KIND):
            level, holder = record.facts.get("level"), str(record.facts.get("holder", ""))
            count = below.get(holder, 0) if level == "group" else 0
            if (level == "instance" or count > self.settings.projects) and holds_secret(record):
                whom = "all jobs of this GitLab" if level == "instance" else f"the jobs of {count} projects or more"
                yield self.finding(
                    record,
                    f"the GitLab variable {shown(record.facts.get('name'))} is given to {whom}",
                    severity="medium" if level == "instance" else "low",
                    evidence=(("level", shown(level)),),
                    change="make it a variable of the projects that need it, and delete it here",
                    key="shared",
                )

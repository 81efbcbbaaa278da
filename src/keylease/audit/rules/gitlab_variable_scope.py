"""A project's secret that every environment's jobs get."""

from collections.abc import Iterator

from keylease.audit.gitlab import holds_secret
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown

_KIND, _AT = "gitlab.variable", "gitlab://acme/trainer/variable/DEPLOY_TOKEN?scope=*"
_FACTS = {"name": "DEPLOY_TOKEN", "level": "project", "holder": "acme/trainer", "masked": True, "environment": "*"}


class VariableScope(Rule):
    """Of projects only: a group's variables can have a scope in paid tiers alone, the instance's not at all."""

    id = "gitlab-variable-scope"
    title = "a secret of a GitLab project that jobs of all environments get"
    severity = "low"
    confidence = "medium"
    persona = "pedantic"
    needs = (_KIND,)
    why = (
        "A variable with the environment scope `*` is given to every job of the project: also to one that only runs "
        "tests, with all packages that it installs. With an environment's scope, only jobs that deploy there have it."
    )
    fix = "Set the variable's environment scope to the environment whose jobs need it."
    links = ("https://docs.gitlab.com/ci/environments/#limit-the-environment-scope-of-a-cicd-variable",)
    sample = "inventory.json"
    bad = (listed(_KIND, _AT, **_FACTS),)
    good = (
        listed(_KIND, _AT, **{**_FACTS, "environment": "production"}),
        listed(_KIND, _AT, **{**_FACTS, "level": "group"}),
        listed(_KIND, _AT, **{**_FACTS, "name": "REGION", "masked": False}),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a variable."""
        for record in inventory.of(_KIND):
            facts = record.facts
            if facts.get("environment") == "*" and facts.get("level") == "project" and holds_secret(record):
                yield self.finding(
                    record,
                    f"the GitLab variable {shown(facts.get('name'))} is given to jobs of all environments",
                    evidence=(("environment scope", "*"),),
                    change=f"in Settings, CI/CD, Variables of {shown(facts.get('holder') or 'the project')}: give it "
                    "the scope of the environment that needs it",
                    key="scope",
                )

"""A secret in a GitLab variable that is not masked, or is given to unprotected branches."""

from collections.abc import Iterator

from keylease.audit.gitlab import named_secret
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_KIND, _AT = "gitlab.variable", "gitlab://acme/trainer/variable/"
_FACTS = {"name": "DEPLOY_TOKEN", "level": "project", "masked": True, "protected": True, "environment": "production"}


class VariableExposed(Rule):
    """Tells secrets by the form of the value, which the collector noted, or by the name (confidence medium)."""

    id = "gitlab-variable-exposed"
    title = "a secret in a GitLab variable that is not masked or not protected"
    severity = "medium"
    needs = (_KIND,)
    why = (
        "Whoever reads a job's log has what is printed of a variable that is not masked. A variable that is not "
        "protected is given to the pipelines of every branch: who can push one can write a job that sends it away."
    )
    fix = "Mask and protect the variable and give it the scope of its environment; better, lease the credential."
    links = ("https://docs.gitlab.com/ci/variables/#cicd-variable-security",)
    sample = "inventory.json"
    bad = (
        these((_KIND, _AT + "DEPLOY_TOKEN", {**_FACTS, "masked": False})),
        these((_KIND, _AT + "X", {**_FACTS, "name": "X", "looks_like": "GitLab token", "protected": False})),
    )
    good = (
        these((_KIND, _AT + "DEPLOY_TOKEN", _FACTS)),
        these((_KIND, _AT + "URL", {**_FACTS, "name": "URL", "masked": False, "protected": False})),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a variable. Not masked is for everybody; not protected alone is pedantic."""
        for record in inventory.of(_KIND):
            facts = record.facts
            name, form = str(facts.get("name", "")), facts.get("looks_like")
            if not form and not named_secret(name):
                continue
            lacks = [flag for flag in ("masked", "protected") if facts.get(flag) is False]
            # A file's content can be of several lines, which GitLab can't mask.
            lacks = [flag for flag in lacks if flag != "masked" or not facts.get("file")]
            if lacks:
                yield self.finding(
                    record,
                    f"the GitLab variable {shown(name)} is not {' and not '.join(lacks)}",
                    confidence="high" if form else "medium",
                    persona="regular" if "masked" in lacks else "pedantic",
                    evidence=tuple((what, shown(facts[what])) for what in ("looks_like", "hint") if facts.get(what)),
                    change=f"in Settings, CI/CD, Variables of {shown(facts.get('holder') or 'the place')}: set it to "
                    f"{' and '.join(lacks)}",
                    key="flags",
                )

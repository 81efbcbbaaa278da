"""An environment with secrets that any branch may use."""

import json
from collections.abc import Iterator
from urllib.parse import quote

from keylease.audit.facts import number, text, texts
from keylease.audit.github import word, written
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_PROD = {
    "name": "prod",
    "repository": "acme/web",
    "reviewers": 0,
    "wait_minutes": 0,
    "custom_rules": 0,
    "branches": "all",
    "branch_patterns": [],
    "secrets": 2,
}
_AT = "acme/web/environment/prod"


class EnvironmentUnprotected(Rule):
    """Branches, reviewers and rules of Apps protect; a timer does not."""

    id = "github-environment-unprotected"
    title = "an environment with secrets that any branch may use"
    severity = "medium"
    needs = ("github.environment",)
    why = (
        "An environment's secrets are for its deployments, but without a rule every branch may deploy: whoever can "
        "push one writes `environment: prod` into a workflow there and has them, without a review."
    )
    fix = "Let only protected branches deploy, or name the branches; ask for a reviewer where the secrets are worth it."
    links = ("https://docs.github.com/actions/reference/workflows-and-actions/deployments-and-environments",)
    sample = "inventory.json"
    bad = (
        written(("environment", _AT, _PROD)),
        written(("environment", _AT, {**_PROD, "branches": "custom", "branch_patterns": ["*", "v*"]})),
    )
    good = (
        written(("environment", _AT, {**_PROD, "branches": "protected"})),
        written(("environment", _AT, {**_PROD, "reviewers": 1})),
        written(("environment", _AT, {**_PROD, "branches": "custom", "branch_patterns": ["main", "release/*"]})),
        written(
            ("environment", _AT, {**_PROD, "secrets": 0}), ("environment", f"{_AT}-2", {**_PROD, "custom_rules": 1})
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding an environment."""
        for record in inventory.of("github.environment"):
            held = number(record, "secrets") or 0
            if not held or number(record, "reviewers") != 0 or number(record, "custom_rules") != 0:
                continue
            open_to = "any branch" if text(record, "branches") == "all" else ""
            if text(record, "branches") == "custom" and "*" in texts(record, "branch_patterns"):
                open_to = "any branch without a / in its name"
            if open_to:
                name, repository = text(record, "name"), text(record, "repository")
                yield self.finding(
                    record,
                    f"{open_to} may use the {held} secret{'s' if held > 1 else ''} of environment {shown(name)} of "
                    f"{shown(repository)}",
                    evidence=(("branches", open_to), ("reviewers", "0"), ("secrets", str(held))),
                    change=f"let only protected branches deploy\n\n{_command(record, repository, name)}",
                    key="unprotected",
                )


def _command(record: Record, repository: str, name: str) -> str:
    body: dict[str, object] = {
        "deployment_branch_policy": {"protected_branches": True, "custom_branch_policies": False}
    }
    if minutes := number(record, "wait_minutes"):
        body["wait_timer"] = minutes  # what is not named is set back
    path = word(f"/repos/{repository}/environments/{quote(name, safe='')}")
    return f"gh api --method PUT {path} --input - <<'EOF'\n{json.dumps(body)}\nEOF"

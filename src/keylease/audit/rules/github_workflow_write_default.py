"""Workflows that may write, or approve pull requests, where they don't say what they need."""

from collections.abc import Iterator

from keylease.audit.facts import text
from keylease.audit.github import organizations, owner, word, written
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_WEB = {"name": "acme/web", "visibility": "private", "archived": False}


class WorkflowWriteDefault(Rule):
    """Where an organisation lets all write, its repositories are not told of one by one."""

    id = "github-workflow-write-default"
    title = "workflows may write to the repository by default"
    severity = "medium"
    needs = ("github.repository", "github.organization")
    alternatives = True
    why = (
        "A workflow that has no `permissions:` gets a token that can push, publish and release: every action it uses, "
        "and whatever a pull request makes it run, can do so too. One that may approve pull requests can pass a review "
        "by itself."
    )
    fix = "Make read the default, for the organisation; workflows that write say so with `permissions:`."
    links = (
        "https://docs.github.com/organizations/managing-organization-settings/disabling-or-limiting-github-actions-for-your-organization",
    )
    sample = "inventory.json"
    bad = (
        written(("repository", "acme/web", {**_WEB, "workflow_permissions": "write", "can_approve": False})),
        written(("organization", "acme", {"name": "acme", "workflow_permissions": "read", "can_approve": True})),
    )
    good = (
        written(("repository", "acme/web", {**_WEB, "workflow_permissions": "read", "can_approve": False})),
        written(("repository", "acme/web", _WEB)),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a repository or organisation."""
        known = organizations(inventory)
        for record in known.values():
            yield from self._judge(record, f"/orgs/{text(record, 'name')}", {})
        for record in inventory.of("github.repository"):
            above = known.get(owner(text(record, "name")))
            yield from self._judge(record, f"/repos/{text(record, 'name')}", above.facts if above else {})

    def _judge(self, record: Record, path: str, above: object) -> Iterator[Finding]:
        told = above if isinstance(above, dict) else {}
        writes = record.facts.get("workflow_permissions") == "write" and told.get("workflow_permissions") != "write"
        approves = record.facts.get("can_approve") is True and told.get("can_approve") is not True
        if not writes and not approves:
            return
        what = " and ".join(["write to the repository"] * writes + ["approve pull requests"] * approves)
        yield self.finding(
            record,
            f"workflows of {shown(text(record, 'name'))} may {what} unless they say less",
            severity="medium" if writes else "low",
            persona="regular" if writes else "pedantic",
            evidence=(
                ("default_workflow_permissions", "write" if writes else "read"),
                ("can_approve_pull_request_reviews", str(approves).lower()),
            ),
            change="make read the default; first give `permissions:` to workflows that write\n\n"
            f"gh api --method PUT {word(f'{path}/actions/permissions/workflow')} "
            "-f default_workflow_permissions=read -F can_approve_pull_request_reviews=false",
            key="default",
        )

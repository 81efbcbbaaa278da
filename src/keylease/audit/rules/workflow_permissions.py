"""What a workflow's own token may do."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import Workflow, at, workflows

_CHANGE = "say what it needs, and nothing else; a job that needs more says so itself\n\npermissions:\n  contents: read"


class WorkflowPermissions(Rule):
    """Regular for ``write-all``; pedantic for one that says nothing, for the repository's default may be read."""

    id = "workflow-permissions"
    title = "a job's token may do everything"
    severity = "medium"
    needs = ("file.workflow",)
    why = (
        "`write-all` lets every step, and every action that a step uses, push code, publish packages and releases, "
        "approve pull requests and ask for an identity token in the repository's name, which is all that a trust "
        "policy of a cloud looks at. Where nothing is said, the default of the repository or organisation holds, "
        "which may be the same and may change without this file."
    )
    fix = "Write `permissions: contents: read` at the top, and more at the job that needs more."
    links = (
        "https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#permissions",
        "https://docs.zizmor.sh/audits/#excessive-permissions",
    )
    sample = ".github/workflows/ci.yml"
    bad = (
        "on: push\npermissions: write-all\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps: [{run: make}]\n",
        "on: push\njobs:\n  build:\n    permissions: write-all\n    runs-on: ubuntu-latest\n    steps: [{run: make}]\n",
        "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps: [{run: make}]\n",
    )
    good = (
        "on: push\npermissions: {}\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps: [{run: make}]\n",
        "on: push\njobs:\n  build:\n    permissions: {contents: read}\n    runs-on: ubuntu-latest\n    steps: []\n",
        "on: push\npermissions: read-all\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps: [{run: make}]\n",
        "on: workflow_call # what the caller allows\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps: []\n",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """The workflow and its jobs."""
        for record, workflow in workflows(inventory):
            if workflow.triggers:
                yield from self._of(record, workflow)

    def _of(self, record: Record, workflow: Workflow) -> Iterator[Finding]:
        top = workflow.data.get("permissions")
        if top == "write-all" and any("permissions" not in job.data for job in workflow.jobs):
            where = at(record, workflow.tree.line("permissions"))
            yield self.finding(
                record, "every job's token may write everything", location=where, change=_CHANGE, key="workflow"
            )
        for job in workflow.jobs:
            if job.data.get("permissions") == "write-all":
                where = at(record, workflow.tree.line(*job.path, "permissions"))
                message = f"the token of {job.title} may write everything"
                yield self.finding(record, message, location=where, change=_CHANGE, key=f"job {job.id}")
        silent = [job for job in workflow.jobs if "permissions" not in job.data]
        if "permissions" not in workflow.data and silent and set(workflow.triggers) != {"workflow_call"}:
            listed = ", ".join(job.title for job in silent[:4]) + (" …" if len(silent) > 4 else "")
            yield self.finding(
                record,
                f"nothing says what the token may do: {listed}",
                severity="low",
                confidence="medium",
                persona="pedantic",
                location=at(record, silent[0].line),
                change=_CHANGE,
                key="unsaid",
            )

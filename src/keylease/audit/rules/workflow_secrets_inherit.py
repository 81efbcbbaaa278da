"""`secrets: inherit` in the call of a reusable workflow."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import (
    COMPUTED,
    GITHUB_TOKEN,
    WHOLE,
    Action,
    Workflow,
    at,
    mapping,
    shown,
    workflows,
)


class WorkflowSecretsInherit(Rule):
    """Regular where another repository's workflow gets all secrets, pedantic where one of the same repository does."""

    id = "workflow-secrets-inherit"
    title = "a called workflow gets all secrets"
    severity = "medium"
    needs = ("file.workflow",)
    why = (
        "With `secrets: inherit` the called workflow can read every secret of the caller: the repository's and the "
        "organisation's, those that are added later too. One action in it that goes bad takes them all, and nobody "
        "can see from the files which secret is used where."
    )
    fix = "Name the secrets that the called workflow needs."
    links = ("https://docs.github.com/actions/how-tos/reuse-automations/reuse-workflows#passing-inputs-and-secrets",)
    sample = ".github/workflows/release.yml"
    bad = (
        """\
on: push
jobs:
  release:
    uses: acme/workflows/.github/workflows/release.yml@v3
    secrets: inherit
""",
        """\
on: push
jobs:
  local:
    uses: ./.github/workflows/build.yml
    secrets: "inherit"
""",
    )
    good = (
        """\
on: push
jobs:
  release:
    uses: acme/workflows/.github/workflows/release.yml@v3
    secrets:
      inherit: ${{ secrets.NPM_TOKEN }}
  build:
    runs-on: ubuntu-latest
    steps:
      - run: "echo secrets: inherit"
""",
        """\
on:
  workflow_call:
    secrets:
      inherit:
        required: true
jobs: {}
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """Every call with it."""
        every = {record.subject: workflow for record, workflow in workflows(inventory)}
        for record, workflow in workflows(inventory):
            for job in workflow.jobs:
                called = job.action
                if called is None or job.data.get("secrets") != "inherit":
                    continue
                local = called.kind == "local"
                yield self.finding(
                    record,
                    f"{job.title} hands all secrets to {shown(called.text)}",
                    severity="low" if local else "medium",
                    persona="pedantic" if local else "regular",
                    location=at(record, workflow.tree.line(*job.path, "secrets")),
                    evidence=(("uses", shown(called.text)),),
                    change=_change(called, every),
                    key=job.id,
                )


def _change(called: Action, every: dict[str, Workflow]) -> str:
    # A local one is named from the repository's root: https://docs.github.com/actions/reference/workflows-and-actions/
    # workflow-syntax#jobsjob_iduses
    callee = every.get("file://" + called.text.removeprefix("./").partition("@")[0]) if called.kind == "local" else None
    wanted = _wanted(callee) if callee else []
    if callee and not wanted:
        return f"remove it: {shown(called.text)} uses no secret itself"
    lines = [f"  {shown(name)}: ${{{{ secrets.{shown(name)} }}}}" for name in wanted or ["NAME"]]
    what = "name those that it needs" if wanted else "name those that it needs, as its `on.workflow_call.secrets` says"
    return f"{what}\n\nsecrets:\n" + "\n".join(lines)


def _wanted(callee: Workflow) -> list[str]:
    """Secrets that a workflow declares or uses; nothing sure where it hands all of them on."""
    if any(job.data.get("secrets") == "inherit" for job in callee.jobs):
        return ["NAME"]
    declared = [str(name).upper() for name in mapping(callee.triggers.get("workflow_call", {}).get("secrets"))]
    used = [use.name for use in callee.uses if use.name not in (WHOLE, COMPUTED, GITHUB_TOKEN)]
    return list(dict.fromkeys([*declared, *used]))

"""A secret that is pasted into a script."""

import re
from collections import Counter
from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import (
    COMPUTED,
    WHOLE,
    Job,
    Step,
    Use,
    Workflow,
    at,
    evidence,
    names,
    shown,
    workflows,
)

_READ = {"pwsh": "$env:{}", "powershell": "$env:{}", "cmd": "%{}%", "python": 'os.environ["{}"]'}


class WorkflowSecretInScript(Rule):
    """Scripts of `run` and of actions/github-script; `GITHUB_TOKEN` alone doesn't count, it ends with the job."""

    id = "workflow-secret-in-script"
    title = "a secret written into a script"
    severity = "low"
    needs = ("file.workflow",)
    why = (
        "GitHub writes the value into the script's text before the shell sees it. A quote, `$` or backtick in the "
        "value is then the shell's to interpret; the value lies in a file on the runner, and, as an argument, in the "
        "list of processes that every program on the machine can read."
    )
    fix = "Hand the secret over in the step's `env`, and use the variable, in quotes."
    links = (
        "https://docs.github.com/actions/reference/security/secure-use#good-practices-for-mitigating-script-injection-attacks",
        "https://docs.github.com/actions/how-tos/write-workflows/choose-what-workflows-do/use-secrets",
    )
    sample = ".github/workflows/ci.yml"
    bad = (
        """\
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - run: |
          make
          curl -u "ci:${{ secrets.DEPLOY_PASSWORD }}" https://example.com/deploy
""",
        """\
on: push
jobs:
  call:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/github-script@v7
        with:
          script: |
            await fetch(url, {headers: {authorization: '${{ secrets.KEY || secrets['OTHER'] }}'}})
""",
    )
    good = (
        """\
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - run: curl -u "ci:$DEPLOY_PASSWORD" https://example.com/deploy # not ${{ github.sha }} or secrets.OTHER
        env:
          DEPLOY_PASSWORD: ${{ secrets.DEPLOY_PASSWORD }}
      - run: gh api --header "authorization:Bearer ${{ secrets.GITHUB_TOKEN }}" /user
      - run: echo "has a key ${{ secrets.KEY != '' }}"
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a step."""
        for record, workflow in workflows(inventory):
            for job in workflow.jobs if workflow.uses else ():
                alike: Counter[str] = Counter()
                for step in job.steps:
                    uses = [use for use in workflow.uses_at(job, step) if _pasted(use, step)]
                    label = _label(step)
                    if uses:
                        yield self._found(record, workflow, job, step, uses, f"{label} {alike[label]}")
                    alike[label] += 1

    def _found(self, record: Record, workflow: Workflow, job: Job, step: Step, uses: list[Use], which: str) -> Finding:
        named = list(dict.fromkeys(shown(use.name) for use in uses if use.name not in (WHOLE, COMPUTED))) or ["NAME"]
        shell = "node" if step.action else workflow.shell(job, step)
        read = "process.env.{}" if step.action else _READ.get(shell, '"${}"')
        lines = "\n".join(f"  {name}: ${{{{ secrets.{name} }}}}" for name in named)
        return self.finding(
            record,
            f"{step.title} of {job.title} has {names(uses)} written into its script",
            location=at(record, uses[0].line),
            evidence=evidence(uses),
            change=f"add this to the step, and write {', '.join(read.format(name) for name in named[:4])} in the script"
            f"\n\nenv:\n{lines}",
            key=f"{job.id} {' '.join(sorted({use.name for use in uses}))} {which}",
        )


def _pasted(use: Use, step: Step) -> bool:
    if not use.secret:
        return False
    script = step.action is not None and step.action.name == "actions/github-script"
    return use.at == "run" or (script and use.at == "with" and use.key == "script")


def _label(step: Step) -> str:
    """What tells steps of a job apart when others come before: the id or name, or else the script's first words."""
    name = step.data.get("id") or step.data.get("name") or step.data.get("uses")
    return name if isinstance(name, str) else " ".join(re.findall(r"\S+", step.run[:400])[:3])

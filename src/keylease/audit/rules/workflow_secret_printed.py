"""A secret that a script prints."""

import re
from collections.abc import Iterator, Mapping

from keylease.audit.model import Confidence, Finding, Inventory, Persona, Record, Severity
from keylease.audit.rule import Rule
from keylease.audit.scripts import Printed, printed, traced
from keylease.audit.workflows import Job, Step, Workflow, at, shown, workflows

_SHELLS = ("bash", "sh", "zsh", "dash")


class WorkflowSecretPrinted(Rule):
    """Regular where the log gets a form of the value that the runner doesn't mask; pedantic where it prints stars."""

    id = "workflow-secret-printed"
    title = "a secret printed into the log"
    severity = "low"
    confidence = "low"
    persona = "pedantic"
    needs = ("file.workflow",)
    why = (
        "The runner puts stars in place of a secret's exact value and of a few encodings of it. A part of it, its "
        "signs reversed or separated, a base64 text that holds it in the middle, hex: those stand in the log as they "
        "are, for everybody who can read the repository. Printing the value itself relies on a mask that knows it."
    )
    fix = "Don't print it. To see whether it is set, print whether it is empty."
    links = ("https://docs.github.com/actions/reference/security/secure-use#use-secrets-for-sensitive-information",)
    sample = ".github/workflows/debug.yml"
    bad = (
        """\
on: push
jobs:
  debug:
    runs-on: ubuntu-latest
    env:
      TOKEN: ${{ secrets.TOKEN }}
    steps:
      - run: echo "$TOKEN" | base64
""",
        """\
on: push
jobs:
  debug:
    runs-on: ubuntu-latest
    steps:
      - run: |
          make
          printf 'it starts with %s\\n' "${TOKEN:0:4}"
        env:
          TOKEN: ${{ secrets.TOKEN }}
""",
        """\
on: push
jobs:
  debug:
    runs-on: ubuntu-latest
    steps:
      - run: |
          set -x
          ./login "$TOKEN"
        env:
          TOKEN: ${{ secrets.TOKEN }}
""",
        """\
on: push
jobs:
  debug:
    runs-on: ubuntu-latest
    steps:
      - run: echo ${{ secrets.TOKEN }} | rev
""",
    )
    good = (
        """\
on: push
jobs:
  login:
    runs-on: ubuntu-latest
    env:
      TOKEN: ${{ secrets.TOKEN }}
      PLAIN: text
    steps:
      - run: |
          echo "$TOKEN" | docker login --username ci --password-stdin
          echo "$TOKEN" | base64 -d > key.json
          echo "TOKEN=$TOKEN" >> "$GITHUB_ENV"
          { echo "$TOKEN"; } > file
          encoded=$(echo -n "$TOKEN" | base64 -w0)
          echo "::add-mask::$TOKEN"
          echo "is set: ${TOKEN:+yes}, ${#TOKEN} signs" '$TOKEN' \\$TOKEN $TOKENS $PLAIN
          cat > .npmrc <<EOF
          echo $TOKEN
          EOF
          if echo "$TOKEN" | grep -q '^v1'; then echo new; fi
      - run: echo "$TOKEN"
        env:
          TOKEN: none
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a step and way."""
        for record, workflow in workflows(inventory):
            for job in workflow.jobs if workflow.uses else ():
                for step in job.steps:
                    if step.run and workflow.shell(job, step) in _SHELLS:
                        yield from self._of(record, workflow, job, step)

    def _of(self, record: Record, workflow: Workflow, job: Job, step: Step) -> Iterator[Finding]:
        secret = {name: use.name for name, use in workflow.secrets_seen_by(job, step).items() if use.secret}
        script = _without_pasted(workflow, job, step, secret)
        if not secret:
            return
        found = list(printed(script, secret))
        line = traced(script)
        if line >= 0 and any(re.search(rf"\$\{{?{re.escape(name)}\b", script) for name in secret):
            found.append(Printed("set -x", "", line))
        first = workflow.tree.line(*step.path, "run") + ("\n" in step.run)  # a block starts after its key
        for each in found:
            yield self._found(record, job, step, each, secret, first + each.line)

    def _found(
        self, record: Record, job: Job, step: Step, each: Printed, secret: Mapping[str, str], line: int
    ) -> Finding:
        name = shown(secret.get(each.variable, ""))
        rank: tuple[Severity, Confidence, Persona] = ("low", "low", "pedantic")
        if each.how == "set -x":
            message = f"{step.title} of {job.title} traces its commands (set -x), secrets in their arguments with them"
            change = "remove set -x, or turn it off around the commands that take a secret\n\n{ set +x; } 2>/dev/null"
        elif each.how:
            rank = ("medium", "high" if each.sure else "medium", "regular")
            message = f"{step.title} of {job.title} prints {name} in a form that is not masked ({each.how})"
            change = "remove it; the secret must be rotated if it ever ran"
        else:
            message = f"{step.title} of {job.title} prints {name}: only the mask keeps it out of the log"
            change = f'print whether it is set\n\necho "${{{shown(each.variable)}:+set}}"'
        return self.finding(
            record,
            message,
            severity=rank[0],
            confidence=rank[1],
            persona=rank[2],
            location=at(record, line),
            change=change,
            key=f"{job.id} {secret.get(each.variable, '')} {each.how} {step.data.get('id') or step.data.get('name')} "
            f"{step.run[:40] if 'name' not in step.data else ''} {each.number}",
        )


def _without_pasted(workflow: Workflow, job: Job, step: Step, secret: dict[str, str]) -> str:
    """The script with every pasted secret written as a variable, which is added to `secret`."""
    script = step.run
    for use in workflow.uses_at(job, step):
        if use.at == "run" and use.secret:
            if not re.fullmatch(r"\w+", use.name):
                continue
            pasted = re.compile(rf"\$\{{\{{\s*secrets\s*(?:\.\s*|\[\s*'){use.name}(?:'\s*\])?\s*\}}\}}", re.IGNORECASE)
            script = pasted.sub(f"${{_pasted_{use.name}}}", script)
            secret[f"_pasted_{use.name}"] = use.name
    return script

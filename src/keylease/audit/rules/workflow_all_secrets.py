"""The whole secrets context in an expression."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import COMPUTED, WHOLE, Use, Workflow, at, shown, workflows


class WorkflowAllSecrets(Rule):
    """Regular for all secrets at once; pedantic for one whose name is computed, which is a matrix's usual way."""

    id = "workflow-all-secrets"
    title = "all secrets at once"
    severity = "medium"
    needs = ("file.workflow",)
    why = (
        "`toJSON(secrets)` puts every secret of the repository and the organisation into one variable or input, those "
        "that are added later too. Whatever runs there can read them all, and the runner masks each value but not "
        "every form in which JSON writes one. With a computed name GitHub can't tell which secret is meant either, "
        "and hands the runner all of them."
    )
    fix = "Name the secrets that are needed, one by one."
    links = (
        "https://docs.github.com/actions/reference/security/secure-use#use-secrets-for-sensitive-information",
        "https://docs.zizmor.sh/audits/#overprovisioned-secrets",
    )
    sample = ".github/workflows/ci.yml"
    bad = (
        """\
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: ./build
        env:
          ALL: ${{ toJSON(secrets) }}
""",
        """\
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: acme/render@v1
        with:
          values: ${{ tojson( Secrets ) }}
""",
        """\
on: push
jobs:
  build:
    strategy:
      matrix: {stage: [DEV, PROD]}
    runs-on: ubuntu-latest
    steps:
      - run: ./build
        env:
          TOKEN: ${{ secrets[format('TOKEN_{0}', matrix.stage)] }}
""",
    )
    good = (
        """\
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: ./build
        env:
          ONE: ${{ toJSON(secrets.ONE) }}
          TWO: ${{ secrets[ 'TWO' ] }}
          TEXT: ${{ format('toJSON(secrets) {0}', github.sha) }}
          OTHER: ${{ toJSON(needs.secrets) }} ${{ toJSON(my-secrets) }} toJSON(secrets)
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """Every place once."""
        for record, workflow in workflows(inventory):
            seen = set()
            for use in workflow.uses:
                if use.name in (WHOLE, COMPUTED) and (use.path, use.name) not in seen:
                    seen.add((use.path, use.name))
                    yield self._found(record, workflow, use)

    def _found(self, record: Record, workflow: Workflow, use: Use) -> Finding:
        job = workflow.job(use.job)
        step = workflow.step(use)
        foreign = step and step.action and step.action.kind != "local" and use.at in ("with", "env")
        where = step.title if step else job.title if job else "the workflow"
        key = f"{use.job} {use.at} {use.key} {use.name}"
        if use.name == COMPUTED:
            return self.finding(
                record,
                f"{where} computes a secret's name ({shown(use.key)}): GitHub hands the runner all secrets",
                severity="low",
                persona="pedantic",
                location=at(record, use.line),
                change="name the secret; for a matrix, give each an environment, with a secret by that name"
                f"\n\n{shown(use.key)}: ${{{{ secrets.NAME }}}}",
                key=key,
            )
        got = f" and gives them to {shown(step.action.text)}" if foreign and step and step.action else ""
        return self.finding(
            record,
            f"{where} takes all secrets at once ({shown(use.key)}){got}",
            severity="high" if foreign else "medium",
            location=at(record, use.line),
            change="name those that are needed\n\nenv:\n  NAME: ${{ secrets.NAME }}",
            key=key,
        )

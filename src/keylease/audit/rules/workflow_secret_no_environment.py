"""Secrets in a job that stands in no environment."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import at, evidence, names, workflows


class SecretNoEnvironment(Rule):
    """For auditors: that a secret is the repository's is no fault, and most are."""

    id = "workflow-secret-no-environment"
    title = "secrets outside an environment"
    severity = "low"
    confidence = "medium"
    persona = "auditor"
    needs = ("file.workflow",)
    why = (
        "A secret of the repository or organisation is given to every workflow of every branch: who can push a branch "
        "can write one that reads it. An environment's secret is given to jobs of the branches, and after the "
        "reviews, that the environment asks for."
    )
    fix = "Make an environment with deployment branches, move the secrets into it, and name it in the job."
    links = (
        "https://docs.github.com/actions/reference/workflows-and-actions/deployments-and-environments",
        "https://docs.zizmor.sh/audits/#secrets-outside-env",
    )
    sample = ".github/workflows/deploy.yml"
    bad = (
        """\
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - run: ./deploy
        env:
          TOKEN: ${{ secrets.TOKEN }}
""",
    )
    good = (
        """\
on: push
jobs:
  deploy:
    environment: production
    runs-on: ubuntu-latest
    steps:
      - run: ./deploy
        env:
          TOKEN: ${{ secrets.TOKEN }}
  comment:
    runs-on: ubuntu-latest
    steps:
      - run: gh pr comment
        env:
          GH_TOKEN: ${{ secrets.GITHUB_TOKEN }}
          DEPLOYS: ${{ secrets.TOKEN != '' }}
  called:
    uses: ./.github/workflows/other.yml
    secrets:
      token: ${{ secrets.TOKEN }}
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a job."""
        for record, workflow in workflows(inventory):
            for job in workflow.jobs if workflow.uses else ():
                uses = workflow.used_in(job)
                if not uses or "environment" in job.data or job.action is not None:
                    continue
                yield self.finding(
                    record,
                    f"{job.title} uses {names(uses)} and stands in no environment",
                    location=at(record, job.line),
                    evidence=evidence(uses),
                    change="move them into an environment, and name it in the job\n\nenvironment: production",
                    key=job.id,
                )

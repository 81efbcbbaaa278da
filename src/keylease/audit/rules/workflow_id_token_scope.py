"""`id-token: write` for jobs that ask for no identity token."""

import re
from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import Job, at, mapping, workflows

_ACTIONS = re.compile(
    r"keylease/|aws-actions/(?:configure-aws-credentials|amazon-ecr)|google-github-actions/|azure/|hashicorp/"
    r"|pypa/gh-action-pypi-publish|rubygems/|sigstore/|actions/(?:attest|"
    r"deploy-pages|github-script)|slsa-framework/|octo-sts/|codecov/|docker/|anchore/|anthropics/|cyberark/|jfrog/"
    r"|infisical/|pulumi/auth|databricks/|tailscale/|goreleaser/|chainguard-dev/|depot/|cloudsmith|rust-lang/|nuget/"
    r"|changesets/|npm/|semantic-release|snapcore|huggingface/|openai/|doppler|1password|akeyless|step-security/",
    re.IGNORECASE,
)
_COMMANDS = re.compile(
    r"keylease|ACTIONS_ID_TOKEN|getIDToken|cosign|sigstore|provenance|npm publish|pnpm publish|yarn npm publish"
    r"|gem push|twine|uv publish|poetry publish|hatch publish|semantic-release|goreleaser|terraform|tofu|pulumi|vault "
    r"|bao |gcloud|az login|aws sts|id-token|oidc|federat",
    re.IGNORECASE,
)


class WorkflowIdTokenScope(Rule):
    """Pedantic: a job is only named where nothing in it looks like somebody who asks for an identity token."""

    id = "workflow-id-token-scope"
    title = "id-token: write for every job"
    severity = "low"
    confidence = "medium"
    persona = "pedantic"
    needs = ("file.workflow",)
    why = (
        "Whoever runs code in a job with `id-token: write` can ask for an identity token in the repository's name, "
        "and take from every vendor what its trust policy gives. Tests and linters run much foreign code and need "
        "none."
    )
    fix = "Move `id-token: write` from the top of the workflow to the jobs that need it."
    links = ("https://docs.github.com/actions/reference/security/oidc",)
    sample = ".github/workflows/ci.yml"
    bad = (
        """\
on: push
permissions:
  contents: read
  id-token: write
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: npm ci && npm test
  deploy:
    runs-on: ubuntu-latest
    steps:
      - uses: keylease/keylease@v0
""",
    )
    good = (
        """\
on: push
permissions:
  contents: read
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: npm ci && npm test
  deploy:
    permissions:
      id-token: write
    runs-on: ubuntu-latest
    steps:
      - uses: keylease/keylease@v0
""",
        """\
# One job: the top is as good as the job. And below, jobs that say themselves, or may need it.
on: push
permissions: {id-token: write}
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - run: ./deploy
""",
        """\
on: push
permissions: {id-token: write}
jobs:
  test:
    permissions: {contents: read}
    runs-on: ubuntu-latest
    steps:
      - run: npm test
  publish:
    runs-on: ubuntu-latest
    steps:
      - run: npm publish --provenance
  called:
    uses: ./.github/workflows/deploy.yml
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """Workflows that give it at the top, to more than one job."""
        for record, workflow in workflows(inventory):
            if mapping(workflow.data.get("permissions")).get("id-token") != "write" or len(workflow.jobs) < 2:
                continue
            heirs = [job for job in workflow.jobs if "permissions" not in job.data]
            idle = [job for job in heirs if not _may_ask(job)]
            if not idle:
                continue
            asking = [job.title for job in heirs if job not in idle]
            yield self.finding(
                record,
                f"{', '.join(job.title for job in idle[:4])}{' …' if len(idle) > 4 else ''} can ask for an identity "
                "token for no reason seen",
                location=at(record, workflow.tree.line("permissions", "id-token")),
                evidence=tuple(("seems to need it", title) for title in asking[:6]),
                change=f"remove it at the top, and write into {', '.join(asking[:6]) or 'the job that needs it'}"
                "\n\npermissions:\n  contents: read\n  id-token: write",
                key="workflow",
            )


def _may_ask(job: Job) -> bool:
    if job.action is not None:
        return True  # who knows what is called
    for step in job.steps:
        used = step.action
        if used is not None and (used.kind != "repository" or _ACTIONS.match(used.text)):
            return True
        if _COMMANDS.search(step.run) or any("oidc" in name.lower() for name in mapping(step.data.get("with"))):
            return True
    return False

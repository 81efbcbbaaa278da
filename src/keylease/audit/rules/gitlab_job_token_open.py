"""A GitLab project that lets job tokens of all other projects in."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_KIND = "gitlab.project"


class JobTokenOpen(Rule):
    """What GitLab did not tell is not judged."""

    id = "gitlab-job-token-open"
    title = "a GitLab project that lets the job tokens of all projects in"
    severity = "medium"
    needs = (_KIND,)
    why = (
        "Without an allowlist, a job of any project of this GitLab that a member of this one starts can read its code, "
        "packages and artifacts with CI_JOB_TOKEN: foreign code in that job can, too."
    )
    fix = "Limit access to the project, and put those projects and groups on the allowlist that need it."
    links = ("https://docs.gitlab.com/ci/jobs/ci_job_token/#control-job-token-access-to-your-project",)
    sample = "inventory.json"
    bad = (these((_KIND, "gitlab://acme/a", {"path": "acme/a", "job_token_inbound_limited": False})),)
    good = (
        these(
            (_KIND, "gitlab://acme/a", {"path": "acme/a", "job_token_inbound_limited": True}),
            (_KIND, "gitlab://acme/b", {"path": "acme/b"}),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a project."""
        for record in inventory.of(_KIND):
            if record.facts.get("job_token_inbound_limited") is False:
                yield self.finding(
                    record,
                    f"{shown(record.facts.get('path'))} lets the job tokens of all projects in",
                    change="limit it (Settings, CI/CD, Job token permissions), or"
                    "\n\nglab api --method PATCH projects/PROJECT_ID/job_token_scope --field enabled=true",
                    key="inbound",
                )

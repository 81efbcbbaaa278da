"""A role is given to any branch, tag, environment and pull request of a repository."""

from collections.abc import Iterator

from keylease.audit.aws_trust import Trust
from keylease.audit.aws_trust_rule import GITHUB_CLAIMS, GITLAB_ROLE, TrustRule, narrowed, pins
from keylease.audit.model import Finding, Record
from keylease.audit.samples import github, policy_file


class AwsTrustAnyRef(TrustRule):
    """A role is given to any branch, tag, environment and pull request of a repository."""

    id = "aws-trust-any-ref"
    title = "A role is given to any branch, tag, environment and pull request of a repository"
    severity = "low"
    persona = "pedantic"
    why = (
        "With `repo:acme/trainer:*` (GitLab: `project_path:acme/trainer:*`) a job of any branch has the role: "
        "whoever may push one, or changes a workflow in it, gets past the review that guards the main branch. An "
        "environment that doesn't exist is made by the first job that names it, without protection."
    )
    fix = "Bind the branch, or an environment with protection rules."
    links = (
        GITHUB_CLAIMS,
        GITLAB_ROLE,
    )
    sample = "iam/deploy-trust.json"
    bad = (
        policy_file(github({"StringLike": {"sub": "repo:acme/trainer:*"}})),
        policy_file(github({"StringLike": {"sub": "repo:acme/trainer:ref:refs/heads/*"}})),
        policy_file(
            {
                "Effect": "Allow",
                "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/gitlab.com"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {"gitlab.com:aud": "https://gitlab.com"},
                    "StringLike": {"gitlab.com:sub": "project_path:acme/trainer:*"},
                },
            }
        ),
        policy_file(github({"StringEquals": {"repository_id": "817264"}})),
    )
    good = (
        policy_file(github({"StringEquals": {"sub": "repo:acme/trainer:ref:refs/heads/main"}})),
        policy_file(github({"StringEquals": {"ref": "refs/heads/main"}, "StringLike": {"sub": "repo:acme/trainer:*"}})),
        policy_file(
            github(
                {
                    "StringEquals": {"job_workflow_ref": "acme/ci/.github/workflows/deploy.yml@refs/heads/main"},
                    "StringLike": {"sub": "repo:acme/trainer:*"},
                }
            )
        ),
    )

    def judge(self, record: Record, trust: Trust) -> Iterator[Finding]:
        """Of statements that let in a ref which the policy doesn't name, of its own repository only."""
        caller = trust.first("own", "any")
        wider = trust.first("stranger") or trust.first("neighbour")
        pinned = any(pins(test) for claim in ("job_workflow_ref", "ref", "environment") for test in trust.tests(claim))
        if caller and not wider and not pinned and trust.issuer.family in ("github", "gitlab"):
            message = "a job of any branch or environment of the repository can take the role"
            yield self.about(record, trust, message, caller, change=narrowed(record, trust, one_ref=True))

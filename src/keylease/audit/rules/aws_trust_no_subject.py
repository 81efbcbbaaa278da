"""A role trusts an issuer that everybody shares, and doesn't ask whose job it is."""

from collections.abc import Iterator

from keylease.audit.aws_trust import Trust
from keylease.audit.aws_trust_rule import CONTROLS, DATADOG, GITHUB_ROLE, TrustRule, identifying, narrowed, place
from keylease.audit.model import Finding, Record
from keylease.audit.samples import github, policy_file


class AwsTrustNoSubject(TrustRule):
    """A role trusts an issuer that everybody shares, and doesn't ask whose job it is."""

    id = "aws-trust-no-subject"
    title = "A role trusts an issuer that everybody shares, and doesn't ask whose job it is"
    severity = "critical"
    why = (
        "An issuer such as GitHub's signs tokens for every repository there is. A statement that asks for the "
        "audience alone, or for nothing, gives the role to any of them: whoever learns its ARN (from a log, a "
        "public workflow) takes it with a workflow of his own. AWS refuses such policies since June 2025, but "
        "only when they are written: older ones stay open. Each statement counts by itself, for the others don't "
        "narrow it. Issuers that only your own systems use (a cluster's, a company's) are not judged: "
        "what their subjects mean isn't known here."
    )
    fix = "Bind the subject to your repository and branch, in each statement that trusts the issuer."
    links = (
        CONTROLS,
        DATADOG,
        GITHUB_ROLE,
    )
    sample = "iam/deploy-trust.json"
    bad = (
        policy_file(github()),
        policy_file(github(aud="")),
        policy_file(github({"StringEquals": {"sub": "repo:acme/trainer:ref:refs/heads/main"}}), github()),
        policy_file(
            {
                "Effect": "Allow",
                "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/gitlab.com"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {"gitlab.com:aud": "https://gitlab.com"}},
            }
        ),
        policy_file(
            {
                "Effect": "Allow",
                "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/app.terraform.io"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {"app.terraform.io:aud": "aws.workload.identity"}},
            }
        ),
        policy_file(github({"StringEquals": {"environment": "production"}})),
    )
    good = (
        policy_file(github({"StringEquals": {"sub": "repo:acme/trainer:ref:refs/heads/main"}})),
        policy_file(github({"StringEquals": {"repository_id": "817264"}})),
        policy_file(
            {
                "Effect": "Allow",
                "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/gitlab.com"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {
                        "gitlab.com:aud": "https://gitlab.com",
                        "gitlab.com:sub": "project_path:acme/trainer:ref_type:branch:ref:main",
                    }
                },
            }
        ),
        policy_file(
            {
                "Effect": "Allow",
                "Principal": {
                    "Federated": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
                },
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {"oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE:aud": "sts.amazonaws.com"}},
            }
        ),
        policy_file(
            github(),
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringNotEquals": {
                        "token.actions.githubusercontent.com:sub": "repo:acme/trainer:ref:refs/heads/main"
                    }
                },
            },
        ),
    )

    def judge(self, record: Record, trust: Trust) -> Iterator[Finding]:
        """Of statements that ask for no claim that tells whose job it is, and let a stranger in."""
        caller = trust.first("stranger")
        if caller and not identifying(trust):
            message = f"{place(trust)} can take the role: no condition on {trust.issuer.key(trust.issuer.claim)}"
            severity = self.severity if trust.issuer.shared else "high"
            yield self.about(record, trust, message, caller, severity=severity, change=narrowed(record, trust))

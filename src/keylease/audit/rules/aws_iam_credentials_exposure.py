"""A policy that hands out credentials of others."""

from collections.abc import Iterator

from keylease.audit.aws_iam import Allowed
from keylease.audit.aws_iam_rule import BEST, GLOSSARY, IamRule, instead, some
from keylease.audit.model import Finding, Record
from keylease.audit.samples import policy_file

_OWN = {"ecr:getauthorizationtoken", "sts:getsessiontoken", "ecr-public:getauthorizationtoken"}
"""Of these a job only gets what it may do anyhow, and none can be bound to a resource."""


class IamCredentialsExposure(IamRule):
    """A policy that hands out credentials of others."""

    id = "aws-iam-credentials-exposure"
    title = "An IAM policy hands out credentials: every role's, or those of other services"
    severity = "medium"
    why = (
        "sts:AssumeRole on everything takes each role that trusts the account; iam:CreateAccessKey, "
        "redshift:GetClusterCredentials and their like hand out credentials that outlive the job or open "
        "another system."
    )
    fix = "Name the roles and the systems that the job needs."
    links = (
        GLOSSARY + "credentials-exposure/",
        BEST,
    )
    sample = "iam/ci-policy.json"
    bad = (
        policy_file({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::*:role/*"}),
        policy_file({"Effect": "Allow", "Action": "redshift:GetClusterCredentials", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": "iam:CreateAccessKey", "Resource": "*"}),
    )
    good = (
        policy_file(
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::123456789012:role/deploy"}
        ),
        policy_file(
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:ResourceTag/team": "ml"}},
            }
        ),
        policy_file({"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "${var.role}"}),
    )

    def judge(self, record: Record, found: Allowed) -> Iterator[Finding]:
        """One for the whole policy."""
        assume = ["sts:AssumeRole"] if "sts:AssumeRole" in found.roles and not found.admin else []
        own = {*_OWN, "sts:assumerole"}
        actions = [*assume, *(each for each in found.credentials if each.lower() not in own)]
        if not actions:
            return
        listed = some(actions)
        change = instead(record, "say whose", actions[:5], "arn:aws:iam::ACCOUNT:role/ROLE" if assume else "ARN")
        message = f"the policy hands out credentials of others: {listed}"
        yield self.about(record, found, message, (("actions", listed),), change=change)

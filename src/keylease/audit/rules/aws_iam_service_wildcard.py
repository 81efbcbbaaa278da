"""A policy that allows all of a service."""

from collections.abc import Iterator

from keylease.audit.aws_iam import Allowed
from keylease.audit.aws_iam_rule import BEST, GLOSSARY, IamRule, instead, some
from keylease.audit.model import Finding, Record
from keylease.audit.samples import policy_file

_GRAVE = {
    *("iam", "sts", "s3", "secretsmanager", "ssm", "kms", "lambda", "ec2", "ecs", "eks", "organizations", "rds"),
    *("dynamodb", "cloudformation", "codebuild", "sagemaker", "bedrock", "sso", "ecr", "glue"),
}
"""Services that hold data or secrets, or run code with a role."""


class IamServiceWildcard(IamRule):
    """A policy that allows all of a service."""

    id = "aws-iam-service-wildcard"
    title = "An IAM policy allows all actions of a service on all of its resources"
    severity = "medium"
    why = (
        "`s3:*` on `*` reads, deletes and opens every bucket of the account; `iam:*` makes its holder the "
        "administrator. Actions that AWS adds later come with it."
    )
    fix = (
        "Name the actions and the resources. Where a job needs a whole service, give it a condition on a tag,"
        " or an account of its own."
    )
    links = (
        BEST,
        GLOSSARY + "service-wildcard/",
    )
    sample = "iam/ci-policy.json"
    bad = (
        policy_file({"Effect": "Allow", "Action": "iam:*", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": ["s3:*", "logs:PutLogEvents"], "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::*"}),
    )
    good = (
        policy_file({"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::models"}),
        policy_file(
            {
                "Effect": "Allow",
                "Action": "s3:*",
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:ResourceAccount": "123456789012"}},
            }
        ),
        policy_file(
            {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "s3:*", "Resource": "*"},
        ),
        policy_file({"Effect": "Allow", "Action": "*", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": "s3:List*", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": "${var.service}:*", "Resource": "*"}),
    )

    def judge(self, record: Record, found: Allowed) -> Iterator[Finding]:
        """One for the whole policy."""
        if not found.services:
            return
        grave = [each for each in found.services if each in _GRAVE]
        listed = some([f"{each}:*" for each in [*grave, *(each for each in found.services if each not in grave)]])
        change = instead(record, "list what it needs", [f"{(grave or found.services)[0]}:ACTION"], "ARN")
        rank = {} if grave else {"severity": "low", "persona": "pedantic"}
        message = f"the policy allows {listed} on everything"
        yield self.about(record, found, message, (("services", listed),), change=change, **rank)

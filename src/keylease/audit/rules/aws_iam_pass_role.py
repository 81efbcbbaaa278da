"""A policy that passes any role on."""

from collections.abc import Iterator

from keylease.audit.aws_iam import Allowed
from keylease.audit.aws_iam_rule import IamRule, instead
from keylease.audit.model import Finding, Record
from keylease.audit.samples import policy_file


class IamPassRole(IamRule):
    """A policy that passes any role on."""

    id = "aws-iam-pass-role"
    title = "An IAM policy passes any role to a service"
    severity = "medium"
    library = False
    why = (
        "iam:PassRole on every role lets the holder start a machine, function or job with the strongest role "
        "of the account, and act as it."
    )
    fix = "Name the roles that may be passed, and the service with iam:PassedToService."
    links = (
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html",
    )
    sample = "iam/ci-policy.json"
    bad = (
        policy_file({"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": "iam:Pass*", "Resource": "arn:aws:iam::123456789012:role/*"}),
        policy_file({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}),
    )
    good = (
        policy_file({"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::123456789012:role/task"}),
        policy_file(
            {
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": "*",
                "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            }
        ),
        policy_file(
            {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"},
            {"Effect": "Deny", "Action": "iam:PassRole", "Resource": "*"},
        ),
        policy_file({"Effect": "Allow", "Action": "iam:PassRole", "Resource": "${aws_iam_role.task.arn}"}),
    )

    def judge(self, record: Record, found: Allowed) -> Iterator[Finding]:
        """One for the whole policy."""
        if "iam:PassRole" in found.roles and not found.admin:
            service = {"StringEquals": {"iam:PassedToService": "SERVICE.amazonaws.com"}}
            arn = "arn:aws:iam::ACCOUNT:role/ROLE"
            change = instead(record, "name the role and the service", ["iam:PassRole"], arn, service)
            said = (("Action", "iam:PassRole"), ("Resource", "every role"))
            yield self.about(
                record, found, "the policy passes any role of the account to a service", said, change=change
            )

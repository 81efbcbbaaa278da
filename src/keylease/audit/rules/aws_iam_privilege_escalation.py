"""A policy whose holder can make himself an administrator."""

from collections.abc import Iterator

from keylease.audit.aws_iam import Allowed
from keylease.audit.aws_iam_rule import GLOSSARY, IamRule, instead, some
from keylease.audit.model import Finding, Record
from keylease.audit.samples import policy_file

_BOUNDARY = {"StringEquals": {"iam:PermissionsBoundary": "arn:aws:iam::ACCOUNT:policy/BOUNDARY"}}


class IamPrivilegeEscalation(IamRule):
    """A policy whose holder can make himself an administrator."""

    id = "aws-iam-privilege-escalation"
    title = "An IAM policy lets its holder gain more than it gives"
    severity = "high"
    why = (
        "With actions such as iam:CreatePolicyVersion, iam:AttachRolePolicy or iam:PassRole and something "
        "that runs code, its holder gives himself every other permission of the account. The ways are those "
        "that cloudsplaining knows."
    )
    fix = (
        "Remove the actions, or name the roles, users and policies that they may touch, with a permissions "
        "boundary as condition."
    )
    links = (
        GLOSSARY + "privilege-escalation/",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html",
    )
    sample = "iam/ci-policy.json"
    bad = (
        policy_file({"Effect": "Allow", "Action": "iam:CreatePolicyVersion", "Resource": "*"}),
        policy_file(
            {
                "Effect": "Allow",
                "Action": ["iam:PassRole", "lambda:CreateFunction", "lambda:InvokeFunction"],
                "Resource": "*",
            }
        ),
        policy_file({"Effect": "Allow", "Action": "iam:Attach*", "Resource": "*"}),
        policy_file({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}),
    )
    good = (
        policy_file(
            {
                "Effect": "Allow",
                "Action": "iam:CreatePolicyVersion",
                "Resource": "arn:aws:iam::123456789012:policy/ci/app",
            }
        ),
        policy_file(
            {
                "Effect": "Allow",
                "Action": "iam:AttachRolePolicy",
                "Resource": "*",
                "Condition": {"StringEquals": {"iam:PermissionsBoundary": "arn:aws:iam::123456789012:policy/boundary"}},
            }
        ),
        policy_file(
            {"Effect": "Allow", "Action": "iam:CreateAccessKey", "Resource": "*"},
            {"Effect": "Deny", "Action": "iam:*", "Resource": "*"},
        ),
        policy_file({"Effect": "Allow", "Action": "iam:Get*", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": "iam:${var.action}", "Resource": "*"}),
    )

    def judge(self, record: Record, found: Allowed) -> Iterator[Finding]:
        """One for the whole policy."""
        if not found.escalations:
            return
        ways = some([way for way, _ in found.escalations])
        evidence = [("way", f"{way}: {', '.join(actions)}") for way, actions in found.escalations[:8]]
        action = found.escalations[0][1][0]
        change = instead(record, "say what it may touch", [action], "arn:aws:iam::ACCOUNT:role/ROLE", _BOUNDARY)
        message = f"the policy's holder can make himself more than it gives him: {ways}"
        yield self.about(record, found, message, evidence, change=change)

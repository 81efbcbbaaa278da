"""A policy that allows everything."""

from collections.abc import Iterator

from keylease.audit.aws_iam import Allowed
from keylease.audit.aws_iam_rule import BEST, IamRule, instead
from keylease.audit.model import Finding, Record
from keylease.audit.samples import policy_file


class IamAdmin(IamRule):
    """A policy that allows everything."""

    id = "aws-iam-admin"
    title = "An IAM policy allows every action on every resource"
    severity = "high"
    library = False
    why = (
        "Whoever has the policy has the account: data, keys, logs, other roles. A job of CI needs a handful "
        "of actions; with all of them, one bad dependency of one build is the end of the account."
    )
    fix = (
        "Allow the actions that the job calls (CloudTrail and IAM Access Analyzer list them) on the resources"
        " that it uses."
    )
    links = (
        BEST,
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-policy-generation.html",
    )
    sample = "iam/ci-policy.json"
    bad = (
        policy_file({"Effect": "Allow", "Action": "*", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": ["*:*"], "Resource": ["*"]}),
        policy_file(
            {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}}
        ),
        policy_file(
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::models/*"},
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
        ),
    )
    good = (
        policy_file({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::models/*"}),
        policy_file({"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::models/*"}),
        policy_file(
            {
                "Effect": "Allow",
                "Action": "*",
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:ResourceTag/team": "ml"}},
            }
        ),
        policy_file({"Effect": "Deny", "Action": "*", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": ["${var.actions}"], "Resource": "*"}),
    )

    def judge(self, record: Record, found: Allowed) -> Iterator[Finding]:
        """One for the whole policy."""
        if found.admin:
            change = instead(record, "list what it needs", ["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::BUCKET/*")
            said = (("Action", "*"), ("Resource", "*"))
            yield self.about(record, found, "the policy allows every action on every resource", said, change=change)

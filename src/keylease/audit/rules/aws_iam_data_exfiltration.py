"""A policy that reads all secrets or objects."""

from collections.abc import Iterator

from keylease.audit.aws_iam import Allowed
from keylease.audit.aws_iam_rule import BEST, GLOSSARY, IamRule, instead, some
from keylease.audit.model import Finding, Record
from keylease.audit.samples import policy_file

_RESOURCES = {
    "s3": "arn:aws:s3:::BUCKET/*",
    "ssm": "arn:aws:ssm:REGION:ACCOUNT:parameter/PREFIX/*",
    "secretsmanager": "arn:aws:secretsmanager:REGION:ACCOUNT:secret:PREFIX/*",
}


class IamDataExfiltration(IamRule):
    """A policy that reads all secrets or objects."""

    id = "aws-iam-data-exfiltration"
    title = "An IAM policy reads secrets or objects of the whole account"
    severity = "medium"
    why = (
        "s3:GetObject, ssm:GetParameter or secretsmanager:GetSecretValue on everything reads what other teams"
        " and systems keep there. A job reads its own."
    )
    fix = "Name the buckets, the prefix of the parameters or the secrets, or ask for a tag of the resource."
    links = (
        GLOSSARY + "data-exfiltration/",
        BEST,
    )
    sample = "iam/ci-policy.json"
    bad = (
        policy_file({"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::*/*"}),
        policy_file(
            {
                "Effect": "Allow",
                "Action": "secretsmanager:*",
                "Resource": "arn:aws:secretsmanager:*:123456789012:secret:*",
            }
        ),
    )
    good = (
        policy_file(
            {
                "Effect": "Allow",
                "Action": "secretsmanager:GetSecretValue",
                "Resource": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ci/*",
            }
        ),
        policy_file({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::models/*"}),
        policy_file(
            {
                "Effect": "Allow",
                "Action": "secretsmanager:GetSecretValue",
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:ResourceTag/team": "ml"}},
            }
        ),
        policy_file({"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "${var.bucket}/*"}),
    )

    def judge(self, record: Record, found: Allowed) -> Iterator[Finding]:
        """One for the whole policy."""
        if not found.secrets:
            return
        listed = some(found.secrets)
        resource = _RESOURCES.get(found.secrets[0].partition(":")[0], "ARN")
        change = instead(record, "say of what", found.secrets, resource)
        message = f"the policy reads secrets or objects of the whole account: {listed}"
        yield self.about(record, found, message, (("actions", listed),), change=change)

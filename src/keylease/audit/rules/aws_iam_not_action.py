"""A policy that allows all but what it names."""

from collections.abc import Iterator

from keylease.audit.aws_iam import Allowed
from keylease.audit.aws_iam_rule import IamRule, instead
from keylease.audit.model import Finding, Record
from keylease.audit.samples import policy_file


class IamNotAction(IamRule):
    """A policy that allows all but what it names."""

    id = "aws-iam-not-action"
    title = "An IAM policy allows all but what it names (NotAction, NotResource)"
    severity = "medium"
    library = False
    why = (
        "Allow with NotAction or NotResource gives everything that is not on the list, and whatever AWS adds "
        "later. It reads as if it forbade something; it forbids nothing, for another statement may allow it."
    )
    fix = "Allow what is needed by Action and Resource; forbid with a Deny."
    links = (
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notaction.html",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notresource.html",
    )
    sample = "iam/ci-policy.json"
    bad = (
        policy_file({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}),
        policy_file({"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::payroll/*"}),
    )
    good = (
        policy_file(
            {
                "Effect": "Deny",
                "NotAction": "iam:*",
                "Resource": "*",
                "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "false"}},
            }
        ),
        policy_file({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::models/*"}),
        policy_file({"Effect": "Deny", "Action": "s3:*", "NotResource": "arn:aws:s3:::models/*"}),
    )

    def judge(self, record: Record, found: Allowed) -> Iterator[Finding]:
        """One for the whole policy."""
        if found.inverse:
            said = tuple((f"statement {index}", f"Allow with {name}") for index, name in found.inverse)
            names = " and ".join(sorted({name for _, name in found.inverse}))
            change = instead(record, "say what it allows", ["s3:GetObject"], "arn:aws:s3:::BUCKET/*")
            message = f"the policy allows all but what it names: Allow with {names}"
            yield self.about(record, found, message, said, change=change)

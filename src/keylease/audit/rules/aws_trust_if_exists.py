"""A role's condition on a claim is met when the token lacks the claim (…IfExists)."""

from keylease.audit.aws_policy import Test
from keylease.audit.aws_trust_rule import HoleRule
from keylease.audit.samples import github, policy_file


class AwsTrustIfExists(HoleRule):
    """A role's condition on a claim is met when the token lacks the claim (…IfExists)."""

    id = "aws-trust-if-exists"
    title = "A role's condition on a claim is met when the token lacks the claim (\u2026IfExists)"
    why = (
        "…IfExists is true for a token without the claim: a job without an environment, an issuer that doesn't "
        "send it, a claim that AWS doesn't pass on, a key that is spelt wrong. In an Allow statement the "
        "condition then guards nothing. It is worst where no other condition tells whose job it is."
    )
    bad = (
        policy_file(github({"StringEqualsIfExists": {"repository_owner": "acme"}})),
        policy_file(github({"StringLikeIfExists": {"sub": "repo:acme/trainer:*"}})),
        policy_file(
            github(
                {
                    "StringEquals": {"sub": "repo:acme/trainer:environment:production"},
                    "StringEqualsIfExists": {"environment": "production"},
                }
            )
        ),
    )
    good = (
        policy_file(github({"StringEquals": {"sub": "repo:acme/trainer:ref:refs/heads/main"}})),
        policy_file(
            github({"StringEquals": {"sub": "repo:acme/trainer:ref:refs/heads/main"}}),
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEqualsIfExists": {"token.actions.githubusercontent.com:ref": "refs/heads/old"}},
            },
        ),
    )

    def has_hole(self, test: Test) -> bool:
        """See the base class."""
        return test.if_exists and not test.quantifier

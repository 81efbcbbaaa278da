"""A role's condition on a claim is met when the token lacks the claim (ForAllValues:)."""

from collections.abc import Iterator

from keylease.audit.aws_trust import Trust
from keylease.audit.aws_trust_rule import MULTIVALUED, OPERATORS, TrustRule, identifying, is_hole, narrowed, place
from keylease.audit.model import Finding, Record


class AwsTrustForAllValues(TrustRule):
    """A role's condition on a claim is met when the token lacks the claim (ForAllValues:)."""

    id = "aws-trust-for-all-values"
    title = "A role's condition on a claim is met when the token lacks the claim (ForAllValues:)"
    severity = "medium"
    why = (
        "ForAllValues: is true for a token without the claim: a job without an environment, an issuer that "
        "doesn't send it, a claim that AWS doesn't pass on, a key that is spelt wrong. In an Allow statement the "
        "condition then guards nothing. It is worst where no other condition tells whose job it is."
    )
    fix = "Use StringEquals or StringLike: they are false for an absent claim."
    links = (
        OPERATORS,
        MULTIVALUED,
    )
    sample = "iam/deploy-trust.json"
    bad = (
        """{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Principal": {
        "Federated": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
      },
      "Action": "sts:AssumeRoleWithWebIdentity",
      "Condition": {
        "StringEquals": {
          "token.actions.githubusercontent.com:aud": "sts.amazonaws.com"
        },
        "ForAllValues:StringEquals": {
          "token.actions.githubusercontent.com:repository_owner": "acme"
        }
      }
    }
  ]
}
""",
        """{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Principal": {
        "Federated": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
      },
      "Action": "sts:AssumeRoleWithWebIdentity",
      "Condition": {
        "StringEquals": {
          "token.actions.githubusercontent.com:aud": "sts.amazonaws.com"
        },
        "ForAllValues:StringLike": {
          "token.actions.githubusercontent.com:sub": "repo:acme/trainer:*"
        }
      }
    }
  ]
}
""",
        """{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Principal": {
        "Federated": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
      },
      "Action": "sts:AssumeRoleWithWebIdentity",
      "Condition": {
        "StringEquals": {
          "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
          "token.actions.githubusercontent.com:sub": "repo:acme/trainer:environment:production"
        },
        "ForAllValues:StringEquals": {
          "token.actions.githubusercontent.com:environment": "production"
        }
      }
    }
  ]
}
""",
    )
    good = (
        """{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Principal": {
        "Federated": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
      },
      "Action": "sts:AssumeRoleWithWebIdentity",
      "Condition": {
        "StringEquals": {
          "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
          "token.actions.githubusercontent.com:sub": "repo:acme/trainer:ref:refs/heads/main"
        }
      }
    }
  ]
}
""",
        """{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Principal": {
        "Federated": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
      },
      "Action": "sts:AssumeRoleWithWebIdentity",
      "Condition": {
        "StringEquals": {
          "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
          "token.actions.githubusercontent.com:sub": "repo:acme/trainer:ref:refs/heads/main"
        }
      }
    },
    {
      "Effect": "Deny",
      "Principal": "*",
      "Action": "sts:AssumeRoleWithWebIdentity",
      "Condition": {
        "ForAllValues:StringEquals": {
          "token.actions.githubusercontent.com:ref": "refs/heads/old"
        }
      }
    }
  ]
}
""",
    )

    def judge(self, record: Record, trust: Trust) -> Iterator[Finding]:
        """Of statements with such a condition on a claim; critical if a stranger gets in by it."""
        holes = [test for test in trust.tests() if test.quantifier == "forallvalues"]
        if not holes:
            return
        caller = trust.first("stranger")
        asked = [test for test in identifying(trust) if not is_hole(test) and not test.negated]
        opened = caller is not None and not asked
        names = ", ".join(dict.fromkeys(f"{test.operator} {test.key}" for test in holes))
        message = f"{names} is met by a token without that claim"
        if opened:
            message = f"{place(trust)} can take the role: {message}"
        severity = self.severity if not opened else "critical" if trust.issuer.shared else "high"
        yield self.about(
            record, trust, message, caller if opened else None, severity=severity, change=narrowed(record, trust)
        )

"""A role doesn't say for whom a token must be meant."""

from collections.abc import Iterator

from keylease.audit.aws_policy import holds
from keylease.audit.aws_trust import Trust
from keylease.audit.aws_trust_rule import CLAIM_KEYS, GITHUB_ROLE, TrustRule, narrowed
from keylease.audit.model import Finding, Record


class AwsTrustNoAudience(TrustRule):
    """A role doesn't say for whom a token must be meant."""

    id = "aws-trust-no-audience"
    title = "A role doesn't say for whom a token must be meant"
    severity = "low"
    why = (
        "Without a condition on aud, the role takes tokens that were minted for any audience that the provider in "
        "this account lists: a token that a job handed to another service is good for the role as well. The "
        "provider's own list of client ids limits it, so it is the second line of defence; a wildcard is the same "
        "as no condition."
    )
    fix = (
        "Bind aud to the audience that your job asks for; sts.amazonaws.com is what aws-actions/configure-aws- "
        "credentials and keylease use."
    )
    links = (
        CLAIM_KEYS,
        GITHUB_ROLE,
    )
    sample = "infra/template.yaml"
    bad = (
        """AWSTemplateFormatVersion: "2010-09-09"
Resources:
  DeployRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal:
              Federated: !Sub arn:aws:iam::${AWS::AccountId}:oidc-provider/token.actions.githubusercontent.com
            Action: sts:AssumeRoleWithWebIdentity
            Condition:
              StringLike:
                token.actions.githubusercontent.com:sub: repo:acme/trainer:ref:refs/heads/main
""",
        """AWSTemplateFormatVersion: "2010-09-09"
Resources:
  DeployRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal:
              Federated: !Sub arn:aws:iam::${AWS::AccountId}:oidc-provider/token.actions.githubusercontent.com
            Action: sts:AssumeRoleWithWebIdentity
            Condition:
              StringLike:
                token.actions.githubusercontent.com:sub: repo:acme/trainer:*
                token.actions.githubusercontent.com:aud: '*'
""",
    )
    good = (
        """AWSTemplateFormatVersion: "2010-09-09"
Resources:
  DeployRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal:
              Federated: !Sub arn:aws:iam::${AWS::AccountId}:oidc-provider/token.actions.githubusercontent.com
            Action: sts:AssumeRoleWithWebIdentity
            Condition:
              StringEquals:
                token.actions.githubusercontent.com:aud: sts.amazonaws.com
              StringLike:
                token.actions.githubusercontent.com:sub: repo:acme/trainer:*
""",
        """AWSTemplateFormatVersion: "2010-09-09"
Resources:
  DeployRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal:
              Federated: !Sub arn:aws:iam::${AWS::AccountId}:oidc-provider/token.actions.githubusercontent.com
            Action: sts:AssumeRoleWithWebIdentity
            Condition:
              StringEquals:
                token.actions.githubusercontent.com:aud: sts.amazonaws.com
              StringEqualsIgnoreCase:
                token.actions.githubusercontent.com:sub: repo:acme/trainer:ref:refs/heads/main
""",
    )

    def judge(self, record: Record, trust: Trust) -> Iterator[Finding]:
        """Of statements that any audience passes."""
        tests = trust.tests("aud")
        made_up = "https://audience.invalid/9f3a"
        if all(holds(test, made_up) for test in tests) and trust.admitted:
            why = "its condition on it is met by any" if tests else "it has no condition on it"
            message = f"a token for any audience will do: {trust.issuer.key('aud')}, {why}"
            yield self.about(record, trust, message, change=narrowed(record, trust))

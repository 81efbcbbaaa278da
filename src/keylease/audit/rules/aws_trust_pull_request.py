"""A role is given to the jobs of pull requests."""

from collections.abc import Iterator

from keylease.audit.aws_trust import Trust
from keylease.audit.aws_trust_rule import GITHUB_CLAIMS, GITHUB_ROLE, TrustRule, narrowed
from keylease.audit.model import Finding, Record


class AwsTrustPullRequest(TrustRule):
    """A role is given to the jobs of pull requests."""

    id = "aws-trust-pull-request"
    title = "A role is given to the jobs of pull requests"
    severity = "medium"
    why = (
        "The subject `repo:…:pull_request` is that of a job which runs code nobody has reviewed yet: whoever may "
        "push a branch to the repository has the role, with no approval. The subject doesn't say which branch it "
        "is either."
    )
    fix = (
        "Give pull requests a role of their own that can only read, or an environment with required reviewers; "
        "bind this one to a branch or environment."
    )
    links = (
        GITHUB_CLAIMS,
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
              StringEquals:
                token.actions.githubusercontent.com:aud: sts.amazonaws.com
              StringLike:
                token.actions.githubusercontent.com:sub: repo:acme/trainer:pull_request
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
              StringLike:
                token.actions.githubusercontent.com:sub:
                  - repo:acme/trainer:ref:refs/heads/main
                  - repo:acme/trainer:pull_request
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
              StringLike:
                token.actions.githubusercontent.com:sub: !Sub repo:${AWS::StackName}/trainer:pull_request
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
              StringEquals:
                token.actions.githubusercontent.com:aud: sts.amazonaws.com
              StringLike:
                token.actions.githubusercontent.com:sub: repo:acme/trainer:environment:production
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
              StringLike:
                token.actions.githubusercontent.com:sub: repo:acme/trainer:*
""",
    )

    def judge(self, record: Record, trust: Trust) -> Iterator[Finding]:
        """Of statements that name pull requests; `repo:…:*` is another rule's."""
        named = any(each.endswith(":pull_request") for test in trust.tests("sub") for each in test.patterns)
        caller = trust.first("own", "pull_request") or trust.first("neighbour", "pull_request")
        if named and caller and not trust.first("stranger"):
            message = "the jobs of pull requests, whose code nobody has reviewed, can take the role"
            yield self.about(record, trust, message, caller, change=narrowed(trust, without=":pull_request"))

"""A role is given to the jobs of pull requests."""

import re
from collections.abc import Iterator

from msgspec.structs import replace

from keylease.audit.aws_iam_rule import roles_with
from keylease.audit.aws_policy import statements
from keylease.audit.aws_trust import Trust
from keylease.audit.aws_trust_rule import GITHUB_CLAIMS, GITHUB_ROLE, TrustRule, narrowed
from keylease.audit.model import Finding, Inventory, Record

_READS = re.compile(
    r"[\w-]+:(?:Get|List|Describe|BatchGet|Head|Lookup|Search|View|Read|Query|Scan|Filter|Check)", re.IGNORECASE
)


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
        "bind this one to a branch or environment. It is worse where a known policy of the role can write."
    )
    links = (
        GITHUB_CLAIMS,
        GITHUB_ROLE,
    )
    also = ("aws.iam_policy",)
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

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """Worse where a policy of the role writes."""
        for finding in super().check(inventory):
            role = dict(finding.evidence).get("role", "")
            found = next(filter(None, (_write(each, role) for each in inventory.of("aws.iam_policy"))), "")
            evidence = (*finding.evidence, ("writes", found)) if found else finding.evidence
            yield replace(finding, severity="high", evidence=evidence) if found else finding

    def judge(self, record: Record, trust: Trust) -> Iterator[Finding]:
        """Of statements that name pull requests; `repo:…:*` is another rule's."""
        named = any(each.endswith(":pull_request") for test in trust.tests("sub") for each in test.patterns)
        caller = trust.first("own", "pull_request") or trust.first("neighbour", "pull_request")
        if named and caller and not trust.first("stranger"):
            message = "the jobs of pull requests, whose code nobody has reviewed, can take the role"
            yield self.about(record, trust, message, caller, change=narrowed(record, trust, without=":pull_request"))


def _write(record: Record, role: str) -> str:
    """An action of a policy of this role that isn't plainly a read; empty: none is known of."""
    if not role or role not in (record.facts.get("role"), *roles_with(record)):
        return ""
    allow = [each for each in statements(record.facts.get("document")) if each.effect == "allow"]
    actions = [action for each in allow for action in (*each.actions, *(f"all but {no}" for no in each.other_actions))]
    return next((each for each in actions if "${" not in each and not _READS.match(each)), "")

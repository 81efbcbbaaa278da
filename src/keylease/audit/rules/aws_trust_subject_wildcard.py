"""A role's subject condition lets in other owners or repositories."""

import json
from collections.abc import Iterator

from keylease.audit.aws_trust import Trust
from keylease.audit.aws_trust_rule import (
    CONTROLS,
    DATADOG,
    GITHUB_CLAIMS,
    GITLAB_ROLE,
    OPERATORS,
    TrustRule,
    identifying,
    is_hole,
    narrowed,
    place,
)
from keylease.audit.model import Finding, Record

_DOCUMENT = """\
data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.github.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "OPERATOR"
      variable = "token.actions.githubusercontent.com:sub"
      values   = SUBJECTS
    }
  }
}

resource "aws_iam_role" "deploy" {
  name               = "deploy"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}
"""


def _of(*subjects: str, operator: str = "StringLike") -> str:
    return _DOCUMENT.replace("OPERATOR", operator).replace("SUBJECTS", json.dumps(subjects))


class AwsTrustSubjectWildcard(TrustRule):
    """A role's subject condition lets in other owners or repositories."""

    id = "aws-trust-subject-wildcard"
    title = "A role's subject condition lets in other owners or repositories"
    severity = "critical"
    why = (
        "In `repo:acme*` the wildcard crosses the owner's name, so `acme-evil/x`, which anybody can register, is "
        "let in; so do `repo:*`, `*:environment:prod` and conditions that only name whom they keep out. "
        "`repo:acme/*` (GitLab: `project_path:acme/*`) lets in each repository of the owner: everybody who may "
        "create one, or push to the least guarded one, has the role. Of several values the widest counts."
    )
    fix = (
        "Name the repository and what runs in it. Where many repositories need the role, list them, or bind "
        "job_workflow_ref to one reusable workflow as well."
    )
    links = (
        CONTROLS,
        DATADOG,
        GITHUB_CLAIMS,
        GITLAB_ROLE,
        OPERATORS,
    )
    sample = "infra/roles.tf"
    bad = (
        _of("repo:*"),
        _of("repo:acme*"),
        _of("repo:acme/*"),
        _of("repo:acme/trainer:ref:refs/heads/main", "repo:acme-*/trainer:*"),
        _of("*:environment:production"),
        _of("repo:evil/*", operator="StringNotLike"),
        _of("repo:${var.org}/*"),
    )
    good = (
        _of("repo:acme/trainer:*"),
        _of("repo:acme/trainer:ref:refs/heads/main", operator="StringEquals"),
        _of("repo:${var.org}/${var.repository}:ref:refs/heads/main"),
        _of("repo:acme@6539/trainer@817264:*"),
    )

    def judge(self, record: Record, trust: Trust) -> Iterator[Finding]:
        """Of statements that ask who it is, and let in somebody else all the same."""
        asked = identifying(trust)
        stranger = trust.first("stranger")
        neighbour = trust.first("neighbour") if trust.issuer.family in ("github", "gitlab") else None
        if not asked or not (stranger or neighbour):
            return
        if stranger and all(test.negated for test in asked):
            message = f"{place(trust)} but those that it keeps out can take the role"
        elif stranger and all(is_hole(test) for test in asked):
            return  # the hole is another rule's
        elif stranger:
            message = f"{place(trust)} can take the role: a wildcard stands where the owner is told"
        else:
            kind = "project" if trust.issuer.family == "gitlab" else "repository"
            message = f"each {kind} of the owner can take the role: a wildcard stands where the {kind} is told"
        severity = "medium" if not stranger else self.severity if trust.issuer.shared else "high"
        yield self.about(
            record, trust, message, stranger or neighbour, severity=severity, change=narrowed(record, trust)
        )

"""A role with one of AWS's own policies that allow nearly everything."""

import re
from collections.abc import Iterator
from typing import Any

from keylease.audit.aws_trust import trusts
from keylease.audit.in_file import attributes, declared, replaced
from keylease.audit.model import Finding, Inventory, Record, Severity
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_STRONG = re.compile(r"arn:.+:iam::aws:policy/(AdministratorAccess|PowerUserAccess|IAMFullAccess)")
_MEANS = {
    "AdministratorAccess": "every action on every resource",
    "PowerUserAccess": "every action but IAM's, so all data and all secrets",
    "IAMFullAccess": "all of IAM: whoever has it gives himself the rest",
}


class AwsManagedAdminPolicy(Rule):
    """Of roles that jobs of CI can take. Where the trust of a role isn't known, an auditor hears of it."""

    id = "aws-managed-admin-policy"
    title = "A role that CI can take has an AWS managed policy for administrators"
    severity = "high"
    needs = ("aws.role_policies", "aws.trust_policy")
    alternatives = True
    why = (
        "AdministratorAccess, PowerUserAccess and IAMFullAccess are made for people who run an account. A job of CI "
        "runs code of many authors; with one of them, one bad dependency of one build has the account's data, or the "
        "account."
    )
    fix = (
        "Detach the policy and write one with the actions that the job calls (IAM Access Analyzer lists them from "
        "CloudTrail). Where Terraform itself must create roles, give it a permissions boundary."
    )
    links = (
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_job-functions.html",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-policy-generation.html",
    )
    sample = "roles.tf"
    bad = (
        """\
resource "aws_iam_role" "ci" {
  name = "ci"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = { StringEquals = {
        "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
        "token.actions.githubusercontent.com:sub" = "repo:acme/infra:ref:refs/heads/main"
      } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "ci" {
  role       = aws_iam_role.ci.name
  policy_arn = "arn:aws:iam::aws:policy/AdministratorAccess"
}
""",
    )
    good = (
        """\
resource "aws_iam_role" "people" {
  name = "people"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::123456789012:root" }
      Action    = "sts:AssumeRole"
      Condition = { Bool = { "aws:MultiFactorAuthPresent" = "true" } }
    }]
  })
  managed_policy_arns = ["arn:aws:iam::aws:policy/AdministratorAccess"]
}
""",
        """\
resource "aws_iam_role_policy_attachment" "ci" {
  role       = aws_iam_role.ci.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
}
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a role, policy and place."""
        known: dict[tuple[str, str], str] = {}
        for record in inventory.of("aws.trust_policy"):
            found = trusts(record.facts.get("document"))
            jobs = found[0].issuer.name if found else ""
            key = _place(record), str(record.facts.get("name", ""))
            known[key] = jobs or known.get(key, "")
            for arn in _arns(record.facts.get("policies")) if jobs else ():
                yield self._judged(record, arn, jobs)
        for record in inventory.of("aws.role_policies"):
            names = record.facts.get("trust")
            told = (
                [known.get((_place(record), each)) for each in names if isinstance(each, str)]
                if isinstance(names, list)
                else []
            )
            for arn in _arns(record.facts.get("policies")):
                if jobs := next((each for each in told if each), ""):
                    yield self._judged(record, arn, jobs)
                elif not told or None in told:
                    yield self._unknown(record, arn)

    def _judged(self, record: Record, arn: str, jobs: str) -> Finding:
        name, policy = shown(record.facts.get("name")), _name(arn)
        severity: Severity = "high" if policy == "PowerUserAccess" else "critical"
        return self.finding(
            record,
            f"jobs of {jobs} can take the role {name}, which has {policy}",
            severity=severity,
            evidence=(("role", name), ("policy", shown(arn, 120)), ("allows", _MEANS[policy])),
            change=_change(record, arn),
            key=policy,
        )

    def _unknown(self, record: Record, arn: str) -> Finding:
        name, policy = shown(record.facts.get("name")), _name(arn)
        return self.finding(
            record,
            f"the role {name} has {policy}, and who can take it is not written here",
            severity="medium",
            confidence="low",
            persona="auditor",
            evidence=(("role", name), ("policy", shown(arn, 120)), ("allows", _MEANS[policy])),
            change=_change(record, arn),
            key=policy,
        )


def _place(record: Record) -> str:
    """Where a role's name is its own: a directory of Terraform, another file, an account."""
    if record.location is None:
        return record.subject.partition("/role/")[0]
    path = record.location.path
    return path.rpartition("/")[0] + "/*.tf" if path.endswith((".tf", ".tofu", ".tf.json", ".tofu.json")) else path


def _arns(given: Any) -> list[str]:
    """Those of the strong ones."""
    listed = given if isinstance(given, list) else []
    return list({_name(each): each for each in listed if isinstance(each, str) and _STRONG.fullmatch(each)}.values())


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]


def _change(record: Record, arn: str) -> str:
    """One that stands alone gives its place to the role's own."""
    said = "give the role a policy with what the job calls, then take this one off"
    instead = "" if isinstance(declared(record).value, list) else "arn:aws:iam::ACCOUNT:policy/POLICY"
    if fields := replaced(record, instead, arn):
        return f"{said}\n\n{attributes(record, fields)}"
    import shlex

    of = shlex.quote(shown(record.facts.get("name")))
    return f"{said}\n\naws iam detach-role-policy --role-name {of} --policy-arn {shlex.quote(shown(arn, 120))}"

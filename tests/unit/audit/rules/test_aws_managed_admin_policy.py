"""AWS managed policies for administrators, beyond the rule's samples."""

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from keylease.audit.collectors.files import collect
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rules.aws_managed_admin_policy import AwsManagedAdminPolicy as Rule
from tests.unit.audit.iam import policy, statement, when

ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
TRUST = policy(statement(when("StringEquals", "sub", "repo:acme/a:ref:refs/heads/main")))
PEOPLE = policy({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::1:root"}, "Action": "sts:AssumeRole"})
ROLE = """
    data "aws_iam_policy_document" "jobs" {
      statement {
        actions = ["sts:AssumeRoleWithWebIdentity"]
        principals {
          type        = "Federated"
          identifiers = ["arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"]
        }
      }
    }

    resource "aws_iam_role" "ci" {
      name               = "ci-deploy"
      assume_role_policy = data.aws_iam_policy_document.jobs.json
      %s
    }
"""


def collected(root: Path, **files: str) -> Inventory:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    return collect(root)


def said(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(str(each.location), each.severity, each.persona) for each in findings]


def attached(role: str, arn: str, more: str = "", kind: str = "aws_iam_role_policy_attachment") -> str:
    return f'resource "{kind}" "x" {{\n  {more}\n  {role}\n  {arn}\n}}\n'


OF, LOOKED_UP = "role = aws_iam_role.ci.name", 'data "aws_iam_policy" "a" {\n  name = "AdministratorAccess"\n}\n'


@pytest.mark.parametrize(
    "attachment",
    [
        attached(OF, f'policy_arn = "{ADMIN}"'),
        attached('role = "${aws_iam_role.ci.id}"', f'policy_arn = "{ADMIN}"'),
        attached('role = "ci-deploy"', f'policy_arn = "{ADMIN.replace("aws:iam", "${data.aws_partition.x.y}:iam")}"'),
        attached(OF, "policy_arn = each.value", f'for_each = toset(["{ADMIN}"])'),
        attached(OF, "policy_arn = each.value", f'for_each = {{ a = "{ADMIN}" }}'),
        LOOKED_UP
        + attached(
            "roles = [aws_iam_role.ci.id]", "policy_arn = data.aws_iam_policy.a.arn", "", "aws_iam_policy_attachment"
        ),
        attached(
            "role_name = aws_iam_role.ci.name",
            f'policy_arns = [aws_iam_policy.own.arn, "{ADMIN}"]',
            kind="aws_iam_role_policy_attachments_exclusive",
        ),
    ],
)
def test_each_way_to_attach_in_terraform(attachment: str, tmp_path: Path) -> None:
    inventory = collected(tmp_path, iam_dot_tf=ROLE % "", other_dot_tf=attachment)
    assert inventory.problems == []
    (finding,) = Rule().check(inventory)
    assert (finding.severity, finding.persona) == ("critical", "regular")
    assert "role ci-deploy" in finding.message
    assert finding.location is not None
    assert finding.location.path == "other.tf"


def test_of_the_role_itself(tmp_path: Path) -> None:
    given = 'managed_policy_arns = ["arn:aws:iam::aws:policy/PowerUserAccess", aws_iam_policy.x.arn]'
    assert said(list(Rule().check(collected(tmp_path, iam_dot_tf=ROLE % given)))) == [("iam.tf:15", "high", "regular")]


def test_a_role_of_another_directory_is_another_one(tmp_path: Path) -> None:
    attach = f'resource "aws_iam_role_policy_attachment" "x" {{\n  role = "ci-deploy"\n  policy_arn = "{ADMIN}"\n}}\n'
    inventory = collected(tmp_path, a__iam_dot_tf=ROLE % "", b__iam_dot_tf=attach)
    assert said(list(Rule().check(inventory))) == [("b/iam.tf:3", "medium", "auditor")]


@pytest.mark.parametrize("arn", ["var.arn", "module.x.arn", "local.list[0]", '"${var.x}"'])
def test_a_computed_policy_is_a_problem_not_a_pass(arn: str, tmp_path: Path) -> None:
    attach = (
        f'resource "aws_iam_role_policy_attachment" "x" {{\n  role = aws_iam_role.ci.name\n  policy_arn = {arn}\n}}\n'
    )
    inventory = collected(tmp_path, iam_dot_tf=ROLE % "", b_dot_tf=attach)
    assert [(each.kind, str(each.location)) for each in inventory.problems] == [("aws.role_policies", "b.tf:3")]
    assert not list(Rule().check(inventory))


def template(trust: Any, arns: Any) -> str:
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust, "ManagedPolicyArns": arns}}
    return json.dumps({"Resources": {"Deploy": role}}, indent=1)


def test_cloudformation(tmp_path: Path) -> None:
    arns = [{"Ref": "Own"}, {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/IAMFullAccess"}]
    (finding,) = Rule().check(collected(tmp_path, t_dot_json=template(TRUST, arns), p_dot_json=template(PEOPLE, arns)))
    assert finding.severity == "critical"
    assert finding.subject == "file://t.json#Deploy/managed_policies"
    assert "role Deploy" in finding.message


@pytest.mark.parametrize("arns", [{"Ref": "List"}, [{"Fn::Select": [0]}, 3, None], "x", {}])
def test_odd_lists_of_cloudformation(arns: Any, tmp_path: Path) -> None:
    assert not list(Rule().check(collected(tmp_path, t_dot_json=template(TRUST, arns))))


def test_what_the_cli_prints(tmp_path: Path) -> None:
    attached = [{"PolicyName": "AdministratorAccess", "PolicyArn": ADMIN}]
    role = {"RoleName": "r", "AssumeRolePolicyDocument": TRUST, "AttachedManagedPolicies": attached}
    (finding,) = Rule().check(collected(tmp_path, d_dot_json=json.dumps({"RoleDetailList": [role]})))
    assert "role r," in finding.message


def record(trust: Any, **facts: Any) -> Inventory:
    found = Record("aws.trust_policy", "aws://123456789012/role/ci", {"document": trust, "name": "ci", **facts})
    return Inventory([found], {"aws.trust_policy"})


@pytest.mark.parametrize(
    ("trust", "policies", "count"),
    [
        (TRUST, [ADMIN, ADMIN], 1),
        (TRUST, ["arn:aws-us-gov:iam::aws:policy/AdministratorAccess"], 1),
        (TRUST, ["arn:aws:iam::123456789012:policy/AdministratorAccess"], 0),  # the account's own, judged by itself
        (TRUST, ["arn:aws:iam::aws:policy/ReadOnlyAccess"], 0),
        (PEOPLE, [ADMIN], 0),
        (TRUST, None, 0),
        (TRUST, ADMIN, 0),
        (TRUST, [None, 3, {}], 0),
    ],
)
def test_of_an_account(trust: Any, policies: Any, count: int) -> None:
    findings = list(Rule().check(record(trust, policies=policies)))
    assert len(findings) == count
    assert all("detach-role-policy --role-name ci" in each.change for each in findings)

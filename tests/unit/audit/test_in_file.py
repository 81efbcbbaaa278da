"""Findings about what files say are mended in the file: what they print is put there, and they are gone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from keylease.audit.collectors.files import collect
from keylease.audit.model import Finding, Inventory
from keylease.registry import RULES
from tests.unit.audit.terraform_text import (
    ASSIGNED,
    BINDING,
    FEDERATED,
    IAM,
    POLICY,
    PROVIDER,
    ROLE,
    TRUST,
    mended,
    written,
)
from tests.unit.audit.test_rules import INVENTORY, collected

KINDS = {TRUST, IAM, ROLE, POLICY, PROVIDER, BINDING, FEDERATED, ASSIGNED}
FORMS = {TRUST: ("hcl", "json", "blocks"), IAM: ("hcl", "json", "blocks"), POLICY: ("json", "blocks")}
COMMAND = re.compile(r"^(?:bao|vault|gcloud|aws|az|gh|glab|kubectl|curl) ", re.MULTILINE)
JUDGED_ELSEWHERE = {"aws-role-unused", "gcp-key-beside-federation", "azure-secret-beside-federation"}
"""What they find is about what only the account tells: when something was used, keys."""
CASES = [
    pytest.param(name, text, form, id=f"{name}-{number}-{form or 'attributes'}")
    for name in RULES
    for rule in [RULES.load(name)]
    if set(rule.needs) & KINDS and name not in JUDGED_ELSEWHERE and rule.needs[0] in KINDS
    for number, text in enumerate(rule.bad)
    for form in FORMS.get(rule.needs[0], ("",))
]


def in_terraform(tmp_path: Path, inventory: Inventory, form: str, kind: str) -> None:
    """The records of a sample as files of Terraform, one each."""
    for number, record in enumerate(inventory.records):
        if record.kind in KINDS:
            own = form if record.kind == kind else (FORMS.get(record.kind) or ("",))[0]
            (tmp_path / f"x{number}.tf").write_text(written(record.kind, record.facts, f"x{number}", own), "utf-8")


@pytest.mark.parametrize(("name", "text", "form"), CASES)
def test_what_is_printed_mends_the_file(name: str, text: str, form: str, tmp_path: Path) -> None:
    rule, tf = RULES.load(name), tmp_path / "tf"
    tf.mkdir()
    kind = rule.needs[0]
    inventory = collected(tmp_path / "sample", rule.sample, text)
    in_terraform(tf, inventory, form, kind)
    before = collect(tf)
    assert before.problems == []
    findings = list(rule().check(before))
    custom = any(each.facts.get("custom") for each in inventory.records)  # what a role of one's own can, no file tells
    assert findings or custom
    for finding in findings:
        assert finding.location is not None
        assert not COMMAND.search(finding.change), finding.change
        where = finding.location.path.removesuffix(".tf")
        record = inventory.records[int(where[1:])]
        own = tf / finding.location.path
        kept = own.read_text("utf-8")
        own.write_text(mended(record.kind, dict(record.facts), finding, form, where), "utf-8")
        after = collect(tf)
        assert after.problems == []
        prints = {each.fingerprint for each in rule().check(after)}
        assert finding.fingerprint not in prints, finding.change
        own.write_text(kept, "utf-8")


# Lists, of which one entry is meant.

ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
JOBS = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": "arn:aws:iam::1:oidc-provider/token.actions.githubusercontent.com"},
                "Action": "sts:AssumeRoleWithWebIdentity",
            }
        ],
    }
)


def judged(tmp_path: Path, rule: str, text: str, name: str = "x.tf") -> list[Finding]:
    (tmp_path / name).write_text(text, encoding="utf-8")
    inventory = collect(tmp_path)
    assert inventory.problems == []
    return list(RULES.load(rule)().check(inventory))


def block_of(finding: Finding) -> str:
    return finding.change.partition("\n\n")[2]


MEMBERS = """resource "google_project_iam_binding" "e" {
  project = "p"
  role    = "roles/viewer"
  members = ["user:a@b", "allUsers", google_service_account.x.member, "allAuthenticatedUsers"]
}
"""
POLICIES = """data "google_iam_policy" "p" {
  binding {
    role    = "roles/editor"
    members = ["user:a@b", "serviceAccount:${google_service_account.x.email}"]
  }
}

resource "google_project_iam_policy" "p" {
  project     = "p"
  policy_data = data.google_iam_policy.p.policy_data
}
"""


def test_of_a_list_the_others_stay(tmp_path: Path) -> None:
    first, _ = judged(tmp_path, "gcp-public-binding", MEMBERS)
    members = '"user:a@b", "group:GROUP@DOMAIN", google_service_account.x.member, "allAuthenticatedUsers"'
    assert block_of(first) == (
        f'resource "google_project_iam_binding" "e" {{\n  role    = "roles/viewer"\n  members = [{members}]\n}}'
    )


def test_of_a_long_list_the_others_are_only_told_of(tmp_path: Path) -> None:
    names = ", ".join(f'"user:{number}@x"' for number in range(3000))
    first, _ = judged(tmp_path, "gcp-public-binding", MEMBERS.replace('"user:a@b"', names))
    assert '  members = ["group:GROUP@DOMAIN", "ALL_OTHERS"]' in block_of(first)


FILES = [name for name in RULES if RULES.load(name).sample not in (INVENTORY, ".env")]


@pytest.mark.parametrize("name", FILES)
def test_no_file_is_mended_by_a_command(name: str, tmp_path: Path) -> None:
    rule = RULES.load(name)
    for number, text in enumerate(rule.bad):
        for finding in rule().check(collected(tmp_path / str(number), rule.sample, text)):
            assert not COMMAND.search(block_of(finding))


def test_a_block_in_a_block(tmp_path: Path) -> None:
    (finding,) = judged(tmp_path, "gcp-strong-role", POLICIES)
    assert block_of(finding) == (
        'data "google_iam_policy" "p" {\n  binding {\n    role    = "roles/editor"\n    members = ["user:a@b"]\n  }\n}'
    )


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        ("managed_policy_arns", f'["{ADMIN}", aws_iam_policy.own.arn]', "[aws_iam_policy.own.arn]"),
        ("managed_policy_arns", f'["{ADMIN}"]', "[]"),
        (
            "managed_policy_arns",
            '[data.aws_iam_policy.a.arn, "arn:aws:iam::1:policy/x"]',
            '["arn:aws:iam::1:policy/x"]',
        ),
    ],
)
def test_managed_policies_of_a_role(attribute: str, value: str, expected: str, tmp_path: Path) -> None:
    text = f'resource "aws_iam_role" "ci" {{\n  assume_role_policy = <<E\n{JOBS}\nE\n  {attribute} = %s\n}}\n'
    text += 'data "aws_iam_policy" "a" {\n  name = "AdministratorAccess"\n}\n'
    (finding,) = judged(tmp_path, "aws-managed-admin-policy", text % value)
    assert block_of(finding) == f'resource "aws_iam_role" "ci" {{\n  {attribute} = {expected}\n}}'
    assert not judged(tmp_path, "aws-managed-admin-policy", text % expected)


def test_an_attachment_gets_another_policy(tmp_path: Path) -> None:
    role = f'resource "aws_iam_role" "ci" {{\n  assume_role_policy = <<E\n{JOBS}\nE\n}}\n'
    text = 'resource "aws_iam_role_policy_attachment" "a" {\n  role = aws_iam_role.ci.name\n  policy_arn = "%s"\n}\n'
    (finding,) = judged(tmp_path, "aws-managed-admin-policy", role + text % ADMIN)
    own = "arn:aws:iam::ACCOUNT:policy/POLICY"
    assert block_of(finding) == f'resource "aws_iam_role_policy_attachment" "a" {{\n  policy_arn = "{own}"\n}}'
    assert not judged(tmp_path, "aws-managed-admin-policy", role + text % own)


@pytest.mark.parametrize("admin", [ADMIN, {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/AdministratorAccess"}])
def test_a_template_of_cloudformation(admin: Any, tmp_path: Path) -> None:
    given = {"AssumeRolePolicyDocument": json.loads(JOBS), "ManagedPolicyArns": [{"Ref": "Own"}, admin]}
    role = {"Type": "AWS::IAM::Role", "Properties": given}
    (finding,) = judged(
        tmp_path, "aws-managed-admin-policy", json.dumps({"Resources": {"R": role}}, indent=1), "t.json"
    )
    assert json.loads(f"{{{block_of(finding)}}}") == {"ManagedPolicyArns": [{"Ref": "Own"}]}


def test_what_an_account_was_found_to_have_is_mended_there(tmp_path: Path) -> None:
    attached = [{"PolicyName": "AdministratorAccess", "PolicyArn": ADMIN}]
    role = {"RoleName": "ci", "AssumeRolePolicyDocument": json.loads(JOBS), "AttachedManagedPolicies": attached}
    (finding,) = judged(
        tmp_path, "aws-managed-admin-policy", json.dumps({"RoleDetailList": [role]}, indent=1), "d.json"
    )
    assert block_of(finding).startswith("aws iam detach-role-policy ")


# Terraform's JSON.


def test_a_role_of_vault_in_json(tmp_path: Path) -> None:
    role = {
        "role_name": "ci",
        "user_claim": "repository",
        "bound_claims": {"ref": "refs/${var.x}", "environment": '${file("x")}'},
    }
    text = json.dumps({"resource": {"vault_jwt_auth_backend_role": {"ci": role}}}, indent=1)
    (finding,) = judged(tmp_path, "vault-role-any-repository", text, "x.tf.json")
    (said,) = json.loads(block_of(finding))["resource"]["vault_jwt_auth_backend_role"].values()
    assert said["bound_claims"] == {
        "ref": "refs/${var.x}",
        "environment": '$${file("x")}',
        "repository": "OWNER/REPOSITORY",
    }
    role |= said
    text = json.dumps({"resource": {"vault_jwt_auth_backend_role": {"ci": role}}}, indent=1)
    assert not judged(tmp_path, "vault-role-any-repository", text, "x.tf.json")


def test_a_document_in_json(tmp_path: Path) -> None:
    statement: dict[str, Any] = {
        "actions": ["sts:AssumeRoleWithWebIdentity"],
        "principals": [{"type": "Federated", "identifiers": ["arn:aws:iam::1:oidc-provider/gitlab.com"]}],
    }
    text = {"data": {"aws_iam_policy_document": {"t": {"statement": [statement]}}}}
    (finding,) = judged(tmp_path, "aws-trust-no-subject", json.dumps(text, indent=1), "x.tf.json")
    statement |= json.loads(f"{{{block_of(finding)}}}")
    assert {each["test"] for each in statement["condition"]} == {"StringEquals"}
    assert not judged(tmp_path, "aws-trust-no-subject", json.dumps(text, indent=1), "x.tf.json")


def test_a_role_of_vault_in_a_plain_file(tmp_path: Path) -> None:
    role = {"role_type": "jwt", "user_claim": "repository", "bound_claims": {"ref": "refs/heads/main"}}
    (finding,) = judged(tmp_path, "vault-role-any-repository", json.dumps(role, indent=1), "role.json")
    role |= json.loads(f"{{{block_of(finding)}}}")
    assert role["bound_claims"] == {"ref": "refs/heads/main", "repository": "OWNER/REPOSITORY"}
    assert not judged(tmp_path, "vault-role-any-repository", json.dumps(role, indent=1), "role.json")

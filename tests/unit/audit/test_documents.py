"""Policies and roles out of JSON, YAML and Terraform."""

# long file: one table of documents for each format

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from keylease.audit.collectors.files import collect
from keylease.audit.model import Inventory

TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"}},
        }
    ],
}
ALL: dict[str, Any] = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
BUCKET = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}],
}


def collected(root: Path, name: str, text: str) -> Inventory:
    (root / name).write_text(dedent(text), encoding="utf-8")
    return collect(root)


def found(root: Path, name: str, data: Any) -> list[tuple[str, str, Any]]:
    inventory = collected(root, name, data if isinstance(data, str) else json.dumps(data, indent=2))
    assert inventory.problems == []
    return [(each.kind, each.subject.partition(name)[2], each.facts["document"]) for each in inventory.records]


def problems(root: Path, name: str, text: str) -> list[tuple[str, str]]:
    inventory = collected(root, name, text)
    assert inventory.records == []
    return [(each.kind, f"{each.location}: {each.what}") for each in inventory.problems]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (TRUST, [("aws.trust_policy", "", TRUST)]),
        (ALL, [("aws.iam_policy", "", ALL)]),
        ({**ALL, "Statement": ALL["Statement"][0]}, [("aws.iam_policy", "", ALL)]),
        (BUCKET, []),
        ({"Role": {"RoleName": "ci", "AssumeRolePolicyDocument": TRUST}}, [("aws.trust_policy", "#ci", TRUST)]),
        (
            {"Roles": [{"RoleName": "a", "AssumeRolePolicyDocument": TRUST}, {"AssumeRolePolicyDocument": TRUST}]},
            [("aws.trust_policy", "#a", TRUST), ("aws.trust_policy", "#/Roles/1/AssumeRolePolicyDocument", TRUST)],
        ),
        ({"RoleName": "r", "PolicyName": "p", "PolicyDocument": ALL}, [("aws.iam_policy", "#r", ALL)]),
        ({"PolicyVersion": {"Document": ALL, "VersionId": "v1", "IsDefaultVersion": True}},
         [("aws.iam_policy", "#/PolicyVersion/Document", ALL)]),
        (
            {
                "RoleDetailList": [
                    {"RoleName": "r", "AssumeRolePolicyDocument": TRUST,
                     "RolePolicyList": [{"PolicyName": "inline", "PolicyDocument": ALL}]}
                ],
                "Policies": [
                    {"PolicyName": "managed", "PolicyVersionList": [
                        {"Document": ALL, "VersionId": "v2", "IsDefaultVersion": True},
                        {"Document": ALL, "VersionId": "v1", "IsDefaultVersion": False}]}
                ],
            },
            [
                ("aws.trust_policy", "#r", TRUST),
                ("aws.iam_policy", "#inline", ALL),
                ("aws.iam_policy", "#managed", ALL),
            ],
        ),
    ],
    ids=["trust", "iam", "one-statement", "bucket", "get-role", "list-roles", "get-role-policy", "version", "details"],
)  # fmt: skip
def test_json(tmp_path: Path, data: Any, expected: list[tuple[str, str, Any]]) -> None:
    assert found(tmp_path, "policy.json", data) == expected


def test_a_document_as_the_api_encodes_it(tmp_path: Path) -> None:
    from urllib.parse import quote

    assert found(
        tmp_path,
        "r.json",
        {"RoleName": "r", "AssumeRolePolicyDocument": quote(json.dumps(TRUST)), "#": "Statement Effect"},
    ) == [("aws.trust_policy", "#r", TRUST)]


CLOUDFORMATION = """\
    Resources:
      Deployer:
        Type: AWS::IAM::Role
        Properties:
          RoleName: !Sub "${AWS::StackName}-deployer"
          AssumeRolePolicyDocument:
            Version: "2012-10-17"
            Statement:
              - !If
                - HasOidc
                - Effect: Allow
                  Principal: {Federated: !GetAtt Oidc.Arn}
                  Action: sts:AssumeRoleWithWebIdentity
                - !Ref AWS::NoValue
          Policies:
            - PolicyName: admin
              PolicyDocument:
                Statement: {Effect: Allow, Action: "*", Resource: !Join ["", ["arn:", !Ref Name]]}
      Function:
        Type: AWS::Serverless::Function
        Properties:
          Policies:
            - Statement:
                - {Effect: Allow, Action: "s3:*", Resource: "*"}
"""


def test_cloudformation(tmp_path: Path) -> None:
    inventory = collected(tmp_path, "stack.yaml", CLOUDFORMATION)
    assert inventory.problems == []
    assert [(each.kind, each.subject, each.location.line) for each in inventory.records if each.location] == [
        ("aws.trust_policy", "file://stack.yaml#Deployer", 6),
        ("aws.iam_policy", "file://stack.yaml#admin", 17),
        ("aws.iam_policy", "file://stack.yaml#Function", 23),
    ]
    trust, admin, _ = (each.facts["document"] for each in inventory.records)
    assert trust["Statement"] == [
        {"Effect": "Allow", "Principal": {"Federated": "${Oidc.Arn}"}, "Action": "sts:AssumeRoleWithWebIdentity"}
    ]
    assert admin["Statement"][0]["Resource"] == "arn:${Name}"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("!Ref Document", "it is computed"),
        ("{Statement: !Ref Statements}", "it has no statements, or one of them is computed"),
        ("{Statement: []}", "it has no statements, or one of them is computed"),
        ("{Statement: [{Effect: !Ref Effect}]}", "a statement's Effect is neither Allow nor Deny"),
        ("{Statement: [{Effect: Allow, Condition: !Ref C}]}", "a statement's Condition is computed, or no mapping"),
        ('"{ Effect"', "it is no JSON"),
    ],
)
def test_what_is_computed_is_a_problem(tmp_path: Path, document: str, why: str) -> None:
    text = f"# Statement Effect\nRole:\n  AssumeRolePolicyDocument: {document}\n"
    expected = f"stack.yml:3: a trust policy can't be judged: {why}"
    assert problems(tmp_path, "stack.yml", text) == [("aws.trust_policy", expected)]


def test_broken_json(tmp_path: Path) -> None:
    found = problems(tmp_path, "p.json", '{"Statement": [{"Effect": "Allow"\n')
    assert [kind for kind, _ in found] == ["aws.iam_policy"]
    assert "p.json:2: it is no JSON" in found[0][1]


# Terraform.

PROVIDER = """
    resource "aws_iam_openid_connect_provider" "github" {
      url            = "https://token.actions.githubusercontent.com"
      client_id_list = ["sts.amazonaws.com"]  # the audience
    }
"""
FEDERATED = "arn:aws:iam::${account}:oidc-provider/token.actions.githubusercontent.com"
SUB = "token.actions.githubusercontent.com:sub"


@pytest.mark.parametrize(
    "text",
    [
        """
        data "aws_iam_policy_document" "role" {
          statement {
            actions = ["sts:AssumeRoleWithWebIdentity"]
            principals {
              type        = "Federated"
              identifiers = [aws_iam_openid_connect_provider.github.arn]
            }
            condition {
              test     = "StringLike"
              variable = "token.actions.githubusercontent.com:sub"
              values   = ["repo:acme/*"]
            }
          }
        }
        resource "aws_iam_role" "r" {
          assume_role_policy = data.aws_iam_policy_document.role.json
        }
        """,
        """
        resource "aws_iam_role" "role" {
          assume_role_policy = jsonencode({
            Statement = [{
              Effect    = "Allow"
              Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
              Action    = "sts:AssumeRoleWithWebIdentity"
              Condition = {
                StringLike = {
                  "${replace(aws_iam_openid_connect_provider.github.url, "https://", "")}:sub" : "repo:acme/*",
                }
              }
            }]
          })
        }
        """,
        """
        locals { host = "token.actions.githubusercontent.com" }
        resource "aws_iam_role" "x" {
          name               = "role"
          assume_role_policy = <<-JSON
            {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
              "Principal": {"Federated": "${aws_iam_openid_connect_provider.github["main"].arn}"},
              "Condition": {"StringLike": {"${local.host}:sub": "repo:acme/*"}}}]}
          JSON
        }
        """,
    ],
    ids=["data", "jsonencode", "heredoc"],
)
def test_a_trust_policy_in_terraform(tmp_path: Path, text: str) -> None:
    (tmp_path / "oidc.tf").write_text(dedent(PROVIDER))
    ((kind, subject, document),) = found(tmp_path, "main.tf", text)
    assert (kind, subject) == ("aws.trust_policy", "#role")
    (statement,) = document["Statement"]
    assert statement["Effect"] == "Allow"
    assert statement["Principal"]["Federated"] in (FEDERATED, [FEDERATED])
    assert statement["Condition"] in (
        {"StringLike": {SUB: "repo:acme/*"}},
        {"StringLike": {SUB: ["repo:acme/*"]}},
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('resource "aws_iam_role" "r" {\n  assume_role_policy = var.policy\n}\n', 2),
        ('resource "aws_iam_role" "r" {\n  assume_role_policy = local.a ? local.b : local.c\n}\n', 2),
        ('resource "aws_iam_role" "r" {\n  assume_role_policy = data.aws_iam_policy_document.other.json\n}\n', 2),
        ('resource "aws_iam_role" "r" {\n  assume_role_policy = file("${path.module}/trust.json")\n}\n', 2),
        ('resource "aws_iam_role" "r" {\n  assume_role_policy = templatefile("trust.json", {})\n}\n', 2),
        ('resource "aws_iam_role" "r" {\n  assume_role_policy = jsonencode(merge(local.a, {}))\n}\n', 2),
        ('resource "aws_iam_role" "r" {\n  assume_role_policy = "${var.policy}"\n}\n', 2),
        ('resource "aws_iam_role" "r" {\n  count = 1\n}\n', 1),
        (
            (
                'data "aws_iam_policy_document" "d" {\n  statement {\n    principals {\n      type = "Federated"\n'
                '      identifiers = ["x"]\n    }\n    actions = ["sts:*"]\n    dynamic "condition" {\n    }\n  }\n}\n'
            ),
            1,
        ),
    ],
)
def test_terraform_that_computes_is_a_problem(tmp_path: Path, text: str, line: int) -> None:
    ((kind, what),) = problems(tmp_path, "main.tf", text)
    assert kind == "aws.trust_policy"
    assert what.startswith(f"main.tf:{line}: a trust policy can't be judged: ")


def test_a_file_that_is_judged_by_itself(tmp_path: Path) -> None:
    (tmp_path / "trust.json").write_text(json.dumps(TRUST))
    text = 'resource "aws_iam_role" "r" {\n  assume_role_policy = file("${path.module}/trust.json")\n}\n'
    inventory = collected(tmp_path, "main.tf", text)
    assert [each.subject for each in inventory.records] == ["file://trust.json"]
    assert inventory.problems == []


@pytest.mark.parametrize(
    "text",
    [
        'resource "aws_iam_role" "r" {',
        'resource "aws_iam_role" "r" { a = [1, }',
        'a = "aws_iam_x\n',
        "aws_iam_ = <<A\nb",
    ],
)
def test_broken_terraform(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, "main.tf", text)
    assert [kind for kind, _ in found] == ["aws.trust_policy", "aws.iam_policy"]
    assert all("it is no Terraform" in what for _, what in found)


ROLE = {
    "name": "ci",
    "mount": "jwt",
    "role_type": "jwt",
    "user_claim": "sub",
    "bound_audiences": ["https://github.com/acme"],
    "token_policies": ["ci"],
    "token_ttl": 5400,
    "token_no_default_policy": True,
    "bound_claims": {"repository": ["acme/a", "acme/b"]},
}


def test_vault_roles(tmp_path: Path) -> None:
    text = """
        resource "vault_jwt_auth_backend_role" "x" {
          backend         = "gh/"
          role_name       = "ci"
          role_type       = "jwt"
          user_claim      = "sub"
          bound_audiences = ["https://github.com/acme"]
          bound_claims    = { repository = "acme/a, acme/b" }
          token_policies  = ["ci"]
          token_ttl       = 5400
          token_no_default_policy = true
        }
    """
    (tmp_path / "ci.json").write_text(json.dumps({**ROLE, "token_ttl": "1h30m", "policies": "ci", "name": "other"}))
    inventory = collected(tmp_path, "main.tf", text)
    assert inventory.problems == []
    assert [(each.subject, each.facts) for each in inventory.of("vault.jwt_role")] == [
        ("file://ci.json#other", {**ROLE, "name": "other"}),
        (
            "file://main.tf#ci",
            {**ROLE, "mount": "gh", "declared": {"block": ["resource", "vault_jwt_auth_backend_role", "x"]}},
        ),
    ]


def test_a_vault_role_with_computed_bounds_is_a_problem(tmp_path: Path) -> None:
    text = 'resource "vault_jwt_auth_backend_role" "x" {\n  user_claim = "sub"\n  bound_claims = var.claims\n}\n'
    assert problems(tmp_path, "main.tf", text) == [
        ("vault.jwt_role", "main.tf:3: a JWT role can't be judged: bound_claims is computed")
    ]


def test_vault_policies(tmp_path: Path) -> None:
    text = """
        resource "vault_policy" "a" {
          name   = "a"
          policy = <<EOT
        path "*" { capabilities = ["sudo"] }
        EOT
        }
        data "vault_policy_document" "d" {
          rule {
            path         = "secret/*"
            capabilities = ["read"]
          }
        }
        resource "vault_policy" "b" {
          name   = "b"
          policy = data.vault_policy_document.d.hcl
        }
    """
    hcl = '# all\npath "secret/data/*" {\n  capabilities = ["read", "list"]\n}\n'
    (tmp_path / "ci.hcl").write_text(hcl)
    (tmp_path / "j.json").write_text('{"path": {"a/*": {"capabilities": ["read"]}}}')
    inventory = collected(tmp_path, "main.tf", text)
    assert inventory.problems == []
    assert [(each.facts["name"], each.facts["text"]) for each in inventory.of("vault.policy")] == [
        ("ci", hcl),
        ("j", 'path "a/*" {\n  capabilities = ["read"]\n}\n'),
        ("a", 'path "*" { capabilities = ["sudo"] }\n'),
        ("b", 'path "secret/*" {\n  capabilities = ["read"]\n}\n'),
    ]


def _web(statements: int, subjects: int, subject: str) -> dict[str, Any]:
    key = "token.actions.githubusercontent.com:sub"
    return {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": "arn:aws:iam::1:oidc-provider/token.actions.githubusercontent.com"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringLike": {key: [subject.format(i, j) for j in range(subjects)]}},
            }
            for i in range(statements)
        ]
    }


@pytest.mark.parametrize(
    ("document", "kinds"),
    [
        (_web(10, 4, "repo:o{}/*{}*:x*"), {"aws.trust_policy", "aws.iam_policy"}),  # some 10 s for each rule
        (_web(400, 1, "repo:o{}/r{}:ref:refs/heads/main"), {"aws.trust_policy", "aws.iam_policy"}),
        (_web(1, 40, "repo:o{}/r{}*:ref:refs/heads/*"), set()),
        (
            {"Statement": [{"Effect": "Allow", "Action": [f"s3:*{n}*" for n in range(9000)], "Resource": "*"}]},
            {"aws.iam_policy"},
        ),
    ],
)
def test_a_hostile_policy_is_told_and_not_judged_for_hours(tmp_path: Path, document: Any, kinds: set[str]) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document), encoding="utf-8")
    found = collect(tmp_path)
    assert {problem.kind for problem in found.problems} == kinds
    assert bool(found.records) is not bool(kinds)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('path "*" {\n  capabilities = ["sudo"],\n}\n', True),  # Vault's own reader takes all of these
        ('path "a" { capabilities = ["read"] min_wrapping_ttl = "1s" }\n', True),
        ('path "b" {}\npath = { "*" = { capabilities = ["sudo"] } }\n', True),
        ('path "*" {\n  policy = "sudo"\n}\n', False),
        ('path "a" {\n  capabilities = ["read",]\n  allowed_parameters = {\n    "a" = ["b"]\n  }\n}\n', False),
    ],
)
def test_a_vault_policy_that_is_not_understood_is_told(tmp_path: Path, text: str, told: bool) -> None:
    (tmp_path / "a.hcl").write_text(text)
    found = collect(tmp_path)
    assert [problem.kind for problem in found.problems] == ["vault.policy"] * told
    assert bool(found.of("vault.policy")) is not told

"""Terraform's JSON syntax: the same records as its own language gives, and nothing passed that can't be read."""

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from keylease.audit.collectors.files import collect
from keylease.audit.collectors.terraform_json import parse_json
from keylease.audit.hcl import HclError
from keylease.audit.in_file import FACT
from keylease.audit.model import Inventory

GITHUB = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Federated": GITHUB},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"}},
        }
    ],
}


def collected(root: Path, **files: str) -> Inventory:
    for name, text in files.items():
        (root / name.replace("_dot_", ".")).write_text(dedent(text), encoding="utf-8")
    return collect(root)


def found(inventory: Inventory) -> list[tuple[str, Any]]:
    records: list[tuple[str, Any]] = [
        (each.kind, (each.subject.partition("#")[2], {key: value for key, value in each.facts.items() if key != FACT}))
        for each in inventory.records
    ]
    return [*records, *sorted((each.kind, each.what) for each in inventory.problems)]


CASES = {
    "role": (
        """
        locals { name = "ci" }
        resource "aws_iam_role" "r" {
          name               = "${local.name}-deploy"
          assume_role_policy = jsonencode(%s)
          inline_policy {
            name   = "all"
            policy = "{\\"Statement\\": [{\\"Effect\\": \\"Allow\\", \\"Action\\": \\"*\\", \\"Resource\\": \\"*\\"}]}"
          }
        }
        """.replace("%s", json.dumps(POLICY).replace('": ', '" = ')),
        {
            "locals": [{"name": "ci"}, {"other": "x"}],
            "resource": {
                "aws_iam_role": {
                    "r": {
                        "//": "a comment",
                        "name": "${local.name}-deploy",
                        "assume_role_policy": json.dumps(POLICY),
                        "inline_policy": {
                            "name": "all",
                            "policy": '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}',
                        },
                    }
                }
            },
        },
    ),
    "document": (
        """
        data "aws_iam_policy_document" "trust" {
          statement {
            sid     = "Jobs"
            actions = ["sts:AssumeRoleWithWebIdentity"]
            principals {
              type        = "Federated"
              identifiers = [aws_iam_openid_connect_provider.github.arn]
            }
            condition {
              test     = "StringLike"
              variable = "${aws_iam_openid_connect_provider.github.url}:sub"
              values   = ["repo:acme/*", "$${aws:x}"]
            }
            condition {
              test     = "StringEquals"
              variable = "token.actions.githubusercontent.com:aud"
              values   = ["sts.amazonaws.com"]
            }
          }
        }
        resource "aws_iam_openid_connect_provider" "github" {
          url = "https://token.actions.githubusercontent.com"
        }
        resource "aws_iam_role" "r" {
          assume_role_policy = data.aws_iam_policy_document.trust.json
          managed_policy_arns = ["arn:aws:iam::aws:policy/AdministratorAccess"]
        }
        """,
        {
            "data": [
                {
                    "aws_iam_policy_document": {
                        "trust": {
                            "statement": [
                                {
                                    "sid": "Jobs",
                                    "actions": ["sts:AssumeRoleWithWebIdentity"],
                                    "principals": [
                                        {
                                            "type": "Federated",
                                            "identifiers": ["${aws_iam_openid_connect_provider.github.arn}"],
                                        }
                                    ],
                                    "condition": [
                                        {
                                            "test": "StringLike",
                                            "variable": "${aws_iam_openid_connect_provider.github.url}:sub",
                                            "values": ["repo:acme/*", "$${aws:x}"],
                                        },
                                        {
                                            "test": "StringEquals",
                                            "variable": "token.actions.githubusercontent.com:aud",
                                            "values": ["sts.amazonaws.com"],
                                        },
                                    ],
                                }
                            ]
                        }
                    }
                }
            ],
            "resource": [
                {"aws_iam_openid_connect_provider": {"github": {"url": "https://token.actions.githubusercontent.com"}}},
                {
                    "aws_iam_role": [
                        {
                            "r": {
                                "assume_role_policy": "${data.aws_iam_policy_document.trust.json}",
                                "managed_policy_arns": ["arn:aws:iam::aws:policy/AdministratorAccess"],
                            }
                        }
                    ]
                },
            ],
        },
    ),
    "vault": (
        """
        resource "vault_jwt_auth_backend_role" "x" {
          role_name       = "ci"
          role_type       = "jwt"
          user_claim      = "sub"
          bound_audiences = ["a"]
          bound_claims    = { repository = "acme/a, acme/b" }
          token_ttl       = 5400
          token_no_default_policy = true
          bound_subject   = null
        }
        data "vault_policy_document" "d" {
          rule {
            path         = "secret/*"
            capabilities = ["read"]
          }
        }
        resource "vault_policy" "p" {
          name   = "ci"
          policy = data.vault_policy_document.d.hcl
        }
        """,
        {
            "resource": {
                "vault_jwt_auth_backend_role": {
                    "x": {
                        "role_name": "ci",
                        "role_type": "jwt",
                        "user_claim": "sub",
                        "bound_audiences": ["a"],
                        "bound_claims": {"repository": "acme/a, acme/b"},
                        "token_ttl": 5400,
                        "token_no_default_policy": True,
                        "bound_subject": None,
                    }
                },
                "vault_policy": {"p": {"name": "ci", "policy": "${data.vault_policy_document.d.hcl}"}},
            },
            "data": {
                "vault_policy_document": {"d": {"rule": {"path": "secret/*", "capabilities": ["read"]}}},
            },
        },
    ),
    "clouds": (
        """
        resource "google_iam_workload_identity_pool_provider" "g" {
          workload_identity_pool_id          = google_iam_workload_identity_pool.ci.name
          workload_identity_pool_provider_id = "github"
          attribute_mapping = { "google.subject" = "assertion.sub" }
          oidc { issuer_uri = "https://token.actions.githubusercontent.com" }
        }
        resource "google_project_iam_member" "m" {
          project = "p"
          role    = "roles/editor"
          member  = "serviceAccount:${google_service_account.bot.email}"
          condition { expression = "x" }
        }
        data "google_iam_policy" "p" {
          binding {
            role    = "roles/owner"
            members = ["user:a@b"]
          }
        }
        resource "google_project_iam_policy" "p" {
          policy_data = data.google_iam_policy.p.policy_data
        }
        resource "azurerm_role_assignment" "a" {
          scope                = data.azurerm_subscription.primary.id
          role_definition_name = "Owner"
          principal_id         = azuread_service_principal.ci.object_id
          condition            = "c"
        }
        """,
        {
            "resource": {
                "google_iam_workload_identity_pool_provider": {
                    "g": {
                        "workload_identity_pool_id": "${google_iam_workload_identity_pool.ci.name}",
                        "workload_identity_pool_provider_id": "github",
                        "attribute_mapping": {"google.subject": "assertion.sub"},
                        "oidc": {"issuer_uri": "https://token.actions.githubusercontent.com"},
                    }
                },
                "google_project_iam_member": {
                    "m": {
                        "project": "p",
                        "role": "roles/editor",
                        "member": "serviceAccount:${google_service_account.bot.email}",
                        "condition": [{"expression": "x"}],
                    }
                },
                "google_project_iam_policy": {"p": {"policy_data": "${data.google_iam_policy.p.policy_data}"}},
                "azurerm_role_assignment": {
                    "a": {
                        "scope": "${data.azurerm_subscription.primary.id}",
                        "role_definition_name": "Owner",
                        "principal_id": "${azuread_service_principal.ci.object_id}",
                        "condition": "c",
                    }
                },
            },
            "data": {"google_iam_policy": {"p": {"binding": {"role": "roles/owner", "members": ["user:a@b"]}}}},
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_in_both_languages(name: str, tmp_path: Path) -> None:
    text, data = CASES[name]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    own = found(collected(tmp_path / "a", main_dot_tf=text))
    assert own
    assert not any(isinstance(each, str) for _, each in own), "problems"
    key = str
    assert sorted(found(collected(tmp_path / "b", main_dot_tf_dot_json=json.dumps(data, indent=2))), key=key) == sorted(
        own, key=key
    )


def test_both_languages_in_one_directory(tmp_path: Path) -> None:
    role = {"aws_iam_role": {"r": {"assume_role_policy": "${data.aws_iam_policy_document.trust.json}"}}}
    attached = {"x": {"role": "${aws_iam_role.r.name}", "policy_arn": "arn:aws:iam::aws:policy/IAMFullAccess"}}
    inventory = collected(
        tmp_path,
        a_dot_tf=CASES["document"][0].partition("resource")[0],
        b_dot_tf_dot_json=json.dumps({"resource": role}),
        c_dot_tofu_dot_json=json.dumps({"resource": {"aws_iam_role_policy_attachment": attached}}),
    )
    assert inventory.problems == []
    assert [each.kind for each in inventory.records] == ["aws.trust_policy", "aws.role_policies"]
    assert inventory.of("aws.role_policies")[0].facts["trust"] == ["trust"]


def test_lines(tmp_path: Path) -> None:
    text = json.dumps({"resource": {"aws_iam_policy": {"p": {"name": "n", "policy": json.dumps(POLICY)}}}}, indent=1)
    (record,) = collected(tmp_path, main_dot_tf_dot_json=text).records
    assert str(record.location) == "main.tf.json:6"


@pytest.mark.parametrize(
    "body",
    [
        {"assume_role_policy": "${var.policy}"},
        {"assume_role_policy": "%{ if x }a%{ endif }"},
        {"assume_role_policy": "${file(var.x)}"},
        {"assume_role_policy": ["a"]},
        {"assume_role_policy": None},
        {},
    ],
)
def test_what_is_computed_is_a_problem(body: Any, tmp_path: Path) -> None:
    text = json.dumps({"resource": {"aws_iam_role": {"r": body}}})
    inventory = collected(tmp_path, main_dot_tf_dot_json=text)
    assert inventory.records == []
    assert [each.kind for each in inventory.problems] == ["aws.trust_policy"]


@pytest.mark.parametrize(
    "body",
    [
        {"statement": "${local.statements}"},
        {"dynamic": {"statement": {"for_each": "${var.x}", "content": {}}}},
        {"dynamic": [{"statement": [{"content": {}}]}]},
        {"statement": [{"actions": ["*"], "resources": ["*"], "condition": "${var.x}"}]},
        {"statement": [{"actions": ["*"], "resources": ["*"]}, "${var.x}"]},
        {"statement": {"actions": ["*"], "resources": ["*"], "dynamic": {"condition": {"content": {}}}}},
    ],
)
def test_blocks_that_are_computed_are_a_problem(body: Any, tmp_path: Path) -> None:
    text = json.dumps({"data": {"aws_iam_policy_document": {"d": body, "e": {}}}})
    inventory = collected(tmp_path, main_dot_tf_dot_json=f"{text}")
    assert inventory.records == []
    assert [each.kind for each in inventory.problems] == ["aws.iam_policy"]


@pytest.mark.parametrize(
    "text",
    [
        '{"resource": {"aws_iam_role": ',
        '{"resource": {"aws_iam_role": {}}, "resource": {}}',
        '{"resource": {"aws_iam_role": {"r": "x"}}}',
        '{"resource": {"aws_iam_role": "x"}}',
        '{"resource": "aws_iam_role"}',
        '"aws_iam_role"',
        '["aws_iam_role"]',
        '{"aws_iam_role": ' + "[" * 3000 + "]" * 3000 + "}",
        '{"aws_iam_role": ' + "[" * 200_000 + "}",
        '{"aws_iam_role": ' + '{"a":' * 80 + "1" + "}" * 81,
        '{"aws_iam_role": ' + "1" * 5000 + "}",
        "aws_iam_role: &a [*a]",
    ],
    ids=["open", "twice", "text", "type", "kind", "scalar", "list", "brackets", "huge", "deep", "number", "yaml"],
)
def test_what_can_not_be_read_is_a_problem(text: str, tmp_path: Path) -> None:
    inventory = collected(tmp_path, main_dot_tf_dot_json=text)
    assert inventory.records == []
    assert {each.kind for each in inventory.problems} == {"aws.trust_policy", "aws.iam_policy"}
    assert all("it is no Terraform" in each.what for each in inventory.problems)


def test_bytes(tmp_path: Path) -> None:
    (tmp_path / "main.tf.json").write_bytes(b'{"aws_iam_role": "\xff"}')
    assert {each.what for each in collect(tmp_path).problems} == {"it is no text in UTF-8"}


@pytest.mark.parametrize("text", ["{}", "[]", '{"resource": []}', '{"variable": {"x": {}}, "output": 3}', "\ufeff{}"])
def test_what_has_nothing_in_it(text: str) -> None:
    assert parse_json(text).blocks == []


@pytest.mark.parametrize("value", ["${", "${}", "${a}-${b}", "}${", "${a b}", '${"a\n"}', "$${a}", "${x = 1}", "%"])
def test_odd_templates(value: str) -> None:
    text = json.dumps({"locals": {"a": value}})
    try:
        assert parse_json(text).blocks[0].attributes
    except HclError as error:
        pytest.fail(str(error))

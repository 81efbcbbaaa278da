"""Static keys of Terraform and CloudFormation, beyond the rule's samples."""

import json
from pathlib import Path
from typing import Any

import pytest

from keylease.audit import hcl
from keylease.audit.collectors.files import collect
from keylease.audit.collectors.terraform_keys import MADE, STORED
from keylease.audit.model import Finding
from keylease.audit.rules.terraform_static_key import TerraformStaticKey as Rule
from keylease.audit.snapshot import dumps, loads
from keylease.registry import RULES

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYzkq81Lmv0aTd"


def found(root: Path, text: str, name: str = "x.tf") -> list[Finding]:
    (root / name).write_text(text, encoding="utf-8")
    inventory = collect(root)
    assert inventory.problems == []
    findings = list(Rule().check(inventory))
    again = list(Rule().check(loads(dumps(inventory)).inventory))
    assert sorted(each.fingerprint for each in again) == sorted(each.fingerprint for each in findings)
    assert SECRET not in dumps(inventory)
    assert SECRET not in repr(findings)
    return findings


def told(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(each.severity, each.confidence, each.persona) for each in findings]


def resource(kind: str, *lines: str, label: str = "x") -> str:
    return f'resource "{kind}" "{label}" {{\n' + "".join(f"  {each}\n" for each in lines) + "}\n"


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("suffix", [".tf", ".tf.json"])
def test_each_resource_that_makes_a_key(kind: str, suffix: str, tmp_path: Path) -> None:
    text = resource(kind) if suffix == ".tf" else json.dumps({"resource": {kind: {"x": {"y": "z"}}}}, indent=1)
    (finding,) = found(tmp_path, text, f"x{suffix}")
    assert told([finding]) == [("medium", "medium", "regular")]
    assert finding.message.startswith(f"{kind}.x makes a static ")
    assert "in the state in clear" in finding.message


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("platform", ["github_actions_secret", "gitlab_project_variable"])
@pytest.mark.parametrize("suffix", [".tf", ".tf.json"])
def test_what_is_printed_in_its_place_is_no_finding(kind: str, platform: str, suffix: str, tmp_path: Path) -> None:
    label, value = STORED[platform][0], STORED[platform][1][0]
    of = {
        "service_account_id": "${google_service_account.a.name}",
        "application_id": "${azuread_application.b.id}",
    }
    stored = {label: "X", value: f"${{{kind}.x.secret}}"}
    data = {"resource": {kind: {"x": of}, platform: {"s": stored}}}
    (finding,) = found(tmp_path, json.dumps(data, indent=1), "x.tf.json")
    assert told([finding]) == [("medium", "high", "regular")]
    assert f"{platform}.s (X)" in finding.message
    if suffix == ".tf":
        (tmp_path / "x.tf.json").unlink()
        text = resource(kind, *(f'{key} = "{each}"' for key, each in of.items()))
        text += resource(platform, f'{label} = "X"', f"{value} = {kind}.x.secret", label="s")
        (finding,) = found(tmp_path, text)
    block = finding.change.partition("\n\n")[2]
    assert ("gitlab.com" in block) == platform.startswith("gitlab")
    if suffix == ".tf":
        hcl.parse(block)
    else:
        json.loads(block)
    (tmp_path / f"x{suffix}").write_text(block, encoding="utf-8")
    inventory = collect(tmp_path)
    assert inventory.problems == []
    names = [name for name in RULES if name.startswith(("aws-", "gcp-", "azure-", "vault-", "terraform-"))]
    findings = [each for name in names for each in RULES.load(name)().check(inventory)]
    assert [each.rule for each in findings if each.persona == "regular"] == []


def test_a_key_that_the_state_does_not_hold(tmp_path: Path) -> None:
    text = resource("aws_iam_access_key", 'user = "x"', 'pgp_key = "keybase:x"')
    (finding,) = found(tmp_path, text)
    assert told([finding]) == [("low", "medium", "pedantic")]
    assert "in clear" not in finding.message


def test_a_password_for_smtp_has_no_replacement(tmp_path: Path) -> None:
    text = resource("aws_iam_access_key") + 'output "p" {\n  value = aws_iam_access_key.x.ses_smtp_password_v4\n}\n'
    assert told(found(tmp_path, text)) == [("low", "low", "pedantic")]
    text += 'output "s" {\n  value = aws_iam_access_key.x.secret\n}\n'
    assert told(found(tmp_path, text)) == [("medium", "medium", "regular")]


STORES = [
    ('"AWS_SECRET_ACCESS_KEY"', f'"{SECRET}"', [("critical", "high", "regular")]),
    ('"PROD_AWS_SECRET_ACCESS_KEY"', f'"{SECRET}"', [("critical", "high", "regular")]),
    ('"OPENAI_API_KEY"', f'"{SECRET}"', [("high", "medium", "regular")]),
    ('"DEPLOY"', f'"ghp_{SECRET[:36]}"', [("critical", "high", "regular")]),
    ('"OPENAI_API_KEY"', "var.key", [("medium", "medium", "regular")]),
    ('"GCP_SA_KEY"', 'file("key.json")', [("medium", "medium", "regular")]),
    ('"GCP_SA_KEY"', "base64decode(google_service_account_key.x.private_key)", []),
    ('"OPENROUTER_API_KEY"', "var.key", [("medium", "low", "pedantic")]),
    ('"OPENAI_API_KEY"', '"changeme"', []),
    ('"OPENAI_API_KEY"', '""', []),
    ('"GROQ_OPENAI_API_KEY"', "var.key", []),
    ('"AWS_ROLE_ARN"', '"arn:aws:iam::1:role/ci"', []),
    ('"DATABASE_PASSWORD"', f'"{SECRET}"', []),
    ("each.key", "each.value", []),
    ('"OPENAI_API_KEY"', "null", []),
]


@pytest.mark.parametrize("kind", STORED)
@pytest.mark.parametrize(("name", "value", "expected"), STORES)
def test_what_goes_into_ci_settings(kind: str, name: str, value: str, expected: list[Any], tmp_path: Path) -> None:
    key, values = STORED[kind]
    for attribute in values:
        assert told(found(tmp_path, resource(kind, f"{key} = {name}", f"{attribute} = {value}"))) == expected


@pytest.mark.parametrize("ignored", ["[value]", "all", "[plaintext_value, value]"])
def test_a_value_that_somebody_sets_by_hand(ignored: str, tmp_path: Path) -> None:
    lines = ('key = "VAULT_TOKEN"', 'value = "a place for it"', f"lifecycle {{\n    ignore_changes = {ignored}\n  }}")
    assert found(tmp_path, resource("gitlab_group_variable", *lines)) == []
    assert told(found(tmp_path, resource("gitlab_group_variable", *lines[:2]))) == [("high", "medium", "regular")]
    stored = {"key": "VAULT_TOKEN", "value": "a place for it", "lifecycle": {"ignore_changes": ["value"]}}
    (tmp_path / "x.tf").unlink()
    assert found(tmp_path, json.dumps({"resource": {"gitlab_group_variable": {"x": stored}}}), "x.tf.json") == []


OTHERS = [
    resource("github_actions_variable", 'variable_name = "AWS_ROLE_ARN"', "value = aws_iam_role.x.arn"),
    resource("github_actions_secret", 'secret_name = "VAULT_TOKEN"', "encrypted_value = var.sealed"),
    'ephemeral "vault_token" "x" {\n}\n',
    'data "aws_iam_access_keys" "x" {\n  user = "x"\n}\n',
    resource("github_dependabot_secret", 'secret_name = "OPENAI_API_KEY"', "plaintext_value = var.x"),
]


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_no_key(text: str, tmp_path: Path) -> None:
    assert found(tmp_path, text) == []


TEMPLATE = """AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Key:
    Type: AWS::IAM::AccessKey
    Properties:
      UserName: !Ref User
"""


@pytest.mark.parametrize("name", ["t.yaml", "t.template", "t.json"])
def test_a_template_of_cloudformation(name: str, tmp_path: Path) -> None:
    key = {"Type": "AWS::IAM::AccessKey", "Properties": {"UserName": {"Ref": "User"}}}
    text = TEMPLATE if name != "t.json" else json.dumps({"Resources": {"Key": key}}, indent=1)
    (finding,) = found(tmp_path, text, name)
    assert finding.message == "Key (AWS::IAM::AccessKey) makes a static AWS access key: AWS takes an identity token"
    block = json.loads(finding.change.partition("\n\n")[2])
    (tmp_path / name).unlink()
    (tmp_path / "u.json").write_text(json.dumps({"Resources": block}, indent=1), encoding="utf-8")
    inventory = collect(tmp_path)
    assert [each.kind for each in inventory.records] == ["aws.trust_policy"]
    findings = [each for name in RULES if name.startswith("aws-trust") for each in RULES.load(name)().check(inventory)]
    assert [each.rule for each in findings if each.persona == "regular"] == []


def test_a_hostile_label_is_text(tmp_path: Path) -> None:
    text = 'resource "aws_iam_access_key" "a\\n::stop-commands::x ${file(1)}" {\n}\n'
    (finding,) = found(tmp_path, text)
    assert "\n" not in finding.message
    assert "\n" not in finding.change.partition("\n\n")[0]

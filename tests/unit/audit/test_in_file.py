"""Findings about what files say are mended in the file: what they print is put there, and they are gone."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from keylease.audit import hcl, hcl_text
from keylease.audit.collectors.files import collect
from keylease.audit.hcl_text import Inner
from keylease.audit.in_file import FACT
from keylease.audit.model import Finding, Inventory
from keylease.audit.vault_policies import stanzas
from keylease.registry import RULES
from tests.unit.audit.test_rules import INVENTORY, collected

TRUST, IAM, ROLE, POLICY = "aws.trust_policy", "aws.iam_policy", "vault.jwt_role", "vault.policy"
PROVIDER, BINDING = "gcp.provider", "gcp.binding"
FEDERATED, ASSIGNED = "azure.federated_credential", "azure.role_assignment"
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


def block(kind: str, label: str, fields: Mapping[str, Any]) -> str:
    return hcl_text.block(("resource", kind, label), fields) + "\n"


def listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def document(facts: Mapping[str, Any], label: str) -> str:
    """A policy as the blocks of a data source."""
    names = {"Action": "actions", "NotAction": "not_actions", "Resource": "resources", "NotResource": "not_resources"}
    made = []
    for each in facts["document"]["Statement"]:
        fields: dict[str, Any] = {"effect": each["Effect"], **({"sid": each["Sid"]} if "Sid" in each else {})}
        fields |= {to: listed(each[name]) for name, to in names.items() if name in each}
        given = each.get("Principal", {})
        given = {"*": ["*"]} if given == "*" else given
        fields["principals"] = [Inner({"type": kind, "identifiers": listed(ids)}) for kind, ids in given.items()]
        fields["condition"] = [
            Inner({"test": test, "variable": key, "values": listed(values)})
            for test, keys in each.get("Condition", {}).items()
            for key, values in keys.items()
        ]
        made.append(Inner({key: value for key, value in fields.items() if value}))
    return hcl_text.block(("data", "aws_iam_policy_document", label), {"statement": made}) + "\n"


def fields_of(kind: str, facts: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A resource as Terraform has it."""
    if kind == ROLE:
        own = {key: value for key, value in facts.items() if key not in ("name", "mount", FACT)}
        claims = {key: ",".join(map(str, listed(each))) for key, each in own.get("bound_claims", {}).items()}
        more = {"bound_claims": claims} if "bound_claims" in own else {}
        return "vault_jwt_auth_backend_role", {"role_name": facts["name"], **own, **more}
    if kind == PROVIDER:
        pool = (
            facts["pool"]
            if facts.get("project_number") != "terraform"
            else "${google_iam_workload_identity_pool.ci.name}"
        )
        return "google_iam_workload_identity_pool_provider", {
            "workload_identity_pool_id": pool,
            "workload_identity_pool_provider_id": facts["name"],
            **({"attribute_condition": facts["condition"]} if facts["condition"] else {}),
            "attribute_mapping": facts["mapping"],
            **(
                {"oidc": Inner({"issuer_uri": facts["issuer"]})}
                if facts["sort"] == "oidc"
                else {"aws": Inner({"account_id": "1"})}
            ),
        }
    if kind == BINDING:
        project, _, account = facts["resource"].removeprefix("projects/").partition("/serviceAccounts/")
        to = {"service_account_id": f"projects/x/serviceAccounts/{account}"} if account else {"project": project}
        member = re.sub(
            r"projects/\d+/locations/global/workloadIdentityPools/ci-pool",
            "${google_iam_workload_identity_pool.ci.name}",
            facts["member"],
        )
        name = "google_service_account_iam_member" if account else "google_project_iam_member"
        return name, {**to, "role": facts["role"], "member": member}
    if kind == FEDERATED:
        given = {"application_id": facts["application"], "display_name": facts["name"], "issuer": facts["issuer"]}
        if facts["expression"]:
            given |= {"audience": facts["audiences"][0], "claims_matching_expression": facts["expression"]}
            return "azuread_application_flexible_federated_identity_credential", given
        return "azuread_application_federated_identity_credential", {
            **given,
            "audiences": facts["audiences"],
            "subject": facts["subject"],
        }
    assert kind == ASSIGNED
    return "azurerm_role_assignment", {
        "scope": facts["scope"],
        "role_definition_name": facts["role"],
        "principal_id": "${azuread_service_principal.trainer.object_id}",
    }


def written(kind: str, facts: Mapping[str, Any], label: str, form: str) -> str:
    """One record in Terraform's language."""
    if kind == POLICY:
        if form == "json":
            text = facts["text"].replace("${", "$${")
            return f'resource "vault_policy" "{label}" {{\n  name = "{label}"\n  policy = <<EOT\n{text}\nEOT\n}}\n'
        given = [
            Inner({"path": each.path, "capabilities": sorted(each.capabilities)}) for each in stanzas(facts["text"])
        ]
        data = hcl_text.block(("data", "vault_policy_document", label), {"rule": given})
        return f'{data}\nresource "vault_policy" "{label}" {{\n  policy = data.vault_policy_document.{label}.hcl\n}}\n'
    if kind not in (TRUST, IAM):
        name, fields = fields_of(kind, facts)
        return block(name, label, fields)
    name, key = ("aws_iam_role", "assume_role_policy") if kind == TRUST else ("aws_iam_policy", "policy")
    text = {
        "hcl": f"jsonencode({hcl_text.value(facts['document'])})",
        "json": f"<<EOT\n{json.dumps(facts['document'], indent=2).replace('${', '$${')}\nEOT",
        "blocks": f"data.aws_iam_policy_document.{label}.json",
    }[form]
    more = document(facts, label) if form == "blocks" else ""
    return f'{more}resource "{name}" "{label}" {{\n  name = "{label}"\n  {key} = {text}\n}}\n'


def plainly(value: Any) -> Any:
    return {key: plainly(each) for key, each in value.items()} if isinstance(value, dict) else value


def mended(kind: str, facts: dict[str, Any], finding: Finding, form: str, where: str) -> str:
    """The record's text, with what the finding says in it."""
    said = finding.change.partition("\n\n")[2]
    if kind == POLICY:
        root = hcl.parse(said)
        stanza = root.blocks[0]
        if form == "blocks":
            assert stanza.labels[0] == "vault_policy_document"
            (rule,) = stanza.of("rule")
            stanza = hcl.Block("path", [rule.value("path")], 1, {"capabilities": rule.attributes["capabilities"]})
        path, capabilities = json.dumps(stanza.labels[0]), json.dumps(stanza.value("capabilities"))
        return written(kind, {"text": f"path {path} {{ capabilities = {capabilities} }}"}, where, form)
    if kind not in (TRUST, IAM):
        (given,) = hcl.parse(said).blocks
        name, fields = fields_of(kind, facts)
        assert given.type == "resource"
        assert given.labels == [name, where]
        more = {key: plainly(each.value) for key, each in given.attributes.items()}
        return block(name, where, {key: each for key, each in {**fields, **more}.items() if each is not None})
    document = json.loads(json.dumps(facts["document"]))
    part = _part(said, form)
    if "Effect" in part or "Action" in part:
        document["Statement"] = [{"Effect": "Allow", **part}]
    else:
        number = int(re.search(r"statement (\d+)", finding.change)[1]) - 1  # type: ignore[index]
        statement = document["Statement"][number]
        added = " add to StringEquals" in f" {finding.change}"
        if added and form != "blocks":
            part = {"Condition": {"StringEquals": part}}
        if added:
            wanted = part["Condition"]["StringEquals"]
            kept = statement.setdefault("Condition", {})
            kept["StringEquals"] = {**kept.get("StringEquals", {}), **wanted}
        else:
            statement.update(part)
    return written(kind, {**facts, "document": document}, where, form)


def _part(said: str, form: str) -> dict[str, Any]:
    """Keys of a statement."""
    if form == "json":
        found: dict[str, Any] = json.loads(said if said.startswith("{") else f"{{{said}}}")
        return found
    if form == "hcl":
        root = hcl.parse(f"x = {said}" if said.startswith("{") else said)
        values = {key: plainly(each.value) for key, each in root.attributes.items()}
        return dict(values["x"]) if said.startswith("{") else values
    root = hcl.parse(said)
    root = next(iter(root.of("statement")), root)
    part: dict[str, Any] = {}
    for each in root.of("condition"):
        part.setdefault("Condition", {}).setdefault(each.value("test"), {})[each.value("variable")] = each.value(
            "values"
        )
    for each in root.of("principals"):
        part.setdefault("Principal", {})[each.value("type")] = each.value("identifiers")
    names = {"actions": "Action", "resources": "Resource"}
    return {**part, **{to: root.value(name) for name, to in names.items() if root.value(name)}}


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

"""Records as files of Terraform, and files with what a finding prints put into them."""

import json
import re
from collections.abc import Mapping
from typing import Any

from keylease.audit import hcl, hcl_text
from keylease.audit.hcl_text import Inner
from keylease.audit.in_file import FACT
from keylease.audit.model import Finding
from keylease.audit.vault_policies import stanzas

TRUST, IAM, ROLE, POLICY = "aws.trust_policy", "aws.iam_policy", "vault.jwt_role", "vault.policy"
PROVIDER, BINDING = "gcp.provider", "gcp.binding"
FEDERATED, ASSIGNED = "azure.federated_credential", "azure.role_assignment"


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

"""Google's and Azure's trust in Terraform's files, and that the rules of inventories judge it."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from keylease.audit.collectors.files import collect
from keylease.audit.in_file import FACT
from keylease.audit.model import Inventory
from keylease.registry import RULES

GOOGLE = """
    resource "google_iam_workload_identity_pool" "ci" {
      workload_identity_pool_id = "ci-pool"
    }

    resource "google_iam_workload_identity_pool_provider" "github" {
      workload_identity_pool_id          = google_iam_workload_identity_pool.ci.workload_identity_pool_id
      workload_identity_pool_provider_id = "github"
      attribute_mapping = {
        "google.subject"       = "assertion.sub"
        "attribute.repository" = "assertion.repository"
      }
      %s
      oidc {
        issuer_uri = "https://token.actions.githubusercontent.com"
      }
    }

    resource "google_service_account_iam_member" "wif" {
      service_account_id = google_service_account.bot.name
      role               = "roles/iam.workloadIdentityUser"
      member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.ci.name}/*"
    }

    resource "google_project_iam_binding" "editors" {
      project = "acme-ml"
      role    = "roles/editor"
      members = ["serviceAccount:${google_service_account.bot.email}", google_service_account.other.member, "user:a@b"]
      condition {
        title      = "x"
        expression = "request.time < timestamp('2027-01-01T00:00:00Z')"
      }
    }
"""

AZURE = """
    resource "azuread_application_federated_identity_credential" "main" {
      application_id = azuread_application.trainer.id
      display_name   = "main"
      audiences      = ["api://AzureADTokenExchange"]
      issuer         = "https://token.actions.githubusercontent.com"
      subject        = "repo:acme/trainer:pull_request"
    }

    resource "azuread_application_flexible_federated_identity_credential" "any" {
      application_id             = azuread_application.trainer.id
      display_name               = "any"
      audience                   = "api://AzureADTokenExchange"
      issuer                     = "https://token.actions.githubusercontent.com"
      claims_matching_expression = "claims['sub'] matches 'repo:acme/*'"
    }

    resource "azurerm_role_assignment" "owner" {
      scope                = data.azurerm_subscription.primary.id
      role_definition_name = "Owner"
      principal_id         = azuread_service_principal.trainer.object_id
    }

    resource "azurerm_role_assignment" "group" {
      scope                = azurerm_resource_group.ml.id
      role_definition_name = "Owner"
      principal_id         = azuread_service_principal.trainer.object_id
    }

    resource "azurerm_role_assignment" "person" {
      scope                = data.azurerm_subscription.primary.id
      role_definition_name = "Owner"
      principal_id         = data.azuread_user.ann.object_id
    }
"""


def collected(root: Path, text: str) -> Inventory:
    (root / "main.tf").write_text(dedent(text), encoding="utf-8")
    return collect(root)


def facts(inventory: Inventory, kind: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in each.facts.items() if key != FACT} for each in inventory.of(kind)]


def judged(name: str, inventory: Inventory) -> list[str]:
    found = list(RULES.load(name)().check(inventory))
    assert all(each.location and each.location.path == "main.tf" and each.location.line > 1 for each in found)
    assert all(each.subject.startswith("file://main.tf#") for each in found)
    return [f"{each.subject.rpartition('#')[2]} {each.severity}" for each in found]


def test_google(tmp_path: Path) -> None:
    condition = "attribute_condition = \"assertion.repository_owner_id == '6539'\""
    inventory = collected(tmp_path, GOOGLE % condition)
    assert inventory.problems == []
    assert facts(inventory, "gcp.provider") == [
        {
            "name": "github",
            "pool": "ci",
            "project": "PROJECT",
            "project_number": "terraform",
            "sort": "oidc",
            "issuer": "https://token.actions.githubusercontent.com",
            "condition": "assertion.repository_owner_id == '6539'",
            "mapping": {"google.subject": "assertion.sub", "attribute.repository": "assertion.repository"},
            "audiences": [],
            "disabled": False,
        }
    ]
    bindings = [(b["resource"], b["member"], bool(b["condition"])) for b in facts(inventory, "gcp.binding")]
    pool = "projects/terraform/locations/global/workloadIdentityPools/ci"
    assert bindings == [
        ("projects/PROJECT/serviceAccounts/bot", f"principalSet://iam.googleapis.com/{pool}/*", False),
        ("projects/acme-ml", "serviceAccount:bot", True),
        ("projects/acme-ml", "serviceAccount:other", True),
        ("projects/acme-ml", "user:a@b", True),
    ]
    assert judged("gcp-provider-no-condition", inventory) == []
    assert judged("gcp-wide-principal-set", inventory) == ["wif medium"]
    assert judged("gcp-strong-role", inventory) == [
        "editors/serviceAccount:bot medium",
        "editors/serviceAccount:other medium",
    ]


def test_a_provider_without_a_condition(tmp_path: Path) -> None:
    inventory = collected(tmp_path, GOOGLE % "")
    assert judged("gcp-provider-no-condition", inventory) == ["github critical"]
    disabled = collected(tmp_path, GOOGLE % "disabled = true")
    assert judged("gcp-provider-no-condition", disabled) == []


def test_a_custom_role_is_none_of_the_strong_ones(tmp_path: Path) -> None:
    text = (GOOGLE % "").replace('"roles/editor"', "google_project_iam_custom_role.deployer.id")
    inventory = collected(tmp_path, text)
    assert inventory.problems == []
    assert judged("gcp-strong-role", inventory) == []


def test_parts_that_are_variables_are_values(tmp_path: Path) -> None:
    given = "attribute_condition = \"assertion.repository_owner_id == '${var.owner}'\""
    inventory = collected(tmp_path, GOOGLE % given)
    assert inventory.problems == []
    assert judged("gcp-provider-no-condition", inventory) == []


WHOLE = """
    data "google_iam_policy" "all" {
      %s
      binding {
        role    = "roles/owner"
        members = ["serviceAccount:${google_service_account.bot.email}", "user:a@b"]
      }
      binding {
        role    = %s
        members = ["serviceAccount:${google_service_account.bot.email}"]
        condition {
          title      = "x"
          expression = "y"
        }
      }
    }

    resource "google_project_iam_policy" "whole" {
      project     = "acme-ml"
      policy_data = %s
    }

    resource "google_service_account_iam_policy" "of_account" {
      service_account_id = google_service_account.other.name
      policy_data        = data.google_iam_policy.all.policy_data
    }
"""
ITS_OWN = "data.google_iam_policy.all.policy_data"


def test_a_whole_policy_of_google(tmp_path: Path) -> None:
    inventory = collected(tmp_path, WHOLE % ("", '"roles/viewer"', ITS_OWN))
    assert inventory.problems == []
    account = "projects/PROJECT/serviceAccounts/other"
    assert [(b["resource"], b["role"], b["member"], b["condition"]) for b in facts(inventory, "gcp.binding")] == [
        ("projects/acme-ml", "roles/owner", "serviceAccount:bot", None),
        ("projects/acme-ml", "roles/owner", "user:a@b", None),
        ("projects/acme-ml", "roles/viewer", "serviceAccount:bot", "y"),
        (account, "roles/owner", "serviceAccount:bot", None),
        (account, "roles/owner", "user:a@b", None),
        (account, "roles/viewer", "serviceAccount:bot", "y"),
    ]
    assert len({each.subject for each in inventory.records}) == 6
    assert judged("gcp-strong-role", inventory)[0] == "whole/serviceAccount:bot/roles/owner high"


@pytest.mark.parametrize(
    ("more", "role", "data", "count"),
    [
        ("", "var.role", ITS_OWN, 4),
        ('dynamic "binding" {}', '"roles/viewer"', ITS_OWN, 6),
        ("", '"roles/viewer"', "var.policy", 3),
        ("", '"roles/viewer"', "data.google_iam_policy.elsewhere.policy_data", 3),
    ],
)
def test_a_policy_of_google_that_is_computed_in_parts(
    more: str, role: str, data: str, count: int, tmp_path: Path
) -> None:
    inventory = collected(tmp_path, WHOLE % (more, role, data))
    assert len(inventory.records) == count
    assert {each.kind for each in inventory.problems} == {"gcp.binding"}


def test_azure(tmp_path: Path) -> None:
    inventory = collected(tmp_path, AZURE)
    assert inventory.problems == []
    first, second = facts(inventory, "azure.federated_credential")
    assert (first["subject"], first["expression"], first["application_name"]) == (
        "repo:acme/trainer:pull_request",
        "",
        "trainer",
    )
    assert (second["subject"], second["expression"]) == ("", "claims['sub'] matches 'repo:acme/*'")
    assert judged("azure-federation-pull-request", inventory) == ["main medium"]
    assert judged("azure-flexible-wildcard", inventory) == ["any high"]
    assert judged("azure-strong-role", inventory) == ["owner high"]


@pytest.mark.parametrize(
    ("old", "new", "kind", "what"),
    [
        ('"roles/iam.workloadIdentityUser"', "var.role", "gcp.binding", "role is computed"),
        ('["serviceAccount:', '[var.someone, "serviceAccount:', "gcp.binding", "a member is computed"),
        ('["serviceAccount:', 'concat(["serviceAccount:', "gcp.binding", "a member is computed"),
        ('"https://token.actions.githubusercontent.com"', "var.issuer", "gcp.provider", "issuer_uri is computed"),
    ],
)
def test_what_is_computed_is_a_problem(tmp_path: Path, old: str, new: str, kind: str, what: str) -> None:
    text = (GOOGLE % "").replace(old, new)
    if "concat(" in text:
        text = text.replace('"user:a@b"]', '"user:a@b"])')
    inventory = collected(tmp_path, text)
    assert [(each.kind, each.what.partition(": ")[2]) for each in inventory.problems] == [(kind, what)]
    assert kind in inventory.kinds


def test_a_condition_that_is_computed(tmp_path: Path) -> None:
    inventory = collected(tmp_path, GOOGLE % "attribute_condition = var.condition")
    assert [each.kind for each in inventory.problems] == ["gcp.provider"]
    assert inventory.of("gcp.provider") == []


def test_a_scope_or_subject_that_is_computed(tmp_path: Path) -> None:
    text = AZURE.replace('"repo:acme/trainer:pull_request"', "var.subject")
    inventory = collected(tmp_path, text.replace("data.azurerm_subscription.primary.id", "var.scope", 1))
    assert {each.kind for each in inventory.problems} == {"azure.federated_credential", "azure.role_assignment"}


def test_clouds_are_no_inventory_where_no_file_speaks_of_them(tmp_path: Path) -> None:
    inventory = collected(tmp_path, 'resource "aws_iam_role" "r" {\n  assume_role_policy = "{}"\n}\n')
    assert not {"gcp.provider", "gcp.binding", "azure.role_assignment"} & inventory.kinds


def test_a_file_that_is_broken(tmp_path: Path) -> None:
    inventory = collected(tmp_path, AZURE + "\n}}}")
    assert {each.kind for each in inventory.problems} == {"azure.federated_credential", "azure.role_assignment"}

"""The trust in a CI platform's identity tokens as Terraform or CloudFormation has it: what stands in a key's place.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/iam_openid_connect_provider;
…/hashicorp/google/latest/docs/resources/iam_workload_identity_pool_provider;
…/hashicorp/azuread/latest/docs/resources/application_federated_identity_credential;
…/hashicorp/vault/latest/docs/resources/jwt_auth_backend_role;
…/databricks/databricks/latest/docs/resources/service_principal_federation_policy
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from keylease.audit.facts import text
from keylease.audit.hcl_text import Inner
from keylease.audit.in_file import blocks
from keylease.audit.issuers import ISSUERS
from keylease.audit.model import Record

Block = tuple[Sequence[str], Mapping[str, Any]]


class _Platform(Struct, frozen=True):
    """host: of its tokens. subject: of one branch. place, number: claims with a project's name and id."""

    host: str
    audience: str
    subject: str
    place: str
    example: str
    number: str
    ref: Mapping[str, str]


_PLATFORMS: Mapping[str, _Platform] = {
    "github": _Platform(
        "token.actions.githubusercontent.com",
        "sts.amazonaws.com",
        "repo:OWNER/REPOSITORY:ref:refs/heads/main",
        "repository",
        "OWNER/REPOSITORY",
        "repository_id",
        {"ref": "refs/heads/main"},
    ),
    "gitlab": _Platform(
        "gitlab.com",
        "https://gitlab.com",
        "project_path:GROUP/PROJECT:ref_type:branch:ref:main",
        "project_path",
        "GROUP/PROJECT",
        "project_id",
        {"ref": "main", "ref_type": "branch"},
    ),
}


def terraform(record: Record, provider: str, platform: Literal["github", "gitlab"]) -> str:
    """The blocks for one vendor, in the language of the record's file."""
    return blocks(record, _MAKERS[provider](_PLATFORMS[platform], text(record, "of")))


def cloudformation() -> dict[str, Any]:
    """Resources for GitHub's jobs on AWS."""
    given = _PLATFORMS["github"]
    condition = {"StringEquals": {f"{given.host}:aud": given.audience, f"{given.host}:sub": given.subject}}
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": {"Ref": "GitHub"}},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": condition,
    }
    provider = {"Url": f"https://{given.host}", "ClientIdList": [given.audience]}
    role = {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
    return {
        "GitHub": {"Type": "AWS::IAM::OIDCProvider", "Properties": provider},
        "CiRole": {"Type": "AWS::IAM::Role", "Properties": role},
    }


def _aws(given: _Platform, of: str) -> list[Block]:
    del of
    tests = {"aud": given.audience, "sub": given.subject}
    statement = {
        "actions": ["sts:AssumeRoleWithWebIdentity"],
        "principals": Inner({"type": "Federated", "identifiers": ["${aws_iam_openid_connect_provider.ci.arn}"]}),
        "condition": [
            Inner({"test": "StringEquals", "variable": f"{given.host}:{claim}", "values": [value]})
            for claim, value in tests.items()
        ],
    }
    url = {"url": f"https://{given.host}", "client_id_list": [given.audience]}
    role = {"name": "ci", "assume_role_policy": "${data.aws_iam_policy_document.ci.json}"}
    return [
        (("resource", "aws_iam_openid_connect_provider", "ci"), url),
        (("data", "aws_iam_policy_document", "ci"), {"statement": Inner(statement)}),
        (("resource", "aws_iam_role", "ci"), role),
    ]


def _gcp(given: _Platform, of: str) -> list[Block]:
    account = re.match(r"\$\{\s*google_service_account\.([\w-]+)", of)
    provider = {
        "workload_identity_pool_id": "${google_iam_workload_identity_pool.ci.workload_identity_pool_id}",
        "workload_identity_pool_provider_id": "ci",
        "attribute_condition": ISSUERS[given.host].ask,
        "attribute_mapping": {
            "google.subject": "assertion.sub",
            f"attribute.{given.number}": f"assertion.{given.number}",
        },
        "oidc": Inner({"issuer_uri": f"https://{given.host}"}),
    }
    pool = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.ci.name}"
    member = {
        "service_account_id": f"${{google_service_account.{account[1]}.name}}"
        if account
        else "projects/PROJECT/serviceAccounts/ACCOUNT",
        "role": "roles/iam.workloadIdentityUser",
        "member": f"{pool}/attribute.{given.number}/{given.number.upper()}",
    }
    return [
        (("resource", "google_iam_workload_identity_pool", "ci"), {"workload_identity_pool_id": "ci"}),
        (("resource", "google_iam_workload_identity_pool_provider", "ci"), provider),
        (("resource", "google_service_account_iam_member", "ci"), member),
    ]


def _azure(given: _Platform, of: str) -> list[Block]:
    known = re.match(r"\$\{\s*azuread_application\.([\w-]+)", of)
    credential = {
        "application_id": f"${{azuread_application.{known[1]}.id}}" if known else "/applications/OBJECT_ID",
        "display_name": "ci",
        "audiences": ["api://AzureADTokenExchange"],
        "issuer": f"https://{given.host}",
        "subject": given.subject,
    }
    return [(("resource", "azuread_application_federated_identity_credential", "ci"), credential)]


def _vault(given: _Platform, of: str) -> list[Block]:
    del of
    issuer = f"https://{given.host}"
    role = {
        "backend": "${vault_jwt_auth_backend.ci.path}",
        "role_name": "ci",
        "role_type": "jwt",
        "user_claim": given.place,
        "bound_audiences": ["https://VAULT_ADDRESS"],
        "bound_claims": {given.place: given.example, **given.ref},
        "token_policies": ["POLICY"],
        "token_ttl": 900,
        "token_max_ttl": 3600,
    }
    return [
        (
            ("resource", "vault_jwt_auth_backend", "ci"),
            {"path": "jwt", "oidc_discovery_url": issuer, "bound_issuer": issuer},
        ),
        (("resource", "vault_jwt_auth_backend_role", "ci"), role),
    ]


def _databricks(given: _Platform, of: str) -> list[Block]:
    known = re.match(r"\$\{\s*databricks_service_principal\.([\w-]+)", of)
    policy = {
        "service_principal_id": f"${{databricks_service_principal.{known[1]}.id}}" if known else "SERVICE_PRINCIPAL_ID",
        "policy_id": "ci",
        "oidc_policy": {
            "issuer": f"https://{given.host}",
            "audiences": ["ACCOUNT_ID"],
            "subject": given.subject,
            "subject_claim": "sub",
        },
    }
    return [(("resource", "databricks_service_principal_federation_policy", "ci"), policy)]


_MAKERS: Mapping[str, Callable[[_Platform, str], list[Block]]] = {
    "aws": _aws,
    "gcp": _gcp,
    "azure": _azure,
    "vault": _vault,
    "databricks": _databricks,
}

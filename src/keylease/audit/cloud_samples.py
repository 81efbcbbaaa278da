"""Samples of the rules about Google Cloud and Azure: an inventory of some records, as text."""

import json
from typing import Any

NOW = "2026-11-01T00:00:00Z"
GITHUB = "https://token.actions.githubusercontent.com"
_POOL = "projects/123456789012/locations/global/workloadIdentityPools/ci-pool"
POOL = f"principalSet://iam.googleapis.com/{_POOL}"


def these(*records: dict[str, Any]) -> str:
    """The text."""
    return json.dumps({"records": list(records), "now": NOW}, indent=1) + "\n"


def provider(condition: str, **facts: Any) -> dict[str, Any]:
    """A provider of GitHub's issuer."""
    mapping = {
        "google.subject": "assertion.sub",
        "attribute.repository": "assertion.repository",
        "attribute.repository_owner": "assertion.repository_owner",
    }
    known = {"name": "github", "pool": "ci-pool", "project": "acme-ml", "project_number": "123456789012"}
    given = {"sort": "oidc", "issuer": GITHUB, "condition": condition, "mapping": mapping, "audiences": []}
    made = {**known, **given, "disabled": False, "active": True, **facts}
    return {"kind": "gcp.provider", "subject": f"gcp://acme-ml/provider/ci-pool/{made['name']}", "facts": made}


def binding(role: str, member: str, account: str = "", **facts: Any) -> dict[str, Any]:
    """A binding on the project, or on one of its service accounts."""
    resource = "projects/acme-ml" + (f"/serviceAccounts/{account}" if account else "")
    place = f"{account}/" if account else ""
    given = {"resource": resource, "project": "acme-ml", "role": role, "member": member, "condition": None, **facts}
    return {"kind": "gcp.binding", "subject": f"gcp://acme-ml/binding/{place}{role}/{member}", "facts": given}


def key(account: str, **facts: Any) -> dict[str, Any]:
    """A key of a service account."""
    given = {"name": "aa11", "holder": account, "project": "acme-ml", "created_at": "2026-01-10T08:00:00Z"}
    made = {**given, "expires_at": None, "active": True, "origin": "GOOGLE_PROVIDED", **facts}
    return {"kind": "gcp.key", "subject": f"gcp://acme-ml/key/{account}/{made['name']}", "facts": made}


_APP = "00000000-0000-4000-8000-00000000000a"


def federated(subject: str = "", expression: str = "", **facts: Any) -> dict[str, Any]:
    """A federated credential of an application."""
    given = {"name": "ci", "application": _APP, "application_name": "trainer", "issuer": GITHUB, "subject": subject}
    made = {**given, "expression": expression, "audiences": ["api://AzureADTokenExchange"], **facts}
    subject = f"azure://{_APP}/federated_credential/{made['name']}"
    return {"kind": "azure.federated_credential", "subject": subject, "facts": made}


def credential(**facts: Any) -> dict[str, Any]:
    """A client secret of the same application."""
    given = {"name": "ci", "key_id": "b1", "holder": "trainer", "application": _APP, "application_name": "trainer"}
    made = {**given, "sort": "password", "active": True, "created_at": "2026-01-10T08:00:00Z", **facts}
    return {"kind": "azure.credential", "subject": f"azure://{_APP}/credential/{made['key_id']}", "facts": made}


def assignment(role: str, scope: str, **facts: Any) -> dict[str, Any]:
    """A role of the same application."""
    given = {"principal": "c1", "principal_type": "ServicePrincipal", "principal_name": "trainer", "application": _APP}
    more = {"role": role, "role_id": "", "custom": False, "everything": role == "Owner", "managed": False}
    made = {**given, **more, "scope": scope, "condition": None, **facts}
    return {"kind": "azure.role_assignment", "subject": f"azure://s1/role_assignment/{role}", "facts": made}

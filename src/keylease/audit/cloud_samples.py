"""Records for the samples of rules about Google Cloud and Azure."""

from typing import Any

from keylease.audit.samples import Row

GITHUB = "https://token.actions.githubusercontent.com"
_POOL = "projects/123456789012/locations/global/workloadIdentityPools/ci-pool"
POOL = f"principalSet://iam.googleapis.com/{_POOL}"


def provider(condition: str, **facts: Any) -> Row:
    """A provider of GitHub's issuer."""
    mapping = {
        "google.subject": "assertion.sub",
        "attribute.repository": "assertion.repository",
        "attribute.repository_owner": "assertion.repository_owner",
    }
    known = {"name": "github", "pool": "ci-pool", "project": "acme-ml", "project_number": "123456789012"}
    given = {"sort": "oidc", "issuer": GITHUB, "condition": condition, "mapping": mapping, "audiences": []}
    made = {**known, **given, "disabled": False, "active": True, **facts}
    return "gcp.provider", f"gcp://acme-ml/provider/ci-pool/{made['name']}", made


def binding(role: str, member: str, account: str = "", **facts: Any) -> Row:
    """A binding on the project, or on one of its service accounts."""
    resource = "projects/acme-ml" + (f"/serviceAccounts/{account}" if account else "")
    place = f"{account}/" if account else ""
    given = {"resource": resource, "project": "acme-ml", "role": role, "member": member, "condition": None, **facts}
    return "gcp.binding", f"gcp://acme-ml/binding/{place}{role}/{member}", given


def key(account: str, **facts: Any) -> Row:
    """A key of a service account."""
    given = {"name": "aa11", "holder": account, "project": "acme-ml", "created_at": "2026-01-10T08:00:00Z"}
    made = {**given, "expires_at": None, "active": True, "origin": "GOOGLE_PROVIDED", **facts}
    return "gcp.key", f"gcp://acme-ml/key/{account}/{made['name']}", made


_APP = "00000000-0000-4000-8000-00000000000a"


def federated(subject: str = "", expression: str = "", **facts: Any) -> Row:
    """A federated credential of an application."""
    given = {"name": "ci", "application": _APP, "application_name": "trainer", "issuer": GITHUB, "subject": subject}
    made = {**given, "expression": expression, "audiences": ["api://AzureADTokenExchange"], **facts}
    subject = f"azure://{_APP}/federated_credential/{made['name']}"
    return "azure.federated_credential", subject, made


def credential(**facts: Any) -> Row:
    """A client secret of the same application."""
    given = {"name": "ci", "key_id": "b1", "holder": "trainer", "application": _APP, "application_name": "trainer"}
    made = {**given, "sort": "password", "active": True, "created_at": "2026-01-10T08:00:00Z", **facts}
    return "azure.credential", f"azure://{_APP}/credential/{made['key_id']}", made


def assignment(role: str, scope: str, **facts: Any) -> Row:
    """A role of the same application."""
    given = {"principal": "c1", "principal_type": "ServicePrincipal", "principal_name": "trainer", "application": _APP}
    more = {"role": role, "role_id": "", "custom": False, "everything": role == "Owner", "managed": False}
    made = {**given, **more, "scope": scope, "condition": None, **facts}
    return "azure.role_assignment", f"azure://s1/role_assignment/{role}", made

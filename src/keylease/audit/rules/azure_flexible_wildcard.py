"""A flexible federated credential lets in more than one project."""

from collections.abc import Iterator, Mapping
from typing import Any

from keylease.audit.cloud_samples import federated
from keylease.audit.flexible import Pattern, bound, breadth, patterns
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_MAIN = "claims['job_workflow_ref'] matches 'acme/deploy/.github/workflows/*@refs/heads/main'"


class AzureFlexibleWildcard(Rule):
    """One whose wildcard is held in bounds by ``job_workflow_ref`` is what such credentials are for: for auditors."""

    id = "azure-flexible-wildcard"
    title = "a flexible federated credential lets in more than one project"
    severity = "high"
    needs = ("azure.federated_credential",)
    why = (
        "`repo:acme/*` gives the application to every repository of the organization, every branch and every workflow: "
        "whoever may push anywhere there has its roles. `repo:acme*` is worse: everybody may register an account whose "
        "name begins so. A credential that names a reusable workflow alone is for whoever calls that workflow."
    )
    fix = "Name the repository and the branch or environment, or bind `job_workflow_ref` beside the wildcard."
    links = (
        "https://learn.microsoft.com/entra/workload-id/workload-identities-flexible-federated-identity-credentials",
        "https://docs.github.com/actions/how-tos/secure-your-work/security-harden-deployments/oidc-in-azure",
    )
    sample = "inventory.json"
    bad = (
        these(federated(expression="claims['sub'] matches 'repo:acme/*'")),
        these(federated(expression="claims['sub'] matches 'repo:acme*'")),
        these(federated(expression="claims['sub'] matches 'repo:acme/*:environment:prod'")),
        these(federated(expression=f"claims['sub'] matches 'repo:acme/*' and {_MAIN}")),
        these(federated(expression="claims['sub'] matches 'repo:acme/trainer:*'")),
        these(
            federated(expression="claims['job_workflow_ref'] eq 'acme/deploy/.github/workflows/d.yml@refs/heads/main'")
        ),
        these(federated(expression="claims['sub'] matches 'project_path:acme/*'", issuer="https://gitlab.com")),
        these(federated(expression="claims['sub'] like 'x'")),
    )
    good = (
        these(federated("repo:acme/*")),
        these(federated(expression="claims['sub'] eq 'repo:acme/trainer:ref:refs/heads/main'")),
        these(federated(expression=f"claims['sub'] matches 'repo:acme/trainer:*' and {_MAIN}")),
        these(federated(expression="claims['sub'] matches 'repo:acme/trainer:ref:refs/heads/main'")),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a credential."""
        for record in inventory.of("azure.federated_credential"):
            expression = str(record.facts.get("expression") or "")
            if not expression:
                continue
            ranked = _rank(expression, str(record.facts.get("issuer")))
            if ranked is None:
                continue
            what, more = ranked
            whose = shown(record.facts.get("application_name") or record.facts.get("application"))
            name = shown(record.facts.get("name"))
            yield self.finding(
                record,
                f"the federated credential {name} of {whose} {what}: `{shown(expression, 120)}`",
                evidence=[("expression", shown(expression, 200)), ("issuer", shown(record.facts.get("issuer")))],
                change="say which repository, and which branch or environment\n\n"
                + bound(record, "repo:OWNER/REPOSITORY:environment:production"),
                key="wildcard",
                **more,
            )


def _is_pinned(found: Mapping[str, Pattern], claim: str) -> bool:
    return claim in found and not found[claim].wild


def _rank(expression: str, issuer: str) -> tuple[str, dict[str, Any]] | None:
    """(what it does, what of the finding differs from the rule's own); None for what is narrow enough."""
    found = patterns(expression)
    if found is None:
        return "is of a form that was not understood", {"severity": "low", "confidence": "low", "persona": "auditor"}
    workflow, subject = found.get("job_workflow_ref"), found.get("sub")
    bounded = workflow is not None and "/" in workflow.text.partition("*")[0]
    if subject is None:
        return "is for whoever calls a reusable workflow, from any repository", {"confidence": "medium"}
    wide = breadth(issuer, subject)
    if _is_pinned(found, "repository_id") and wide in ("everybody", "owner"):
        wide = "project"
    elif _is_pinned(found, "repository_owner_id") and wide == "everybody":
        wide = "owner"
    if wide == "everybody":
        return "lets in projects of other owners", {"severity": "medium" if bounded else "critical"}
    if wide == "owner":
        auditor = {"severity": "low", "persona": "auditor"}
        return "lets in every project of an owner", auditor if bounded else {}
    if wide == "project" and not bounded:
        return "lets in any branch, tag or environment that fits", {"severity": "low", "persona": "pedantic"}
    if wide == "?":
        return "has a wildcard that was not understood", {"severity": "low", "confidence": "low", "persona": "auditor"}
    return None

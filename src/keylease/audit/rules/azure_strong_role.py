"""An application may do everything in a subscription, or above it."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

from keylease.audit.cloud_samples import assignment, federated
from keylease.audit.in_file import attributes, declared
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_S = "/subscriptions/11111111-2222-4333-8444-555555555555"
_SUBSCRIPTION = re.compile(r"/subscriptions/[^/]+/?\Z", re.IGNORECASE)
_ABOVE = re.compile(r"/(?:providers/Microsoft\.Management/managementGroups/[^/]+/?)?\Z", re.IGNORECASE)

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/privileged
_ROLES = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
}
_GIVES = frozenset(_ROLES.values()) - {"Contributor"}


class AzureStrongRole(Rule):
    """Of service principals, managed identities among them. A condition on the assignment may hold it in bounds."""

    id = "azure-strong-role"
    title = "an application may do everything in a subscription or above it"
    severity = "high"
    needs = ("azure.role_assignment",)
    also = ("azure.federated_credential",)
    why = (
        "What an application may do, whoever gets code into one of its jobs, or a copy of its secret, may do. Owner, "
        "User Access Administrator and Role Based Access Control Administrator can give everybody every role; "
        "Contributor changes and deletes all that is there. At a management group or the root that is all "
        "subscriptions below."
    )
    fix = "Assign the roles of the services that the job uses, on the resource group or resource it works on."
    links = (
        "https://learn.microsoft.com/azure/role-based-access-control/best-practices",
        "https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/privileged",
    )
    sample = "inventory.json"
    bad = (
        these(assignment("Owner", _S)),
        these(assignment("User Access Administrator", "/")),
        these(assignment("Contributor", "/providers/Microsoft.Management/managementGroups/all")),
        these(assignment("Contributor", _S), federated("repo:acme/trainer:ref:refs/heads/main")),
        these(assignment("Everything", _S, custom=True, everything=True)),
    )
    good = (
        these(assignment("Owner", f"{_S}/resourceGroups/ml")),
        these(assignment("Owner", _S, principal_type="User")),
        these(assignment("Reader", _S)),
        these(assignment("Everything", _S, custom=True, everything=False)),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding an assignment."""
        federated_apps = {str(each.facts.get("application")) for each in inventory.of("azure.federated_credential")}
        for record in inventory.of("azure.role_assignment"):
            facts = record.facts
            scope = str(facts.get("scope") or "")
            above = _ABOVE.fullmatch(scope) is not None
            if facts.get("principal_type") != "ServicePrincipal" or not (above or _SUBSCRIPTION.fullmatch(scope)):
                continue
            role = _ROLES.get(str(facts.get("role_id")), str(facts.get("role")))
            if facts.get("custom") is True:
                if facts.get("everything") is not True:
                    continue
                yield self._finding(record, f"{shown(role)} (every action)", above, federated_apps, "high")
            elif role in _GIVES:
                yield self._finding(record, role, above, federated_apps, "critical" if above else "high")
            elif role == "Contributor":
                yield self._finding(record, role, above, federated_apps, "high" if above else "medium")

    def _finding(self, record: Record, role: str, above: bool, federated_apps: set[str], severity: str) -> Finding:
        facts = record.facts
        scope = shown(facts.get("scope"), 150)
        who = shown(facts.get("principal_name") or facts.get("principal"))
        more: dict[str, Any] = {}
        if facts.get("condition"):
            more = {"persona": "auditor", "confidence": "low"}
        elif role == "Contributor" and not above:
            more = {"persona": "pedantic"}
        jobs = ", and jobs can act as it" if str(facts.get("application") or "-") in federated_apps else ""
        remove = (
            f"az role assignment delete --assignee {shlex.quote(shown(facts.get('principal')))} "
            f"--role {shlex.quote(shown(facts.get('role')))} --scope {shlex.quote(scope)}"
        )
        return self.finding(
            record,
            f"{who} is {role} at {'/ (the root of the tenant)' if scope == '/' else scope}{jobs}",
            severity=severity,
            evidence=[("role", role), ("scope", scope)],
            change=f"assign narrower roles on narrower scopes, then take this one away\n\n{_narrow(record) or remove}",
            key="strong",
            **more,
        )


def _narrow(record: Record) -> str:
    """In the file that it is from: the role stays where it is told by an id."""
    scope = str(record.facts.get("scope") or "")
    own = (declared(record).own or scope).rstrip("/")
    subscription = own if _SUBSCRIPTION.fullmatch(scope) else "/subscriptions/SUBSCRIPTION_ID"
    role = {} if record.facts.get("role_id") else {"role_definition_name": "ROLE"}
    return attributes(record, {**role, "scope": f"{subscription}/resourceGroups/RESOURCE_GROUP"})

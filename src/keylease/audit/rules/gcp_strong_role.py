"""A machine has a role with which it can give itself everything in the project."""

import re
import shlex
from collections.abc import Iterator

from keylease.audit.cloud_samples import POOL, binding
from keylease.audit.in_file import attributes, replaced
from keylease.audit.model import Finding, Inventory, Severity
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_ROLES: dict[str, tuple[Severity, str]] = {
    "roles/owner": ("high", "may do everything, and give away every role"),
    "roles/editor": ("medium", "may change nearly everything, and run code as any service account"),
    "roles/resourcemanager.projectIamAdmin": ("high", "may give itself every role"),
    "roles/iam.securityAdmin": ("high", "may give itself every role"),
    "roles/iam.serviceAccountTokenCreator": ("high", "may get tokens of every service account of the project"),
    "roles/iam.serviceAccountKeyAdmin": ("high", "may make keys of every service account of the project"),
    "roles/iam.serviceAccountAdmin": ("high", "may let itself act as every service account of the project"),
    "roles/iam.workloadIdentityUser": ("high", "may act as every service account of the project"),
}
_MACHINE = re.compile(r"serviceAccount:|principal(?:Set)?://iam\.googleapis\.com/projects/")
# https://cloud.google.com/iam/docs/service-account-types#service-agents: Google's own, which need what they have.
_AGENT = re.compile(
    r"serviceAccount:(?:service-[^@]+@|[^@]+@(?:cloudservices\.gserviceaccount\.com|gcp-sa-[a-z0-9-]+\.iam\.gserviceaccount\.com"
    r"|cloudbuild\.gserviceaccount\.com))"
)
_BOT = "serviceAccount:bot@acme-ml.iam.gserviceaccount.com"


class GcpStrongRole(Rule):
    """On projects; Google's service agents are left out."""

    id = "gcp-strong-role"
    title = "a machine has a role with which it can give itself everything in the project"
    severity = "high"
    confidence = "high"
    needs = ("gcp.binding",)
    why = (
        "What a job's service account may do, whoever gets code into that job may do. Owner, Editor and the roles that "
        "make tokens or keys of other accounts open the whole project at once, so the weakest job that has one decides."
    )
    fix = (
        "Give the roles of the services that the job uses, and the right to act as one service account on that account."
    )
    links = (
        "https://cloud.google.com/iam/docs/roles-overview#basic",
        "https://cloud.google.com/iam/docs/best-practices-service-accounts",
    )
    sample = "inventory.json"
    bad = (
        these(binding("roles/owner", _BOT)),
        these(binding("roles/editor", "serviceAccount:123456789012-compute@developer.gserviceaccount.com")),
        these(binding("roles/iam.serviceAccountTokenCreator", f"{POOL}/attribute.repository/acme/trainer")),
    )
    good = (
        these(binding("roles/storage.objectViewer", _BOT)),
        these(binding("roles/owner", "user:ann@acme.example")),
        these(binding("roles/editor", "serviceAccount:123456789012@cloudservices.gserviceaccount.com")),
        these(binding("roles/iam.serviceAccountTokenCreator", _BOT, "deploy@acme-ml.iam.gserviceaccount.com")),
        these(binding("roles/owner", "deleted:serviceAccount:bot@acme-ml.iam.gserviceaccount.com?uid=1")),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a binding."""
        for record in inventory.of("gcp.binding"):
            role, member = str(record.facts.get("role")), str(record.facts.get("member"))
            resource = str(record.facts.get("resource"))
            if role not in _ROLES or "/serviceAccounts/" in resource or not _MACHINE.match(member):
                continue
            if _AGENT.match(member):
                continue
            severity, may = _ROLES[role]
            project = shlex.quote(shown(resource.removeprefix("projects/")))
            flags = f"--role={shlex.quote(role)} --member={shlex.quote(shown(member, 300))}"
            others = replaced(record, "")
            written = attributes(record, {"role": role, **others} if any(others.values()) else {"role": "roles/ROLE"})
            yield self.finding(
                record,
                f"{shown(member, 120)} has {role} on {shown(resource)}: it {may}",
                severity=severity,
                persona="pedantic" if record.facts.get("condition") else "regular",
                evidence=[("role", role), ("member", shown(member, 200))],
                change="give narrower roles, then take this one away\n\n"
                + (written or f"gcloud projects remove-iam-policy-binding {project} {flags} --all"),
                key="strong",
            )

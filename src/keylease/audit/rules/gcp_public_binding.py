"""A role on a project or a service account is given to the whole world."""

import shlex
from collections.abc import Iterator

from keylease.audit.cloud_samples import binding
from keylease.audit.in_file import attributes, replaced
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_EVERYBODY = {
    "allUsers": "everybody on the internet",
    "allAuthenticatedUsers": "everybody with a Google account",
}
_BOT = "bot@acme-ml.iam.gserviceaccount.com"


class GcpPublicBinding(Rule):
    """Buckets and services may be public on purpose; projects and service accounts never are."""

    id = "gcp-public-binding"
    title = "a role on a project or service account is given to the whole world"
    severity = "critical"
    needs = ("gcp.binding",)
    why = (
        "`allUsers` is everybody, and `allAuthenticatedUsers` everybody with any Google account, not those of your "
        "organization. On a project the role holds for all that is in it; on a service account most roles let them act "
        "as it."
    )
    fix = "Take the member out, and give the role to the accounts that need it."
    links = ("https://cloud.google.com/iam/docs/principals-overview#all-authenticated-users",)
    sample = "inventory.json"
    bad = (
        these(binding("roles/viewer", "allAuthenticatedUsers")),
        these(binding("roles/iam.serviceAccountTokenCreator", "allUsers", _BOT)),
    )
    good = (
        these(binding("roles/viewer", "group:all@acme.example")),
        these(binding("roles/viewer", "domain:acme.example")),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a binding."""
        for record in inventory.of("gcp.binding"):
            member = str(record.facts.get("member"))
            if member not in _EVERYBODY:
                continue
            role, resource = shown(record.facts.get("role")), shown(record.facts.get("resource"), 200)
            kind, _, account = resource.rpartition("/serviceAccounts/")
            start = (
                f"service-accounts remove-iam-policy-binding {shlex.quote(account)}"
                if kind
                else (f"projects remove-iam-policy-binding {shlex.quote(resource.removeprefix('projects/'))}")
            )
            fields = {"role": record.facts.get("role"), **replaced(record, "group:GROUP@DOMAIN")}
            written = attributes(record, fields)
            yield self.finding(
                record,
                f"{_EVERYBODY[member]} ({member}) has {role} on {resource}",
                confidence="medium" if record.facts.get("condition") else "high",
                evidence=[("role", role), ("member", member)],
                change="take the member out\n\n"
                + (written or f"gcloud {start} --role={shlex.quote(role)} --member={member} --all"),
                key="public",
            )

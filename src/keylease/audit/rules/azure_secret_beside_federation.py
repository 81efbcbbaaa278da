"""An application that jobs reach by federation has a client secret as well."""

import shlex
from collections.abc import Iterator

from keylease.audit.cloud_samples import credential, federated
from keylease.audit.credentials import is_active
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown


class SecretBesideFederation(Rule):
    """Secrets that have not ended; certificates are left to the rules about age."""

    id = "azure-secret-beside-federation"
    title = "an application has a client secret beside its federated credentials"
    severity = "medium"
    needs = ("azure.credential", "azure.federated_credential")
    why = (
        "A client secret works for whoever has a copy, from anywhere, until its end. Federation is there so that none "
        "is needed: with the secret still there, nothing is gained by it."
    )
    fix = "Let what still uses the secret take the federated login, then delete it."
    links = (
        "https://learn.microsoft.com/entra/identity-platform/security-best-practices-for-app-registration",
        "https://learn.microsoft.com/entra/workload-id/workload-identity-federation",
    )
    sample = "inventory.json"
    bad = (these(credential(), federated("repo:acme/trainer:ref:refs/heads/main")),)
    good = (
        these(credential(active=False), federated("repo:acme/trainer:ref:refs/heads/main")),
        these(credential(sort="certificate"), federated("repo:acme/trainer:ref:refs/heads/main")),
        these(credential(application="other"), federated("repo:acme/trainer:ref:refs/heads/main")),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a secret."""
        reached = {str(each.facts.get("application")) for each in inventory.of("azure.federated_credential")}
        for record in inventory.of("azure.credential"):
            application = str(record.facts.get("application"))
            if record.facts.get("sort") != "password" or not is_active(record) or application not in reached:
                continue
            whose = shown(record.facts.get("application_name") or application)
            of = f"--id {shlex.quote(shown(application))} --key-id {shlex.quote(shown(record.facts.get('key_id')))}"
            yield self.finding(
                record,
                f"{whose} has a client secret ({shown(record.facts.get('name'))}) beside its federated credentials",
                evidence=[
                    ("created", shown(record.facts.get("created_at"))),
                    ("ends", shown(record.facts.get("expires_at"))),
                ],
                change=f"let its users log in by federation, then delete it\n\naz ad app credential delete {of}",
                key="secret",
            )

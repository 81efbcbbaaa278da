"""A federated credential goes by names that can change hands."""

import re
from collections.abc import Iterator

from keylease.audit.cloud_samples import federated
from keylease.audit.flexible import bound, patterns
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_NAMES = re.compile(r"repo:[^/:@]+/[^/:@]+:")


class AzureRenamableName(Rule):
    """GitHub's subjects without ids: the only claim that Entra compares besides the issuer and the audience."""

    id = "azure-federation-renamable-name"
    title = "a federated credential goes by names that can change hands"
    severity = "low"
    persona = "auditor"
    needs = ("azure.federated_credential",)
    why = (
        "The name of an account or repository is free again after a rename or a deletion, and whoever takes it gets "
        "tokens with the old subject. GitHub can put ids into it (`repo:acme@6539/trainer@817264:…`), as it does for "
        "new repositories since July 2026; those are given once."
    )
    fix = (
        "Switch the repository to subjects with ids, and bind that subject; delete credentials of renamed repositories."
    )
    links = ("https://docs.github.com/actions/reference/security/oidc",)
    sample = "inventory.json"
    bad = (
        these(federated("repo:acme/trainer:ref:refs/heads/main")),
        these(federated(expression="claims['sub'] matches 'repo:acme/trainer:*'")),
    )
    good = (
        these(
            federated(expression="claims['sub'] matches 'repo:acme/trainer:*' and claims['repository_id'] eq '817264'")
        ),
        these(federated("repo:acme@6539/trainer@817264:ref:refs/heads/main")),
        these(federated("repository_id:817264")),
        these(federated("project_path:acme/trainer:ref_type:branch:ref:main", issuer="https://gitlab.com")),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a credential."""
        for record in inventory.of("azure.federated_credential"):
            found = patterns(str(record.facts.get("expression") or "")) or {}
            subject = found["sub"].text if "sub" in found else str(record.facts.get("subject") or "")
            if "githubusercontent.com" not in str(record.facts.get("issuer")) or not _NAMES.match(subject):
                continue
            if "repository_id" in found:
                continue
            owner, repository = subject.split(":")[1].split("/")
            tail = subject.partition(":")[2].partition(":")[2]
            whose = shown(record.facts.get("application_name") or record.facts.get("application"))
            yield self.finding(
                record,
                f"the federated credential {shown(record.facts.get('name'))} of {whose} goes by names: "
                f"`{shown(subject, 120)}`",
                evidence=[("subject", shown(subject, 200))],
                change="let the subject have ids, and bind it\n\n"
                + bound(record, f"repo:{owner}@OWNER_ID/{repository}@REPOSITORY_ID:{tail}"),
                key="names",
            )

"""A workload identity provider takes tokens of everybody."""

import shlex
from collections.abc import Iterator

from keylease.audit.cel import ways
from keylease.audit.cloud_samples import POOL, binding, provider
from keylease.audit.in_file import attributes
from keylease.audit.issuers import issuer_of, who
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_BOT = "bot@acme-ml.iam.gserviceaccount.com"
_USER = "roles/iam.workloadIdentityUser"


class GcpProviderNoCondition(Rule):
    """Of issuers that serve everybody: GitHub, GitLab.com, HCP Terraform … One's own issuer needs no condition."""

    id = "gcp-provider-no-condition"
    title = "a workload identity provider takes tokens of everybody"
    severity = "medium"
    needs = ("gcp.provider",)
    also = ("gcp.binding",)
    why = (
        "GitHub, GitLab.com and others sign the tokens of all their customers with one issuer. Without an attribute "
        "condition that names yours, whoever has an account there gets a Google Cloud token of the pool. All "
        "that keeps him out then is how narrow each binding is, and one that is for the whole pool is an open door."
    )
    fix = "Give the provider an attribute condition on ids of yours, which nobody else can ever have."
    links = (
        "https://cloud.google.com/iam/docs/workload-identity-federation-with-deployment-pipelines#conditions",
        "https://cloud.google.com/iam/docs/best-practices-for-using-workload-identity-federation",
    )
    sample = "inventory.json"
    bad = (
        these(provider("")),
        these(provider("assertion.ref == 'refs/heads/main'")),
        these(provider("assertion.sub.startsWith('repo:acme')")),
        these(provider("assertion.repository == 'acme/trainer' || assertion.ref == 'refs/heads/main'")),
        these(provider(""), binding(_USER, f"{POOL}/*", _BOT)),
        these(provider("assertion.repository.matches('^(acme|acme-ml)/.*')")),
    )
    good = (
        these(provider("assertion.repository_owner_id == '6539'")),
        these(provider("attribute.repository_owner == 'acme' && assertion.ref == 'refs/heads/main'")),
        these(provider("assertion.sub.startsWith('repo:acme/')")),
        these(provider("", issuer="https://gitlab.acme.example")),
        these(provider("", disabled=True, active=False)),
        these(provider("", sort="aws", issuer="")),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a provider."""
        open_pools = {
            str(each.facts.get("member"))
            for each in inventory.of("gcp.binding")
            if str(each.facts.get("member")).startswith("principalSet://")
        }
        for record in inventory.of("gcp.provider"):
            issuer = issuer_of(record.facts.get("issuer"))
            if issuer is None or record.facts.get("disabled") or record.facts.get("sort", "oidc") != "oidc":
                continue
            condition = str(record.facts.get("condition") or "")
            mapping = record.facts.get("mapping")
            found = ways(condition, mapping if isinstance(mapping, dict) else {})
            kinds = {who(way, issuer) for way in found} if found is not None else {"?"}
            name = f"{shown(record.facts.get('pool'))}/{shown(record.facts.get('name'))}"
            if "anybody" in kinds:
                wide = whole_pool(record) in open_pools
                lacks = f"`{shown(condition, 100)}` does not say whose" if condition else "is missing"
                yield self._finding(
                    record,
                    f"the provider {name} takes tokens of all {issuer.name}'s customers: its condition {lacks}"
                    + (", and the whole pool has a role" if wide else ""),
                    issuer.ask,
                    severity="critical" if wide else self.severity,
                )
            elif "?" in kinds:
                yield self._finding(
                    record,
                    f"whom the provider {name} lets in of all {issuer.name}'s customers can't be told: "
                    f"`{shown(condition, 120)}`",
                    issuer.ask,
                    severity="low",
                    confidence="low",
                    persona="auditor",
                )

    def _finding(self, record: Record, message: str, ask: str, **more: object) -> Finding:
        facts = record.facts
        command = (
            f"gcloud iam workload-identity-pools providers update-oidc {_word(facts.get('name'))} \\\n"
            f"  --project={_word(facts.get('project'))} --location=global \\\n"
            f"  --workload-identity-pool={_word(facts.get('pool'))} \\\n"
            f'  --attribute-condition="{ask}"'
        )
        evidence = [("issuer", shown(facts.get("issuer"))), ("condition", shown(facts.get("condition") or "none", 200))]
        written = attributes(record, {"attribute_condition": ask}) or command
        change = f"say whose tokens are meant, by ids\n\n{written}"
        return self.finding(record, message, change=change, evidence=evidence, key="condition", **more)


def whole_pool(provider: Record) -> str:
    """The member that means everybody in the provider's pool."""
    number, pool = provider.facts.get("project_number"), provider.facts.get("pool")
    return f"principalSet://iam.googleapis.com/projects/{number}/locations/global/workloadIdentityPools/{pool}/*"


def _word(value: object) -> str:
    return shlex.quote(shown(value))

"""A workload identity provider goes by names that can change hands."""

from collections.abc import Iterator

from keylease.audit.cel import ways
from keylease.audit.cloud_samples import provider
from keylease.audit.in_file import attributes
from keylease.audit.issuers import issuer_of, who
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown


class ProviderRenamableName(Rule):
    """Where a way in is by names alone; a name beside an id does no harm."""

    id = "gcp-provider-renamable-name"
    title = "a workload identity provider goes by names that can change hands"
    severity = "low"
    persona = "pedantic"
    needs = ("gcp.provider",)
    why = (
        "The name of an account, group or repository is free again after a rename or a deletion. Whoever takes it then "
        "gets tokens with the same `repository_owner`, `repository` and `sub`, and passes the condition. Ids are given "
        "once: Google asks for them in its own guide."
    )
    fix = "Bind the numeric ids (`repository_owner_id`, `repository_id`, `namespace_id`, `project_id`)."
    links = (
        "https://cloud.google.com/iam/docs/workload-identity-federation-with-deployment-pipelines#conditions",
        "https://docs.github.com/actions/reference/security/oidc",
    )
    sample = "inventory.json"
    bad = (
        these(provider("assertion.repository_owner == 'acme'")),
        these(provider("attribute.repository == 'acme/trainer' && assertion.ref == 'refs/heads/main'")),
        these(provider("assertion.repository_owner_id == '6539' || assertion.repository == 'acme/trainer'")),
        these(provider("assertion.namespace_path == 'acme'", issuer="https://gitlab.com")),
    )
    good = (
        these(provider("assertion.repository_owner_id == '6539' && assertion.repository == 'acme/trainer'")),
        these(provider("assertion.sub == 'repo:acme@6539/trainer@817264:ref:refs/heads/main'")),
        these(provider("assertion.namespace_path == 'acme'", issuer="https://gitlab.acme.example")),
        these(provider("")),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a provider."""
        for record in inventory.of("gcp.provider"):
            issuer = issuer_of(record.facts.get("issuer"))
            condition = str(record.facts.get("condition") or "")
            if issuer is None or record.facts.get("disabled"):
                continue
            mapping = record.facts.get("mapping")
            found = ways(condition, mapping if isinstance(mapping, dict) else {}) or []
            if not any(who(way, issuer) == "names" for way in found):
                continue
            yield self.finding(
                record,
                f"the provider {shown(record.facts.get('pool'))}/{shown(record.facts.get('name'))} goes by names that "
                f"others can take after a rename: `{shown(condition, 120)}`",
                evidence=[("condition", shown(condition, 200))],
                change=f"add ids to the condition\n\n{_written(record, condition, issuer.ask)}",
                key="names",
            )


def _written(record: Record, condition: str, ask: str) -> str:
    return attributes(record, {"attribute_condition": f"({condition}) && {ask}"}) or ask

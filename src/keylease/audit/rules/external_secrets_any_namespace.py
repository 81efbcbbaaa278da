"""A store of secrets that every namespace may use."""

from collections.abc import Iterator

from keylease.audit.facts import at
from keylease.audit.manifests import SAMPLE, manifests, name_of
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule


class SecretsAnyNamespace(Rule):
    """Pedantic: in a cluster of one team it may be meant."""

    id = "external-secrets-any-namespace"
    title = "every namespace of the cluster can read from a ClusterSecretStore"
    severity = "medium"
    persona = "pedantic"
    needs = ("file.kubernetes",)
    why = (
        "Whoever can create an ExternalSecret in any namespace gets any secret that the store's own identity can read: "
        "a role for one team's namespace becomes a key to all teams' secrets."
    )
    fix = "Name the namespaces in `conditions`, or give each namespace a SecretStore with an identity of its own."
    links = (
        "https://external-secrets.io/latest/api/clustersecretstore/",
        "https://external-secrets.io/latest/guides/security-best-practices/",
    )
    sample = SAMPLE
    bad = (
        """\
apiVersion: external-secrets.io/v1
kind: ClusterSecretStore
metadata: {name: all}
spec:
  provider:
    aws: {service: SecretsManager, region: eu-west-1}
""",
        """\
apiVersion: external-secrets.io/v1
kind: ClusterSecretStore
metadata: {name: all}
spec:
  conditions:
    - namespaces: [prod]
    - namespaceSelector: {}
  provider:
    aws: {service: SecretsManager, region: eu-west-1}
""",
    )
    good = (
        """\
apiVersion: external-secrets.io/v1
kind: ClusterSecretStore
metadata: {name: ours}
spec:
  conditions:
    - namespaceSelector:
        matchLabels: {team: ml}
    - namespaceRegexes: ["^ml-[a-z]+$"]
  provider:
    aws: {service: SecretsManager, region: eu-west-1}
---
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: one, namespace: ml}
spec:
  provider:
    aws: {service: SecretsManager, region: eu-west-1}
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a store."""
        for record in manifests(inventory, "ClusterSecretStore"):
            if record.facts.get("any_namespace") is True:
                yield self.finding(
                    record,
                    f"every namespace can read from the {name_of(record)}",
                    location=at(record, record.facts),
                    change="name who may use it\n\nspec:\n  conditions:\n    - namespaces: [NAMESPACE]",
                    key="conditions",
                )

"""A store of the External Secrets Operator that signs in with a stored key."""

from collections.abc import Iterator, Mapping

from keylease.audit.facts import at, items
from keylease.audit.manifests import SAMPLE, is_tryout, manifests, name_of
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_INSTEAD: Mapping[str, str] = {
    "aws": "auth:\n  jwt:\n    serviceAccountRef:\n      name: SERVICE_ACCOUNT",
    "gcpsm": "auth:\n  workloadIdentity:\n    serviceAccountRef:\n      name: SERVICE_ACCOUNT",
    "azurekv": "authType: WorkloadIdentity\nserviceAccountRef:\n  name: SERVICE_ACCOUNT",
    "conjur": "auth:\n  jwt:\n    account: ACCOUNT\n    serviceID: SERVICE\n    serviceAccountRef:\n"
    "      name: SERVICE_ACCOUNT",
    "vault": "auth:\n  kubernetes:\n    mountPath: kubernetes\n    role: ROLE\n    serviceAccountRef:\n"
    "      name: SERVICE_ACCOUNT",
}
_NAMES = {"aws": "AWS", "gcpsm": "Google", "azurekv": "Azure", "conjur": "Conjur", "vault": "Vault"}


class SecretsStaticKey(Rule):
    """Only for vendors that take the token of a service account instead."""

    id = "external-secrets-static-key"
    title = "a secret store signs in with a stored key instead of the pod's identity"
    severity = "medium"
    needs = ("file.kubernetes",)
    why = (
        "The key that opens all other secrets is itself a secret in the cluster: whoever can read Secrets of that "
        "namespace has it, it works from anywhere, and it does not end. The token of a service account is made for one "
        "use, ends within the hour and is worth nothing elsewhere."
    )
    fix = (
        "Let the store use a service account that the vendor trusts: IRSA or Pod Identity on AWS, Workload Identity on "
        "Google and Azure, the kubernetes or jwt method of Vault, authn-jwt of Conjur. Then revoke the key."
    )
    links = ("https://external-secrets.io/latest/api/secretstore/",)
    sample = SAMPLE
    bad = (
        """\
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: aws, namespace: prod}
spec:
  provider:
    aws:
      service: SecretsManager
      region: eu-west-1
      auth:
        secretRef:
          accessKeyIDSecretRef: {name: aws-key, key: id}
          secretAccessKeySecretRef: {name: aws-key, key: secret}
""",
        """\
apiVersion: external-secrets.io/v1beta1
kind: ClusterSecretStore
metadata: {name: vault}
spec:
  conditions: [{namespaces: [prod]}]
  provider:
    vault:
      server: https://vault.example.com
      auth:
        tokenSecretRef: {name: vault-token, key: token, namespace: eso}
""",
    )
    good = (
        """\
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: aws}
spec:
  provider:
    aws:
      service: SecretsManager
      region: eu-west-1
      auth:
        jwt:
          serviceAccountRef: {name: app}
---
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: azure}
spec:
  provider:
    azurekv:
      authType: WorkloadIdentity
      vaultUrl: https://acme.vault.azure.net
      serviceAccountRef: {name: app}
---
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: vault}
spec:
  provider:
    vault:
      server: https://vault.example.com
      auth:
        kubernetes: {mountPath: kubernetes, role: app, serviceAccountRef: {name: app}}
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a place where a key is named."""
        for record in manifests(inventory, "SecretStore", "ClusterSecretStore"):
            less = {"severity": "low", "persona": "pedantic"} if is_tryout(record) else {}
            for each in items(record.facts.get("static")):
                path = shown(each.get("path"))
                provider = path.partition(".")[0]
                yield self.finding(
                    record,
                    f"{name_of(record)} signs in to {_NAMES.get(provider, provider)} with a stored key ({path})",
                    location=at(record, each),
                    evidence=(("provider", provider),),
                    change="let it use a service account, and revoke the key\n\n"
                    + _INSTEAD.get(provider, _INSTEAD["vault"]),
                    key=path,
                    **less,
                )

"""A pod whose Vault agent is told to be careless."""

from collections.abc import Iterator, Mapping

from keylease.audit.facts import at
from keylease.audit.manifests import SAMPLE, manifests, name_of
from keylease.audit.model import Finding, Inventory, Persona, Severity
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_TRUE = ("1", "t", "true")
_CA = """name the Secret with the CA instead

vault.hashicorp.com/tls-secret: SECRET
vault.hashicorp.com/ca-cert: /vault/tls/ca.crt"""
_SECRETS = """let the agent write what the program needs instead

vault.hashicorp.com/agent-inject-token: "false"
vault.hashicorp.com/agent-inject-secret-NAME: PATH"""
_ROLE = """give the program a role of its own, bound to its service account

vault.hashicorp.com/role: PROGRAM"""

_SAID: Mapping[str, tuple[Severity, Persona, str, str]] = {
    "tls-skip-verify": (
        "high",
        "regular",
        "takes any certificate for Vault's: whoever is between has its token and all it reads",
        _CA,
    ),
    "agent-inject-token": ("medium", "pedantic", "hands its Vault token to every container of the pod", _SECRETS),
    "role": ("low", "pedantic", "asks for the role `default`, which other programs have too", _ROLE),
}


class VaultInjectorInsecure(Rule):
    """By annotations of the Vault Agent Injector, on whatever makes pods."""

    id = "vault-injector-insecure"
    title = "the Vault agent of a pod skips TLS verification, shares its token or uses the role default"
    severity = "high"
    needs = ("file.kubernetes",)
    why = (
        "The agent proves who the pod is, and gets a token for all that the pod's role may read. With TLS verification "
        "off, whoever stands between takes both. A token that is shared with every container does more than the "
        "secrets that were asked for."
    )
    fix = "Verify Vault's certificate, inject secrets instead of the token, and give each program its own role."
    links = ("https://developer.hashicorp.com/vault/docs/platform/k8s/injector/annotations",)
    sample = SAMPLE
    bad = (
        """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: prod}
spec:
  template:
    metadata:
      annotations:
        vault.hashicorp.com/agent-inject: "true"
        vault.hashicorp.com/role: default
        vault.hashicorp.com/tls-skip-verify: "true"
        vault.hashicorp.com/agent-inject-token: "true"
    spec:
      containers: [{name: app, image: acme/app}]
""",
    )
    good = (
        """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  template:
    metadata:
      annotations:
        vault.hashicorp.com/agent-inject: "true"
        vault.hashicorp.com/role: app
        vault.hashicorp.com/tls-skip-verify: "false"
        vault.hashicorp.com/agent-inject-secret-db: secret/data/app/db
        vault.hashicorp.com/agent-inject-template-db: |
          {{- with secret "secret/data/app/db" -}}{{ .Data.data.password }}{{- end }}
    spec:
      containers: [{name: app, image: acme/app}]
""",
        """\
apiVersion: v1
kind: Pod
metadata:
  name: app
  annotations:
    vault.hashicorp.com/agent-inject: "false"
    vault.hashicorp.com/tls-skip-verify: "true"
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding an annotation."""
        for record in manifests(inventory):
            injector = record.facts.get("injector")
            if not isinstance(injector, Mapping):
                continue
            given = {name: each for name, each in injector.items() if isinstance(each, Mapping)}
            injected = str(given["agent-inject"].get("value")).lower() if "agent-inject" in given else None
            if injected is not None and injected not in _TRUE:
                continue
            for name, (severity, persona, said, change) in _SAID.items():
                value = str(given.get(name, {}).get("value", "")).strip().lower()
                if value == "default" if name == "role" else value in _TRUE:
                    yield self.finding(
                        record,
                        f"the Vault agent of {name_of(record)} {said}",
                        severity=severity,
                        persona=persona,
                        confidence="high" if injected else "medium",  # a patch may leave the switch to its base
                        location=at(record, given[name]),
                        evidence=((f"vault.hashicorp.com/{name}", shown(given[name].get("value"))),),
                        change=change,
                        key=name,
                    )

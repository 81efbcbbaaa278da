"""`sudo` on more than one path."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.vault_policies import is_everything, place, powers, stanzas, written
from keylease.audit.workflows import shown


class VaultPolicySudo(Rule):
    """Where another rule tells what it is good for, this one is silent."""

    id = "vault-policy-sudo"
    title = "a Vault policy with sudo behind a wildcard"
    severity = "medium"
    persona = "pedantic"
    needs = ("vault.policy",)
    why = (
        "`sudo` opens the paths that the server protects besides: the storage, seals, audit devices, tokens of "
        "others. Behind a wildcard it opens those that a later version adds too."
    )
    fix = "Name the protected paths that are needed, one by one."
    links = ("https://developer.hashicorp.com/vault/docs/concepts/policies#root-protected-api-endpoints",)
    sample = "vault/app.hcl"
    bad = (
        'path "sys/leases/*" {\n  capabilities = ["read", "list", "sudo"]\n}\n',
        'path "auth/token/*" {\n  capabilities = ["list", "sudo"]\n}\n',
    )
    good = (
        'path "auth/token/accessors" {\n  capabilities = ["list", "sudo"]\n}\n',
        'path "sys/leases/*" {\n  capabilities = ["read", "list"]\n}\n',
        'path "sys/*" {\n  capabilities = ["create", "update", "sudo"]\n}\n',
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """Each such stanza."""
        for record in inventory.of("vault.policy"):
            policy = stanzas(record.facts.get("text"))
            told = {stanza.path for stanza, _ in powers(policy)}
            for stanza in {each.path: each for each in policy if "sudo" in each.capabilities}.values():
                if not stanza.path.endswith("*") or stanza.denied or is_everything(stanza) or stanza.path in told:
                    continue
                yield self.finding(
                    record,
                    f"policy {shown(record.facts.get('name'))} has sudo on {shown(stanza.path)}",
                    location=place(record, stanza),
                    evidence=(("path", shown(stanza.path)),),
                    change="name the path that needs it\n\n"
                    + written(record, "auth/token/accessors", ["list", "sudo"]),
                    key=stanza.path,
                )

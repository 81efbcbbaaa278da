"""A policy for all paths."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.vault_policies import is_everything, place, stanzas, written
from keylease.audit.workflows import shown


class VaultPolicyEverything(Rule):
    """`path "*"`; worse when it writes."""

    id = "vault-policy-everything"
    title = "a Vault policy for all paths"
    severity = "critical"
    needs = ("vault.policy",)
    why = (
        '`path "*"` holds every secret of every mount and the server\'s own settings. With a writing capability its '
        "holder makes himself any token, and switches the audit off first."
    )
    fix = "Name the paths that are needed."
    links = ("https://openbao.org/docs/concepts/policies/",)
    sample = "vault/app.hcl"
    bad = (
        'path "*" {\n  capabilities = ["create", "read", "update", "delete", "list", "sudo"]\n}\n',
        '# all to read\npath "*" {\n  capabilities = ["read", "list"]\n}\n',
        'path "+/*" {\n  policy = "write"\n}\n',
    )
    good = (
        'path "secret/data/app" {\n  capabilities = ["read"]\n}\n',
        'path "*" {\n  capabilities = ["deny"]\n}\n',
        'path "secret/*" {\n  capabilities = ["read"]\n}\n',
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """Each such stanza."""
        for record in inventory.of("vault.policy"):
            seen = set()
            for stanza in stanzas(record.facts.get("text")):
                if is_everything(stanza) and stanza.path not in seen:
                    seen.add(stanza.path)
                    given = ", ".join(sorted(shown(each, 20) for each in stanza.capabilities))
                    yield self.finding(
                        record,
                        f"policy {shown(record.facts.get('name'))} allows {given} on all paths",
                        severity="critical" if stanza.writes or "sudo" in stanza.capabilities else "high",
                        location=place(record, stanza),
                        evidence=(("path", stanza.path), ("capabilities", given)),
                        change="name what is read\n\n" + written(record, "MOUNT/data/PATH", ["read"]),
                        key=stanza.path,
                    )

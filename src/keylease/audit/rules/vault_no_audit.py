"""A server that keeps no audit log."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown

_KIND, _AT = "vault.server", "vault://bao.example.com/server/0"
_FACTS = {"name": "vault://bao.example.com", "audit_devices": 0}


class VaultNoAudit(Rule):
    """By the number of audit devices; a namespace may not ask, and is not checked."""

    id = "vault-no-audit"
    title = "a Vault without an audit device"
    severity = "high"
    needs = (_KIND,)
    why = (
        "Without an audit device nobody can tell who read a secret: after a leak every credential in the server has "
        "to be taken for read, and who misuses a role is never seen."
    )
    fix = "Enable a device, better two: a server whose only one is blocked serves nothing."
    links = ("https://openbao.org/docs/audit/", "https://developer.hashicorp.com/vault/docs/audit")
    sample = "inventory.json"
    bad = (listed(_KIND, _AT, **_FACTS),)
    good = (
        listed(_KIND, _AT, **{**_FACTS, "audit_devices": 1}),
        listed(_KIND, _AT, name="vault://bao.example.com"),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a server."""
        for record in inventory.of(_KIND):
            if record.facts.get("audit_devices") == 0:
                yield self.finding(
                    record,
                    f"{shown(record.subject)} has no audit device",
                    evidence=(("audit devices", "0"),),
                    change="add one to the configuration of OpenBao (Vault: `vault audit enable file file_path=…`)"
                    '\n\naudit "file" "file" {\n  options = {\n    file_path = "/var/log/openbao/audit.log"\n  }\n}',
                    key="audit",
                )

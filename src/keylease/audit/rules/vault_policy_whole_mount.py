"""A policy for all secrets of a mount."""

import re
from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.vault_policies import is_everything, place, stanzas, written
from keylease.audit.workflows import shown

_WHOLE = re.compile(
    r"(?!(?:sys|auth|identity|cubbyhole)/)(?P<mount>[^*/]+)/(?:(?:\+|data|creds|static-creds|issue|sign)/)?\*"
)


class VaultPolicyWholeMount(Rule):
    """Pedantic: one mount an application is a usual way to keep them apart."""

    id = "vault-policy-whole-mount"
    title = "a Vault policy for all secrets of a mount"
    severity = "medium"
    confidence = "medium"
    persona = "pedantic"
    needs = ("vault.policy",)
    why = "Its holder reads what others put into the mount, and what will be put there later."
    fix = "Name the paths, or give the application a mount of its own and say so in a waiver."
    links = ("https://openbao.org/docs/concepts/policies/",)
    sample = "vault/app.hcl"
    bad = (
        'path "secret/*" {\n  capabilities = ["read"]\n}\n',
        'path "secret/data/*" {\n  capabilities = ["read", "list"]\n}\n',
        'path "+/data/*" {\n  capabilities = ["read"]\n}\n',
    )
    good = (
        'path "secret/data/app/*" {\n  capabilities = ["read"]\n}\n',
        'path "secret/metadata/*" {\n  capabilities = ["read", "list"]\n}\n',
        'path "secret/*" {\n  capabilities = ["list"]\n}\n',
        'path "sys/*" {\n  capabilities = ["read"]\n}\n',
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """Each such stanza."""
        for record in inventory.of("vault.policy"):
            for stanza in {each.path: each for each in stanzas(record.facts.get("text"))}.values():
                found = _WHOLE.fullmatch(stanza.path)
                if (
                    not found
                    or stanza.denied
                    or is_everything(stanza)
                    or not stanza.capabilities & {"read", "update", "create"}
                ):
                    continue
                mount = shown(found["mount"])
                yield self.finding(
                    record,
                    f"policy {shown(record.facts.get('name'))} opens all of {shown(stanza.path)}",
                    location=place(record, stanza),
                    evidence=(("path", shown(stanza.path)),),
                    change="name what is read\n\n" + written(record, f"{mount}/data/APPLICATION/*", ["read"]),
                    key=stanza.path,
                )

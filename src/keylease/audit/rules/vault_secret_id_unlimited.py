"""A SecretID without any limit."""

import shlex
from collections.abc import Iterator
from typing import Any

from keylease.audit.credentials import is_active
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown

_KIND, _AT = "vault.approle_secret_id", "vault://bao.example.com/approle_secret_id/0"
_FACTS: dict[str, Any] = {
    "name": "deploy 12ab",
    "role": "deploy",
    "mount": "approle",
    "holder": "auth/approle/role/deploy",
    "created_at": "2026-01-01T00:00:00Z",
    "expires_at": None,
    "uses_left": None,
    "cidrs": [],
}


class VaultSecretIdUnlimited(Rule):
    """One limit will do: an end, a number of uses, or addresses."""

    id = "vault-secret-id-unlimited"
    title = "a SecretID of Vault without any limit"
    severity = "medium"
    needs = (_KIND,)
    covers = ("credential-no-end",)
    why = (
        "A SecretID is a password. One without an end, a number of uses and addresses logs in from anywhere for ever, "
        "and the server does not tell when it was used last, so nobody dares to remove it."
    )
    fix = "Limit those to come by the role's settings, hand a new one out, and destroy the old one."
    links = ("https://openbao.org/api-docs/auth/approle/#create-update-approle",)
    sample = "inventory.json"
    bad = (listed(_KIND, _AT, **_FACTS),)
    good = (
        listed(_KIND, _AT, **{**_FACTS, "expires_at": "2026-12-01T00:00:00Z"}),
        listed(_KIND, _AT, **{**_FACTS, "uses_left": 3}),
        listed(_KIND, _AT, **{**_FACTS, "cidrs": ["192.0.2.1/32"]}),
        listed(_KIND, _AT, role="deploy"),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a SecretID."""
        for record in inventory.of(_KIND):
            facts = record.facts
            known = all(name in facts for name in ("expires_at", "uses_left", "cidrs"))
            if not known or not is_active(record) or facts["expires_at"] or facts["uses_left"] or facts["cidrs"]:
                continue
            path = f"auth/{shown(facts.get('mount'))}/role/{shown(facts.get('role'))}"
            role, lists = shlex.quote(path), shlex.quote(f"{path}/secret-id")
            destroy = shlex.quote(f"{path}/secret-id-accessor/destroy")
            yield self.finding(
                record,
                f"a SecretID of {shown(facts.get('role'))} has no end, no number of uses and no addresses",
                evidence=(("role", path), ("created", shown(facts.get("created_at")))),
                change="limit those to come, then destroy it"
                f"\n\nbao write {role} secret_id_ttl=24h secret_id_num_uses=10"
                f"\nbao list {lists}\nbao write {destroy} secret_id_accessor=ACCESSOR",
                key="unlimited",
            )

"""A mount whose secrets stand in the audit log."""

import shlex
from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown

_SECRET = frozenset(
    [
        "value",
        "password",
        "secret",
        "token",
        "private_key",
        "secret_key",
        "security_token",
        "secret_id",
        "api_key",
        "key",
    ]
)


_KIND, _AT = "vault.mount", "vault://bao.example.com/mount/0"
_FACTS = {"name": "secret", "type": "kv", "request_keys": [], "response_keys": ["data"]}


class VaultAuditClear(Rule):
    """By the names of the fields; those of KV lie below `data`."""

    id = "vault-audit-clear"
    title = "a mount of Vault whose secrets stand in the audit log"
    severity = "high"
    confidence = "medium"
    needs = (_KIND,)
    why = (
        "Audit devices write a keyed hash in the place of values, unless `audit_non_hmac_request_keys` or "
        "`audit_non_hmac_response_keys` of the mount name the field. Then whoever reads the log, and every system that "
        "it is sent to, has the secrets."
    )
    fix = "Take the field out, then change what was read meanwhile."
    links = ("https://openbao.org/api-docs/system/mounts/#tune-mount-configuration",)
    sample = "inventory.json"
    bad = (
        listed(_KIND, _AT, **_FACTS),
        listed(
            _KIND,
            _AT,
            **{**_FACTS, "name": "db", "type": "database", "request_keys": ["password"], "response_keys": []},
        ),
    )
    good = (
        listed(_KIND, _AT, **{**_FACTS, "response_keys": ["metadata"]}),
        listed(_KIND, _AT, **{**_FACTS, "name": "db", "type": "database", "response_keys": ["username"]}),
        listed(_KIND, _AT, name="db", type="database"),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a mount."""
        for record in inventory.of(_KIND):
            facts = record.facts
            secret = _SECRET | ({"data"} if facts.get("type") in ("kv", "generic", "cubbyhole") else set())
            found: dict[str, list[str]] = {}
            for which in ("request", "response"):
                given = facts.get(f"{which}_keys")
                names = [str(each) for each in given] if isinstance(given, list) else []
                if secret & set(names):
                    found[which] = names
            if not found:
                continue
            clear = sorted({name for names in found.values() for name in names} & secret)
            kept = " ".join(
                shlex.quote(f"audit_non_hmac_{which}_keys={','.join(shown(n) for n in names if n not in secret)}")
                for which, names in found.items()
            )
            yield self.finding(
                record,
                f"the audit log has {', '.join(clear)} of {shown(facts.get('name'))} in clear",
                evidence=tuple(
                    (f"audit_non_hmac_{which}_keys", shown(", ".join(n), 200)) for which, n in found.items()
                ),
                change="take the fields out\n\nbao write "
                f"{shlex.quote('sys/mounts/' + shown(facts.get('name')) + '/tune')} {kept}",
                key="clear",
            )

"""A policy whose holder can give himself any other."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.vault_policies import is_everything, place, powers, stanzas, written
from keylease.audit.workflows import shown


class VaultPolicyEscalation(Rule):
    """One finding a stanza. Who administers the server needs this, and waives it by the policy's name."""

    id = "vault-policy-escalation"
    title = "a Vault policy whose holder can give himself any other"
    severity = "high"
    needs = ("vault.policy",)
    why = (
        "Who may write policies, roles of auth mounts, identities, or tokens with `sudo`, gives himself what he "
        "wants: the policy is worth as much as root, whatever else it says."
    )
    fix = "Leave such paths to those who administer the server, and name the rest one by one."
    links = (
        "https://openbao.org/docs/concepts/policies/",
        "https://developer.hashicorp.com/vault/docs/concepts/policies#root-protected-api-endpoints",
    )
    sample = "vault/app.hcl"
    bad = (
        'path "sys/policies/acl/*" {\n  capabilities = ["create", "update"]\n}\n',
        'path "auth/token/create" {\n  capabilities = ["update", "sudo"]\n}\n',
        'path "auth/+/role/*" {\n  capabilities = ["create", "read", "update"]\n}\n',
        'path "sys/*" {\n  capabilities = ["create", "update", "sudo"]\n}\n',
        'path "auth/approle/role/+/policies" {\n  capabilities = ["update"]\n}\n',
        'path "auth/team/jwt/role/*" {\n  capabilities = ["update"]\n}\n',
        'path "identity/*" {\n  capabilities = ["update"]\n}\n',
        'path "auth/*" {\n  policy = "sudo"\n}\n',
    )
    good = (
        'path "sys/policies/acl/*" {\n  capabilities = ["read", "list"]\n}\n',
        'path "auth/token/create" {\n  capabilities = ["update"]\n}\n',
        'path "secret/*" {\n  capabilities = ["create", "read", "update"]\n}\n',
        'path "auth/approle/role/+/secret-id" {\n  capabilities = ["update"]\n}\n',
        'path "auth/approle/role/+/secret-id-accessor/lookup" {\n  capabilities = ["update"]\n}\n',
        'path "auth/jwt/login" {\n  capabilities = ["create", "update"]\n}\n',
        'path "sys/leases/renew" {\n  capabilities = ["update"]\n}\n',
        'path "auth/token/renew-self" {\n  capabilities = ["update"]\n}\n',
        'path "identity/*" {\n  capabilities = ["update", "deny"]\n}\n',
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """Each such stanza; that of all paths is another rule's."""
        for record in inventory.of("vault.policy"):
            found: dict[str, list[str]] = {}
            policy = stanzas(record.facts.get("text"))
            by_path = {each.path: each for each in reversed(policy)}
            for stanza, power in powers(policy):
                if not is_everything(stanza):
                    found.setdefault(stanza.path, []).append(power.what)
            for path, what in found.items():
                more = f" (and {len(what) - 1} more)" if len(what) > 1 else ""
                yield self.finding(
                    record,
                    f"policy {shown(record.facts.get('name'))}: whoever has {shown(path)} {what[0]}{more}",
                    location=place(record, by_path[path]),
                    evidence=(("path", shown(path)), *(("can", each) for each in what)),
                    change="leave writing to it out, or keep the policy for those who administer the server\n\n"
                    + written(record, shown(path), ["read"]),
                    key=path,
                )

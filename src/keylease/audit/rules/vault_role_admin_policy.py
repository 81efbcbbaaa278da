"""A JWT role with the powers of an administrator."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.vault_policies import opened
from keylease.audit.vault_roles import ROLE_API, RoleRule, mended
from keylease.audit.workflows import shown


class VaultRoleAdminPolicy(RoleRule):
    """By what its policies say, where they were collected; root needs no text."""

    id = "vault-role-admin-policy"
    title = "a JWT role of Vault with the powers of an administrator"
    severity = "high"
    why = (
        "Whoever can change what such a job runs, by a dependency, an action or a merged line, owns the server: its "
        "policies let the job write policies, roles or tokens, or do everything."
    )
    fix = "Give the job a policy with the paths that it reads. What sets the server up runs with a role of its own."
    links = (ROLE_API, "https://openbao.org/docs/concepts/policies/")
    bad = (
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "repository",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"repository": "acme/trainer", "ref": "refs/heads/main"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["root"],
  "token_ttl": "15m",
  "token_max_ttl": "1h"
}
""",
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "repository",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"repository": "acme/trainer", "ref": "refs/heads/main"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["default", "root"],
  "token_ttl": "15m",
  "token_max_ttl": "1h"
}
""",
    )
    good = (
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "repository",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"repository": "acme/trainer", "ref": "refs/heads/main"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h"
}
""",
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "repository",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"repository": "acme/trainer", "ref": "refs/heads/main"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": [],
  "token_ttl": "15m",
  "token_max_ttl": "1h"
}
""",
    )

    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """See the base class."""
        names = record.facts.get("token_policies")
        opens, which = opened(inventory, names)
        if opens == "admin":
            rest = [name for name in names or () if opened(inventory, [name])[0] != "admin"] or ["POLICY"]
            change = f"leave it out\n\n{mended(record, token_policies=rest)}"
            yield self.about(record, f"policy {shown(which)} makes its jobs administrators", change)

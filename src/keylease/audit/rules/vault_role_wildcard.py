"""A JWT role whose wildcard lets other organisations in."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.vault_roles import BOUNDS, GITHUB_CLAIMS, RoleRule, mended, reach, repository_bound, severity
from keylease.audit.workflows import shown


class VaultRoleWildcard(RoleRule):
    """`acme*` is also `acme-evil/x`; `acme/*` is acme's alone and not found."""

    id = "vault-role-wildcard"
    title = "a JWT role of Vault whose wildcard goes beyond an organisation"
    severity = "high"
    why = (
        "With `bound_claims_type=glob` a `*` stands for anything, slashes too. `acme*` lets `acme-evil/x` in, and "
        "`*/trainer` everybody's trainer: an attacker makes an organisation or a repository with a fitting name."
    )
    fix = "Write the owner and the slash after it before the first `*` (`acme/*`), or name the repositories."
    links = (BOUNDS, GITHUB_CLAIMS)
    bad = (
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "repository",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"repository": "acme*"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h",
  "bound_claims_type": "glob"
}
""",
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "repository",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"repository": ["acme/trainer", "*/trainer"]},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h",
  "bound_claims_type": "glob"
}
""",
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "repository",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"sub": "repo:acme*:ref:refs/heads/main"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h",
  "bound_claims_type": "glob"
}
""",
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "repository",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"repository_owner": "acme*"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h",
  "bound_claims_type": "glob"
}
""",
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "project_path",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"namespace_path": "acme*"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h",
  "bound_claims_type": "glob"
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
  "bound_claims": {"repository": "acme/*"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h",
  "bound_claims_type": "glob"
}
""",
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "repository",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"repository": "acme*", "repository_owner_id": "6539"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h",
  "bound_claims_type": "glob"
}
""",
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "repository",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"repository": "acme*"},
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
  "bound_claims": {"sub": "repo:acme/trainer:*"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h",
  "bound_claims_type": "glob"
}
""",
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "project_path",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"sub": "project_path:acme/*:ref:main"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h",
  "bound_claims_type": "glob"
}
""",
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "repository",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"repository": "acme/trainer", "ref": "refs/heads/*"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h",
  "bound_claims_type": "glob"
}
""",
    )

    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """See the base class."""
        facts = record.facts
        found = reach(facts)
        if found.level != "crossing":
            return
        rank, words = severity(inventory, facts)
        message = f"{shown(found.claim)} {shown(found.value)} lets other organisations in{words}"
        change = f"name the repositories, or write OWNER/*\n\n{mended(record, **repository_bound(facts))}"
        yield self.about(record, message, change, severity=rank)

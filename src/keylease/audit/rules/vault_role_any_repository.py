"""A JWT role that binds no repository."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.vault_roles import (
    BOUNDS,
    GITHUB_CLAIMS,
    GITLAB_CLAIMS,
    RoleRule,
    command,
    issuer,
    issuer_host,
    reach,
    repository_bound,
    severity,
)
from keylease.audit.workflows import shown


class VaultRoleAnyRepository(RoleRule):
    """Critical if its policy makes an administrator; less bad on a server of one's own, or with bound addresses."""

    id = "vault-role-any-repository"
    title = "a JWT role of Vault that lets any repository in"
    severity = "high"
    why = (
        "GitHub and GitLab.com sign tokens for everybody's jobs with the same keys and issuer, and a job chooses the "
        "audience itself. A role that binds the audience, a branch or an environment, but no repository or owner, "
        "gives its policies to whoever makes a repository there: high, and critical if they make an administrator. "
        "Where the issuer is a server of one's own (GitLab, GitHub Enterprise) only its users get in: one step less, "
        "mostly medium, which fails a build with `fail_on: medium` alone. An issuer that is not known, as in most "
        "files, is taken for one that serves everybody."
    )
    fix = "Bind the repository by `bound_claims`, or its id, which survives renaming; at the least its owner."
    links = (BOUNDS, GITHUB_CLAIMS, GITLAB_CLAIMS)
    bad = (
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "repository",
  "bound_audiences": ["https://vault.example.com"],
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
  "bound_claims": {"ref": "refs/heads/main", "environment": ["production"]},
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
  "bound_claims": {"repository": "*"},
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
  "bound_claims": {"repository": ["acme/trainer", "*"]},
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
  "bound_claims": {"job_workflow_ref": "acme/shared/.github/workflows/deploy.yml@refs/heads/main"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
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
  "bound_claims": {"repository_owner_id": "6539"},
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
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h",
  "bound_subject": "repo:acme/trainer:ref:refs/heads/main"
}
""",
        """\
{
  "name": "deploy",
  "mount": "jwt",
  "role_type": "jwt",
  "user_claim": "project_path",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"project_id": ["20", "21"]},
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
  "role_type": "oidc",
  "user_claim": "email",
  "bound_audiences": ["https://vault.example.com"],
  "bound_claims": {"groups": ["admins"]},
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
  "bound_claims": {"repository": "*"},
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
  "bound_claims": {"actor": "octocat"},
  "claim_mappings": {"repository": "repository"},
  "token_bound_cidrs": ["192.0.2.0/24"],
  "token_policies": ["trainer"],
  "token_ttl": "15m",
  "token_max_ttl": "1h"
}
""",
    )

    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """See the base class."""
        facts = record.facts
        found = reach(facts)
        if found.level not in ("anyone", "callers"):
            return
        rank, words = severity(inventory, facts)
        change = f"bind it to the repositories that need it\n\n{command(facts, **repository_bound(facts))}"
        if found.level == "callers":
            message = f"whoever may call {shown(found.value)} gets in: that claim does not say whose job it is"
            yield self.about(record, message, change, severity="medium", confidence="low", persona="pedantic")
            return
        whose = {
            "github": "repository on GitHub",
            "gitlab": "project on GitLab.com",
            "": "repository or project of the issuer",
        }
        who = whose.get(issuer(facts), f"repository or project of {shown(issuer_host(facts))}")
        message = f"any {who} gets in{words}"
        confidence = "high" if issuer(facts) else "medium"
        yield self.about(record, message, change, severity=rank, confidence=confidence)

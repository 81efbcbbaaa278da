"""A JWT role that binds no repository."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.samples import role_file
from keylease.audit.vault_roles import (
    BOUNDS,
    GITHUB_CLAIMS,
    GITLAB_CLAIMS,
    RoleRule,
    issuer,
    mended,
    reach,
    repository_bound,
    severity,
)
from keylease.audit.workflows import shown


class VaultRoleAnyRepository(RoleRule):
    """Less bad where the issuer is a server of one's own, or where addresses are bound."""

    id = "vault-role-any-repository"
    title = "a JWT role of Vault that lets any repository in"
    severity = "high"
    why = (
        "GitHub and GitLab.com sign tokens for everybody's jobs with the same keys and issuer, and a job chooses the "
        "audience itself. A role that binds the audience, a branch or an environment, but no repository or owner, "
        "gives its policies to whoever makes a repository there."
    )
    fix = "Bind the repository by `bound_claims`, or its id, which survives renaming; at the least its owner."
    links = (BOUNDS, GITHUB_CLAIMS, GITLAB_CLAIMS)
    bad = (
        role_file(bound_claims=None),
        role_file(bound_claims={"ref": "refs/heads/main", "environment": ["production"]}),
        role_file(bound_claims={"repository": "*"}, bound_claims_type="glob"),
        role_file(bound_claims={"repository": ["acme/trainer", "*"]}, bound_claims_type="glob"),
        role_file(bound_claims={"job_workflow_ref": "acme/shared/.github/workflows/deploy.yml@refs/heads/main"}),
    )
    good = (
        role_file(),
        role_file(bound_claims={"repository_owner_id": "6539"}),
        role_file(bound_subject="repo:acme/trainer:ref:refs/heads/main", bound_claims=None),
        role_file(user_claim="project_path", bound_claims={"project_id": ["20", "21"]}),
        role_file(role_type="oidc", user_claim="email", bound_claims={"groups": ["admins"]}),
        role_file(bound_claims={"repository": "*"}),
        role_file(bound_claims={"actor": "octocat"}),
    )

    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """See the base class."""
        facts = record.facts
        found = reach(facts)
        if found.level not in ("anyone", "callers"):
            return
        rank, words = severity(inventory, facts)
        change = f"bind it to the repositories that need it\n\n{mended(record, **repository_bound(facts))}"
        if found.level == "callers":
            message = f"whoever may call {shown(found.value)} gets in: that claim does not say whose job it is"
            yield self.about(record, message, change, severity="medium", confidence="low", persona="pedantic")
            return
        whose = {"github": "repository on GitHub", "gitlab": "project on GitLab.com", "own": "project of the issuer"}
        message = f"any {whose.get(issuer(facts), 'repository or project of the issuer')} gets in{words}"
        confidence = "high" if issuer(facts) in whose else "medium"
        yield self.about(record, message, change, severity=rank, confidence=confidence)

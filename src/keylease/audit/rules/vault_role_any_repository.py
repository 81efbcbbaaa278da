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
    issuer_host,
    mended,
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
        whose = {
            "github": "repository on GitHub",
            "gitlab": "project on GitLab.com",
            "": "repository or project of the issuer",
        }
        who = whose.get(issuer(facts), f"repository or project of {shown(issuer_host(facts))}")
        message = f"any {who} gets in{words}"
        confidence = "high" if issuer(facts) else "medium"
        yield self.about(record, message, change, severity=rank, confidence=confidence)

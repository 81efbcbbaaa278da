"""A JWT role for any branch of a repository."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.samples import role_file
from keylease.audit.vault_roles import GITHUB_CLAIMS, GITLAB_CLAIMS, RoleRule, bounds, mended, reach

_PLACES = frozenset(
    ["ref", "ref_path", "ref_protected", "environment", "job_workflow_ref", "workflow_ref", "ci_config_ref_uri", "sha"]
)


class VaultRoleAnyRef(RoleRule):
    """Where the repository is bound; otherwise a worse rule tells."""

    id = "vault-role-any-ref"
    title = "a JWT role of Vault for any branch of a repository"
    severity = "low"
    persona = "pedantic"
    why = (
        "A job of any branch has the role: whoever may push one, or opens a pull request from it, gets past the review "
        "that guards the main branch."
    )
    fix = "Bind the branch, or an environment with protection rules."
    links = (GITHUB_CLAIMS, GITLAB_CLAIMS)
    bad = (
        role_file(bound_claims={"repository": "acme/trainer"}),
        role_file(bound_claims={"sub": "repo:acme/trainer:*"}, bound_claims_type="glob"),
    )
    good = (
        role_file(),
        role_file(bound_claims={"repository": "acme/trainer", "environment": "production"}),
        role_file(bound_subject="repo:acme/trainer:ref:refs/heads/main", bound_claims=None),
        role_file(bound_claims=None),
    )

    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """See the base class."""
        del inventory
        facts = record.facts
        bound = bounds(facts)
        if reach(facts).level != "narrow" or facts.get("bound_subject") or _PLACES & set(bound):
            return
        glob = facts.get("bound_claims_type") == "glob"
        if "sub" in bound and not any(glob and each.endswith("*") for each in bound["sub"]):
            return
        given = facts.get("bound_claims")
        claims = {**(given if isinstance(given, dict) else {})}
        gitlab = any(name.startswith(("project_", "namespace_")) for name in claims)
        more = {"ref": "main", "ref_type": "branch"} if gitlab else {"ref": "refs/heads/main"}
        kind = "glob" if glob else "string"
        change = mended(record, bound_claims_type=kind, bound_claims={**claims, **more})
        yield self.about(record, "a job of any branch gets in", f"bind the branch that is protected\n\n{change}")

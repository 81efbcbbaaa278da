"""A JWT role that leaves no trace of the job in the audit log."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.samples import role_file
from keylease.audit.vault_roles import ROLE_API, RoleRule, mended, repository_bound


class VaultRoleUntraceable(RoleRule):
    """For auditors."""

    id = "vault-role-untraceable"
    title = "a JWT role of Vault whose tokens say nothing of the job"
    severity = "low"
    persona = "auditor"
    why = (
        "Claims named in `claim_mappings` stand in clear in every audit entry of the token. Without them the log says "
        "that the role read a secret, and not which run, commit or person it was."
    )
    fix = "Map the repository, the run and the person."
    links = (ROLE_API,)
    bad = (
        role_file(claim_mappings=None),
        role_file(claim_mappings={}),
    )
    good = (role_file(),)

    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """See the base class."""
        del inventory
        if not record.facts.get("claim_mappings"):
            gitlab = "project_path" in repository_bound(record.facts)["bound_claims"]
            names = ("project_path", "pipeline_id", "user_login") if gitlab else ("repository", "run_id", "actor")
            change = mended(record, claim_mappings={name: name for name in names})
            yield self.about(record, "it maps no claims", f"map what tells the run\n\n{change}")

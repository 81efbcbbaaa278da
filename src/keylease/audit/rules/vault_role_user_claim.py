"""A JWT role that makes an entity of every run."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.samples import role_file
from keylease.audit.vault_roles import ROLE_API, RoleRule, mended, repository_bound
from keylease.audit.workflows import shown

_EVERY_RUN = frozenset(
    ["jti", "run_id", "sha", "job_id", "pipeline_id", "workflow_sha", "job_workflow_sha", "check_run_id", "run_number"]
)


class VaultRoleUserClaim(RoleRule):
    """`sub` makes one of each branch and environment, which is still countable; a run's id is not."""

    id = "vault-role-user-claim"
    title = "a JWT role of Vault that makes an entity of every run"
    severity = "low"
    persona = "pedantic"
    why = (
        "Each new value of `user_claim` makes an entity and an alias that stay. With the id of a run or a commit they "
        "grow without end, fill the storage, and count as clients where a licence counts them."
    )
    fix = "Take a claim that names the repository."
    links = (ROLE_API,)
    bad = (
        role_file(user_claim="run_id"),
        role_file(user_claim="jti"),
    )
    good = (
        role_file(),
        role_file(user_claim="sub"),
    )

    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """See the base class."""
        del inventory
        claim = str(record.facts.get("user_claim") or "").lstrip("/")
        if claim in _EVERY_RUN:
            name = next(iter({*repository_bound(record.facts)["bound_claims"]} & {"repository", "project_path"}))
            change = f"take one that names the repository\n\n{mended(record, user_claim=name)}"
            yield self.about(record, f"every {shown(claim)} becomes an entity", change)

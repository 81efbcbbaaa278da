"""A JWT role with the powers of an administrator."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.samples import role_file
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
        role_file(token_policies=["root"]),
        role_file(token_policies=["default", "root"]),
    )
    good = (
        role_file(),
        role_file(token_policies=[]),
    )

    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """See the base class."""
        names = record.facts.get("token_policies")
        opens, which = opened(inventory, names)
        if opens == "admin":
            rest = [name for name in names or () if opened(inventory, [name])[0] != "admin"] or ["POLICY"]
            change = f"leave it out\n\n{mended(record, token_policies=rest)}"
            yield self.about(record, f"policy {shown(which)} makes its jobs administrators", change)

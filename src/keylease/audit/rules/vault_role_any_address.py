"""A JWT role whose tokens work from anywhere."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.samples import role_file
from keylease.audit.vault_roles import ROLE_API, RoleRule, mended


class VaultRoleAnyAddress(RoleRule):
    """For auditors: hosted runners have no addresses of their own."""

    id = "vault-role-any-address"
    title = "a JWT role of Vault whose tokens work from anywhere"
    severity = "info"
    persona = "auditor"
    why = "Where runners have known addresses, `token_bound_cidrs` makes a token worthless that was carried elsewhere."
    fix = "Bind the runners' addresses, if they are yours."
    links = (ROLE_API,)
    bad = (role_file(token_bound_cidrs=None),)
    good = (role_file(),)

    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """See the base class."""
        del inventory
        if not record.facts.get("token_bound_cidrs"):
            change = mended(record, token_bound_cidrs=["192.0.2.0/24"])
            yield self.about(record, "it binds no addresses", f"bind those of the runners\n\n{change}")

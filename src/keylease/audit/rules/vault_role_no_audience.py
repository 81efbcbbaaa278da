"""A JWT role without an audience."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.samples import role_file
from keylease.audit.vault_roles import ROLE_API, RoleRule, mended


class VaultRoleNoAudience(RoleRule):
    """Newer servers refuse every token with an audience at such a role; older Vaults take those of all audiences."""

    id = "vault-role-no-audience"
    title = "a JWT role of Vault without an audience"
    severity = "medium"
    confidence = "medium"
    why = (
        "An identity token says by its audience for whom it was made. A role that binds none either lets nobody in "
        "(OpenBao, and Vault where the token has an audience) or, in servers that do not insist, takes tokens that "
        "were made for another service: whoever runs that service can log in with them."
    )
    fix = "Set `bound_audiences` to the server's own address, and have jobs ask for that audience."
    links = (ROLE_API,)
    bad = (
        role_file(bound_audiences=None),
        role_file(bound_audiences=[]),
    )
    good = (role_file(),)

    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """See the base class."""
        del inventory
        if not record.facts.get("bound_audiences"):
            change = f"bind the audience that the jobs ask for\n\n{mended(record, bound_audiences=['AUDIENCE'])}"
            yield self.about(record, "it binds no audience", change)

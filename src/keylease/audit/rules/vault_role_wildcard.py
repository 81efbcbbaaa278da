"""A JWT role whose wildcard lets other organisations in."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.samples import role_file
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
        role_file(bound_claims={"repository": "acme*"}, bound_claims_type="glob"),
        role_file(bound_claims={"repository": ["acme/trainer", "*/trainer"]}, bound_claims_type="glob"),
        role_file(bound_claims={"sub": "repo:acme*:ref:refs/heads/main"}, bound_claims_type="glob"),
        role_file(bound_claims={"repository_owner": "acme*"}, bound_claims_type="glob"),
        role_file(user_claim="project_path", bound_claims={"namespace_path": "acme*"}, bound_claims_type="glob"),
    )
    good = (
        role_file(),
        role_file(bound_claims={"repository": "acme/*"}, bound_claims_type="glob"),
        role_file(bound_claims={"repository": "acme*", "repository_owner_id": "6539"}, bound_claims_type="glob"),
        role_file(bound_claims={"repository": "acme*"}),
        role_file(bound_claims={"sub": "repo:acme/trainer:*"}, bound_claims_type="glob"),
        role_file(
            user_claim="project_path", bound_claims={"sub": "project_path:acme/*:ref:main"}, bound_claims_type="glob"
        ),
        role_file(bound_claims={"repository": "acme/trainer", "ref": "refs/heads/*"}, bound_claims_type="glob"),
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

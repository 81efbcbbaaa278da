"""A JWT role for jobs of pull requests."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.samples import role_file
from keylease.audit.vault_policies import opened
from keylease.audit.vault_roles import GITHUB_CLAIMS, RoleRule, bounds, mended
from keylease.audit.workflows import shown


class VaultRolePullRequest(RoleRule):
    """Only what names pull requests; a role that binds no event lets them in too, which is another rule's."""

    id = "vault-role-pull-request"
    title = "a JWT role of Vault for pull requests"
    severity = "medium"
    confidence = "medium"
    persona = "pedantic"
    why = (
        "A job of a pull request runs what the pull request says before anybody has read it. Whoever may open one "
        "from a branch of the repository, and with `pull_request_target` anybody, has the policies of the role."
    )
    fix = "Give pull requests a role of their own that can read only what tests need, or bind a protected branch."
    links = (GITHUB_CLAIMS,)
    bad = (
        role_file(bound_subject="repo:acme/trainer:pull_request", bound_claims=None),
        role_file(bound_claims={"repository": "acme/trainer", "event_name": ["push", "pull_request_target"]}),
    )
    good = (
        role_file(),
        role_file(bound_claims={"repository": "acme/trainer", "event_name": "push"}),
    )

    def judge(self, record: Record, inventory: Inventory) -> Iterator[Finding]:
        """See the base class."""
        facts = record.facts
        bound = bounds(facts)
        values = [str(facts.get("bound_subject") or ""), *bound.get("sub", ()), *bound.get("event_name", ())]
        named = next((each for each in values if each.rpartition(":")[2].startswith("pull_request")), None)
        if named is None:
            return
        opens, _ = opened(inventory, facts.get("token_policies"))
        target = named.endswith("pull_request_target")
        given = facts.get("bound_claims")
        kept = {
            name: value
            for name, value in (given if isinstance(given, dict) else {}).items()
            if name not in ("sub", "event_name")
        }
        wanted = {"repository": "OWNER/REPOSITORY", **kept, "ref": "refs/heads/main"}
        change = f"bind the branch that is protected\n\n{mended(record, bound_claims=wanted, bound_subject='')}"
        rank = "high" if opens == "admin" or target else self.severity
        persona = "regular" if rank == "high" else self.persona
        yield self.about(record, f"it is for {shown(named)}", change, severity=rank, persona=persona)

"""An organisation's admin key in CI."""

from collections.abc import Iterator

from keylease.audit.ai_keys import ANTHROPIC_KEYS, OPENAI_KEYS, place
from keylease.audit.facts import text
from keylease.audit.hints import COPIES, matches
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown


class AiAdminKeyInCi(Rule):
    """Told by the key's form, or by the vendor's own record of it."""

    id = "ai-admin-key-in-ci"
    title = "an admin key of an AI service in CI"
    severity = "critical"
    needs = COPIES
    alternatives = True
    also = ("openai.key", "anthropic.key")
    why = (
        "An admin key makes keys for every project, invites people and removes limits. Whoever can change a workflow, "
        "or a dependency that the job runs, reads it and owns the organisation. No job that calls models needs one."
    )
    fix = (
        "Take it out of CI and replace it. A job that calls models leases a token of one project's service account; an "
        "audit leases the admin key from a secrets manager for its own step, so that it lies in no variable."
    )
    links = (OPENAI_KEYS, ANTHROPIC_KEYS)
    sample = "inventory.json"
    bad = (
        these(
            (
                "job.variable",
                "job://environment/variable/OPENAI_KEY",
                {"name": "OPENAI_KEY", "sort": "openai", "hint": "sk-admin-…Wxyz"},
            )
        ),
        these(
            (
                "gitlab.variable",
                "gitlab://acme/trainer/variable/CLAUDE",
                {"name": "CLAUDE", "holder": "acme/trainer", "hint": "sk-ant-admin01-…igAA"},
            )
        ),
    )
    good = (
        these(
            (
                "job.variable",
                "job://environment/variable/OPENAI_API_KEY",
                {"name": "OPENAI_API_KEY", "sort": "openai", "hint": "sk-proj-…Wxyz"},
            ),
            ("gitlab.variable", "gitlab://acme/trainer/variable/X", {"name": "X", "holder": "acme/trainer"}),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a copy."""
        known = {id(match.copy): match for match in matches(inventory)}
        for kind in self.needs:
            for record in inventory.of(kind):
                hint, match = text(record, "hint"), known.get(id(record))
                by_form = hint.startswith(("sk-admin-", "sk-ant-admin"))
                if not by_form and not (
                    match and len(match.records) == 1 and match.records[0].facts.get("level") == "admin"
                ):
                    continue
                vendor = "Anthropic" if hint.startswith("sk-ant-") else "OpenAI"
                yield self.finding(
                    record,
                    f"{place(record)} holds an admin key of {vendor}",
                    evidence=match.evidence if match else (("shown", shown(hint)),),
                    change="delete it here and at the vendor; let an audit lease its own from a secrets manager"
                    "\n\naudit:\n  collect:\n"
                    f"    - type: {vendor.lower()}\n      admin_key: {{secret: vault://MOUNT/PATH#FIELD}}",
                    key="admin",
                )

"""A key with all permissions, where its vendor tells."""

from collections.abc import Iterator

from keylease.audit.ai_keys import DATABRICKS_TOKENS, PINECONE_ROLES, called, told
from keylease.audit.credentials import SORTS, is_active
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these

_ALL = {"pinecone.key": ("roles", "ProjectEditor"), "databricks.token": ("scopes", "all-apis")}


class AiKeyAllPermissions(Rule):
    """Both are the vendor's default, so only who wants least privilege hears of it. OpenAI tells no permissions."""

    id = "ai-key-all-permissions"
    title = "a key with all permissions"
    severity = "low"
    persona = "pedantic"
    needs = ("pinecone.key", "databricks.token")
    alternatives = True
    why = (
        "The default permission of a new key is everything: a job that only asks an index, or runs one query, can also "
        "delete the index, or start clusters, and so can whoever gets its key."
    )
    fix = "Make a key with the role or the scopes that the job needs, and delete this one."
    links = (PINECONE_ROLES, DATABRICKS_TOKENS)
    sample = "inventory.json"
    bad = (
        these(
            ("pinecone.key", "pinecone://p/key/k", {"name": "ci", "holder": "project p", "roles": ["ProjectEditor"]})
        ),
        these(("databricks.token", "databricks://w/token/t", {"name": "ci", "holder": "w", "scopes": ["all-apis"]})),
    )
    good = (
        these(
            ("pinecone.key", "pinecone://p/key/k", {"name": "ci", "holder": "p", "roles": ["DataPlaneViewer"]}),
            ("databricks.token", "databricks://w/token/t", {"name": "ci", "holder": "w", "scopes": ["sql"]}),
            ("databricks.token", "databricks://w/token/u", {"name": "ci", "holder": "w"}),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a key."""
        for kind, (fact, everything) in _ALL.items():
            for record in inventory.of(kind):
                given = record.facts.get(fact)
                if is_active(record) and isinstance(given, list) and everything in given:
                    least = "DataPlaneViewer or DataPlaneEditor" if fact == "roles" else "the job's, such as sql"
                    yield self.finding(
                        record,
                        f"the {SORTS[kind].label} {called(record)} may do everything ({everything})",
                        evidence=told(record, fact, "created_at", "last_used_at"),
                        change=f"make one with {fact}: {least}; then delete this one",
                        key="all",
                    )

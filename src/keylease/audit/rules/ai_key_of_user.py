"""A vendor's key that belongs to a person."""

from collections.abc import Iterator

from keylease.audit.ai_keys import ANTHROPIC_KEYS, DATABRICKS_TOKENS, OPENAI_KEYS, called, told
from keylease.audit.credentials import SORTS, is_active
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.errors import DOCS

_FACTS = {"name": "laptop", "level": "project", "holder": "project Research", "active": True}


class AiKeyOfUser(Rule):
    """Whoever works by hand has a key of one's own: only who wants no such keys at all hears of it."""

    id = "ai-key-of-user"
    title = "a key that belongs to a person, not to a service account"
    severity = "low"
    persona = "pedantic"
    needs = ("openai.key", "anthropic.key", "databricks.token")
    alternatives = True
    why = (
        "Such a key has its owner's rights, and its use can't be told from theirs. Programs that run on it stop when "
        "the owner leaves, or keep the owner's account from being closed."
    )
    fix = "For a program: a service account, and a federation rule instead of a key. For a person: an end date."
    links = (OPENAI_KEYS, ANTHROPIC_KEYS, DATABRICKS_TOKENS)
    sample = "inventory.json"
    bad = (
        these(
            ("openai.key", "openai://proj_1/key/key_1", {**_FACTS, "owner_sort": "user", "owner": "bea@example.com"})
        ),
        these(("databricks.token", "databricks://w/token/t1", {**_FACTS, "owner_sort": "user"})),
    )
    good = (
        these(
            ("openai.key", "openai://proj_1/key/key_1", {**_FACTS, "owner_sort": "service_account"}),
            ("openai.key", "openai://organization/admin-key/k", {**_FACTS, "level": "admin", "owner_sort": "user"}),
            ("openai.key", "openai://proj_1/key/key_2", {**_FACTS, "owner_sort": "user", "owner_active": False}),
            ("anthropic.key", "anthropic://organization/key/apikey_1", {**_FACTS, "level": "workspace"}),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a key. Admin keys have no other owners; those of people who left are another rule's."""
        for kind in self.needs:
            for record in inventory.of(kind):
                facts = record.facts
                if not is_active(record) or facts.get("owner_sort") != "user" or facts.get("level") == "admin":
                    continue
                if facts.get("owner_active") is False:
                    continue
                yield self.finding(
                    record,
                    f"the {SORTS[kind].label} {called(record)} belongs to a person",
                    evidence=told(record, "owner", "hint", "created_at", "last_used_at", "expires_at"),
                    change="make a service account for the program and lease its token "
                    f"({DOCS}/providers/{kind.partition('.')[0]}.md)",
                    key="owner",
                )

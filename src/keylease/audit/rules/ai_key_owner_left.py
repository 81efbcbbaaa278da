"""A key whose owner has left."""

from collections.abc import Iterator

from keylease.audit.ai_keys import OPENAI_KEYS, called, told
from keylease.audit.credentials import is_active
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these

_FACTS = {"name": "laptop", "level": "project", "holder": "project Research", "owner_sort": "user", "active": True}


class AiKeyOwnerLeft(Rule):
    """OpenAI tells for each key whether its owner still has access to the project (`owner_project_access`)."""

    id = "ai-key-owner-left"
    title = "a key of somebody who has no access any more"
    severity = "high"
    needs = ("openai.key",)
    why = (
        "The owner was removed from the project and the key is still enabled. Whoever left may still have it, and "
        "nobody watches it: OpenAI's own list leaves such keys out unless they are asked for."
    )
    fix = "Delete the key; if a job still uses it, let a service account's take its place first."
    links = (OPENAI_KEYS,)
    sample = "inventory.json"
    bad = (these(("openai.key", "openai://proj_1/key/key_1", {**_FACTS, "owner_active": False})),)
    good = (
        these(
            ("openai.key", "openai://proj_1/key/key_1", {**_FACTS, "owner_active": True}),
            ("openai.key", "openai://proj_1/key/key_2", {**_FACTS, "owner_active": False, "active": False}),
            ("openai.key", "openai://organization/admin-key/key_3", {"name": "audit", "level": "admin"}),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a key."""
        for record in inventory.of("openai.key"):
            if is_active(record) and record.facts.get("owner_active") is False:
                yield self.finding(
                    record,
                    f"the OpenAI key {called(record)} is enabled though its owner has no access to the project",
                    evidence=told(record, "owner", "owner_sort", "hint", "created_at", "last_used_at"),
                    change="delete it: Dashboard, the project, API keys",
                    key="owner",
                )

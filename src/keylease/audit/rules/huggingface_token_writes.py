"""A Hugging Face token that may write."""

from collections.abc import Iterator
from typing import Any

from keylease.audit.ai_keys import HUGGINGFACE_TOKENS, called, told
from keylease.audit.credentials import is_active
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_FACTS = {"name": "ci", "holder": "user ada", "owner": "ada", "active": True}
_READ = {"type": "org", "name": "acme", "permissions": ["repo.content.read"]}


class HuggingfaceTokenWrites(Rule):
    """What the job does with it is not known, so the confidence is medium."""

    id = "huggingface-token-writes"
    title = "a Hugging Face token that may write everywhere"
    severity = "medium"
    confidence = "medium"
    needs = ("huggingface.token",)
    why = (
        "Most jobs only download. A token with the role write can replace the files of every repository that its user "
        "may write to, the organisations' too: whoever gets it ships their weights and code to all who load them."
    )
    fix = (
        "To download: a fine-grained token that reads the repositories it needs. To publish: a trusted publisher, "
        "whose token is for one repository and ends within the hour."
    )
    links = (HUGGINGFACE_TOKENS, "https://huggingface.co/docs/hub/trusted-publishers")
    sample = "inventory.json"
    bad = (
        these(("huggingface.token", "huggingface://ada/token/ci", {**_FACTS, "role": "write"})),
        these(
            (
                "huggingface.token",
                "huggingface://ada/token/ci",
                {
                    **_FACTS,
                    "role": "fineGrained",
                    "scoped": [{"type": "org", "name": "acme", "permissions": ["repo.content.read", "repo.write"]}],
                },
            )
        ),
    )
    good = (
        these(
            ("huggingface.token", "huggingface://ada/token/ci", {**_FACTS, "role": "read"}),
            ("huggingface.token", "huggingface://ada/token/fine", {**_FACTS, "role": "fineGrained", "scoped": [_READ]}),
            (
                "huggingface.token",
                "huggingface://ada/token/one",
                {
                    **_FACTS,
                    "role": "fineGrained",
                    "scoped": [{"type": "model", "name": "acme/m", "permissions": ["repo.write"]}],
                },
            ),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a token."""
        for record in inventory.of("huggingface.token"):
            if not is_active(record):
                continue
            if record.facts.get("role") == "write":
                yield self._found(record, "may write to every repository of its user and organisations", "regular")
            elif record.facts.get("role") == "fineGrained":
                broad = _broad(record)
                if broad:
                    yield self._found(record, f"may write to every repository of {', '.join(broad[:4])}", "pedantic")

    def _found(self, record: Record, what: str, persona: str) -> Finding:
        owner = shown(record.facts.get("owner") or "OWNER")
        return self.finding(
            record,
            f"the Hugging Face token {called(record)} {what}",
            persona=persona,
            evidence=told(record, "role", "everywhere", "created_at", "hint"),
            change="to download, make a fine-grained token with repo.content.read; to publish, lease one"
            f"\n\nversion: 1\nproviders:\n  huggingface:\n    type: huggingface\n    resource: {owner}/REPOSITORY\n"
            "leases:\n  - use: huggingface",
            key="write",
        )


def _broad(record: Record) -> list[str]:
    """Users and organisations all of whose repositories it may write to."""
    scoped = record.facts.get("scoped")
    found = []
    for each in scoped if isinstance(scoped, list) else []:
        entity: dict[str, Any] = each if isinstance(each, dict) else {}
        permissions = entity.get("permissions")
        if entity.get("type") in ("user", "org") and isinstance(permissions, list) and "repo.write" in permissions:
            found.append(shown(entity.get("name")))
    return found

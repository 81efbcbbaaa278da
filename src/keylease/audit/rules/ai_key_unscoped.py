"""A key that no project or workspace limits."""

from collections.abc import Iterator

from keylease.audit.ai_keys import ANTHROPIC_KEYS, OPENAI_SAFETY, called, place, told
from keylease.audit.credentials import is_active
from keylease.audit.facts import text
from keylease.audit.hints import COPIES, parse
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown
from keylease.errors import DOCS


class AiKeyUnscoped(Rule):
    """Anthropic tells the scope; OpenAI's old user keys are told by their form. Admin keys are another rule's."""

    id = "ai-key-unscoped"
    title = "a key of an AI service that is not limited to a project or workspace"
    severity = "medium"
    needs = ("anthropic.key", *COPIES)
    alternatives = True
    why = (
        "A key of a project or workspace reaches that one's data, files, limits and budget. One without reaches all "
        "that its owner may use: a leak from one job costs the whole organisation, and no budget stops it."
    )
    fix = (
        "Replace it by a key of the project or workspace that the job is for, or better by a lease: federation rules "
        "name one service account."
    )
    links = (ANTHROPIC_KEYS, OPENAI_SAFETY)
    sample = "inventory.json"
    bad = (
        these(
            (
                "anthropic.key",
                "anthropic://organization/key/apikey_1",
                {"name": "ci", "level": "organization", "holder": "the organization", "active": True},
            )
        ),
        these(
            (
                "job.variable",
                "job://environment/variable/OPENAI_API_KEY",
                {"name": "OPENAI_API_KEY", "sort": "openai", "hint": "sk-…Wxyz"},
            )
        ),
    )
    good = (
        these(
            (
                "anthropic.key",
                "anthropic://organization/key/apikey_1",
                {"name": "ci", "level": "workspace", "holder": "workspace Research", "active": True},
            ),
            (
                "anthropic.key",
                "anthropic://organization/key/apikey_2",
                {"name": "old", "level": "organization", "holder": "the organization", "active": False},
            ),
            (
                "job.variable",
                "job://environment/variable/OPENAI_API_KEY",
                {"name": "OPENAI_API_KEY", "sort": "openai", "hint": "sk-proj-…Wxyz"},
            ),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a key, or a copy."""
        for record in inventory.of("anthropic.key"):
            if is_active(record) and record.facts.get("level") == "organization":
                yield self.finding(
                    record,
                    f"the Anthropic key {called(record)} belongs to no workspace",
                    evidence=told(record, "hint", "owner_sort", "owner", "created_at", "expires_at"),
                    change="make a key in the job's workspace, or a federation rule, then disable this one",
                    key="scope",
                )
        for kind in COPIES:
            for record in inventory.of(kind):
                parsed = parse(text(record, "hint"))
                if parsed is not None and parsed.head == "sk-":
                    yield self.finding(
                        record,
                        f"{place(record)} holds an old user key of OpenAI: it acts as a person, in all projects",
                        evidence=(("shown", shown(text(record, "hint"))),),
                        confidence="high" if kind == "job.variable" else "medium",
                        change=f"lease a token of a project's service account ({DOCS}/providers/openai.md), or make a "
                        "project key, then delete this one under User API keys",
                        key="scope",
                    )

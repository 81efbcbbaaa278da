"""A person's key or token in CI."""

from collections.abc import Iterator

from keylease.audit.ai_keys import HUGGINGFACE_TOKENS, OPENAI_SAFETY, place
from keylease.audit.facts import text
from keylease.audit.hints import COPIES, matches
from keylease.audit.model import Confidence, Finding, Inventory, Persona, Severity
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown
from keylease.errors import DOCS

_GITHUB = (
    "https://docs.github.com/authentication/keeping-your-account-and-data-secure/managing-your-personal-access-tokens"
)


class AiPersonalKeyInCi(Rule):
    """By the vendor's record that the hint fits; GitHub's personal tokens by their form."""

    id = "ai-personal-key-in-ci"
    title = "a person's key in CI"
    severity = "medium"
    needs = COPIES
    alternatives = True
    also = ("openai.key", "anthropic.key", "huggingface.token")
    why = (
        "A person's key carries that person's rights into every job, acts under their name in all logs, and stops "
        "working, or lives on unseen, when they leave. A service account's has rights of its own."
    )
    fix = "Let a service account, a GitHub App or a federation rule stand in the person's place, then revoke the key."
    links = (OPENAI_SAFETY, HUGGINGFACE_TOKENS, _GITHUB)
    sample = "inventory.json"
    bad = (
        these(
            (
                "job.variable",
                "job://environment/variable/OPENAI_API_KEY",
                {"name": "OPENAI_API_KEY", "sort": "openai", "hint": "sk-proj-…Wxyz"},
            ),
            (
                "openai.key",
                "openai://proj_1/key/key_1",
                {
                    "name": "laptop",
                    "holder": "project Research",
                    "owner": "bea@example.com",
                    "owner_sort": "user",
                    "hint": "sk-proj-a...Wxyz",
                    "created_at": "2025-01-01T00:00:00Z",
                },
            ),
        ),
        these(
            (
                "job.variable",
                "job://environment/variable/GH_TOKEN",
                {"name": "GH_TOKEN", "sort": "github", "hint": "ghp_…Wxyz", "personal": True},
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
            (
                "openai.key",
                "openai://proj_1/key/key_1",
                {
                    "name": "ci",
                    "holder": "project Research",
                    "owner_sort": "service_account",
                    "hint": "sk-proj-a...Wxyz",
                },
            ),
            (
                "openai.key",
                "openai://proj_1/key/key_2",
                {"name": "laptop", "holder": "project Research", "owner_sort": "user", "hint": "sk-proj-a...1234"},
            ),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a copy."""
        for match in matches(inventory):
            owners = [record.facts.get("owner_sort") for record in match.records]
            # All admin keys are people's; another rule judges those.
            admin = any(record.facts.get("level") == "admin" for record in match.records)
            if not admin and all(owner == "user" for owner in owners):
                # The Hub has no service accounts: a user made for CI is the best there is.
                hub = match.records[0].kind == "huggingface.token"
                yield self.finding(
                    match.copy,
                    f"{place(match.copy)} holds the key of a person",
                    evidence=match.evidence,
                    confidence=match.confidence,
                    persona="pedantic" if hub else "regular",
                    change="publish with a trusted publisher, or use the token of a user made for CI"
                    if hub
                    else "make a service account and lease its token "
                    f"({DOCS}/providers/{match.records[0].kind.partition('.')[0]}.md), then revoke this key",
                    key="person",
                )
        for kind in COPIES:
            for record in inventory.of(kind):
                hint = text(record, "hint")
                if not hint.startswith(("ghp_", "github_pat_")):
                    continue
                classic = hint.startswith("ghp_")
                rank: tuple[Severity, Confidence, Persona] = (
                    ("medium", "high", "regular") if classic else ("low", "high", "pedantic")
                )
                yield self.finding(
                    record,
                    f"{place(record)} holds a {'classic' if classic else 'fine-grained'} personal token of GitHub",
                    severity=rank[0],
                    confidence=rank[1],
                    persona=rank[2],
                    evidence=(("shown", shown(hint)),),
                    change="use the job's GITHUB_TOKEN with `permissions:`, or a GitHub App's installation token",
                    key="person",
                )

"""What the rules about keys of AI services share."""

from keylease.audit.model import Record
from keylease.audit.workflows import shown

OPENAI_KEYS = "https://developers.openai.com/api/reference/resources/admin/subresources/organization"
OPENAI_SAFETY = "https://help.openai.com/en/articles/5112595-best-practices-for-api-key-safety"
OPENAI_WIF = "https://developers.openai.com/api/docs/guides/workload-identity-federation/github-actions"
ANTHROPIC_KEYS = "https://platform.claude.com/docs/en/api/admin/api_keys/list"
ANTHROPIC_WIF = "https://platform.claude.com/docs/en/manage-claude/wif-reference"
HUGGINGFACE_TOKENS = "https://huggingface.co/docs/hub/security-tokens"
PINECONE_ROLES = "https://docs.pinecone.io/admin/projects/projects-overview"
DATABRICKS_TOKENS = "https://docs.databricks.com/api/workspace/tokenmanagement/list"


def place(record: Record) -> str:
    """A copy in CI, for a message."""
    name = shown(record.facts.get("name"))
    if record.kind == "job.variable":
        return f"{name} of this job"
    holder = shown(record.facts.get("holder") or "")
    return f"the variable {name}{f' of {holder}' if holder else ''}"


def called(record: Record) -> str:
    """A key, for a message: its name and where it is."""
    facts = record.facts
    holder = shown(facts.get("holder") or "")
    return f"{shown(facts.get('name'))}{f' of {holder}' if holder else ''}"


def told(record: Record, *names: str) -> tuple[tuple[str, str], ...]:
    """Facts as evidence; one that is None is `never`."""
    rows = []
    for name in names:
        if name in record.facts:
            value = record.facts[name]
            text = "never" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((name.replace("_", " "), shown(text, 120)))
    return tuple(rows)

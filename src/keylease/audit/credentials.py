"""What records of credentials have in common, so that one rule can judge the age of all of them.

Facts of a credential, besides its vendor's own:

- ``name``: what people call it. ``holder``: where it is: ``acme/trainer``, an account, a project.
- ``created_at``, ``updated_at`` (its value last changed), ``last_used_at``, ``expires_at``: RFC 3339 in UTC
  (``2026-01-31T12:00:00Z``). None: there is none (never used, never expires). Absent: its vendor does not tell.
- ``active``: False for what is switched off, revoked or expired; it is not judged.
- ``hint``: the redacted value, ``sk-proj-…abcd``: what tells a copy from another one, and opens nothing.
- ``environment``, ``level``: where the platform has such.
"""

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from keylease.audit.model import Inventory, Record


class Sort(Struct, frozen=True):
    """One kind of credential. label: for people. ages: facts of which the first that is there tells the value's age.

    uses: its vendor tells when it was used last. expires: it can be given an end. stored: a copy that lies somewhere,
    without a life of its own.
    """

    label: str
    ages: tuple[str, ...] = ("updated_at", "created_at")
    uses: bool = False
    expires: bool = False
    stored: bool = False


SORTS: Mapping[str, Sort] = {
    "github.secret": Sort("GitHub secret", stored=True),
    "github.deploy_key": Sort("GitHub deploy key", uses=True),
    "github.token": Sort("GitHub token", expires=True),
    "github.token_grant": Sort("GitHub fine-grained token", uses=True, expires=True),
    "gitlab.variable": Sort("GitLab variable", ages=(), stored=True),
    "gitlab.token": Sort("GitLab token", uses=True, expires=True),
    "jenkins.credential": Sort("Jenkins credential", ages=(), stored=True),
    "aws.access_key": Sort("AWS access key", uses=True),
    "aws.secret": Sort("AWS secret", uses=True, stored=True),
    "gcp.key": Sort("Google service account key", uses=True, expires=True),
    "azure.credential": Sort("Azure application credential", uses=True, expires=True),
    "vault.token": Sort("Vault token", expires=True),
    "vault.approle_secret_id": Sort("Vault SecretID", expires=True),
    "vault.secret": Sort("Vault secret", stored=True),
    "vault.database_role": Sort("Vault database role"),
    "openai.key": Sort("OpenAI key", uses=True, expires=True),
    "anthropic.key": Sort("Anthropic key", expires=True),
    "huggingface.token": Sort("Hugging Face token", expires=True),
    "databricks.token": Sort("Databricks token", uses=True, expires=True),
    "pinecone.key": Sort("Pinecone key"),
}
"""kind → what is known of it. A fact that its vendor tells sometimes only is looked for in each record."""


def moment(text: object) -> dt.datetime | None:
    """An RFC 3339 text as a time in UTC; None for what is none."""
    if not isinstance(text, str):
        return None
    try:
        found = dt.datetime.fromisoformat(text)
        return found.astimezone(dt.UTC) if found.tzinfo else None
    except (ValueError, OverflowError):  # the year 1 or 9999, and an offset
        return None


def written(when: dt.datetime) -> str:
    """A time as facts have it; `when` is in UTC."""
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def utc(text: object) -> str | None:
    """An RFC 3339 text as facts have it; None for what is none, as for the zero time of Go (year 1) and of Unix."""
    found = moment(text)
    return written(found) if found and found.year > 1970 else None


def stamp(seconds: object) -> str | None:
    """Unix seconds as an RFC 3339 text; None for what is no such number, as 0 and -1, which vendors write for none."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds < 32_503_680_000:
        return None
    return written(dt.datetime.fromtimestamp(seconds, dt.UTC))


def is_active(record: Record) -> bool:
    """Whether it opens anything."""
    return record.facts.get("active") is not False


def days(facts: Mapping[str, Any], name: str, now: dt.datetime) -> int | None:
    """Whole days from the time in a fact to `now`; negative for one to come; None where it is not known."""
    found = moment(facts.get(name))
    return None if found is None else math.floor((now - found) / dt.timedelta(days=1))


def age(record: Record, now: dt.datetime) -> int | None:
    """Days since the value was last changed, as far as its vendor tells."""
    sort = SORTS.get(record.kind)
    for name in sort.ages if sort else ():
        found = days(record.facts, name, now)
        if found is not None:
            return found
    return None


def of_sorts(inventory: Inventory) -> list[Record]:
    """All active credentials."""
    return [record for record in inventory.records if record.kind in SORTS and is_active(record)]

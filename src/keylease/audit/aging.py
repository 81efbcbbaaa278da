"""What the rules about ages, uses and ends of credentials have in common."""

import datetime as dt
import fnmatch
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from keylease.audit.credentials import SORTS, moment
from keylease.audit.github import where
from keylease.audit.model import Record
from keylease.audit.workflows import shown
from keylease.errors import DOCS

Days = Annotated[int, msgspec.Meta(ge=1, le=36_500)]


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another number of days for some credentials. kind, name, holder, environment: globs, all of which must match.

    max_days: of these.
    """

    kind: str = "*"
    name: str = "*"
    holder: str = "*"
    environment: str = "*"
    max_days: Days

    def covers(self, record: Record) -> bool:
        """Whether it is about this one. A place that is in no environment has an empty one."""
        pairs = [(record.kind, self.kind)]
        pairs += [(text_of(record, name), getattr(self, name)) for name in ("name", "holder", "environment")]
        return all(fnmatch.fnmatchcase(text, glob) for text, glob in pairs)


def limit_of(record: Record, limits: Sequence[Limit], default: int) -> int:
    """Days that the first of `limits` which covers it allows, else `default`."""
    return next((limit.max_days for limit in limits if limit.covers(record)), default)


def text_of(record: Record, fact: str) -> str:
    """A fact that is text; empty where it is none."""
    found = record.facts.get(fact)
    return found if isinstance(found, str) else ""


def named(record: Record) -> str:
    """``GitHub secret NPM_TOKEN of acme/trainer``, for messages."""
    name, holder = text_of(record, "name"), text_of(record, "holder")
    environment = text_of(record, "environment")
    parts = [SORTS[record.kind].label, shown(name or record.subject, 120)]
    parts += ["of", shown(holder, 120)] if holder and holder != name else []
    parts += [f"(environment {shown(environment, 60)})"] if environment not in ("", "*") else []
    return " ".join(parts)


def dates(record: Record) -> tuple[tuple[str, str], ...]:
    """What its vendor tells of its life, as evidence."""
    found = []
    for fact, label in (
        ("created_at", "created"),
        ("updated_at", "last changed"),
        ("last_used_at", "last used"),
        ("expires_at", "expires"),
    ):
        if fact in record.facts:
            time = moment(record.facts[fact])
            if time is not None:
                found.append((label, time.strftime("%Y-%m-%d")))
            elif record.facts[fact] is None:
                found.append((label, "never"))
    hint = text_of(record, "hint")
    return (*found, *((("hint", shown(hint, 60)),) if hint else ()))


def in_days(days: int) -> str:
    """``1 day``, ``400 days``."""
    return f"{days} day{'' if days == 1 else 's'}"


def lifetime(record: Record) -> int | None:
    """Days from its making to its end."""
    made, end = moment(record.facts.get("created_at")), moment(record.facts.get("expires_at"))
    return None if made is None or end is None else (end - made) // dt.timedelta(days=1)


_LEASE = f"lease the value in the job instead ({DOCS}/configuration.md)"

ROTATE: Mapping[str, str] = {
    "github.secret": f"{_LEASE}, or set a new one: gh secret set NAME",
    "github.deploy_key": "replace it, read-only, and delete the old one: gh repo deploy-key delete ID",
    "github.token": f"take a GitHub App ({DOCS}/targets/github.md), whose tokens end within the hour; "
    "then revoke this one",
    "github.token_grant": "let the job use GITHUB_TOKEN or a GitHub App; revoke the token",
    "gitlab.variable": f"{_LEASE}, or set a new one, masked and hidden",
    "gitlab.token": "rotate it: POST /projects/ID/access_tokens/TOKEN_ID/rotate, with a new expires_at",
    "jenkins.credential": f"{_LEASE}, or replace it",
    "aws.access_key": f"let the job assume a role by its identity ({DOCS}/providers/aws.md), then delete the key:\n\n"
    "aws iam update-access-key --user-name USER --access-key-id KEY_ID --status Inactive\n"
    "aws iam delete-access-key --user-name USER --access-key-id KEY_ID",
    "aws.secret": "rotate it:\n\naws secretsmanager rotate-secret --secret-id NAME",
    "gcp.key": f"let the job use workload identity ({DOCS}/providers/gcp.md), then delete the key:\n\n"
    "gcloud iam service-accounts keys delete KEY_ID --iam-account ACCOUNT",
    "azure.credential": f"let the job use a federated credential ({DOCS}/providers/azure.md), then delete it:\n\n"
    "az ad app credential delete --id APP_ID --key-id KEY_ID",
    "vault.token": f"let the job log in by its identity ({DOCS}/providers/vault.md), then revoke it:\n\n"
    "vault token revoke -accessor ACCESSOR",
    "vault.approle_secret_id": f"let the job log in by its identity ({DOCS}/providers/vault.md), then destroy it:\n\n"
    "vault write auth/approle/role/ROLE/secret-id-accessor/destroy secret_id_accessor=ACCESSOR",
    "vault.secret": "write a new value: vault kv put -mount=MOUNT PATH FIELD=-",
    "vault.database_role": "rotate it: vault write -f database/rotate-role/ROLE",
    "openai.key": f"let the job exchange its identity ({DOCS}/providers/openai.md), then delete the key in the project",
    "anthropic.key": f"let the job exchange its identity ({DOCS}/providers/anthropic.md), then disable the key:\n\n"
    'POST /v1/organizations/api_keys/KEY_ID {"status": "inactive"}',
    "huggingface.token": f"let the job exchange its identity ({DOCS}/providers/huggingface.md), then delete the token",
    "databricks.token": f"let the job exchange its identity ({DOCS}/providers/databricks.md), then delete the token",
    "pinecone.key": "make a new key, set it where it is used, and delete this one",
}
"""kind → what to do about one that has been there for too long; words in capitals stand for what is not known."""

_KNOWN = {
    "aws.access_key": {"USER": "holder"},
    "aws.secret": {"NAME": "name"},
    "github.secret": {"NAME": "name"},
    "vault.database_role": {"ROLE": "name"},
}
"""kind → what stands for which fact in it."""


def rotate(record: Record) -> str:
    """What to do about it, with its own names where they are known."""
    told = ROTATE[record.kind]
    for word, fact in _KNOWN.get(record.kind, {}).items():
        known = text_of(record, fact)
        if known:
            told = re.sub(rf"\b{word}\b", lambda _, known=known: shlex.quote(shown(known, 200)), told)  # type: ignore[misc]
    if record.kind == "github.secret" and text_of(record, "holder"):
        told += f" {where(record)}"
    return told

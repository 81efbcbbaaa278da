"""What the rules about ages, uses and ends of credentials have in common."""

import datetime as dt
import fnmatch
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import quote

import msgspec

from keylease.audit.credentials import SORTS, moment
from keylease.audit.facts import text
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
        pairs += [(text(record, name), getattr(self, name)) for name in ("name", "holder", "environment")]
        return all(fnmatch.fnmatchcase(text, glob) for text, glob in pairs)


def limit_of(record: Record, limits: Sequence[Limit], default: int) -> int:
    """Days that the first of `limits` which covers it allows, else `default`."""
    return next((limit.max_days for limit in limits if limit.covers(record)), default)


def named(record: Record) -> str:
    """``GitHub secret NPM_TOKEN of acme/trainer``, for messages."""
    name, holder = text(record, "name"), text(record, "holder")
    environment = text(record, "environment")
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
    hint = text(record, "hint")
    return (*found, *((("hint", shown(hint, 60)),) if hint else ()))


def in_days(days: int) -> str:
    """``1 day``, ``400 days``."""
    return f"{days} day{'' if days == 1 else 's'}"


def lifetime(record: Record) -> int | None:
    """Days from its making to its end; None for what is renewed for another period, whose end says nothing."""
    if record.facts.get("period"):
        return None
    made, end = moment(record.facts.get("created_at")), moment(record.facts.get("expires_at"))
    return None if made is None or end is None else (end - made) // dt.timedelta(days=1)


BY_ACCESSOR = """\
bao list -format=json auth/token/accessors | jq -r '.[]' | while read -r accessor; do
  bao token lookup -format=json -accessor "$accessor"
done | jq '.data | {accessor, display_name, policies, issue_time, expire_time, period}'
bao token revoke -accessor ACCESSOR"""
"""How to find a token and revoke it: accessors can revoke too, so the inventory has none."""

_LEASE = f"lease the value in the job instead ({DOCS}/configuration.md)"

ROTATE: Mapping[str, str] = {
    "github.secret": f"{_LEASE}, or set a new one: gh secret set {{name|NAME}}{{options|}}",
    "github.deploy_key": "replace it, read-only, and delete the old one: "
    "gh repo deploy-key delete {id|ID} --repo {holder|REPOSITORY}",
    "github.token": f"take a GitHub App ({DOCS}/targets/github.md), whose tokens end within the hour; "
    "then revoke this one",
    "github.token_grant": "let the job use GITHUB_TOKEN or a GitHub App; revoke the token",
    "gitlab.variable": f"{_LEASE}, or set a new one, masked and hidden",
    "gitlab.token": "make a new one, with an end, and delete this one",
    "gitlab.token project": "rotate it: "
    "POST /projects/{path|ID}/access_tokens/{number|TOKEN_ID}/rotate, with a new expires_at",
    "gitlab.token group": "rotate it: "
    "POST /groups/{path|ID}/access_tokens/{number|TOKEN_ID}/rotate, with a new expires_at",
    "gitlab.token personal": "rotate it: POST /personal_access_tokens/self/rotate, with a new expires_at",
    "jenkins.credential": f"{_LEASE}, or replace it",
    "aws.access_key": f"let the job assume a role by its identity ({DOCS}/providers/aws.md), then delete the key:\n\n"
    "aws iam list-access-keys --user-name {holder|USER}\n"
    "aws iam update-access-key --user-name {holder|USER} --status Inactive --access-key-id KEY_ID\n"
    "aws iam delete-access-key --user-name {holder|USER} --access-key-id KEY_ID",
    "aws.secret": "rotate it:\n\naws secretsmanager rotate-secret --secret-id {name|NAME}",
    "gcp.key": f"let the job use workload identity ({DOCS}/providers/gcp.md), then delete the key:\n\n"
    "gcloud iam service-accounts keys delete {name|KEY_ID} --iam-account {holder|ACCOUNT}",
    "azure.credential": f"let the job use a federated credential ({DOCS}/providers/azure.md), then delete it:\n\n"
    "az ad app credential delete --id {application|APP_ID} --key-id {key_id|KEY_ID}",
    "vault.token": f"let the job log in by its identity ({DOCS}/providers/vault.md), then revoke it:\n\n{BY_ACCESSOR}",
    "vault.approle_secret_id": f"let the job log in by its identity ({DOCS}/providers/vault.md), then destroy it:\n\n"
    "bao list auth/{mount|approle}/role/{role|ROLE}/secret-id\n"
    "bao write auth/{mount|approle}/role/{role|ROLE}/secret-id-accessor/destroy secret_id_accessor=ACCESSOR",
    "vault.secret": "write a new value: bao kv patch -mount={mount|MOUNT} {path|PATH} FIELD=-",
    "vault.database_role": "rotate it: bao write -f {mount|database}/rotate-role/{name|ROLE}",
    "openai.key": f"let the job exchange its identity ({DOCS}/providers/openai.md), then delete the key in the project",
    "anthropic.key": f"let the job exchange its identity ({DOCS}/providers/anthropic.md), then disable the key:\n\n"
    'POST /v1/organizations/api_keys/{id|KEY_ID} {"status": "inactive"}',
    "huggingface.token": f"let the job exchange its identity ({DOCS}/providers/huggingface.md), then delete the token",
    "databricks.token": f"let the job exchange its identity ({DOCS}/providers/databricks.md), then delete the token",
    "pinecone.key": "make a new key, set it where it is used, and delete this one",
}
"""kind, or kind and ``sort`` → what to do about one that has been there for too long. ``{FACT|WORD}`` stands for the
fact, or for WORD where it is not known."""


def rotate(record: Record) -> str:
    """What to do about it, with its own names where they are known."""
    facts = {name: value for name, value in record.facts.items() if isinstance(value, str | int) and value != ""}
    if record.kind == "github.secret" and "holder" in facts:
        facts["options"] = f" {where(record)}"
    if record.kind == "gitlab.token":
        facts |= {"path": quote(text(record, "holder"), safe=""), "number": record.subject.rpartition("/")[2]}

    def known(match: re.Match[str]) -> str:
        name, word = match.groups()
        if name not in facts:
            return word
        return str(facts[name]) if name == "options" else shlex.quote(shown(facts[name], 200))

    told = ROTATE.get(f"{record.kind} {text(record, 'sort')}", ROTATE[record.kind])
    return re.sub(r"\{(\w+)\|(\w*)\}", known, told)

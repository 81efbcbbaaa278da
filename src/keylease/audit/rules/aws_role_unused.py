"""A role that CI may take and that nobody takes."""

import shlex
from collections.abc import Iterator

import msgspec

from keylease.audit.aging import Days
from keylease.audit.aws_account import account, role
from keylease.audit.aws_trust import trusts
from keylease.audit.credentials import moment
from keylease.audit.facts import text
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """max_days: since a role was used last, or made if it never was. AWS looks back 400 days."""

    max_days: Days = 90


class AwsRoleUnused(Rule):
    """Only roles of an account: a file does not tell a use."""

    id = "aws-role-unused"
    title = "a role that CI can take has not been used for long"
    severity = "low"
    needs = ("aws.trust_policy",)
    why = (
        "A role that nobody needs still lets in whoever meets its trust policy: a repository that was given away, or "
        "a branch that anybody can push to. Nobody would miss it."
    )
    fix = "Delete the role, or take the identity provider out of its trust policy."
    links = ("https://docs.aws.amazon.com/IAM/latest/APIReference/API_RoleLastUsed.html",)
    sample = "inventory.json"
    bad = (
        these(role(created_at="2024-01-01T00:00:00Z", last_used_at="2026-03-01T00:00:00Z")),
        these(role(created_at="2024-01-01T00:00:00Z", last_used_at=None)),
    )
    good = (
        these(role(created_at="2024-01-01T00:00:00Z", last_used_at="2026-10-01T00:00:00Z")),
        these(role(created_at="2026-10-20T00:00:00Z", last_used_at=None)),
        these(role(created_at="2024-01-01T00:00:00Z")),
        these(role(document={"Statement": []}, created_at="2024-01-01T00:00:00Z", last_used_at=None)),
    )
    Settings = Settings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a role."""
        settings: Settings = self.settings
        for record in inventory.of("aws.trust_policy"):
            if not account(record) or "last_used_at" not in record.facts:
                continue
            last = record.facts["last_used_at"]
            since = moment(last) if last is not None else moment(record.facts.get("created_at"))
            name = text(record, "name")
            if since is None or not name or (inventory.now - since).days <= settings.max_days:
                continue
            found = trusts(record.facts.get("document"))
            if found:
                quoted = shlex.quote(name)
                used = f"was last used {since:%Y-%m-%d}" if last is not None else f"was not used since {since:%Y-%m-%d}"
                yield self.finding(
                    record,
                    f"role {shown(name)}, which jobs of {shown(found[0].issuer.name)} can take, {used}",
                    evidence=(("limit", f"{settings.max_days} days"),),
                    change=f"look at what it has, then delete it\n\naws iam get-role --role-name {quoted}",
                    key="unused",
                )

"""A static database role that is rotated seldom, or not any more."""

import shlex
from collections.abc import Iterator

import msgspec

from keylease.audit.credentials import moment
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown

_KIND, _AT = "vault.database_role", "vault://bao.example.com/database_role/0"
_FACTS = {
    "name": "app",
    "mount": "database",
    "holder": "database",
    "sort": "static",
    "rotation_period": 86400,
    "updated_at": "2026-10-01T00:00:00Z",
}


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """most: seconds between two rotations."""

    most: int = 90 * 86_400


class VaultStaticRoleRotation(Rule):
    """Overdue: twice the period, and a day, have passed since the server last did it."""

    id = "vault-static-role-rotation"
    title = "a static database role of Vault that is not rotated"
    severity = "medium"
    needs = (_KIND,)
    why = (
        "A static role promises that its password is changed by the server. Where that fails (the database is gone, "
        "the server's own account lost its rights) or happens once a year, the password is an old one like any other."
    )
    fix = "Mend the connection and rotate by hand, or shorten the period."
    links = ("https://openbao.org/api-docs/secret/databases/#create-static-role",)
    sample = "inventory.json"
    Settings = Rotation
    bad = (
        listed(_KIND, _AT, **_FACTS),
        listed(_KIND, _AT, **{**_FACTS, "rotation_period": 31536000, "updated_at": "2026-10-31T12:00:00Z"}),
    )
    good = (
        listed(_KIND, _AT, **{**_FACTS, "updated_at": "2026-10-31T12:00:00Z"}),
        listed(
            _KIND,
            _AT,
            **{
                **_FACTS,
                "rotation_period": None,
                "updated_at": "2026-10-31T12:00:00Z",
                "rotation_schedule": "0 0 * * SAT",
            },
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a role."""
        for record in inventory.of(_KIND):
            facts = record.facts
            period, last = facts.get("rotation_period"), moment(facts.get("updated_at"))
            if not isinstance(period, int) or isinstance(period, bool) or period <= 0:
                continue
            path = f"{shown(facts.get('mount'))}/rotate-role/{shown(facts.get('name'))}"
            change = f"rotate it now\n\nbao write -f {shlex.quote(path)}"
            overdue = last is not None and (inventory.now - last).total_seconds() > 2 * period + 86_400
            if overdue:
                what = f"was last rotated {shown(facts['updated_at'])}, though its period is {period // 3600} hours"
            elif period > self.settings.most:
                what = f"is rotated every {period // 86_400} days"
                role = shlex.quote(f"{shown(facts.get('mount'))}/static-roles/{shown(facts.get('name'))}")
                change = f"shorten the period\n\nbao write {role} rotation_period=720h"
            else:
                continue
            yield self.finding(
                record,
                f"static role {shown(facts.get('name'))} {what}",
                severity="medium" if overdue else "low",
                evidence=(("rotation period", f"{period} s"), ("rotated", shown(facts.get("updated_at") or "never"))),
                change=change,
                key="rotation",
            )

"""Two keys of one user at once, for longer than it takes to change over."""

from collections.abc import Iterator

import msgspec

from keylease.audit.aging import Days
from keylease.audit.aws_account import KEYS, account, key, keys_of_users, switch_off
from keylease.audit.credentials import age
from keylease.audit.facts import text
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """overlap_days: for how long the old key may stay switched on beside the new one."""

    overlap_days: Days = 14


class AwsUserTwoKeys(Rule):
    """The newer one's age tells for how long there have been two."""

    id = "aws-user-two-keys"
    title = "a user has two access keys that work"
    severity = "low"
    needs = ("aws.access_key",)
    why = (
        "A second key is there for changing over from the old one. Where both stay, a rotation was not finished: the "
        "old key still works, and every copy of it."
    )
    fix = "Find by its last use whether the older key is still needed, switch it off, and delete it some days later."
    links = (KEYS, "https://docs.aws.amazon.com/IAM/latest/UserGuide/id-credentials-access-keys-update.html")
    sample = "inventory.json"
    _old = key("ci", "AKIA…AAAA", "2024-01-01T00:00:00Z")
    bad = (these(_old, key("ci", "AKIA…BBBB", "2026-09-01T00:00:00Z")),)
    good = (
        these(_old, key("ci", "AKIA…BBBB", "2026-10-30T00:00:00Z")),
        these(_old, key("ci", "AKIA…BBBB", "2026-09-01T00:00:00Z", active=False)),
        these(_old, key("other", "AKIA…BBBB", "2026-09-01T00:00:00Z")),
    )
    Settings = Settings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a user, about the older key."""
        settings: Settings = self.settings
        for (_, name), keys in keys_of_users(inventory).items():
            aged = [(days, each) for each in keys if (days := age(each, inventory.now)) is not None]
            if len(aged) < 2:
                continue
            aged.sort(key=lambda pair: pair[0])
            (newest, second), (_, oldest) = aged[0], aged[-1]
            if newest > settings.overlap_days:
                hints = f"{shown(text(oldest, 'hint'))} and {shown(text(second, 'hint'))}"
                yield self.finding(
                    oldest,
                    f"user {shown(name)} has two access keys that work: {hints}",
                    evidence=(("account", shown(account(oldest))), ("both since", shown(text(second, "created_at")))),
                    change=f"switch the older one off, and delete it later\n\n{switch_off(name)}",
                    key="two",
                )

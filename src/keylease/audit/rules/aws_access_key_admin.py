"""A long-lived key that can do everything."""

from collections.abc import Iterator

from keylease.audit.aws_account import KEYS, PRACTICES, administrators, everything, key, keys_of_users, switch_off, user
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"


class AwsAccessKeyAdmin(Rule):
    """By the user's own policies and by its groups'. A permissions boundary is not seen: hence medium confidence."""

    id = "aws-access-key-admin"
    title = "an access key of an administrator"
    severity = "high"
    confidence = "medium"
    needs = ("aws.access_key", "aws.user", "aws.iam_policy")
    why = (
        "An access key works from anywhere, until somebody deletes it. This one belongs to a user that may do "
        "everything, so one copy in a log or on a laptop is the whole account."
    )
    fix = "Let people and jobs take roles for a short time. Until then give the user only what the key is used for."
    links = (KEYS, PRACTICES)
    sample = "inventory.json"
    bad = (
        these(key(), user("ci", _ADMIN), everything()),
        these(key(), user("ci"), everything("user/ci")),
        these(key(), user("ci", groups=("ops",)), everything("group/ops")),
    )
    good = (
        these(key(active=False), user("ci", _ADMIN), everything()),
        these(key(), user("ci", "arn:aws:iam::aws:policy/ReadOnlyAccess"), everything("role/ci", "user/other")),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a key."""
        admins = administrators(inventory)
        for (where, name), keys in keys_of_users(inventory).items():
            for record in keys if (where, name) in admins else ():
                yield self.finding(
                    record,
                    f"access key {shown(record.facts.get('hint'))} of {shown(name)} can do everything in the account",
                    evidence=(("user", shown(name)), ("by policy", shown(admins[where, name]))),
                    change=f"give its users a role, then switch it off, and delete it later\n\n{switch_off(name)}",
                    key="admin",
                )

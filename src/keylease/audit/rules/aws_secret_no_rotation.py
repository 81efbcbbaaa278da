"""A secret in Secrets Manager that is not rotated by itself."""

import shlex
from collections.abc import Iterator

from keylease.audit.facts import text
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown

_SUBJECT = "aws://123456789012/secret/eu-central-1/db"


class AwsSecretNoRotation(Rule):
    """Pedantic: many values can't be rotated by a function, and credential-stale judges their age."""

    id = "aws-secret-no-rotation"
    title = "a secret that AWS does not rotate"
    severity = "low"
    persona = "pedantic"
    needs = ("aws.secret",)
    why = "A value that only people change is changed late or never, and every copy that was read stays good."
    fix = "Turn rotation on where the service behind the secret has a rotation function; else plan it by hand."
    links = ("https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets.html",)
    sample = "inventory.json"
    bad = (listed("aws.secret", _SUBJECT, name="db", holder="123456789012 eu-central-1", rotates=False),)
    good = (
        listed("aws.secret", _SUBJECT, name="db", rotates=True, rotation_days=30),
        listed("aws.secret", _SUBJECT, name="db"),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a secret."""
        for record in inventory.of("aws.secret"):
            if record.facts.get("rotates") is False:
                name, region = text(record, "name"), text(record, "holder").rpartition(" ")[2]
                where = f" --region {shlex.quote(region)}" if region else ""
                yield self.finding(
                    record,
                    f"secret {shown(name, 120)} is not rotated by itself",
                    change="if there is a rotation function for it, turn rotation on\n\n"
                    f"aws secretsmanager rotate-secret --secret-id {shlex.quote(name)}{where} \\\n"
                    "  --rotation-lambda-arn FUNCTION_ARN --rotation-rules AutomaticallyAfterDays=30",
                    key="rotation",
                )

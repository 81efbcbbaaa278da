"""The root user of an account has access keys."""

from collections.abc import Iterator

from keylease.audit.aws_account import account
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown


class AwsRootAccessKey(Rule):
    """Any number of them."""

    id = "aws-root-access-key"
    title = "an AWS account's root user has an access key"
    severity = "critical"
    needs = ("aws.account",)
    why = (
        "A key of the root user can do everything in the account, close it as well, and no policy of the account can "
        "narrow it. Whoever finds a copy owns the account."
    )
    fix = "Give what uses the key a role of its own, then delete the key while signed in as the root user."
    links = (
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/root-user-best-practices.html",
        "https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountSummary.html",
    )
    sample = "inventory.json"
    bad = (listed("aws.account", "aws://123456789012", name="123456789012", root_keys=1),)
    good = (listed("aws.account", "aws://123456789012", name="123456789012", root_keys=0),)

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding an account."""
        for record in inventory.of("aws.account"):
            count = record.facts.get("root_keys")
            if isinstance(count, int) and count > 0:
                yield self.finding(
                    record,
                    f"the root user of account {shown(account(record))} has an access key",
                    evidence=(("AccountAccessKeysPresent", str(count)),),
                    change="sign in as the root user, open Security credentials, deactivate the key, then delete it",
                    key="root",
                )

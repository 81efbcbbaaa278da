"""Jobs take roles of the account already, and users still have keys."""

from collections.abc import Iterator

from keylease.audit.aws_account import KEYS, PRACTICES, account, key, keys_of_users, role, switch_off
from keylease.audit.aws_trust import trusts
from keylease.audit.facts import text
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown


class AwsAccessKeyBesideOidc(Rule):
    """Pedantic: a key may be a person's, or of something that has no identity to exchange."""

    id = "aws-access-key-beside-oidc"
    title = "an access key in an account whose roles CI can take without one"
    severity = "medium"
    confidence = "low"
    persona = "pedantic"
    needs = ("aws.access_key", "aws.trust_policy")
    why = (
        "The account trusts the tokens of CI jobs so that no key has to lie in their settings. A key that is still "
        "there works for whoever has a copy, from anywhere, until somebody deletes it."
    )
    fix = "Find what uses the key by its last use. If it is a job, let it take a role, then switch the key off."
    links = (KEYS, PRACTICES)
    sample = "inventory.json"
    bad = (these(key(), role()),)
    good = (
        these(key(active=False), role()),
        these(key(), role(document={"Statement": []})),
        these(key(), role(where="210987654321")),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a key."""
        trusting: dict[str, tuple[str, str]] = {}
        for record in inventory.of("aws.trust_policy"):
            for trust in trusts(record.facts.get("document")) if account(record) else ():
                trusting.setdefault(account(record), (text(record, "name"), trust.issuer.name))
        for (where, name), keys in keys_of_users(inventory).items():
            for record in keys if where in trusting else ():
                taken, issuer = trusting[where]
                yield self.finding(
                    record,
                    f"access key {shown(text(record, 'hint'))} of {shown(name)}, in an account that jobs of "
                    f"{shown(issuer)} reach without one",
                    evidence=(("role", shown(taken)), ("last used for", shown(text(record, "last_service") or "-"))),
                    change=f"if a job uses it, let the job take a role, then switch it off\n\n{switch_off(name)}",
                    key="beside",
                )

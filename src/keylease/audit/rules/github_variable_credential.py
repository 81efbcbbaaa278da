"""A variable that holds a credential."""

from collections.abc import Iterator

from keylease.audit.facts import text
from keylease.audit.github import place, where, word, written
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_VARIABLE = {"name": "OPENAI_KEY", "level": "repository", "holder": "acme/web"}
_AT = "acme/web/variable/OPENAI_KEY"


class VariableCredential(Rule):
    """By the exact form of its vendor; values are neither kept nor sent anywhere."""

    id = "github-variable-credential"
    title = "a variable that holds a credential"
    severity = "high"
    needs = ("github.variable",)
    why = (
        "A variable is shown to everybody who may read the repository's settings, by the API to every token with "
        "`Variables: read`, and in logs without a mask."
    )
    fix = "Change the credential at its vendor, keep the new one as a secret or lease it, and delete the variable."
    links = ("https://docs.github.com/actions/concepts/workflows-and-actions/variables",)
    sample = "inventory.json"
    bad = (written(("variable", _AT, {**_VARIABLE, "looks_like": "OpenAI key", "hint": "sk-proj-…wxyz"})),)
    good = (written(("variable", _AT, _VARIABLE)),)

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a variable."""
        for record in inventory.of("github.variable"):
            what, hint = text(record, "looks_like"), text(record, "hint")
            if what:
                name = word(text(record, "name"))
                yield self.finding(
                    record,
                    f"the variable {shown(text(record, 'name'))} of {place(record)} holds a credential: {shown(what)}",
                    evidence=(("begins and ends", shown(hint)),) if hint else (),
                    change="revoke it at its vendor; then\n\n"
                    f"gh secret set {name} {where(record)}\ngh variable delete {name} {where(record)}",
                    key="credential",
                )

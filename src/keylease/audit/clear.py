"""What the rules about credentials in clear have in common."""

from collections.abc import Iterator

from keylease.audit.literals import literals
from keylease.audit.model import Finding, Inventory, Location
from keylease.audit.rule import Rule
from keylease.audit.trees import Tree
from keylease.audit.workflows import shown

WHY = (
    "Whoever can read the repository, a fork or an old clone of it has the credential, and deleting the line takes it "
    "from nobody: it stays in the history. Public repositories are searched for such texts within minutes."
)
FIX = "Revoke the credential first, look into its log for strange use, then take it out of the file."
FIRST = "revoke it at its vendor now, whatever comes next"


class ClearSecret(Rule):
    """One finding a place. The evidence is the public prefix and the length, never the value."""

    severity = "critical"
    why = WHY
    fix = FIX

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """All values of the trees."""
        for record in inventory.of(self.needs[0]):
            if not isinstance(tree := record.facts.get("tree"), Tree):
                continue
            for each in literals(tree):
                where = ".".join(shown(step, 40) for step in each.path)
                yield self.finding(
                    record,
                    f"{where} holds {'an' if each.what[0] in 'AEIOU' else 'a'} {each.what} in clear",
                    location=Location(record.location.path, each.line) if record.location else None,
                    evidence=(("prefix", each.prefix or "none"), ("length", str(each.length))),
                    change=self.instead(),
                    key=f"{where} {each.what} {each.number}",
                )

    def instead(self) -> str:
        """What to write in its place."""
        return FIRST

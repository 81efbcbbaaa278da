"""A credential in clear in a Jenkinsfile."""

from collections.abc import Iterator

from keylease.audit.clear import FIRST, FIX, WHY
from keylease.audit.jenkinsfiles import KIND, rows
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import at, shown

_KEY = "AKIA" + "Q3EGVS7XJWMN5RTD"  # in two parts, or scanners of this repository report it


class JenkinsfileClearSecret(Rule):
    """Only exact forms of vendors: a long word is no secret."""

    id = "jenkinsfile-clear-secret"
    title = "a credential in clear in a Jenkinsfile"
    severity = "critical"
    needs = (KIND,)
    why = WHY
    fix = FIX
    links = ("https://www.jenkins.io/doc/book/pipeline/jenkinsfile/#handling-credentials",)
    sample = "Jenkinsfile"
    bad = (f"pipeline {{\n  environment {{ AWS_ACCESS_KEY_ID = '{_KEY}' }}\n}}\n",)
    good = ("pipeline {\n  environment { A = 'AKIAIOSFODNN7EXAMPLE'; B = credentials('aws') }\n}\n",)

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a place. The evidence is the public prefix and the length, never the value."""
        counts: dict[tuple[str, str], int] = {}
        for record, row, line in rows(inventory, "literals"):
            what = shown(row.get("what"))
            number = counts[record.subject, what] = counts.get((record.subject, what), -1) + 1
            yield self.finding(
                record,
                f"the Jenkinsfile holds a {what} in clear",
                location=at(record, line),
                evidence=(("prefix", shown(row.get("prefix") or "none")), ("length", shown(row.get("length")))),
                change=f"{FIRST}; then lease one with Keylease, or store it as a credential of the folder"
                "\n\nenvironment {\n  NAME = credentials('ID')\n}",
                key=f"{what} {number}",
            )

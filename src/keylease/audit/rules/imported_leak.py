"""What another scanner found."""

from collections.abc import Iterator

from keylease.audit.model import Confidence, Finding, Inventory, Severity
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_RANKS: dict[str, tuple[Severity, Confidence, str]] = {
    "active": ("critical", "high", "the scanner used it, and it works"),
    "inactive": ("medium", "medium", "the scanner used it, and it did not work"),
    "unknown": ("high", "medium", "not verified: it has the form of a secret"),
}


class ImportedLeak(Rule):
    """Each by itself; the scanner's own report has the value, ours never."""

    id = "imported-leak"
    title = "another scanner found a secret"
    severity = "high"
    confidence = "medium"
    needs = ("scan.finding",)
    why = (
        "A secret in a file or in the history is known to whoever can read it, a fork or a clone, and stays so when "
        "the file is deleted. One that the scanner has verified works right now. One that it could not verify may be "
        "an example, or of a service that the scanner can't ask."
    )
    fix = (
        "Change the secret at its source first, then take it out of the file and let the job lease it. Rewriting the "
        "history alone does not help: others have it. What is no secret is to be set aside with a waiver and a reason."
    )
    links = (
        "https://github.com/gitleaks/gitleaks",
        "https://github.com/trufflesecurity/trufflehog",
        "https://github.com/mongodb/kingfisher",
    )
    sample = "inventory.json"
    bad = (
        these(
            (
                "scan.finding",
                "scan://trufflehog/5f0c",
                {"tool": "trufflehog", "name": "AWS", "path": "deploy/keys", "line": 4, "state": "active"},
            )
        ),
    )
    good = (these(("scan.finding", "scan://gitleaks/0", {})),)

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One a record."""
        for record in inventory.of("scan.finding"):
            facts = record.facts
            tool, name = shown(str(facts.get("tool", ""))), shown(str(facts.get("name", "")))
            if not tool or not name:
                continue
            severity, confidence, meaning = _RANKS.get(str(facts.get("state")), _RANKS["unknown"])
            path, line = str(facts.get("path") or ""), _line(facts.get("line"))
            where = shown(path, 200) if path else shown(str(facts.get("place") or "a place that it does not name"))
            evidence = [("scanner", tool), ("its rule", name), ("state", meaning)]
            evidence += [
                (what, shown(str(facts.get(key)), 200))
                for what, key in (("description", "description"), ("commit", "commit"))
                if facts.get(key)
            ]
            yield self.finding(
                record,
                f"{tool} found a secret ({name}) in {where}{f', line {line}' if line else ''}",
                severity=severity,
                confidence=confidence,
                evidence=tuple(evidence),
                change="change the secret at its source, then take it out of there and let the job lease it",
            )


def _line(value: object) -> int:
    return value if type(value) is int and value > 0 else 0

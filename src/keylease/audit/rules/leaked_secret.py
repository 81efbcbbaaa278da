"""A value that the manager has, where it must not be."""

from collections.abc import Iterator

from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown

_KIND, _AT = "scan.leak", "file://deploy/.env"
_FACTS = {"secret": "vault://kv/ci#token", "form": "raw", "path": "deploy/.env", "line": 3, "place": "file"}


class LeakedSecret(Rule):
    """Exact: the value itself was found, in one of the forms that are masked in logs."""

    id = "leaked-secret"
    title = "a secret of the manager lies in a file, the history or an artefact"
    severity = "critical"
    needs = (_KIND,)
    why = (
        "This is no guess by the look of a text: the value that the job leases is in there. Whoever can read the "
        "repository, a fork, a clone or the artefact has it, and deleting the file takes it from nobody."
    )
    fix = (
        "Rotate the secret at the manager first: from then on the leaked value is worth nothing. Then take it out of "
        "the file or artefact. Rewrite the history (git filter-repo) only if the old value must not be read even now, "
        "for all clones and forks keep it."
    )
    links = (
        (
            "https://docs.github.com/code-security/secret-scanning/working-with-secret-scanning-and-push-protection/"
            "remediating-a-leaked-secret"
        ),
        "https://github.com/newren/git-filter-repo",
    )
    sample = "inventory.json"
    bad = ((listed(_KIND, _AT, **_FACTS)),)
    good = (listed(_KIND, _AT),)

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One a secret and place."""
        for record in inventory.of(_KIND):
            facts = record.facts
            secret = shown(facts.get("secret") or "", 200)
            if not secret:
                continue
            path, line = shown(facts.get("path") or record.subject, 200), _line(facts.get("line"))
            place = str(facts.get("place") or "file")
            where = f"{path}{f', line {line}' if line else ''}"
            if place == "history":
                where = f"the history: {where}"
            evidence = [("secret", secret), ("form", shown(facts.get("form") or "raw"))]
            evidence += [
                (what, shown(facts[key], 200))
                for what, key in (("commit", "commit"), ("of", "date"), ("object", "object"))
                if facts.get(key)
            ]
            then = {
                "history": "then it need not be rewritten, unless nobody may read the old value even now",
                "artefact": "then delete the artefact, and build it anew without it",
            }.get(place, "then take it out of the file, and let the job lease it")
            yield self.finding(
                record,
                f"{secret} lies in {where}",
                evidence=tuple(evidence),
                change=f"rotate {secret} at its manager first; {then}",
                key=secret,
            )


def _line(value: object) -> int:
    return value if type(value) is int and value > 0 else 0

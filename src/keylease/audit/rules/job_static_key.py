"""A static key in the job's environment whose vendor takes the job's identity token instead."""

from collections.abc import Iterator

from keylease.audit.facts import text
from keylease.audit.federated import KINDS
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_KEY = {"name": "OPENAI_API_KEY", "sort": "openai", "label": "OpenAI key", "hint": "sk-proj-…Wxyz", "static": True}


class JobStaticKey(Rule):
    """Sees what really lies there, however it came: files of CI say only where secrets go."""

    id = "job-static-key"
    title = "a static key in the job where its identity token would do"
    severity = "medium"
    needs = ("job.variable",)
    why = (
        "Every program of the job, its dependencies included, reads the variables of its process. A key that never "
        "ends is good wherever it is carried off to. A leased token ends with the job, and says whose it was."
    )
    fix = (
        "Let the vendor trust the job (`keylease whoami` prints how), lease the credential in the step before, and "
        "delete the stored key."
    )
    links = ("https://docs.github.com/actions/concepts/security/openid-connect",)
    sample = "inventory.json"
    bad = (these(("job.variable", "job://environment/variable/OPENAI_API_KEY", _KEY)),)
    good = (
        these(
            ("job.variable", "job://environment/variable/SLACK", {"name": "SLACK", "sort": "slack", "static": True}),
            ("job.variable", "job://environment/variable/VAULT_TOKEN", {"name": "VAULT_TOKEN", "sort": "vault"}),
            ("job.variable", "job://environment/variable/A", {**_KEY, "name": "A", "level": "admin"}),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a vendor: what it takes two variables to be is one credential."""
        found: dict[str, list[Record]] = {}
        for record in inventory.of("job.variable"):
            # Whether it is a lease or was made for a year can't always be told; admin keys have no such replacement.
            if record.facts.get("static") is True and record.facts.get("level") != "admin":
                found.setdefault(str(record.facts.get("sort")), []).append(record)
        for kind in KINDS:
            records = found.get(kind.provider, [])
            if records:
                names = ", ".join(shown(record.facts.get("name")) for record in records[:6])
                yield self.finding(
                    records[0],
                    f"this job has a static {kind.label} ({names}): {kind.vendor} takes the job's identity token",
                    confidence=kind.confidence,
                    persona=kind.persona,
                    evidence=tuple((shown(each.facts.get("name")), shown(text(each, "hint"))) for each in records[:6]),
                    change=f"lease it ({kind.docs}), then {kind.then}\n\n{kind.keylease()}",
                    key=kind.provider,
                )

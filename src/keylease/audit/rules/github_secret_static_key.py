"""A stored credential whose vendor takes the job's identity token."""

from collections.abc import Iterator

from keylease.audit.facts import text
from keylease.audit.federated import Kind, kind_of_secret
from keylease.audit.github import place, secrets, written
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import listed

_SECRET = {"name": "AWS_SECRET_ACCESS_KEY", "store": "actions", "level": "repository", "holder": "acme/web"}
_AT = "acme/web/secret/AWS_SECRET_ACCESS_KEY"


class SecretStaticKey(Rule):
    """By the name alone; Dependabot and Codespaces have no identity token, and are left alone."""

    id = "github-secret-static-key"
    title = "a stored credential where the job's identity token would do"
    severity = "medium"
    confidence = "medium"
    needs = ("github.secret",)
    why = (
        "A key that is stored as a CI secret is good for whoever gets hold of it, from anywhere, until somebody "
        "rotates it. The vendor takes the job's own identity token (OIDC) instead: nothing is stored, and what is "
        "handed out ends within the hour."
    )
    fix = (
        "Let the vendor trust the repository and its environment (`keylease whoami` in the job prints how), lease the "
        "credential with Keylease, then delete the secret and the key."
    )
    links = ("https://docs.github.com/actions/concepts/security/openid-connect",)
    sample = "inventory.json"
    bad = (
        written(("secret", _AT, _SECRET)),
        written(("secret", "acme/secret/OPENAI_API_KEY", {**_SECRET, "name": "OPENAI_API_KEY", "holder": "acme"})),
    )
    good = (
        written(("secret", "acme/web/secret/AWS_ROLE_ARN", {**_SECRET, "name": "AWS_ROLE_ARN"})),
        written(("secret", "acme/web/secret/R2_KEY", {**_SECRET, "name": "R2_AWS_SECRET_ACCESS_KEY"})),
        written(("secret", f"{_AT}-2", {**_SECRET, "store": "codespaces"})),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a place and vendor."""
        found: dict[tuple[str, str], tuple[Kind, list[Record]]] = {}
        for record in secrets(inventory, store="actions"):
            kind = kind_of_secret(text(record, "name"))
            if kind is not None:
                found.setdefault((place(record), kind.provider), (kind, []))[1].append(record)
        for kind, records in found.values():
            records.sort(key=lambda each: text(each, "name"))
            names = listed([text(each, "name") for each in records])
            yield self.finding(
                records[0],
                f"{place(records[0])} stores a static {kind.label} ({names}): {kind.vendor} takes an identity token",
                confidence="low" if kind.confidence == "low" else "medium",
                persona=kind.persona,
                evidence=tuple(
                    ("last changed", text(each, "updated_at")) for each in records[:1] if text(each, "updated_at")
                ),
                change=f"lease it by a keylease.yml ({kind.docs}), then delete {names}; last, "
                f"{kind.then}\n\n{kind.keylease()}",
                key=f"static {kind.provider}",
            )

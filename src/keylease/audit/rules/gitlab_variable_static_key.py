"""A GitLab variable with a credential whose vendor takes the job's identity token."""

from collections.abc import Iterator

from keylease.audit.federated import Kind, kind_of_secret
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.samples import listed, these
from keylease.audit.workflows import listed as enumerated
from keylease.audit.workflows import shown

_KIND, _AT = "gitlab.variable", "gitlab://acme/trainer/variable/AWS_SECRET_ACCESS_KEY?scope=*"
_FACTS = {"name": "AWS_SECRET_ACCESS_KEY", "level": "project", "holder": "acme/trainer", "masked": True}


class VariableStaticKey(Rule):
    """By the name alone. Where a variable beside it names another server, whose key it is is not known."""

    id = "gitlab-variable-static-key"
    title = "a credential in a GitLab variable where the job's identity token would do"
    severity = "medium"
    confidence = "medium"
    needs = (_KIND,)
    why = (
        "A key that is stored as a CI/CD variable is good for whoever gets hold of it, from anywhere, until somebody "
        "rotates it. The vendor takes the job's own identity token (OIDC) instead: nothing is stored, and what is "
        "handed out ends within the hour."
    )
    fix = (
        "Let the vendor trust the project and its environment (`keylease whoami` in the job prints how), lease the "
        "credential with Keylease, then delete the variable and the key."
    )
    links = ("https://docs.gitlab.com/ci/secrets/id_token_authentication/",)
    sample = "inventory.json"
    bad = (
        listed(_KIND, _AT, **_FACTS),
        listed(
            _KIND, "gitlab://acme/variable/OPENAI_API_KEY?scope=*", name="OPENAI_API_KEY", level="group", holder="acme"
        ),
    )
    good = (
        listed(_KIND, "gitlab://acme/a/variable/AWS_ROLE_ARN?scope=*", **{**_FACTS, "name": "AWS_ROLE_ARN"}),
        these((_KIND, _AT, _FACTS), (_KIND, _AT + "2", {**_FACTS, "name": "AWS_ENDPOINT_URL"})),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a place and vendor."""
        found: dict[tuple[str, str], tuple[Kind, list[Record]]] = {}
        names: dict[str, set[str]] = {}
        for record in inventory.of(_KIND):
            name, holder = str(record.facts.get("name", "")), str(record.facts.get("holder", ""))
            names.setdefault(holder, set()).add(name.upper())
            if kind := kind_of_secret(name):
                found.setdefault((holder, kind.provider), (kind, []))[1].append(record)
        for (holder, _), (kind, records) in found.items():
            if kind.endpoints & names[holder]:
                continue
            records.sort(key=lambda each: (str(each.facts.get("name")), each.subject))
            listing = enumerated(sorted({shown(each.facts.get("name")) for each in records}))
            yield self.finding(
                records[0],
                f"{shown(holder) or 'the instance'} stores a static {kind.label} ({listing}): {kind.vendor} takes an "
                "identity token",
                confidence="low" if kind.confidence == "low" else "medium",
                persona=kind.persona,
                change=f"lease it by a keylease.yml ({kind.docs}), then delete {listing}; last, "
                f"{kind.then}\n\n{kind.keylease({'service_id': 'gitlab'})}",
                key=f"static {kind.provider}",
            )

"""A Jenkins credential whose vendor takes a job's identity token."""

import re
from collections.abc import Iterator

from keylease.audit.federated import kind_of_secret
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown

_KIND, _AT = "jenkins.credential", "jenkins://jenkins.example.com/#openai-api-key"
_FACTS = {"name": "openai-api-key", "class": "Secret text", "store": "system", "holder": "system", "domain": ""}


class JenkinsStaticKey(Rule):
    """By the ID alone; Jenkins makes identity tokens with a plugin, so this is pedantic."""

    id = "jenkins-credential-static-key"
    title = "a Jenkins credential where a job's identity token would do"
    severity = "medium"
    confidence = "medium"
    persona = "pedantic"
    needs = (_KIND,)
    why = (
        "A key in Jenkins is good for whoever reads it out of a job, from anywhere, until somebody rotates it. With "
        "the plugin OpenID Connect Provider, jobs have identity tokens, which the vendor takes: nothing is stored."
    )
    fix = "Let the vendor trust Jenkins' issuer and the job, lease the credential with Keylease, then delete it here."
    links = ("https://plugins.jenkins.io/oidc-provider/",)
    sample = "inventory.json"
    bad = (listed(_KIND, _AT, **_FACTS),)
    good = (
        listed(_KIND, _AT, **{**_FACTS, "name": "nexus-deploy"}),
        listed(_KIND, _AT, **{**_FACTS, "name": "azure-openai-api-key"}),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a credential."""
        for record in inventory.of(_KIND):
            name = str(record.facts.get("name", ""))
            kind = kind_of_secret(re.sub(r"[^A-Za-z0-9]+", "_", name[:200]))
            if kind is not None:
                yield self.finding(
                    record,
                    f"the credential {shown(name)!a} of {shown(record.facts.get('holder'))} is a static {kind.label}: "
                    f"{kind.vendor} takes an identity token",
                    confidence="low" if kind.confidence == "low" else "medium",
                    change=f"lease it by a keylease.yml ({kind.docs}), then delete it; last, "
                    f"{kind.then}\n\n{kind.keylease({'service_id': 'jenkins'})}",
                    key=f"static {kind.provider}",
                )

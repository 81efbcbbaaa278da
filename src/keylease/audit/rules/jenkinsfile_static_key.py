"""A static credential in a Jenkinsfile where the vendor takes an identity token."""

import re
from collections.abc import Iterator

from keylease.audit.federated import Kind, kind_of
from keylease.audit.jenkinsfiles import KIND, VENDORS, rows
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import at, listed, shown


class JenkinsfileStaticKey(Rule):
    """By the variable and the credential's ID; Jenkins makes identity tokens with a plugin, so this is pedantic."""

    id = "jenkinsfile-static-key"
    title = "a static credential in a Jenkinsfile where an identity token would do"
    severity = "medium"
    confidence = "medium"
    persona = "pedantic"
    needs = (KIND,)
    why = (
        "A key in Jenkins is good for whoever reads it out of a job, from anywhere, until somebody rotates it. With "
        "the plugin OpenID Connect Provider, jobs have identity tokens, which the vendor takes: nothing is stored."
    )
    fix = "Let the vendor trust Jenkins' issuer and the job, and lease the credential with Keylease."
    links = ("https://plugins.jenkins.io/oidc-provider/",)
    sample = "Jenkinsfile"
    bad = (
        "pipeline {\n  environment { OPENAI_API_KEY = credentials('models') }\n}\n",
        "withCredentials([[$class: 'AmazonWebServicesCredentialsBinding', credentialsId: 'aws']]) { sh './x' }\n",
        "withAWS(credentials: 'deploy', region: 'eu-west-1') { sh './x' }\n",
        "withCredentials([azureServicePrincipal('deploy')]) { sh './x' }\n",
        "withCredentials([file(credentialsId: 'k', variable: 'GOOGLE_APPLICATION_CREDENTIALS')]) { sh './x' }\n",
    )
    good = (
        "pipeline {\n  environment { NPM_TOKEN = credentials('npm') }\n}\n",
        "pipeline {\n  environment { OPENAI_API_KEY = credentials('m')\n  OPENAI_BASE_URL = 'https://llm.test' }\n}\n",
        "withAWS(role: 'deploy', roleAccount: '123456789012') { sh './x' }\n",
        "withCredentials([file(credentialsId: 'k', variable: 'KEY'), aws(credentialsId: 'minio')]) { sh './x' }\n",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a file and vendor."""
        found: dict[tuple[str, str], tuple[Kind, list[tuple[str, int]]]] = {}
        for record, row, line in rows(inventory, "secrets"):
            name = str(row.get("name", ""))
            usual = VENDORS.get(str(row.get("binding")), name)
            kind = kind_of(usual, re.sub(r"[^A-Za-z0-9]+", "_", str(row.get("credential", ""))))
            servers = record.facts.get("servers")
            if kind and not (isinstance(servers, list) and any(each in kind.endpoints for each in map(str, servers))):
                found.setdefault((record.subject, kind.provider), (kind, []))[1].append((shown(name), line))
        records = {record.subject: record for record in inventory.of(KIND)}
        for (subject, _), (kind, places) in found.items():
            record = records[subject]
            names = listed(list(dict.fromkeys(name for name, _ in places)))
            yield self.finding(
                record,
                f"the pipeline gets a static {kind.label} ({names}): {kind.vendor} takes an identity token",
                location=at(record, places[0][1]),
                confidence="low" if kind.confidence == "low" else "medium",
                change=f"lease it by a keylease.yml ({kind.docs}), then delete the credential; "
                f"last, {kind.then}\n\n{kind.keylease({'service_id': 'jenkins'})}",
                key=f"static {kind.provider}",
            )

"""A credential that Groovy puts into a script's text."""

from collections.abc import Iterator

from keylease.audit.jenkinsfiles import KIND, rows
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import at, shown


class SecretInterpolated(Rule):
    """Variables that `credentials()` or `withCredentials` bind, in scripts that stand in double quotes."""

    id = "jenkinsfile-secret-interpolated"
    title = "a credential that Groovy puts into a script's text"
    severity = "medium"
    needs = (KIND,)
    why = (
        "In double quotes, Groovy replaces the variable before the shell sees the script: the value becomes "
        "part of the command, stands in the agent's list of processes, and signs in it are run as shell commands."
    )
    fix = "Write the script in single quotes: the shell then reads the variable from its environment."
    links = ("https://www.jenkins.io/doc/book/pipeline/jenkinsfile/#string-interpolation",)
    sample = "Jenkinsfile"
    bad = (
        """\
pipeline {
  agent any
  environment { TOKEN = credentials('deploy') }
  stages { stage('x') { steps { sh "curl -H 'X-Token: ${TOKEN}' https://example.com" } } }
}
""",
        """\
node {
  withCredentials([usernamePassword(credentialsId: 'u', usernameVariable: 'U', passwordVariable: 'P')]) {
    sh(script: "login ${env.U} ${env.P}", returnStdout: true)
  }
}
""",
    )
    good = (
        """\
pipeline {
  agent any
  environment { TOKEN = credentials('deploy') }
  // sh "curl ${TOKEN}"
  stages { stage('x') { steps { sh 'curl ${TOKEN}'; sh "curl \\${TOKEN} ${BUILD_ID}" } } }
}
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a place."""
        counts: dict[tuple[str, str, str], int] = {}
        for record, row, line in rows(inventory, "interpolated"):
            name, step = shown(row.get("name")), shown(row.get("step"))
            number = counts[record.subject, name, step] = counts.get((record.subject, name, step), -1) + 1
            yield self.finding(
                record,
                f"Groovy puts the credential {name} into the text of a {step} step",
                location=at(record, line),
                change=f"write it in single quotes\n\n{step} 'command \"${name}\"'",
                key=f"{step} {name} {number}",
            )

"""A credential in clear among the variables of a container."""

from collections.abc import Iterator

from keylease.audit.clear import FIRST, FIX, WHY
from keylease.audit.facts import at, items
from keylease.audit.manifests import SAMPLE, manifests, name_of
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_KEY = "AKIA" + "Q3EGVS7XJWMN5RTD"  # in two parts, or scanners of this repository report it


class KubernetesEnvCredential(Rule):
    """Only exact forms of vendors: a long word is no secret."""

    id = "kubernetes-env-credential"
    title = "a credential in clear among a container's variables"
    severity = "critical"
    needs = ("file.kubernetes",)
    why = f"{WHY} In the cluster, whoever may look at pods sees it too."
    fix = FIX
    links = ("https://kubernetes.io/docs/tasks/inject-data-application/distribute-credentials-secure/",)
    sample = SAMPLE
    bad = (
        f"""\
apiVersion: batch/v1
kind: CronJob
metadata: {{name: train}}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers:
            - name: train
              env:
                - name: AWS_ACCESS_KEY_ID
                  value: {_KEY}
""",
    )
    good = (
        """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  template:
    spec:
      containers:
        - name: app
          env:
            - name: AWS_ACCESS_KEY_ID
              value: AKIAIOSFODNN7EXAMPLE
            - name: AWS_SECRET_ACCESS_KEY
              valueFrom:
                secretKeyRef: {name: aws, key: secret}
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a credential."""
        for record in manifests(inventory):
            for each in items(record.facts.get("environment")):
                container, name = shown(each.get("container")), shown(each.get("name"))
                what = shown(each.get("what"))
                yield self.finding(
                    record,
                    f"{name_of(record)} gives the container {container} {name}, a {what}, in clear",
                    location=at(record, each),
                    evidence=(("prefix", shown(each.get("prefix") or "none")), ("length", str(each.get("length")))),
                    change=f"{FIRST}; then let the pod have an identity of its own, or take the value from a Secret"
                    "\n\nvalueFrom:\n  secretKeyRef:\n    name: SECRET\n    key: KEY",
                    key=f"{container} {name} {what} {each.get('number')}",
                )

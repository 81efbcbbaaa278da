"""A namespace's default service account with a role in a cloud."""

from collections.abc import Iterator, Mapping

from keylease.audit.manifests import SAMPLE, manifests, name_of
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown


class IrsaDefaultAccount(Rule):
    """AWS's IRSA and Google's Workload Identity, by their annotations."""

    id = "irsa-default-account"
    title = "the default service account of a namespace has a role in a cloud"
    severity = "medium"
    needs = ("file.kubernetes",)
    why = (
        "A pod that names no service account gets `default`, and with it the role: a debugging shell, a chart that "
        "somebody tries out, a job of another team."
    )
    fix = "Give the program a service account of its own, move the annotation there, and name it in the pod."
    links = (
        "https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html",
        "https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/",
    )
    sample = SAMPLE
    bad = (
        """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: default
  namespace: prod
  annotations:
    eks.amazonaws.com/role-arn: arn:aws:iam::123456789012:role/app
""",
        """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: default
  annotations:
    iam.gke.io/gcp-service-account: app@acme-prod.iam.gserviceaccount.com
""",
    )
    good = (
        """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: app
  annotations:
    eks.amazonaws.com/role-arn: arn:aws:iam::123456789012:role/app
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a role."""
        for record in manifests(inventory, "ServiceAccount"):
            accounts = record.facts.get("accounts")
            if record.facts.get("name") != "default" or not isinstance(accounts, Mapping):
                continue
            for annotation, account in accounts.items():
                name = shown(annotation)
                yield self.finding(
                    record,
                    f"{name_of(record)} has {shown(account, 160)}: every pod that names no account has it too",
                    evidence=((name, shown(account, 200)),),
                    change="make an account for the program, and name it in its pods (`serviceAccountName: PROGRAM`)"
                    "\n\napiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: PROGRAM\n  annotations:\n"
                    f"    {name}: {shown(account, 200)}",
                    key=name,
                )

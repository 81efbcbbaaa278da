"""A service account that jobs reach by federation has a key as well."""

import shlex
from collections.abc import Iterator

from keylease.audit.cloud_samples import POOL, binding, key, provider
from keylease.audit.credentials import is_active
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_BOT = "bot@acme-ml.iam.gserviceaccount.com"
_REPOSITORY = f"{POOL}/attribute.repository/acme/trainer"
_USER = "roles/iam.workloadIdentityUser"


class GcpKeyBesideFederation(Rule):
    """Where the account itself is bound; where only the project has a provider, it is pedantic."""

    id = "gcp-key-beside-federation"
    title = "a service account has a key that federation could replace"
    severity = "medium"
    needs = ("gcp.key", "gcp.provider", "gcp.binding")
    why = (
        "A key works for whoever has a copy of the file, from anywhere, until somebody deletes it. Workload identity "
        "federation was set up so that no such file is needed: with the key still there nothing is gained by it."
    )
    fix = "Let what still uses the key take the federated login, disable the key for some days, then delete it."
    links = (
        "https://cloud.google.com/iam/docs/best-practices-for-managing-service-account-keys",
        "https://cloud.google.com/iam/docs/workload-identity-federation",
    )
    sample = "inventory.json"
    bad = (
        these(key(_BOT), provider("x"), binding(_USER, _REPOSITORY, _BOT)),
        these(key(_BOT), provider("x"), binding("roles/viewer", "user:ann@acme.example")),
    )
    good = (
        these(key(_BOT, active=False), provider("x"), binding(_USER, _REPOSITORY, _BOT)),
        these(key(_BOT), binding(_USER, "serviceAccount:acme-ml.svc.id.goog[ns/app]", _BOT)),
        these(key(_BOT), provider("x", disabled=True), binding("roles/viewer", "user:ann@acme.example")),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a key."""
        bound = {
            str(each.facts.get("resource")).rpartition("/serviceAccounts/")[2]
            for each in inventory.of("gcp.binding")
            if each.facts.get("role") == _USER and str(each.facts.get("member")).startswith("principal")
        }
        offered = {
            str(each.facts.get("project")) for each in inventory.of("gcp.provider") if not each.facts.get("disabled")
        }
        for record in inventory.of("gcp.key"):
            account, project = str(record.facts.get("holder")), str(record.facts.get("project"))
            if not is_active(record) or (account not in bound and project not in offered):
                continue
            name = shown(record.facts.get("name"))
            of = shlex.quote(shown(account, 250))
            command = f"gcloud iam service-accounts keys disable {shlex.quote(name)} --iam-account={of}"
            change = f"let its users log in by federation, then disable it, and delete it later\n\n{command}"
            if account in bound:
                what = f"the key {name} of {shown(account)}, which jobs reach by federation already"
                yield self.finding(record, what, change=change, key="key")
            else:
                what = f"the key {name} of {shown(account)}, in a project that has a workload identity provider"
                yield self.finding(
                    record, what, severity="low", confidence="medium", persona="pedantic", change=change, key="key"
                )

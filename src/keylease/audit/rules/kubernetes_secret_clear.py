"""A Secret with its values in the repository."""

import re
from collections.abc import Iterator

from keylease.audit.facts import at, items
from keylease.audit.manifests import SAMPLE, is_tryout, manifests, name_of
from keylease.audit.model import Confidence, Finding, Inventory, Persona, Severity
from keylease.audit.rule import Rule
from keylease.audit.workflows import shown

_PUBLIC = re.compile(
    r"(?:.*[._-])?(?:ca\.crt|ca\.pem|tls\.crt|.*\.pub|public[._-]?key|user(?:_?name)?|login|url|uri|host(?:_?name)?|port"
    r"|server|endpoint|address|region|zone|db|database|db_?name|schema|type|name|project|namespace|bucket|account(?:_id)?"
    r"|.*user_?name(?:_in)?|.*(?:host|account)_?name|.*address|email|enabled|known_hosts|insecure|env|environment|version|issuer|client[._-]?id|tenant[._-]?id|domain)",
    re.IGNORECASE,
)


class KubernetesSecretClear(Rule):
    """Tells by the names of keys and by the forms of values; base64 hides nothing."""

    id = "kubernetes-secret-clear"
    title = "a Kubernetes Secret with its values in the repository"
    severity = "high"
    confidence = "medium"
    needs = ("file.kubernetes",)
    why = (
        "The values of a Secret are base64, which anybody decodes. Whoever can read the repository, a fork or an old "
        "clone of it has them, and deleting the file takes them from nobody: they stay in the history."
    )
    fix = (
        "Change the values where they come from. Then keep them in a secrets manager and let the External Secrets "
        "Operator or the Secrets Store CSI driver bring them, or commit them encrypted (SOPS, SealedSecret)."
    )
    links = (
        "https://kubernetes.io/docs/concepts/security/secrets-good-practices/",
        "https://external-secrets.io/latest/introduction/getting-started/",
    )
    sample = SAMPLE
    bad = (
        """\
apiVersion: v1
kind: Secret
metadata:
  name: db
  namespace: prod
stringData:
  username: app
  password: correct horse battery
""",
        """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: app
---
apiVersion: v1
kind: Secret
metadata: {name: cache}
data:
  url: cmVkaXM6Ly86eThLcTJ3QGNhY2hlOjYzNzkvMA==
""",
    )
    good = (
        """\
apiVersion: v1
kind: Secret
metadata: {name: db}
stringData:
  username: app
  password: ${DB_PASSWORD}
  token: <path:secret/data/db#token>
  key: ENC[AES256_GCM,data:q83vEg==,iv:AAECAw==,tag:BAUGBw==,type:str]
  other: ""
---
apiVersion: v1
kind: Secret
metadata: {name: trust}
data:
  ca.crt: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a Secret."""
        for record in manifests(inventory, "Secret"):
            keys = [each for each in items(record.facts.get("keys")) if each.get("state") == "value"]
            found = [each for each in keys if each.get("what") or not _PUBLIC.fullmatch(str(each.get("name")))]
            if not found:
                continue
            forms = [str(each["what"]) for each in found if each.get("what")]
            rank: tuple[Severity, Confidence, Persona] = ("high", "medium", "regular")
            if forms:
                rank = ("critical", "high", "regular")
            elif is_tryout(record):
                rank = ("low", "low", "pedantic")
            names = ", ".join(shown(each.get("name"), 40) for each in found[:6])
            more = f" and {len(found) - 6} more" if len(found) > 6 else ""
            yield self.finding(
                record,
                f"{name_of(record)} has the values of {names}{more}",
                severity=rank[0],
                confidence=rank[1],
                persona=rank[2],
                location=at(record, found[0]),
                evidence=tuple(("looks like", shown(each)) for each in dict.fromkeys(forms)),
                change="change the values at their source, then name them here instead of holding them\n\n"
                "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata:\n"
                f"  name: {_plain(record.facts.get('name'), 'NAME')}\nspec:\n"
                "  secretStoreRef: {kind: SecretStore, name: STORE}\n  dataFrom:\n    - extract: {key: PATH}",
                key="values",
            )


def _plain(name: object, otherwise: str) -> str:
    return name if isinstance(name, str) and re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name) else otherwise

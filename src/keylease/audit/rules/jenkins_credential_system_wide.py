"""A credential of Jenkins' system store that one folder uses alone."""

from collections.abc import Iterator

from keylease.audit.facts import texts
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown

_KIND, _AT = "jenkins.credential", "jenkins://jenkins.example.com/#deploy"
_FACTS = {"name": "deploy", "store": "system", "holder": "system", "domain": "", "used_by": ["team/a", "team/b/c"]}


class CredentialSystemWide(Rule):
    """Only where Jenkins tells of uses, and all are jobs of one folder (a node's name has no folder)."""

    id = "jenkins-credential-system-wide"
    title = "a credential that all of Jenkins may use, and one folder does"
    severity = "low"
    confidence = "low"
    persona = "pedantic"
    needs = (_KIND,)
    why = (
        "A credential of the system's store can be asked for by any job of the server by its ID. In a folder's store, "
        "only jobs of that folder can."
    )
    fix = "Put it into the store of the folder whose jobs use it, under the same ID, and delete it from the system's."
    links = ("https://www.jenkins.io/doc/book/using/using-credentials/#credential-security",)
    sample = "inventory.json"
    bad = (listed(_KIND, _AT, **_FACTS),)
    good = (
        listed(_KIND, _AT, **{**_FACTS, "used_by": ["team/a", "other/b"]}),
        listed(_KIND, _AT, **{**_FACTS, "used_by": ["team/a", "agent"]}),
        listed(_KIND, _AT, **{**_FACTS, "used_by": None}),
        listed(_KIND, _AT, **{**_FACTS, "store": "folder team", "holder": "team"}),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a credential."""
        for record in inventory.of(_KIND):
            users = texts(record, "used_by")
            folders = {user.partition("/")[0] if "/" in user else "" for user in users}
            if record.facts.get("store") != "system" or record.facts.get("domain") != "" or len(folders) != 1:
                continue
            [folder] = folders
            if folder and users == record.facts.get("used_by"):
                yield self.finding(
                    record,
                    f"the credential {shown(record.facts.get('name'))!a} is in the system's store, and only jobs of "
                    f"{shown(folder)} are known to use it",
                    evidence=tuple(("used by", shown(user)) for user in users[:6]),
                    change=f"make it in the store of the folder {shown(folder)} with the same ID, then delete it here",
                    key="system",
                )

"""A GitLab deploy token that may publish."""

from collections.abc import Iterator

from keylease.audit.credentials import is_active
from keylease.audit.facts import texts
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.samples import listed
from keylease.audit.workflows import shown

_KIND, _AT = "gitlab.token", "gitlab://project/acme/trainer/deploy/3"
_FACTS = {"name": "images", "sort": "deploy", "holder": "acme/trainer", "scopes": ["read_registry", "write_registry"]}


class DeployTokenWrite(Rule):
    """Tokens that are revoked or expired are left alone."""

    id = "gitlab-deploy-token-write"
    title = "a GitLab deploy token that may publish"
    severity = "medium"
    persona = "pedantic"
    needs = (_KIND,)
    why = (
        "A deploy token belongs to no person and needs no end. With a write scope, whoever has it replaces images or "
        "packages that others run."
    )
    fix = "Publish in a job with its CI_JOB_TOKEN, which ends with the job; let deploy tokens only read."
    links = ("https://docs.gitlab.com/user/project/deploy_tokens/#scope",)
    sample = "inventory.json"
    bad = (listed(_KIND, _AT, **_FACTS),)
    good = (
        listed(_KIND, _AT, **{**_FACTS, "scopes": ["read_registry"]}),
        listed(_KIND, _AT, **{**_FACTS, "active": False}),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a token."""
        for record in inventory.of(_KIND):
            wide = [scope for scope in texts(record, "scopes") if scope.startswith("write_")]
            if record.facts.get("sort") == "deploy" and wide and is_active(record):
                name, holder = shown(record.facts.get("name")), shown(record.facts.get("holder"))
                yield self.finding(
                    record,
                    f"the deploy token {name!a} of {holder} may publish ({shown(', '.join(wide))})",
                    evidence=(("scopes", shown(", ".join(texts(record, "scopes")))),),
                    change="publish with CI_JOB_TOKEN in the job that builds, then revoke it in Settings, Repository, "
                    "Deploy tokens",
                    key="write",
                )

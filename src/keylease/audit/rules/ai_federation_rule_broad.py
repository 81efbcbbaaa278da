"""A federation rule of an AI service that grants more than calling models."""

from collections.abc import Iterator

from keylease.audit.ai_keys import ANTHROPIC_WIF, OPENAI_WIF, told
from keylease.audit.credentials import is_active
from keylease.audit.model import Finding, Inventory, Persona, Record, Severity
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_OPENAI = {"name": "ci", "active": True, "service_account": "user-svc"}
_ANTHROPIC = {"name": "ci", "active": True, "scopes": ["workspace:inference"], "all_workspaces": False}


class AiFederationRuleBroad(Rule):
    """What a job needs is not known: findings that may be meant are pedantic."""

    id = "ai-federation-rule-broad"
    title = "a federation rule of an AI service that grants more than it must"
    severity = "medium"
    needs = ("openai.federation_rule", "anthropic.federation_rule")
    alternatives = True
    also = ("openai.service_account",)
    why = (
        "The token of a job does what the rule grants. With a service account's default permissions it may change "
        "files, fine-tunes and assistants; with all workspaces it reaches teams that have nothing to do with the job; "
        "with org:admin it makes keys."
    )
    fix = "Grant the scopes that the job needs, in the one workspace that it is for."
    links = (OPENAI_WIF, ANTHROPIC_WIF)
    sample = "inventory.json"
    bad = (
        these(
            (
                "openai.federation_rule",
                "openai://w/federation-rule/r",
                {**_OPENAI, "permissions": "service_account_default"},
            )
        ),
        these(
            (
                "anthropic.federation_rule",
                "anthropic://organization/federation-rule/r",
                {**_ANTHROPIC, "all_workspaces": True},
            )
        ),
        these(
            (
                "anthropic.federation_rule",
                "anthropic://organization/federation-rule/r",
                {**_ANTHROPIC, "scopes": ["workspace:developer"]},
            )
        ),
        these(
            (
                "anthropic.federation_rule",
                "anthropic://organization/federation-rule/r",
                {**_ANTHROPIC, "scopes": ["org:admin"]},
            )
        ),
    )
    good = (
        these(
            (
                "openai.federation_rule",
                "openai://w/federation-rule/r",
                {**_OPENAI, "permissions": "restricted", "scopes": ["api.model.request"]},
            ),
            ("anthropic.federation_rule", "anthropic://organization/federation-rule/r", _ANTHROPIC),
            (
                "anthropic.federation_rule",
                "anthropic://organization/federation-rule/old",
                {**_ANTHROPIC, "active": False, "all_workspaces": True},
            ),
        ),
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a rule and grant."""
        owners = {
            str(record.facts.get("id"))
            for record in inventory.of("openai.service_account")
            if record.facts.get("role") == "owner"
        }
        for record in inventory.of("openai.federation_rule"):
            if is_active(record) and record.facts.get("permissions") == "service_account_default":
                owner = str(record.facts.get("service_account")) in owners
                what = "all that its service account may" + (", which is an owner of the project" if owner else "")
                change = 'restrict it\n\n{"permissions": {"type": "restricted", "scopes": ["api.model.request"]}}'
                rank: tuple[Severity, Persona] = ("medium", "regular") if owner else ("low", "pedantic")
                yield self._found(record, what, "permissions", rank, change)
        for record in inventory.of("anthropic.federation_rule"):
            if not is_active(record):
                continue
            if record.facts.get("all_workspaces") is True:
                change = 'name the workspace\n\n{"applies_to_all_workspaces": false, "workspace_id": "wrkspc_…"}'
                yield self._found(record, "its scopes in every workspace", "workspaces", ("medium", "regular"), change)
            scopes = record.facts.get("scopes")
            given = [str(scope) for scope in scopes] if isinstance(scopes, list) else []
            change = 'grant what calls models, and no more\n\n{"oauth_scope": "workspace:inference"}'
            if "org:admin" in given:
                yield self._found(
                    record, "the administration of the organisation", "admin", ("high", "regular"), change
                )
            elif "workspace:developer" in given:
                what = "files, skills, agents and more besides models"
                yield self._found(record, what, "developer", ("low", "pedantic"), change)

    def _found(self, record: Record, what: str, key: str, rank: tuple[Severity, Persona], change: str) -> Finding:
        vendor = "OpenAI" if record.kind.startswith("openai") else "Anthropic"
        return self.finding(
            record,
            f"the {vendor} federation rule {shown(record.facts.get('name'))} grants {what}",
            severity=rank[0],
            persona=rank[1],
            evidence=told(record, "permissions", "scopes", "service_account", "project", "workspaces"),
            change=change,
            key=key,
        )

"""How Anthropic's token endpoint is reached, as the user writes it."""

import re

import msgspec

from keylease.errors import UsageError
from keylease.model import Env
from keylease.vendors.endpoints import checked
from keylease.vendors.token_exchange import attempts, audience, identifier

VENDOR = "Anthropic"

DOCS = "anthropic-settings"

URL = "https://api.anthropic.com"
PATH = "/v1/oauth/token"
"""https://platform.claude.com/docs/en/manage-claude/wif-reference"""

AUDIENCE = "https://api.anthropic.com"
"""https://platform.claude.com/docs/en/manage-claude/wif-providers/github-actions"""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class AnthropicSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Anthropic's workload identity federation.

    federation_rule_id: the rule to evaluate (``fdrl_…``). Falls back to ``ANTHROPIC_FEDERATION_RULE_ID``.
    organization_id: the organization's UUID. Falls back to ``ANTHROPIC_ORGANIZATION_ID``.
    service_account_id: whom the token acts as (``svac_…``). Falls back to ``ANTHROPIC_SERVICE_ACCOUNT_ID``.
    workspace_id: the workspace (``wrkspc_…`` or ``default``); needed when the rule is enabled for several. Falls back
        to ``ANTHROPIC_WORKSPACE_ID``.
    issuer_id: the registered issuer (``fdis_…``), for the rule that `whoami` and refusals print; nothing else needs it.
    audience: the `aud` that the rule expects.
    url: the API's server, which also issues the tokens.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    federation_rule_id: str = ""
    organization_id: str = ""
    service_account_id: str = ""
    workspace_id: str = ""
    issuer_id: str = ""
    audience: str = ""
    url: str = ""
    timeout: float | str = 10.0
    retries: int = 4


def complete(settings: AnthropicSettings, env: Env) -> AnthropicSettings:
    """The settings with fallbacks from `env` and everything checked. Raises :class:`UsageError` naming the key.

    Variables and formats: https://platform.claude.com/docs/en/manage-claude/wif-reference ("Environment variables")
    """
    s = settings
    timeout, retries = attempts(VENDOR, s.timeout, s.retries, docs=DOCS)
    rule = s.federation_rule_id or env.get("ANTHROPIC_FEDERATION_RULE_ID", "")
    account = s.service_account_id or env.get("ANTHROPIC_SERVICE_ACCOUNT_ID", "")
    workspace = (s.workspace_id or env.get("ANTHROPIC_WORKSPACE_ID", "")).strip()
    return msgspec.structs.replace(
        s,
        federation_rule_id=identifier(VENDOR, "federation_rule_id", rule, "fdrl_…", docs=DOCS, prefix="fdrl_"),
        organization_id=_organization(s.organization_id or env.get("ANTHROPIC_ORGANIZATION_ID", "")),
        service_account_id=identifier(VENDOR, "service_account_id", account, "svac_…", docs=DOCS, prefix="svac_"),
        workspace_id=workspace
        if workspace in ("", "default")
        else identifier(VENDOR, "workspace_id", workspace, "wrkspc_…, or default", docs=DOCS, prefix="wrkspc_"),
        issuer_id=identifier(VENDOR, "issuer_id", s.issuer_id, "fdis_…", docs=DOCS, prefix="fdis_")
        if s.issuer_id
        else "",
        audience=audience(VENDOR, s.audience or AUDIENCE, docs=DOCS),
        url=checked(s.url or URL, "url", VENDOR, ["api.anthropic.com"], env),
        timeout=timeout,
        retries=retries,
    )


def _organization(value: str) -> str:
    text = value.strip()
    if not _UUID.fullmatch(text):
        raise UsageError(
            f"Anthropic: `organization_id` is {'no UUID' if text else 'missing'}",
            change="organization_id: the UUID under Settings, Organization in the Claude Console",
            docs=DOCS,
        )
    return text

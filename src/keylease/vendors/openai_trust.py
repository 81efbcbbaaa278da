"""The narrowest federation rule for one job at OpenAI, and why an exchange was refused.

https://developers.openai.com/api/reference/workload-identity-federation ("Token exchange errors")
Rules: POST /organization/workload_identity_providers/{id}/federation_rules of the Admin API, as openai-python's
`admin.organization.workload_identity_providers.federation_rules.create` sends it; the dashboard calls them mappings.
"""

from collections.abc import Mapping
from typing import Any

from keylease.errors import KeyleaseError
from keylease.model import IdentityToken, Trust
from keylease.vendors.answers import Answer
from keylease.vendors.job_claims import GITHUB, bindable, heredoc, json_block, platform_of
from keylease.vendors.openai_settings import VENDOR, OpenAISettings
from keylease.vendors.token_exchange import Refusal, audience_of, exact_claims, not_the_endpoint, refused

_ADMIN = "https://api.openai.com/v1/organization/workload_identity_providers"

_SCOPES = ["api.model.request"]
"""Of the scopes that OpenAI's pages name, the one that calls models and no more."""


_NOT_THE_RULE = ("invalid_subject_token", "invalid_request")
"""Codes of refusals that come before any rule is looked at."""


def trust_for(claims: Mapping[str, Any], settings: OpenAISettings) -> Trust:
    """The request that creates a rule for exactly this job."""
    s = settings
    title = f"OpenAI federation rule for service account {s.service_account_id}"
    bound, notes = exact_claims(claims)
    if not bound:
        return Trust(title, "", notes)
    expected = audience_of(claims, s.audience)
    issuer = {"iss": claims["iss"]} if bindable(claims.get("iss")) and "*" not in claims["iss"] else {}
    rule = {
        "attribute_matchers": {**issuer, "aud": expected, **bound},
        "project_id": s.project_id or "PROJECT_ID",
        "service_account_id": s.service_account_id,
        "permissions": {"type": "restricted", "scopes": _SCOPES},
    }
    command = (
        f"curl --fail-with-body -sS {_ADMIN}/{s.identity_provider_id}/federation_rules \\\n"
        '  -H "Authorization: Bearer $OPENAI_ADMIN_KEY" -H "Content-Type: application/json" --data @-'
    )
    notes.append(
        "or in the dashboard: Organization Settings, Security, Workload Identity Provider, the same as mapping"
    )
    if not s.project_id:
        notes.append("PROJECT_ID is the project of the service account (in keylease.yml: project_id)")
    if expected != s.audience:
        notes.append("the rule expects the aud of the token that is there: configure the same as audience")
    notes.append("scopes name what the job may do: add api.model.read and others only where it needs them")
    if platform_of(claims) is not GITHUB:
        notes.append("of CI platforms, OpenAI documents GitHub Actions only: for another issuer, ask its support first")
    return Trust(title, heredoc(command, json_block(rule)), notes)


def login_refused(answer: Answer, settings: OpenAISettings, token: IdentityToken) -> KeyleaseError:
    """The error for an exchange that OpenAI refused. `retry_with_new_token` when the identity token had expired."""
    s = settings
    said = Refusal.of(answer)
    summary = f"OpenAI: no token for service account {s.service_account_id}: {str(said) or f'HTTP {answer.status}'}"
    elsewhere = not_the_endpoint(VENDOR, summary, answer)
    if elsewhere:
        return elsewhere
    cause, words = _explained(said, s)
    trust = None if said.code in _NOT_THE_RULE else trust_for(token.claims, s)
    return refused(summary, answer, token, cause=cause, words=words, trust=trust, docs="openai-login")


def _explained(said: Refusal, s: OpenAISettings) -> tuple[str, str]:
    # OpenAI documents causes, and the codes only in part: the order is that of its checks.
    provider = f"workload identity provider {s.identity_provider_id}"
    rule = "compare the rule's attributes with the claims above, or create one for this job by the command below"
    if said.code == "invalid_subject_token":
        cause = f"{provider} does not accept the token: its `aud` or `iss` differs, or no key of the issuer fits"
        change = f"set `audience:` to the provider's, letter for letter (now {s.audience!r}); then compare the issuer"
        return cause, change
    if said.code == "invalid_request":
        cause = f"{provider} is unknown, disabled, or of another kind (X.509), or an id is malformed"
        return cause, "correct `identity_provider_id` and `service_account_id`"
    cause = f"no enabled rule of {provider} lets this job act as {s.service_account_id}; or the provider is disabled"
    return f"{cause}, or expects another audience than {s.audience!r}", rule

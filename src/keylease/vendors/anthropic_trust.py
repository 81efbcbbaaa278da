"""The narrowest federation rule for one job at Anthropic, and why an exchange was refused.

https://platform.claude.com/docs/en/manage-claude/wif-reference ("Rule matching semantics", "Token exchange errors")
Rules: POST /v1/organizations/federation_rules, https://platform.claude.com/docs/en/manage-claude/wif-admin-api
"""

from collections.abc import Mapping
from typing import Any

from keylease.errors import KeyleaseError
from keylease.model import IdentityToken, Trust
from keylease.vendors.answers import Answer
from keylease.vendors.anthropic_settings import AUDIENCE, VENDOR, AnthropicSettings
from keylease.vendors.job_claims import GITHUB, heredoc, json_block, platform_of
from keylease.vendors.token_exchange import (
    Refusal,
    audience_of,
    exact_claims,
    not_the_endpoint,
    refused,
    unusual_audience,
)

_RULES = "https://api.anthropic.com/v1/organizations/federation_rules"

_LIFETIME = 600
"""Seconds, as in Anthropic's own GitHub example; more has no effect with GitHub's tokens of five minutes."""

_HISTORY = "https://platform.claude.com/settings/workload-identity-federation?tab=history"


def trust_for(claims: Mapping[str, Any], settings: AnthropicSettings) -> Trust:
    """The request that creates a rule for exactly this job."""
    s = settings
    title = f"Anthropic federation rule for service account {s.service_account_id}"
    platform = platform_of(claims)
    # Rules on shared issuers (GitHub, GitLab, …) must pin the tenant by a claim that Anthropic knows as such, and its
    # pages name repository_owner only: there it is bound beside the ids, elsewhere sub is.
    bound, notes = exact_claims(claims, ("repository_owner",) if platform is GITHUB else ("sub",))
    if not bound:
        return Trust(title, "", notes)
    expected = audience_of(claims, s.audience)
    subject = bound.pop("sub", None)
    # subject_prefix without a * at its end is an exact match.
    match = {
        "audience": expected,
        **({"subject_prefix": subject} if subject else {}),
        **({"claims": bound} if bound else {}),
    }
    rule = {
        "name": f"ci-{platform.name.lower()}" if platform else "ci",
        "issuer_id": s.issuer_id or "ISSUER_ID",
        "match": match,
        "target": {"type": "service_account", "service_account_id": s.service_account_id},
        "workspace_id": s.workspace_id if s.workspace_id not in ("", "default") else "WORKSPACE_ID",
        "oauth_scope": "workspace:inference",
        "token_lifetime_seconds": _LIFETIME,
    }
    command = (
        f"curl --fail-with-body -sS {_RULES} \\\n"
        '  -H "Authorization: Bearer $ANTHROPIC_OAUTH_TOKEN" -H "anthropic-version: 2023-06-01" \\\n'
        '  -H "Content-Type: application/json" --data @-'
    )
    notes.append(
        "ANTHROPIC_OAUTH_TOKEN has the scope org:admin (ant auth login --scope org:admin); or fill in the Console"
    )
    if not s.issuer_id:
        notes.append("ISSUER_ID (fdis_) is the issuer registered for the token's iss (in keylease.yml: issuer_id)")
    if rule["workspace_id"] == "WORKSPACE_ID":
        notes.append("WORKSPACE_ID (wrkspc_) is the workspace that pays (in keylease.yml: workspace_id)")
    if expected != s.audience:
        notes.append("the rule expects the aud of the token that is there: configure the same as audience")
    notes.append("the answer has the new rule's id: set federation_rule_id to it")
    notes.append("workspace:inference calls models; only files, skills and agents need workspace:developer")
    return Trust(title, heredoc(command, json_block(rule)), notes)


def login_refused(
    answer: Answer, settings: AnthropicSettings, token: IdentityToken, *, maybe_used: bool
) -> KeyleaseError:
    """The error for an exchange that Anthropic refused.

    maybe_used: the identity token was sent before. It is good for one exchange (`check_jti` of the issuer), so another
    may pass: `retry_with_new_token` is set, as for an expired one.
    """
    s = settings
    said = Refusal.of(answer)
    summary = f"Anthropic: no token by rule {s.federation_rule_id}: {str(said) or f'HTTP {answer.status}'}"
    elsewhere = not_the_endpoint(VENDOR, summary, answer)
    if elsewhere:
        return elsewhere
    malformed = answer.status == 400 and said.code in ("invalid_request", "invalid_request_error")
    cause, words = _malformed(said) if malformed else _mismatch(s)
    if maybe_used:
        cause = f"the identity token was used up by an exchange before, for it is good for one; or {cause}"
    trust = None if malformed else trust_for(token.claims, s)
    error = refused(summary, answer, token, cause=cause, words=words, trust=trust, docs="anthropic-login")
    error.retry_with_new_token = error.retry_with_new_token or maybe_used
    return error


def _malformed(said: Refusal) -> tuple[str, str]:
    if "workspace_id_required" in said.message:
        return "the rule is enabled for several workspaces", "workspace_id: wrkspc_… (or default), the one to use"
    return (
        "an id is malformed, or a field is missing",
        "compare `federation_rule_id`, `organization_id`, `service_account_id` and `workspace_id` with the Console",
    )


def _mismatch(s: AnthropicSettings) -> tuple[str, str]:
    # invalid_grant (400), and authentication_error (401) as users see it: opaque on purpose.
    cause = (
        f"the claims do not match the rule {s.federation_rule_id}, or it is archived, or of another issuer, "
        "organization or service account; Anthropic tells the reason in its Console only"
    )
    if not s.workspace_id:
        cause += "; a rule for several workspaces also needs `workspace_id`"
    cause += unusual_audience(s.audience, AUDIENCE)
    return cause, f"look at {_HISTORY}; correct the rule, or create one for this job by the command below"

"""The narrowest federation policy for one job at OpenRouter, and why an exchange was refused.

https://openrouter.ai/docs/guides/overview/auth/workload-identity-federation ("Set up trust", "Errors")
"""

from collections.abc import Mapping
from typing import Any

from keylease.errors import KeyleaseError
from keylease.model import IdentityToken, Trust
from keylease.vendors.answers import Answer
from keylease.vendors.github_claims import parse_subject
from keylease.vendors.job_claims import GITHUB, bindable, heredoc, json_block, platform_of, subject_lets_in
from keylease.vendors.openrouter_settings import AUDIENCE, VENDOR, OpenRouterSettings
from keylease.vendors.token_exchange import Refusal, audience_of, not_the_endpoint, refused, unusual_audience

_PAGE = "https://openrouter.ai (Settings, Workload identity)"

_LONGEST = 512
"""Characters of `sub` and of each `aud`: longer ones are refused ("Conditions")."""


def trust_for(claims: Mapping[str, Any], settings: OpenRouterSettings) -> Trust:
    """What to enter in OpenRouter's settings: it documents no API that creates a policy.

    The values come in a quoted heredoc of ``cat``, so that nothing happens to whoever pastes them into a shell.
    """
    title = f"OpenRouter federation policy {settings.federation_policy_id}"
    subject, issuer = claims.get("sub"), claims.get("iss")
    if not bindable(subject) or not bindable(issuer):
        return Trust(title, "", ["the token has no `sub` or no `iss` that could be bound"])
    alone, more = subject_lets_in(claims)
    if not alone:
        return Trust(title, "", more)
    expected = audience_of(claims, settings.audience)
    policy = {"issuer": issuer, "subject": subject, "audience": expected}
    notes = [
        *more,
        f"enter these by hand at {_PAGE}: there is no command for it",
        "acts as API key: one of its own, with a limit; a policy sees `sub` and `aud` of the token only",
    ]
    if platform_of(claims) is GITHUB and parse_subject(str(subject)).form == "name":
        notes.append("a `sub` of names also lets in whoever takes over the name: GitHub's immutable form closes that")
    if expected != settings.audience:
        notes.append("the policy expects the aud of the token that is there: configure the same as audience")
    return Trust(title, heredoc("cat", json_block(policy)), notes)


def login_refused(answer: Answer, settings: OpenRouterSettings, token: IdentityToken) -> KeyleaseError:
    """The error for an exchange that OpenRouter refused. `retry_with_new_token` when the token had expired."""
    said = Refusal.of(answer)
    summary = f"OpenRouter: no token by policy {settings.federation_policy_id}: {str(said) or f'HTTP {answer.status}'}"
    elsewhere = not_the_endpoint(VENDOR, summary, answer)
    if elsewhere:
        return elsewhere
    trust: Trust | None = trust_for(token.claims, settings)
    if said.code == "invalid_request":
        cause, trust = "the policy's id is malformed, or the identity token is larger than 16 KB", None
        words = "federation_policy_id: the id below the policy's name (a UUID)"
    elif len(str(token.claims.get("sub", ""))) > _LONGEST:
        cause, words, trust = f"the token's `sub` is longer than {_LONGEST} characters", "have it made shorter", None
    else:
        cause = (
            "there is no such policy, or it is paused; or its issuer, subject, audience or condition does not fit "
            "(OpenRouter does not tell which)" + unusual_audience(settings.audience, AUDIENCE)
        )
        words = "compare the policy with the claims above (letter for letter), or make it this:"
    return refused(summary, answer, token, cause=cause, words=words, trust=trust, docs="openrouter-login")

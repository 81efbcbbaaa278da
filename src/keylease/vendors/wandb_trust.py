"""The narrowest service account for one job at Weights & Biases, and why an exchange was refused.

https://docs.wandb.ai/platform/hosting/iam/identity_federation ("JWT validation", "External service accounts")
"""

from collections.abc import Mapping
from typing import Any

from keylease.errors import KeyleaseError
from keylease.model import IdentityToken, Trust
from keylease.vendors.answers import Answer
from keylease.vendors.github_claims import parse_subject
from keylease.vendors.job_claims import GITHUB, bindable, heredoc, json_block, platform_of, subject_lets_in
from keylease.vendors.token_exchange import Refusal, audience_of, not_the_endpoint, refused
from keylease.vendors.wandb_settings import VENDOR, WandbSettings


def trust_for(claims: Mapping[str, Any], settings: WandbSettings) -> Trust:
    """What to enter in the organization's and the team's settings: W&B documents no API for either.

    The values come in a quoted heredoc of ``cat``, so that nothing happens to whoever pastes them into a shell.
    """
    s = settings
    title = f"Weights & Biases service account {s.service_account or 'of this job'}"
    subject, issuer = claims.get("sub"), claims.get("iss")
    if not bindable(subject) or not bindable(issuer):
        return Trust(title, "", ["the token has no `sub` or no `iss` that could be bound"])
    alone, more = subject_lets_in(claims)
    if not alone:
        return Trust(title, "", more)
    expected = audience_of(claims, s.audience)
    notes = [
        *more,
        "enter these by hand: issuer at the organization's Settings, Authentication (Set up JWT Issuer)",
        "subject at the team's Service Accounts, New service account, Authentication Method: Federated Identity",
        "a service account may do in its team what any may: give the job a team of its own if that is too much",
    ]
    if platform_of(claims) is GITHUB and parse_subject(str(subject)).form == "name":
        notes.append("a `sub` of names also lets in whoever takes over the name: GitHub's immutable form closes that")
    if expected != s.audience:
        notes.append("the aud of the token that is there is not `audience`: W&B wants the organization's name")
    return Trust(title, heredoc("cat", json_block({"issuer": issuer, "subject": subject})), notes)


def login_refused(answer: Answer, settings: WandbSettings, token: IdentityToken) -> KeyleaseError:
    """The error for an exchange that W&B refused. `retry_with_new_token` when the identity token had expired.

    W&B documents the checks, and no codes: the SDK only tells 4xx from the rest (core/internal/api/credentials.go).
    """
    s = settings
    who = s.service_account or s.audience
    summary = f"{VENDOR}: no token for {who}: {str(Refusal.of(answer)) or f'HTTP {answer.status}'}"
    elsewhere = not_the_endpoint(VENDOR, summary, answer, key="base_url")
    if elsewhere:
        return elsewhere
    cause = (
        f"the organization trusts another issuer, or its name is not {s.audience!r} (`aud`), or no service account "
        "of it has this subject"
    )
    words = "compare `iss`, `aud` and `sub` above with the settings of the organization and the team, or enter these:"
    trust = trust_for(token.claims, s)
    return refused(summary, answer, token, cause=cause, words=words, trust=trust, docs="wandb-login")

"""The narrowest trusted publisher for one job at Hugging Face, and why an exchange was refused.

https://huggingface.co/docs/hub/trusted-publishers ("API reference", "Security model")
"""

from collections.abc import Mapping
from typing import Any

from keylease.errors import KeyleaseError
from keylease.model import IdentityToken, Trust
from keylease.vendors.answers import Answer
from keylease.vendors.huggingface_settings import ENDPOINT, FORMS, VENDOR, HuggingFaceSettings
from keylease.vendors.job_claims import GITHUB, bindable, heredoc, json_block, platform_of
from keylease.vendors.token_exchange import Refusal, exact_claims, not_the_endpoint, refused, unusual_audience


def trust_for(claims: Mapping[str, Any], settings: HuggingFaceSettings) -> Trust:
    """What to enter in the Hub's settings: Hugging Face documents no API that creates a publisher.

    The values come in a quoted heredoc of ``cat``, so that nothing happens to whoever pastes them into a shell.
    """
    s = settings
    title = f"Hugging Face trusted publisher of {s.resource}"
    bound, notes = exact_claims(claims)
    issuer = claims.get("iss")
    if not bound or not bindable(issuer):
        return Trust(title, "", notes or ["the token has no issuer"])
    if s.is_user:
        page = f"{s.endpoint}/settings/authentication#ci-cd-access"
        notes.append("such a token reads gated repositories: it writes nothing and sees no private one")
        notes.append("allow calls of Inference Providers only where the job makes them: they are billed to the account")
    else:
        page = f"{s.endpoint}/{s.resource}/settings"
        notes.append("needs the Write role on the repository; the token may write to it, and to nothing else")
        notes.append("tick Read-only where the job does not publish")
    notes.insert(0, f"enter these by hand at {page}, Trusted Publishers: there is no command for it")
    if "sub" not in bound and bindable(claims.get("sub")):
        notes.append(
            "Hugging Face does not say which claims it takes: where the form has no ids, the exact "
            + ("sub, or repository, branch and workflow" if platform_of(claims) is GITHUB else "sub")
            + " in their place"
        )
    return Trust(title, heredoc("cat", json_block({"issuer": issuer, "claims": bound})), notes)


def login_refused(answer: Answer, settings: HuggingFaceSettings, token: IdentityToken) -> KeyleaseError:
    """The error for an exchange that the Hub refused. `retry_with_new_token` when the identity token had expired."""
    s = settings
    # "OAuth-style body": error invalid_request or invalid_grant.
    said = Refusal.of(answer)
    summary = f"Hugging Face: no token for {s.resource}: {str(said) or f'HTTP {answer.status}'}"
    elsewhere = not_the_endpoint(VENDOR, summary, answer, key="endpoint")
    if elsewhere:
        return elsewhere
    whose = "user" if s.is_user else "repository"
    trust: Trust | None = trust_for(token.claims, s)
    cause = (
        f"no trusted publisher of this {whose} has this issuer and these claims; or there is no such {whose} "
        "(the Hub does not tell which)"
    ) + unusual_audience(s.audience, ENDPOINT, s.endpoint)
    words = f"compare the publisher with the claims above (all must match, exactly), or add one for this {whose}:"
    if said.code == "invalid_request":
        cause, words, trust = "`resource` has a form that the Hub does not take", f"resource: {FORMS}", None
    elif s.audience not in _audiences(token.claims):
        cause = f"the identity token's `aud` is not {s.audience}, the only one that the Hub takes"
        words = f"have the platform put {s.audience} into the token, as its only audience"
        trust = None
    return refused(summary, answer, token, cause=cause, words=words, trust=trust, docs="huggingface-login")


def _audiences(claims: Mapping[str, Any]) -> list[object]:
    has = claims.get("aud")
    return has if isinstance(has, list) else [has]

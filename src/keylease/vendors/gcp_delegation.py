"""Domain-wide delegation: a service account that acts for a user of Google Workspace.

https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

import json

from keylease.errors import RefusedError, UnreachableError
from keylease.model import Seal
from keylease.secret import Secret
from keylease.vendors.answers import Answer
from keylease.vendors.gcp_settings import VENDOR, GcpSettings
from keylease.vendors.token_exchange import Refusal

AUDIENCE = "https://oauth2.googleapis.com/token"
"""Of every assertion, wherever it is sent."""


def assertion_of(settings: GcpSettings, now: float) -> str:
    """The claims that signJwt is to sign, as JSON. now: Unix time."""
    s = settings
    assert isinstance(s.lifetime, float)
    claims = {
        "iss": s.service_account,
        "sub": s.access_token_subject,
        "scope": " ".join(s.scopes),
        "aud": AUDIENCE,
        "iat": int(now),
        "exp": int(now) + int(s.lifetime),
    }
    return json.dumps(claims)


def signed_assertion(answer: Answer, seal: Seal) -> Secret:
    """The JWT of signJwt's answer, sealed first thing. Raises :class:`UnreachableError`."""
    value = answer.value("signedJwt")
    if value is None:
        raise UnreachableError(
            f"{VENDOR}: the IAM Credentials API answered with no signedJwt",
            cause="something else than Google's API answered, or it has changed",
            change="check `iam_url`; without one, report it",
            docs="garbage",
            detail=answer.detail,
        )
    return seal(value, "Google signed assertion")


def user_refused(answer: Answer, settings: GcpSettings) -> RefusedError:
    """The error for a user whom the account may not act for.

    https://developers.google.com/identity/protocols/oauth2/service-account#jwt-error-codes
    """
    s = settings
    said = Refusal.of(answer)
    summary = f"{VENDOR}: no token of {s.access_token_subject}: {str(said) or f'HTTP {answer.status}'}"
    if said.code in ("unauthorized_client", "access_denied", "admin_policy_enforced"):
        cause = (
            f"the Workspace's administrator has not allowed {s.service_account} to act for users with all of `scopes`"
        )
        change = "\n".join(
            [
                "in admin.google.com, Security > Access and data control > API controls > Domain-wide delegation:",
                f"client id: gcloud iam service-accounts describe {s.service_account} --format='value(oauth2ClientId)'",
                f"scopes: {','.join(s.scopes)}",
            ]
        )
    elif said.code == "invalid_scope":
        cause = "a scope is none, or is not meant for users"
        change = "scopes: [those of the Workspace API that is used]"
    elif said.code == "invalid_grant":
        cause = "there is no such user in the Workspace, or clocks differ"
        change = f"access_token_subject: a user's primary address, instead of {s.access_token_subject}"
    else:
        cause = "the answer is none of the documented refusals: maybe `oauth_url` is not Google's"
        change = "leave `oauth_url` out"
    return RefusedError(summary, cause=cause, change=change, docs="gcp-user", detail=answer.detail)

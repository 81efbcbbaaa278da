"""The narrowest federation policy for one job at Databricks, and why an exchange was refused.

https://docs.databricks.com/aws/en/dev-tools/auth/oauth-federation-policy
https://docs.databricks.com/aws/en/dev-tools/auth/provider-github
"""

from collections.abc import Mapping
from typing import Any

from keylease.errors import KeyleaseError, NotFoundError
from keylease.model import IdentityToken, Trust
from keylease.vendors.answers import Answer
from keylease.vendors.databricks_settings import VENDOR, DatabricksSettings
from keylease.vendors.github_claims import parse_subject
from keylease.vendors.job_claims import GITHUB, bindable, heredoc, json_block, platform_of, subject_lets_in
from keylease.vendors.token_exchange import Refusal, audience_of, not_the_endpoint, refused, unusual_audience


def trust_for(claims: Mapping[str, Any], settings: DatabricksSettings) -> Trust:
    """The command that creates a policy for exactly this job.

    A policy has one issuer and one subject, compared letter for letter; ids can only be bound where `sub` holds them.
    """
    s = settings
    title = f"Databricks federation policy for service principal {s.client_id}"
    subject, issuer = claims.get("sub"), claims.get("iss")
    if not bindable(subject) or not bindable(issuer):
        return Trust(title, "", ["the token has no `sub` or no `iss` that could be bound"])
    alone, notes = subject_lets_in(claims)
    if not alone:
        return Trust(title, "", notes)
    expected = audience_of(claims, s.audience)
    policy = {"oidc_policy": {"issuer": issuer, "audiences": [expected], "subject": subject}}
    principal = s.service_principal_id or "SERVICE_PRINCIPAL_ID"
    command = f"databricks account service-principal-federation-policy create {principal} --json @/dev/stdin"
    if not s.service_principal_id:
        notes.append(
            "SERVICE_PRINCIPAL_ID is the numeric id, not the application id (in keylease.yml: service_principal_id)"
        )
    notes.append("to be run by an account admin; a service principal has 20 policies at the most")
    if platform_of(claims) is GITHUB and parse_subject(str(subject)).form == "name":
        notes.append("a `sub` of names also lets in whoever takes over the name: GitHub's immutable form closes that")
    if expected != s.audience:
        notes.append("the policy expects the aud of the token that is there: configure the same as audience")
    return Trust(title, heredoc(command, json_block(policy)), notes)


def login_refused(answer: Answer, settings: DatabricksSettings, token: IdentityToken) -> KeyleaseError:
    """The error for an exchange that Databricks refused. `retry_with_new_token` when the identity token had expired."""
    s = settings
    said = _said(answer)
    summary = f"Databricks: no token for service principal {s.client_id}: {said or f'HTTP {answer.status}'}"
    if answer.status == 404:
        return NotFoundError(
            summary,
            cause="`host` has no such token endpoint"
            + (", or there is no such account" if s.level == "account" else ""),
            change="host: the workspace's address, or the account console's together with `account_id`",
            docs="databricks-login",
            detail=answer.detail,
        )
    elsewhere = not_the_endpoint(VENDOR, summary, answer, key="host")
    if elsewhere:
        return elsewhere
    return refused(
        summary,
        answer,
        token,
        cause=f"no federation policy of {s.client_id} has this issuer, audience and subject; or the "
        f"{'account' if s.level == 'account' else 'workspace'} has no such service principal"
        + unusual_audience(s.audience, *filter(None, [s.account_id, s.token_url])),
        words="compare `iss`, `aud` and `sub` above with the policies (`databricks account "
        "service-principal-federation-policy list ID`), or create one for this job by the command below",
        trust=trust_for(token.claims, s),
        docs="databricks-login",
    )


def _said(answer: Answer) -> str:
    # Databricks documents no error bodies. Its SDK reads RFC 6749's names, also errorCode and errorSummary
    # (databricks/sdk/oauth.py, retrieve_token); of other endpoints error_code and message (errors/deserializer.py).
    said = str(Refusal.of(answer))
    for code, message in (("errorCode", "errorSummary"), ("error_code", "message")):
        said = said or str(Refusal(answer.text(code), answer.text(message)))
    return said

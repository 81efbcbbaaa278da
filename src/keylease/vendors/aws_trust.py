"""The narrowest IAM trust policy for one job.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html (keys for OIDC federation)
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from keylease.model import Trust
from keylease.vendors.github_claims import ISSUER
from keylease.vendors.job_claims import GITHUB, bindable, heredoc, platform_of
from keylease.vendors.token_exchange import audience_of


def trust_for(claims: Mapping[str, Any], role_arn: str, aud: str) -> Trust:
    """The commands that make the identity provider and the trust policy for exactly this job."""
    role = role_arn.rpartition("/")[2]
    title = f"IAM trust policy of role {role_arn}"
    issuer, subject = claims.get("iss"), claims.get("sub")
    provider = _provider(issuer)
    if not bindable(subject) or not provider:
        return Trust(title, "", ["the token has no iss and sub that could be bound safely"])
    bound = {"aud": audience_of(claims, aud), "sub": str(subject)}
    notes: list[str] = []
    if platform_of(claims) is GITHUB and issuer == ISSUER and bindable(claims.get("repository_id")):
        # Known to IAM since January 2026, for github.com's own issuer only. repository_owner_id is not.
        bound["repository_id"] = str(claims["repository_id"])
        notes.append("bound by the repository's id as well, so that nobody who takes its name over gets in")
    elif not provider.endswith(ISSUER.partition("://")[2]):
        notes.append("IAM knows aud and sub of this issuer, and no other claim")
    if any(sign in value for value in bound.values() for sign in ("*", "?", "${")):
        return Trust(
            title, "", ["a claim of this job holds * or ? or ${, which IAM may take for a pattern: bind it by hand"]
        )
    partition, account = role_arn.split(":")[1], role_arn.split(":")[4]
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": f"arn:{partition}:iam::{account}:oidc-provider/{provider}"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{provider}:{name}": value for name, value in bound.items()}},
            }
        ],
    }
    body = json.dumps(policy, indent=2).replace("##", "#\\u0023")
    command = f"aws iam update-assume-role-policy --role-name {shlex.quote(role)} --policy-document file:///dev/stdin"
    create = (
        "# once per account: the identity provider\n"
        f"aws iam create-open-id-connect-provider --url {shlex.quote('https://' + provider)} "
        f"--client-id-list {shlex.quote(bound['aud'])}\n"
    )
    notes.append("this replaces the role's whole trust policy: add the statement to it where others use the role")
    return Trust(title, create + heredoc(command, body), notes)


def _provider(issuer: object) -> str:
    # IAM's name of a provider: the issuer without its scheme. AWS takes https issuers only; http ones are tests'.
    if not isinstance(issuer, str) or not issuer.isascii() or not issuer.isprintable() or len(issuer) > 255:
        return ""
    try:
        parts = urlsplit(issuer)
    except ValueError:
        return ""
    if parts.scheme not in ("https", "http") or not parts.netloc or parts.query or any(c in issuer for c in " \"'\\`$"):
        return ""
    return (parts.netloc + parts.path).rstrip("/")

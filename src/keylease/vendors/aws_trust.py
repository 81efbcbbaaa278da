"""The narrowest IAM policies for one job: the trust of its role, and what lets that take a second one.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html (keys for OIDC federation)
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from keylease.model import Read, Trust
from keylease.vendors.aws_policy import SUFFIX_NOTE, attach, read_policy
from keylease.vendors.aws_session import Place
from keylease.vendors.aws_settings import AwsChain
from keylease.vendors.github_claims import ISSUER
from keylease.vendors.job_claims import GITHUB, bindable, heredoc, platform_of, subject_lets_in, unbindable
from keylease.vendors.token_exchange import audience_of


def trust_for(claims: Mapping[str, Any], role_arn: str, aud: str, *, with_provider: bool = True) -> Trust:
    """The commands that make the account's identity provider and the trust policy for exactly this job."""
    role = role_arn.rpartition("/")[2]
    title = f"IAM trust policy of role {role_arn}"
    issuer, subject = claims.get("iss"), claims.get("sub")
    provider = _provider(issuer)
    if not bindable(subject) or not provider:
        return Trust(title, "", ["the token has no iss and sub that could be bound safely"])
    if bad := unbindable(claims, ("environment", "ref")):
        return Trust(title, "", bad)
    bound = {"aud": audience_of(claims, aud), "sub": str(subject)}
    notes: list[str] = []
    if platform_of(claims) is GITHUB and issuer == ISSUER and bindable(claims.get("repository_id")):
        # Known to IAM since January 2026, for github.com's own issuer only. repository_owner_id is not. The place as
        # well, for sub may have another form than GitHub's own, and of pull requests it names none.
        place = "environment" if bindable(claims.get("environment")) else "ref"
        bound |= {name: str(claims[name]) for name in ("repository_id", place) if bindable(claims.get(name))}
        notes.append("bound by the repository's id as well, so that nobody who takes its name over gets in")
        if len(bound) < 4:
            notes += subject_lets_in(claims)[1]
    else:
        alone, notes = subject_lets_in(claims)
        if not alone:
            return Trust(title, "", notes)
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
    command = f"aws iam update-assume-role-policy --role-name {shlex.quote(role)} --policy-document file:///dev/stdin"
    create = (
        "# once per account: the identity provider\n"
        f"aws iam create-open-id-connect-provider --url {shlex.quote('https://' + provider)} "
        f"--client-id-list {shlex.quote(bound['aud'])}\n"
    )
    notes.append("this replaces the role's whole trust policy: add the statement to it where others use the role")
    return Trust(title, (create if with_provider else "") + heredoc(command, _body(policy)), notes)


def add_audience(claims: Mapping[str, Any], role_arn: str, aud: str) -> str:
    """What to do where the account's identity provider does not name this audience among its client ids."""
    provider = _provider(claims.get("iss"))
    if not provider:
        return "add the audience to the identity provider's client ids, or correct `audience`"
    partition, account = role_arn.split(":")[1], role_arn.split(":")[4]
    arn = f"arn:{partition}:iam::{account}:oidc-provider/{provider}"
    return (
        "correct `audience`, or add it to the identity provider, and to the trust policy as below:\n"
        f"aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn {shlex.quote(arn)} "
        f"--client-id {shlex.quote(aud)}"
    )


def chain_trust(role_arn: str, chain: AwsChain) -> Trust:
    """What lets the role `role_arn` take the role of `chain`: its trust policy, and the first role's own permission.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-user_externalid.html
    """
    tagged = ["sts:TagSession"] if chain.tags or chain.job_tags else []
    actions = ["sts:AssumeRole", *tagged]
    trust: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": role_arn}, "Action": actions}
    if chain.external_id:
        # TagSession is checked as an action of its own, and carries no external id.
        trust["Action"] = "sts:AssumeRole"
        trust["Condition"] = {"StringEquals": {"sts:ExternalId": chain.external_id}}
    statements = [trust]
    if chain.external_id and tagged:
        statements.append({"Effect": "Allow", "Principal": {"AWS": role_arn}, "Action": tagged[0]})
    second, first = chain.role_arn.rpartition("/")[2], role_arn.rpartition("/")[2]
    may = {"Effect": "Allow", "Action": actions, "Resource": chain.role_arn}
    text = "\n".join(
        [
            f"# in account {_account(chain.role_arn)}: the second role trusts the first one",
            heredoc(
                f"aws iam update-assume-role-policy --role-name {shlex.quote(second)} "
                "--policy-document file:///dev/stdin",
                _body({"Version": "2012-10-17", "Statement": statements}),
            ),
            f"# in account {_account(role_arn)}: the first role may take the second one",
            heredoc(_put(first, f"assume-{second}"), _body({"Version": "2012-10-17", "Statement": [may]})),
        ]
    )
    return Trust(
        f"IAM trust policy of role {chain.role_arn}",
        text,
        ["this replaces the second role's whole trust policy: add the statement to it where others use the role"],
    )


def reading(reads: Sequence[Read], role_arn: str, region: str) -> Trust | None:
    """The permission to read these secrets and parameters, and no others; None where there are none of AWS's."""
    policy = read_policy(reads, Place(role_arn.split(":")[1], region, _account(role_arn)))
    if not policy:
        return None
    notes = ["where a key of your own encrypts what is read, the role needs kms:Decrypt on that key as well"]
    text = f"# what it reads\n{attach(role_arn.rpartition('/')[2], 'keylease', policy)}"
    return Trust(
        f"IAM policy of role {role_arn} for what is read",
        text,
        [*([SUFFIX_NOTE] if "??????" in text else []), *notes],
    )


def _account(role_arn: str) -> str:
    return role_arn.split(":")[4]


def _put(role: str, name: str) -> str:
    return (
        f"aws iam put-role-policy --role-name {shlex.quote(role)} --policy-name {shlex.quote(name[:128])} "
        "--policy-document file:///dev/stdin"
    )


def _body(policy: Mapping[str, Any]) -> str:
    return json.dumps(policy, indent=2).replace("##", "#\\u0023")


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

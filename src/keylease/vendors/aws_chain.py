"""What is asked of STS with a session's credentials: a second role, and whose the credentials are.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
"""

import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from keylease.errors import KeyleaseError, RefusedError
from keylease.http import Session
from keylease.model import Seal
from keylease.vendors.answers import Answer, one_line, server_trouble
from keylease.vendors.aws_answers import (
    Credentials,
    answer_of,
    cause_of,
    code_and_text,
    issued,
    not_sts,
    result,
)
from keylease.vendors.aws_settings import JOB_TAGS, VENDOR, AwsChain, AwsSettings
from keylease.vendors.aws_signing import signed
from keylease.vendors.aws_trust import chain_trust

_VERSION = "2011-06-15"
_HEADERS = {"Accept": "text/xml", "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
_LONGEST_TAG = 256


def second_role(
    http: Session,
    settings: AwsSettings,
    first: tuple[str, Credentials],
    chain: AwsChain,
    form: Mapping[str, str],
    claims: Mapping[str, Any],
    seal: Seal,
    label: str,
) -> Credentials:
    """The session of `chain`'s role.

    first: ARN and session of the role that may take it. form: what both kinds of requests have in common (duration,
    name, policies). Raises :class:`RefusedError` with both policies that it takes, :class:`UnreachableError`.
    """
    role_arn, session = first
    tags = {**(job_tags(claims) if chain.job_tags else {}), **chain.tags}
    transitive = [key for key in chain.transitive_tags if key in tags]
    body = {
        "Action": "AssumeRole",
        "Version": _VERSION,
        "RoleArn": chain.role_arn,
        **form,
        **({"ExternalId": chain.external_id} if chain.external_id else {}),
        **{f"Tags.member.{n}.Key": key for n, key in enumerate(tags, 1)},
        **{f"Tags.member.{n}.Value": value for n, value in enumerate(tags.values(), 1)},
        **{f"TransitiveTagKeys.member.{n}": key for n, key in enumerate(transitive, 1)},
    }
    answer, leaves = _asked(http, settings, session, body, f"taking the role {chain.role_arn}")
    if not answer.ok:
        raise _refused(answer, leaves, role_arn, chain)
    return issued(answer, leaves, "AssumeRole", seal, label, time.time())


def account_of_session(http: Session, settings: AwsSettings, session: Credentials) -> str:
    """The account that AWS itself says the credentials are of; empty if it does not tell."""
    body = {"Action": "GetCallerIdentity", "Version": _VERSION}
    answer, leaves = _asked(http, settings, session, body, "asking whose the credentials are")
    if not answer.ok:
        trouble = not_sts(answer, leaves)
        if trouble:
            raise trouble
        code, said = code_and_text(answer, leaves)
        cause, words = cause_of(code) or ("something else than AWS's STS issued them", "correct `url`, or leave it out")
        raise RefusedError(
            f"{VENDOR}: the issued credentials were refused: {said}",
            cause=cause,
            change=words,
            docs="aws-account",
            detail=answer.detail,
        )
    account = one_line(leaves.get(f"{result('GetCallerIdentity')}/Account", ""))
    return account if re.fullmatch(r"\d{12}", account, re.ASCII) else ""


def _asked(
    http: Session, settings: AwsSettings, session: Credentials, form: Mapping[str, str], doing: str
) -> tuple[Answer, dict[str, str]]:
    url, body = settings.url + "/", urlencode(form).encode()
    headers = signed(
        url,
        body,
        _HEADERS,
        service="sts",
        region=settings.region,
        key_id=session.key_id,
        secret_key=session.secret_key,
        session_token=session.session_token,
    )
    answer, leaves = answer_of(http.post(url, data=body, headers=headers))
    trouble = server_trouble(VENDOR, doing, answer)
    if trouble:
        raise trouble
    return answer, leaves


def job_tags(claims: Mapping[str, Any]) -> dict[str, str]:
    """Session tags of what the identity token says of the job.

    What AWS takes in no tag becomes ``_``, and all is cut to 256 characters: values that differ in such characters only
    become alike. Claims that the token has not, or empty, make no tag.
    """
    tags = {}
    for key, names in JOB_TAGS.items():
        value = next((claims[name] for name in names if isinstance(claims.get(name), str | int) and claims[name]), None)
        if value is not None:
            tags[key] = re.sub(r"[^\w .:/=+@-]", "_", str(value))[:_LONGEST_TAG]
    return tags


def _refused(answer: Answer, leaves: dict[str, str], role_arn: str, chain: AwsChain) -> KeyleaseError:
    trouble = not_sts(answer, leaves)
    if trouble:
        return trouble
    code, said = code_and_text(answer, leaves)
    summary = f"{VENDOR}: role {chain.role_arn} was refused to the session of {role_arn}: {said}"
    known = cause_of(code)
    if known:
        cause, words = known
        return RefusedError(summary, cause=cause, change=words, docs="aws-chain", detail=answer.detail)
    external = " or wants another external id" if chain.external_id else ", or wants an external id (`external_id`)"
    tagged = "; tags need sts:TagSession in both" if chain.tags or chain.job_tags else ""
    trust = chain_trust(role_arn, chain)
    return RefusedError(
        summary,
        cause=f"the second role's trust policy does not name the first one{external}; or the first one's own policy "
        f"does not allow sts:AssumeRole on it{tagged}",
        change="\n".join(
            ["let the first role take the second one, on both sides", "", trust.text, *(f"# {n}" for n in trust.notes)]
        ),
        docs="aws-chain",
        detail=answer.detail,
    )

"""What the refusals of AWS's stores mean, and what would allow a read.

https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from keylease.errors import KeyleaseError, RefusedError, UnreachableError
from keylease.model import Read
from keylease.vendors.answers import one_line
from keylease.vendors.aws_answers import TRANSIENT
from keylease.vendors.aws_json import AwsApi, Reply, listed
from keylease.vendors.aws_names import REFERENCE, Target
from keylease.vendors.aws_policy import SUFFIX_NOTE, allow, attach, decrypt, document, read_policy
from keylease.vendors.aws_session import AwsSession
from keylease.vendors.aws_settings import VENDOR

_SKEW = 240.0
"""Seconds. A signature holds for 300, both ways."""

_SIGNATURE = ("InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "RequestExpired")
_UNKNOWN = ("UnrecognizedClientException", "InvalidClientTokenId", "MissingAuthenticationTokenException")
_EXPIRED = ("ExpiredTokenException", "ExpiredToken")
_DENIED = ("AccessDeniedException", "AccessDenied", "NotAuthorized")

_TIMED = re.compile(r"expired|not yet current|skew", re.IGNORECASE)
_KMS = re.compile(r"\bkms\b|AWSKMS|ciphertext|customer master key", re.IGNORECASE)
_KEY = re.compile(r"arn:[a-z-]{3,20}:kms:[a-z0-9-]{5,30}:\d{12}:key/[A-Za-z0-9-]{8,64}")
_ACTION = re.compile(r"not authorized to perform: ([a-z]{2,20}:[A-Za-z]{3,40})\b")
_ON = re.compile(r"on resource: ([!-~]{1,1200})")
_LACKING = re.compile(r"because no ([a-zA-Z -]{3,40}?)(?: policy)? allows")
_DENYING = re.compile(r"with an explicit deny in (?:an?|the) ([a-zA-Z -]{3,40}?)(?: policy)?(?:$|[.:,])")


def session_refused(session: AwsSession, reply: Reply, label: str) -> KeyleaseError | None:
    """The error for a no that is about the session or the request, whatever was asked for; None for another one."""
    code, answer = reply.code, reply.answer
    if not answer.is_json or not code:
        return UnreachableError(
            f"{VENDOR}: {label}: a refusal (HTTP {answer.status}) that is not AWS's own",
            cause="a firewall or a proxy in between, or the address is not the service's",
            change="let this runner through, or correct the service's address (`secretsmanager_url`, `ssm_url`)",
            docs="garbage",
            detail=answer.detail,
        )
    if code in TRANSIENT:
        return UnreachableError(
            f"{VENDOR}: {label}: {code} after all attempts",
            cause="too many requests: AWS throttles this account in this region",
            change="run the job again; `retries` and `deadline` give it more time. Parameter Store: enable higher "
            "throughput",
            docs="unreachable",
            detail=answer.detail,
        )
    summary = f"{VENDOR}: {label}: {code}: {one_line(reply.message)}"
    if code in _EXPIRED:
        cause, change = "the role's session is over", "raise `duration`, or read early in the job"
        if abs(reply.skew) > _SKEW:
            cause += f"; {_clock(reply.skew)}"
    elif code in _SIGNATURE and (_TIMED.search(code + reply.message) or abs(reply.skew) > _SKEW):
        cause = _clock(reply.skew) if abs(reply.skew) > _SKEW else "this machine's clock is wrong"
        change = "set the clock by an NTP server: AWS takes requests that are at most five minutes off"
    elif code in _SIGNATURE:
        cause = "something in between changed the request: its signature covers host, headers and body"
        change = "take the proxy out of the way; `secretsmanager_url` and `ssm_url` must be the region's own"
    elif code in _UNKNOWN:
        cause = "the region is not enabled for this account, or the service's address is another partition's"
        change = f"enable {session.region} in the account's settings, or take another `region`"
    else:
        return None
    return RefusedError(summary, cause=cause, change=change, docs="aws-session", detail=answer.detail)


def _clock(skew: float) -> str:
    minutes = abs(skew) / 60
    return f"this machine's clock is {minutes:.0f} minutes {'ahead of' if skew > 0 else 'behind'} AWS's"


def is_denied(reply: Reply) -> bool:
    """Whether permissions are what is missing."""
    return reply.code in _DENIED


def denied(session: AwsSession, reply: Reply, read: Read, target: Target, service: str, action: str) -> RefusedError:
    """The error for a read that no policy allows, or one forbids. action: of the whole read."""
    message = " ".join(reply.message.split())
    if _KMS.search(message):
        return _no_key(session, reply, read, target, service, message)
    named, on = _ACTION.search(message), _ON.search(message)
    action = named[1] if named else action
    resource = target.resource
    policy = read_policy([read], session.place)
    if on and not target.exact and _is_secret(on[1], target):
        resource = on[1]
        policy = document([allow(action, resource)])
    denying, lacking = _DENYING.search(message), _LACKING.search(message)
    if denying:
        cause = f"a policy forbids it explicitly: {one_line(denying[1])}"
        words, block = "change that policy: no other one can allow what it denies", ""
    else:
        kind = lacking[1] if lacking else ""
        cause, words, block = _lacking(kind, session, read, target, allow(action, resource), policy)
        if on and kind != "session" and on[1] == target.id and not on[1].startswith("arn:"):
            # It is the message for a name that Secrets Manager does not know, unless the role may read all names.
            cause += "; or there is no such secret in this account and region: AWS named it without an ARN"
    notes = [f"# {SUFFIX_NOTE}"] if "??????" in block else []
    return RefusedError(
        f"{VENDOR}: {read}: {session.role} may not {action} ({reply.code})",
        cause=cause,
        change="\n".join([words, *(["", block] if block else []), *notes]),
        docs="aws-read",
        detail=reply.answer.detail,
    )


def lister(
    api: AwsApi, read: Read, operation: str, asked: dict[str, Any], key: str, permission: str
) -> Callable[[str], tuple[list[str], str]]:
    """Token of a page (empty: the first) → its names, which stand under `key`, and the next one's token.

    permission: what IAM calls `operation`. What it returns raises as a reading does.
    """

    def page(token: str) -> tuple[list[str], str]:
        more = {"NextToken": token} if token else {}
        reply = api.ask(operation, {**asked, **more}, api.session.region, f"listing {read}")
        if not reply.answer.ok:
            trouble = session_refused(api.session, reply, str(read))
            if trouble is None and is_denied(reply):
                trouble = may_not_list(api.session, reply, str(read), permission)
            raise trouble or refused(reply, str(read))
        return listed(reply.answer, key, read)

    return page


def may_not_list(session: AwsSession, reply: Reply, label: str, action: str) -> RefusedError:
    """The error for a list that no policy allows. IAM knows this action for everything, or not at all.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html,
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
    """
    message = " ".join(reply.message.split())
    denying = _DENYING.search(message)
    cause = f"no policy of the role {session.role_name} allows it, and a pattern must be looked up"
    words = [
        "give the role this policy: it tells the names of all, and no values; or name each secret instead",
        "",
        attach(session.role_name, "list", document([allow(action, "*")])),
    ]
    if denying:
        cause, words = f"a policy forbids it explicitly: {one_line(denying[1])}", ["change that policy"]
    return RefusedError(
        f"{VENDOR}: {label}: {session.role} may not {action} ({reply.code})",
        cause=cause,
        change="\n".join(words),
        docs="sync-listing",
        detail=reply.answer.detail,
    )


def _lacking(
    kind: str, session: AwsSession, read: Read, target: Target, statement: dict[str, Any], policy: dict[str, Any]
) -> tuple[str, str, str]:
    """(cause, what to do, block to paste) where no policy of this kind allows it."""
    if kind == "session":
        return (
            "the session is narrowed by `session_policy` or `managed_policies`, which don't allow it",
            "add this statement to the `session_policy` of the provider",
            json.dumps(policy, indent=2),
        )
    if kind in ("permissions boundary", "service control", "resource control", "VPC endpoint"):
        return (
            f"the role's policies are not asked: no {kind} policy allows it",
            f"have whoever administers the {kind} policy allow this",
            json.dumps(policy, indent=2),
        )
    if kind == "resource-based":
        principal = f"arn:{target.partition}:iam::{session.place.account}:role/{session.role_name}"
        return (
            "the role's own policies do, but the policy of the resource, another account's, does not let the role in",
            f"have account {target.account} add this statement to that policy, and let the role use the KMS key",
            json.dumps({**statement, "Principal": {"AWS": principal}}, indent=2),
        )
    cause = f"no policy of the role {session.role_name} allows it"
    words = "give the role this policy; the run needs nothing else for it"
    if target.account not in ("", session.place.account):
        cause += f"; and account {target.account} must allow it too, in the policy of the resource"
        words += f", and have {target.account} name the role in the resource's own policy, and in its KMS key's"
    return cause, words, attach(session.role_name, read.path, policy)


def _is_secret(arn: str, target: Target) -> bool:
    # AWS tells the secret's whole ARN once it has found it: the pattern is not needed then.
    return re.fullmatch(re.escape(target.resource).replace(r"\?" * 6, "[A-Za-z0-9]{6}"), arn, re.ASCII) is not None


def _no_key(session: AwsSession, reply: Reply, read: Read, target: Target, service: str, message: str) -> RefusedError:
    secret = service == "secretsmanager" or read.path.startswith(REFERENCE)
    found = _KEY.search(message)
    key = found[0] if found else f"arn:{target.partition}:kms:{target.region}:{target.account}:key/KEY-ID"
    context = {"SecretARN" if secret else "PARAMETER_ARN": target.resource}
    policy = document([decrypt(key, session.host(service, target.region), context)])
    words = ["give the role this policy"]
    if not found:
        where = (
            f"`aws secretsmanager describe-secret --secret-id {target.id} --query KmsKeyId`"
            if secret
            else "`aws ssm describe-parameters`"
        )
        words.append(f"with the key's own id, which {where} shows")
    words.append("the key's policy must let the account's roles use it, or name the role")
    return RefusedError(
        f"{VENDOR}: {read}: {session.role} may not decrypt it ({reply.code})",
        cause="it is encrypted with a customer managed key of KMS, and the role may read it but not use the key",
        change="\n".join(["; ".join(words), "", attach(session.role_name, f"key-of-{read.path}", policy)]),
        docs="aws-kms",
        detail=reply.answer.detail,
    )


def refused(reply: Reply, label: str) -> RefusedError:
    """The error for a no that nothing more is known about."""
    return RefusedError(
        f"{VENDOR}: {label}: {reply.code}: {one_line(reply.message)}",
        cause="AWS does not accept this request as it is",
        change="compare the reference and its options with the store's documentation",
        docs="aws-read",
        detail=reply.answer.detail,
    )


def several(reads: Sequence[Read]) -> str:
    """The label of a request for all of them."""
    return str(reads[0]) if len(reads) == 1 else f"{reads[0]} and {len(reads) - 1} more"

"""What STS answers: XML, read with distrust, and what its refusals mean.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html ("Errors")
https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
"""

import datetime as dt
import re
from typing import TYPE_CHECKING
from xml.parsers import expat

from msgspec import Struct

from keylease.errors import KeyleaseError, RefusedError, UnreachableError
from keylease.model import IdentityToken, Seal
from keylease.secret import Secret
from keylease.vendors.answers import Answer, one_line
from keylease.vendors.aws_settings import AUDIENCE, VENDOR
from keylease.vendors.aws_trust import add_audience, trust_for
from keylease.vendors.token_exchange import refused, unusual_audience

if TYPE_CHECKING:
    import requests

TRANSIENT = frozenset(
    {
        "IDPCommunicationError",  # "This error can be retried" (API reference)
        # What the SDKs take for throttling (botocore/retries/standard.py).
        *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException"),
        *("TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException"),
        *("SlowDown", "PriorRequestNotComplete"),
    }
)

_DEEPEST = 12
_SHAPE = re.compile(r"[\x21-\x7e]{1,8192}")
_ACTIONS = ("AssumeRoleWithWebIdentity", "AssumeRole", "GetCallerIdentity")


class _RefusedXmlError(ValueError):
    """A document type or a depth that no answer of STS has."""


def parse(body: bytes) -> dict[str, str]:
    """{path of element names: text} of the leaves of `body`; empty if it is not plain XML.

    No document type is accepted, so there are no entities to expand or fetch.
    """
    found: dict[str, str] = {}
    path: list[str] = []
    texts: list[list[str]] = []

    def start(name: str, _attributes: dict[str, str]) -> None:
        if len(path) >= _DEEPEST:
            raise _RefusedXmlError
        path.append(name.rpartition(":")[2])
        texts.append([])

    def end(_name: str) -> None:
        text = "".join(texts.pop()).strip()
        if text:
            found["/".join(path)] = text
        path.pop()

    def refuse(*_args: object) -> None:
        raise _RefusedXmlError

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda data: texts[-1].append(data) if texts else None
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError):
        return {}
    return found


def is_transient(response: "requests.Response") -> bool:
    """Whether another try may mend this refusal (`HttpSettings.transient`)."""
    return parse(response.content).get("ErrorResponse/Error/Code") in TRANSIENT


def answer_of(response: "requests.Response") -> tuple[Answer, dict[str, str]]:
    """(status and request id, leaves). `is_json` of the answer stands for: it is an answer of STS."""
    leaves = parse(response.content)
    roots = {path.partition("/")[0] for path in leaves}
    number = leaves.get("ErrorResponse/RequestId") or response.headers.get("x-amzn-RequestId", "")
    known = roots <= {"ErrorResponse", *(f"{action}Response" for action in _ACTIONS)} and bool(roots)
    return Answer(response.status_code, {}, known, one_line(number)), leaves


class Credentials(Struct, frozen=True):
    """A session. arn: of the assumed role; account: its twelve digits, or empty. expires_at: Unix time."""

    key_id: Secret
    secret_key: Secret
    session_token: Secret
    expires_at: float
    arn: str

    @property
    def account(self) -> str:
        """The account that the answer names."""
        parts = self.arn.split(":")
        return parts[4] if len(parts) > 5 and re.fullmatch(r"\d{12}", parts[4], re.ASCII) else ""


def result(action: str) -> str:
    """Where the leaves of an answer to `action` begin."""
    return f"{action}Response/{action}Result"


def issued(answer: Answer, leaves: dict[str, str], action: str, seal: Seal, label: str, now: float) -> Credentials:
    """The credentials of a success, sealed first thing.

    Raises :class:`UnreachableError` where they are none, :class:`RefusedError` where they are over already.
    """
    at = f"{result(action)}/Credentials"
    values = {
        name: seal(leaves[f"{at}/{name}"], f"{label} {name}")
        for name in ("SecretAccessKey", "SessionToken", "AccessKeyId")
        if f"{at}/{name}" in leaves
    }
    expires_at = _time(leaves.get(f"{at}/Expiration", ""))
    usable = len(values) == 3 and all(_SHAPE.fullmatch(value.reveal()) for value in values.values())
    if not usable or expires_at is None or expires_at > now + 3 * 86400:
        raise UnreachableError(
            f"{VENDOR}: the answer holds no usable credentials",
            cause="something else than AWS's STS answered",
            change="check `url`; without one, report it",
            docs="garbage",
            detail=answer.detail,
        )
    if expires_at <= now:
        raise RefusedError(
            f"{VENDOR}: the credentials had already expired on arrival",
            cause="the runner's clock is wrong: sessions live 15 minutes at the least",
            change="set the runner's clock by an NTP server",
            docs="token-expired",
            detail=answer.detail,
        )
    arn = one_line(leaves.get(f"{result(action)}/AssumedRoleUser/Arn", ""))
    return Credentials(values["AccessKeyId"], values["SecretAccessKey"], values["SessionToken"], expires_at, arn)


def _time(text: str) -> float | None:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo else None


# Code: (cause, what to do); the trust is shown where it may be what is wrong.
_CAUSES = {
    "AccessDenied": (
        "the role's trust policy does not let these claims in, or there is no such role: AWS tells neither apart",
        "replace the role's trust policy by the one below, or correct `role_arn`",
        True,
    ),
    "InvalidIdentityToken": (
        "the account has no identity provider in IAM for the token's issuer, or its keys can't verify the token",
        "create the identity provider in the role's own account (the first line below), then the trust policy",
        True,
    ),
    "MalformedPolicyDocument": ("the session policy is no valid IAM policy", "correct `session_policy`", False),
    "PackedPolicyTooLarge": (
        "session policy, managed policies and tags are too large together",
        "shorten `session_policy`, or take policies out of `managed_policies`",
        False,
    ),
    "RegionDisabledException": (
        "STS is not active for this account in this region",
        "activate the region in the account's settings, or take another `region`",
        False,
    ),
    "SignatureDoesNotMatch": (
        "the runner's clock is more than five minutes wrong, or a proxy in between changes requests",
        "set the runner's clock by an NTP server, or let requests to `url` through unchanged",
        False,
    ),
    "ValidationError": (
        "a parameter is outside of what the role allows: mostly a `duration` above the role's maximum",
        "shorten `duration` or raise the role's MaxSessionDuration (an hour by default)",
        False,
    ),
}


def login_refused(
    answer: Answer, leaves: dict[str, str], role_arn: str, token: IdentityToken, aud: str
) -> KeyleaseError:
    """The error for a role that was refused to the identity token."""
    trouble = not_sts(answer, leaves)
    if trouble:
        return trouble
    code, said = code_and_text(answer, leaves)
    summary = f"{VENDOR}: role {role_arn} was refused: {said}"
    cause, words, about_claims = _CAUSES.get(
        code, ("AWS does not accept this request as it is", "compare the settings with the role", True)
    )
    known = code == "IDPRejectedClaim" or (code == "InvalidIdentityToken" and "audience" in said)
    if known:  # the provider is, its client ids lack the audience
        # "Incorrect token audience" comes with that code: https://github.com/awslabs/amazon-eks-irsa-cfn/pull/18
        cause = f"the identity provider in IAM rejects a claim: mostly `aud`, which its client ids don't name ({aud!a})"
        cause += unusual_audience(aud, AUDIENCE)
        words = add_audience(token.claims, role_arn, aud)
    trust = trust_for(token.claims, role_arn, aud, with_provider=not known) if about_claims else None
    error = refused(summary, answer, token, cause=cause, words=words, trust=trust, docs="aws-login")
    if code == "ExpiredTokenException":
        error.retry_with_new_token = True
    return error


def cause_of(code: str) -> tuple[str, str] | None:
    """(cause, change) of a refusal that is about no claim and no trust; None for the others."""
    cause, words, about_claims = _CAUSES.get(code, ("", "", True))
    return None if about_claims else (cause, words)


def code_and_text(answer: Answer, leaves: dict[str, str]) -> tuple[str, str]:
    """(AWS's code, code and message as one printable line) of a refusal."""
    code = one_line(leaves.get("ErrorResponse/Error/Code", ""))
    message = one_line(leaves.get("ErrorResponse/Error/Message", ""))
    return code, ": ".join(filter(None, [code, message])) or f"HTTP {answer.status}"


def not_sts(answer: Answer, leaves: dict[str, str]) -> KeyleaseError | None:
    """The error for what STS did not say itself, or says may heal."""
    if not answer.is_json:
        return UnreachableError(
            f"{VENDOR}: a refusal (HTTP {answer.status}) that is not AWS's own",
            cause="a firewall or a proxy in between, or `url` is not an STS endpoint",
            change="let this runner through, or correct `url`",
            docs="garbage",
            detail=answer.detail,
        )
    code = one_line(leaves.get("ErrorResponse/Error/Code", ""))
    if code in TRANSIENT:
        return UnreachableError(
            f"{VENDOR}: {code} after all attempts",
            cause="AWS could not fetch the issuer's keys"
            if code == "IDPCommunicationError"
            else "too many requests: AWS throttles this account",
            change="run the job again; `retries` and `deadline` give it more time",
            docs="unreachable",
            detail=answer.detail,
        )
    return None

"""The protocol of AWS's services that speak JSON 1.1: one signed POST an operation.

https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
"""

import email.utils
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from keylease.context import Context
from keylease.errors import UnreachableError, UsageError
from keylease.http import HttpSettings
from keylease.model import Lease, Read
from keylease.vendors.answers import Answer, one_line, server_trouble
from keylease.vendors.aws_answers import TRANSIENT
from keylease.vendors.aws_session import AwsSession
from keylease.vendors.aws_settings import VENDOR
from keylease.vendors.aws_signing import signed

if TYPE_CHECKING:
    import requests

_MAX_BODY = 4 * 1024 * 1024
"""Bytes of an answer: ten values of 64 KiB, each byte of which JSON can write as six."""

_TARGETS = {"secretsmanager": "secretsmanager", "ssm": "AmazonSSM"}


class Reply(Struct, frozen=True):
    """An answer, with a refusal's code and whole message; message: not for showing as it is.

    skew: seconds that this machine's clock is ahead of AWS's, as the answer's date tells.
    """

    answer: Answer
    code: str
    message: str
    skew: float

    def __repr__(self) -> str:
        return f"<Reply {self.answer.status} {self.code}>"


class AwsApi:
    """Operations of one service (``secretsmanager``, ``ssm``), as a role's session. Safe for several threads."""

    def __init__(self, lease: Lease, context: Context, service: str) -> None:
        """Raises :class:`UsageError` where the lease has no session."""
        found = lease.session
        if not isinstance(found, AwsSession):
            raise UsageError(
                f"{VENDOR}: provider {lease.provider!r} has no role to read with",
                cause="it has several profiles and no `role_arn`: none of them is the one to read with",
                change="give it a `role_arn`, or make a provider of its own for reading",
                docs="aws-settings",
            )
        self.service = service
        self.session = found
        self._http = context.http.session(
            VENDOR,
            HttpSettings(timeout=found.timeout, retries=found.retries, max_body=_MAX_BODY, transient=_is_transient),
        )

    def ask(self, operation: str, parameters: Mapping[str, Any], region: str, doing: str) -> Reply:
        """What the service answers, success or refusal. doing: for errors. Raises :class:`UnreachableError`."""
        url = self.session.url(self.service, region) + "/"
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"{_TARGETS[self.service]}.{operation}",
        }
        body = json.dumps(parameters).encode()

        def sign(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
            # For each attempt anew: a signature holds for five minutes, a deadline may be longer.
            s = self.session
            request.headers.update(
                signed(
                    url,
                    body,
                    headers,
                    service=self.service,
                    region=region,
                    key_id=s.key_id,
                    secret_key=s.secret_key,
                    session_token=s.session_token,
                )
            )
            return request

        response = self._http.request("POST", url, data=body, headers=headers, auth=sign)
        answer = Answer.of(response, "x-amzn-RequestId")
        code = _code(response, answer)
        trouble = server_trouble(VENDOR, doing, answer)
        if trouble:
            raise trouble
        said = answer.at("message") or answer.at("Message")
        return Reply(answer, code, said[:4000] if isinstance(said, str) else "", _skew(response))


def listed(answer: Answer, key: str, read: Read) -> tuple[list[str], str]:
    """(names, token of the next page) of a list under `key`. Raises :class:`UnreachableError` where it is none."""
    items, token = answer.at(key), answer.at("NextToken")
    names = [item.get("Name") if isinstance(item, dict) else None for item in items] if isinstance(items, list) else []
    whole = isinstance(items, list) and (token is None or isinstance(token, str))
    if not whole or not all(isinstance(name, str) and name for name in names):
        raise UnreachableError(
            f"{VENDOR}: {read}: the answer is no list of names",
            cause="something else than AWS answered",
            change="check the service's address (AWS_ENDPOINT_URL_…); without one, report it",
            docs="garbage",
            detail=answer.detail,
        )
    return [str(name) for name in names], token or ""


def _code(response: "requests.Response", answer: Answer) -> str:
    if response.status_code < 400:
        return ""
    # com.amazonaws.service#Code:http://…; the header and `code` are what some services have instead.
    for found in (answer.at("__type"), response.headers.get("X-Amzn-ErrorType"), answer.at("code")):
        if isinstance(found, str) and found:
            return one_line(found.partition(":")[0].rpartition("#")[2])
    return ""


def _is_transient(response: "requests.Response") -> bool:
    return _code(response, Answer.of(response)) in TRANSIENT


def _skew(response: "requests.Response") -> float:
    parsed = email.utils.parsedate_tz(response.headers.get("Date", ""))
    return time.time() - email.utils.mktime_tz(parsed) if parsed else 0.0

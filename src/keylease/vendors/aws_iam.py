"""AWS IAM's Query protocol: one signed POST an operation, XML back, lists in pages.

https://docs.aws.amazon.com/IAM/latest/APIReference/welcome.html
"""

import email.utils
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from keylease.context import Context
from keylease.errors import DOCS, UnreachableError
from keylease.http import HttpSettings
from keylease.model import Env
from keylease.vendors.answers import Answer, one_line, server_trouble
from keylease.vendors.aws_answers import TRANSIENT
from keylease.vendors.aws_errors import is_denied, session_refused
from keylease.vendors.aws_json import Reply
from keylease.vendors.aws_policy import allow, document
from keylease.vendors.aws_session import AwsSession
from keylease.vendors.aws_settings import VENDOR
from keylease.vendors.aws_signing import signed
from keylease.vendors.aws_xml import tree
from keylease.vendors.endpoints import checked

if TYPE_CHECKING:
    import requests

VERSION = "2010-05-08"
VARIABLE = "AWS_ENDPOINT_URL_IAM"
"""https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html"""

# (host, region that its signatures are of): IAM has one place a partition. As in botocore/data/endpoints.json.
_PLACES = {
    "aws": ("iam.amazonaws.com", "us-east-1"),
    "aws-cn": ("iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    "aws-us-gov": ("iam.us-gov.amazonaws.com", "us-gov-west-1"),
}
_MAX_BODY = 32 * 1024 * 1024
_MOST_PAGES = 10_000


class DeniedError(UnreachableError):
    """No policy of the credential allows it. policy: the statement that would."""


def endpoint(given: str, partition: str, env: Env) -> str:
    """IAM's address. Raises :class:`UsageError` for one that is not AWS's own."""
    host, _ = _PLACES.get(partition, _PLACES["aws"])
    url = given or env.get(VARIABLE) or ""
    if not url:
        return f"https://{host}"
    hosts = [host, "iam-fips.amazonaws.com", "iam.global.api.aws"]
    return checked(url, "iam_url" if given else VARIABLE, "AWS", hosts, env)


class IamApi:
    """Read-only operations, as a session. Safe for several threads."""

    def __init__(self, session: AwsSession, url: str, context: Context) -> None:
        self.session = session
        self._url = url.rstrip("/") + "/"
        self._http = context.http.session(
            VENDOR,
            HttpSettings(timeout=session.timeout, retries=session.retries, max_body=_MAX_BODY, transient=_is_transient),
        )

    def ask(self, operation: str, parameters: Mapping[str, str], doing: str) -> Any:
        """What is in the result of one operation. Raises :class:`DeniedError`, RefusedError, UnreachableError."""
        asked = {"Action": operation, "Version": VERSION, **parameters}
        body = urlencode(asked).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

        def sign(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
            # For each attempt anew, as in AwsApi.ask.
            s = self.session
            region = _PLACES.get(s.place.partition, _PLACES["aws"])[1]
            request.headers.update(
                signed(
                    self._url,
                    body,
                    headers,
                    service="iam",
                    region=region,
                    key_id=s.key_id,
                    secret_key=s.secret_key,
                    session_token=s.session_token,
                )
            )
            return request

        response = self._http.request("POST", self._url, data=body, headers=headers, auth=sign)
        data = tree(response.content)
        refusal = data.get("ErrorResponse")
        answer = Answer(response.status_code, data, bool(data), _request_id(data))
        trouble = server_trouble(VENDOR, doing, answer)
        if trouble:
            raise trouble
        if response.status_code >= 400 or refusal is not None:
            raise self._refused(operation, doing, answer, response)
        found = data.get(f"{operation}Response")
        result = found.get(f"{operation}Result") if isinstance(found, dict) else None
        if not isinstance(result, dict):
            raise self.garbage(doing)
        return result

    def pages(self, operation: str, parameters: Mapping[str, str], doing: str) -> Iterator[dict[str, Any]]:
        """All pages of a list. One that repeats its marker, or does not say how it goes on, is an error."""
        marker, seen = "", {""}
        for _ in range(_MOST_PAGES):
            page = self.ask(operation, {**parameters, **({"Marker": marker} if marker else {})}, doing)
            yield page
            more, marker = str(page.get("IsTruncated", "")).lower(), str(page.get("Marker") or "")
            # Left out by some that speak the protocol: no marker means the same.
            if more == "false" or (not more and not marker):
                return
            if more != "true" or marker in seen:
                break
            seen.add(marker)
        raise self.garbage(doing, "the list does not end as AWS's do")

    def garbage(self, doing: str, what: str = "the answer is not IAM's") -> UnreachableError:
        """The error for what can't be trusted."""
        return UnreachableError(
            f"{VENDOR}: {doing}: {what}",
            cause="something else than AWS answered",
            change=f"check the address ({VARIABLE}) and the proxy; without one, report it",
            docs="garbage",
        )

    def _refused(self, operation: str, doing: str, answer: Answer, response: "requests.Response") -> Exception:
        code, said = answer.at("ErrorResponse", "Error", "Code"), answer.at("ErrorResponse", "Error", "Message")
        parsed = email.utils.parsedate_tz(response.headers.get("Date", ""))
        skew = time.time() - email.utils.mktime_tz(parsed) if parsed else 0.0
        reply = Reply(answer, one_line(str(code or "")), said[:4000] if isinstance(said, str) else "", skew)
        if is_denied(reply):
            return denied(doing, f"iam:{operation}", answer)
        found = session_refused(self.session, reply, doing)
        return found or self.garbage(f"{doing}: {reply.code}", "IAM refused what was asked")


def denied(doing: str, action: str, answer: Answer) -> DeniedError:
    """The error for what no policy allows. IAM's and Secrets Manager's lists know no narrower resource than all."""
    import json

    policy = json.dumps(document([allow(action, "*")]), indent=2)
    return DeniedError(
        f"{VENDOR}: {doing}: AccessDenied: the credential may not {action}",
        cause="no policy of the credential allows it, or one forbids it",
        change=f"allow it, or take what {DOCS}/inventory/aws.md shows:\n\n{policy}",
        docs="aws-inventory",
        detail=answer.detail,
    )


def _request_id(data: Mapping[str, Any]) -> str:
    found = data.get("ErrorResponse")
    number = found.get("RequestId") if isinstance(found, dict) else None
    return one_line(number) if isinstance(number, str) else ""


def _is_transient(response: "requests.Response") -> bool:
    found = tree(response.content).get("ErrorResponse") if response.status_code >= 400 else None
    error = found.get("Error") if isinstance(found, dict) else None
    return isinstance(error, dict) and error.get("Code") in TRANSIENT

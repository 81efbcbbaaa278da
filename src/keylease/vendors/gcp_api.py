"""What the IAM Credentials API answers.

https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
"""

import re
import time
from datetime import datetime

from keylease.errors import RefusedError, UnreachableError
from keylease.model import Seal
from keylease.secret import Secret
from keylease.vendors.answers import Answer
from keylease.vendors.gcp_settings import LONGEST, VENDOR
from keylease.vendors.token_exchange import Granted

_SLACK = 3600.0
"""Seconds beyond the longest lifetime, for clocks that differ."""


def issued_by_iam(answer: Answer, seal: Seal, label: str) -> Granted:
    """The access token of generateAccessToken's answer, sealed first thing.

    Raises :class:`RefusedError` when it had expired on arrival, :class:`UnreachableError` when the answer is none.
    """
    value = answer.value("accessToken")
    if value is None:
        raise _garbage(answer, "no accessToken")
    token = seal(value, label)
    expires_at = _moment(answer.at("expireTime"))
    now = time.time()
    if expires_at is None or expires_at > now + LONGEST + _SLACK:
        raise _garbage(answer, "no usable expireTime")
    if expires_at <= now:
        raise RefusedError(
            f"{VENDOR}: the access token had already expired on arrival",
            cause="this machine's clock is wrong, or the answer took too long",
            change="check the runner's clock against an NTP server",
            docs="token-expired",
            detail=answer.detail,
        )
    return Granted(token, expires_at)


def issued_id_token(answer: Answer, seal: Seal, label: str) -> Secret:
    """The ID token of generateIdToken's answer, sealed first thing. Raises :class:`UnreachableError`."""
    value = answer.value("token")
    if value is None:
        raise _garbage(answer, "no token")
    return seal(value, label)


def _moment(text: object) -> float | None:
    """Unix time of an RFC 3339 time in UTC with up to nine digits after the point; None if it is none."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?Z", text) if isinstance(text, str) else None
    if not found:
        return None
    try:
        return datetime.fromisoformat(found[1] + "+00:00").timestamp()
    except ValueError:
        return None


def _garbage(answer: Answer, what: str) -> UnreachableError:
    return UnreachableError(
        f"{VENDOR}: the IAM Credentials API answered with {what}",
        cause="something else than Google's API answered, or it has changed",
        change="check `iam_url`; without one, report it",
        docs="garbage",
        detail=answer.detail,
    )

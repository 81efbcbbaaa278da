"""Whether a request that arrived is signed by a session (Signature Version 4), of which nothing is botocore's.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
It checks a POST without a query, of one region and service; not how AWS normalises paths and queries.
"""

import datetime as dt
import re

from tests.fakes.aws_signature import signature as wanted
from tests.fakes.loopback import Received

_FORM = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,]+)/([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})")
MUST_BE_SIGNED = {"host", "x-amz-date", "x-amz-security-token", "content-type"}


def check(request: Received, key_id: str, secret_key: str, session_token: str, region: str, service: str) -> None:
    """Assert that `request` is signed, now, by this session, over its body and the headers that count."""
    found = _FORM.fullmatch(request.header("Authorization") or "")
    assert found, "not signed"
    by, scope, names, signature = found.groups()
    assert by == key_id
    time = request.header("X-Amz-Date") or ""
    sent = dt.datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    assert abs((dt.datetime.now(dt.UTC) - sent).total_seconds()) < 300
    assert scope == f"{time[:8]}/{region}/{service}/aws4_request"
    assert request.header("X-Amz-Security-Token") == session_token
    signed = names.split(";")
    assert signed == sorted(signed)
    assert set(signed) >= MUST_BE_SIGNED
    assert request.method == "POST"
    assert request.target == request.path, "there is no query"
    assert wanted(request, signed, scope, secret_key) == signature

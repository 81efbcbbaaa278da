"""Signature Version 4, written from its specification and with nothing of botocore, to check what is sent.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
It checks a POST without a query, of one region and service; not how AWS normalises paths and queries.
"""

import datetime as dt
import hashlib
import hmac
import re

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
    values = {name: " ".join((request.header(name) or "").split()) for name in signed}
    assert request.method == "POST"
    assert request.target == request.path, "there is no query"
    canonical = "\n".join(
        [
            request.method,
            request.path,
            "",
            *(f"{name}:{value}" for name, value in values.items()),
            "",
            names,
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    assert hmac.digest(key, text.encode(), "sha256").hex() == signature

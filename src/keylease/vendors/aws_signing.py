"""Signatures that AWS wants on all requests but the exchange of an identity token.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

import importlib
import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import SimpleNamespace

from keylease.secret import Secret


def needed_soon() -> None:
    """Start loading what signs, while this thread waits for the answer that has the keys to sign with."""

    def load() -> None:
        with suppress(ImportError):  # told by who needs it
            importlib.import_module("botocore.auth")

    threading.Thread(target=load, name="keylease-import", daemon=True).start()


def signed(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    service: str,
    region: str,
    key_id: Secret,
    secret_key: Secret,
    session_token: Secret | None,
) -> dict[str, str]:
    """`headers` of a POST to `url` with those that sign it (Signature Version 4).

    A signature holds for five minutes: each attempt of a request may use it, a later request not.
    """
    # Costs 40 ms: only for whoever must sign. See needed_soon().
    from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
    from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

    # It logs the request that it signs, with the session's token in it, for debugging.
    logging.getLogger("botocore.auth").setLevel(logging.INFO)
    request = AWSRequest(method="POST", url=url, data=body, headers=dict(headers))
    # With these three fields of botocore.credentials.Credentials, whose import costs 10 ms more.
    credentials = SimpleNamespace(
        access_key=key_id.reveal(),
        secret_key=secret_key.reveal(),
        token=session_token.reveal() if session_token else None,
    )
    SigV4Auth(credentials, service, region).add_auth(request)
    return {str(name): str(value) for name, value in request.headers.items()}

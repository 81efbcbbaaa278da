"""What the identity tests share: a context that remembers what it masked, and hand-made tokens."""

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keylease.context import Context
from keylease.errors import KeyleaseError
from keylease.http import Deadline
from keylease.masking import Masker

AUDIENCE = "https://vault.example.com"


class Recorder:
    """A context for `env`, and every text that was announced to be masked, in order."""

    def __init__(self, env: Mapping[str, str], seconds: float = 20.0) -> None:
        self.announced: list[str] = []
        self.context = Context(env=dict(env), masker=Masker(self.announced.append), deadline=Deadline(seconds))


def segment(value: object) -> str:
    """A part of a JWT."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token_text(claims: object = None, header: object = None, signature: str = "c2lnbmF0dXJlLW9mLXRoZS10b2tlbg") -> str:
    """A JWT with a made-up signature: nothing here looks at that."""
    head = {"alg": "RS256", "kid": "k1", "typ": "JWT"} if header is None else header
    return f"{segment(head)}.{segment(good_claims() if claims is None else claims)}.{signature}"


def good_claims(audience: object = AUDIENCE, **claims: Any) -> dict[str, Any]:
    """Claims that pass for `audience`."""
    now = int(time.time())
    base = {"iss": "https://issuer.example.com", "sub": "project_path:acme/trainer:ref_type:branch:ref:main"}
    return {**base, "aud": audience, "iat": now, "nbf": now - 5, "exp": now + 300, **claims}


def told(error: KeyleaseError) -> str:
    """All that a person, a debug log and a traceback get to see of an error."""
    import traceback

    trace = "".join(traceback.format_exception(error))
    return "\n".join([error.diagnostics(debug=True), repr(error), repr(error.__dict__), trace])


def leaks(text: str, token: str) -> list[str]:
    """The parts of a token that show in `text`: the whole, its payload or its signature."""
    parts = [token, *token.split(".")[1:]]
    return [part for part in parts if len(part) > 8 and part in text]


def script(path: Path, body: str) -> Path:
    """An executable shell script."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path

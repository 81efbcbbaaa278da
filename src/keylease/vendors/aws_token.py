"""The identity token in a file (`token_file`): what EKS projects into a pod for its service account (IRSA).

https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html
"""

import base64
import json
import os
import stat

from keylease.errors import IdentityError
from keylease.model import IdentityToken, Seal
from keylease.secret import Secret
from keylease.vendors.aws_settings import VENDOR

MAX_TOKEN = 20000
"""Characters of `WebIdentityToken`."""


def token_in(path: str, audience: str, seal: Seal) -> IdentityToken:
    """The token in the file, sealed. Read at each use: the kubelet replaces it before it expires.

    Raises :class:`IdentityError` for what is no file with a JWT in it. STS checks the rest.
    """
    text, reason = "", ""
    try:
        # Not waiting for a writer: a named pipe would hold us for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, encoding="ascii") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                text = file.read(MAX_TOKEN + 2).strip()
            else:
                reason = "it is no regular file"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text, or its name is no path"
    if reason:
        raise IdentityError(
            f"{VENDOR}: can't read {path!r} (`token_file`): {reason}",
            cause="it is not there, not readable for this user, or not mounted into this container",
            change="token_file: what AWS_WEB_IDENTITY_TOKEN_FILE names, mounted at the same path",
            docs="identity-file",
        )
    jwt = seal(text, f"{VENDOR}: token_file") if text else Secret("")
    claims = _claims(text)
    if claims is None:
        raise IdentityError(
            f"{VENDOR}: {path!r} (`token_file`) holds no identity token",
            cause="it holds something else, or more than the token",
            change="name a file that holds a JWT (eyJ….eyJ….…) and nothing else",
            docs="identity-malformed",
        )
    return IdentityToken(jwt, claims, "file", path, audience)


def _claims(text: str) -> dict[str, object] | None:
    parts = text.split(".")
    if len(parts) != 3 or not all(parts) or len(text) > MAX_TOKEN:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None

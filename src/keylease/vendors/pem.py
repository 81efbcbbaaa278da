"""Certificates and keys as users give them: a path, PEM text, or PEM in base64 (as vault-action takes them)."""

import base64
import binascii
import os
import weakref

_BEGIN = "-----BEGIN "
_LONGEST_PATH = 4096


def pem_text(value: str) -> str | None:
    """The PEM text in `value` (plain or base64), or None when it is something else: a path."""
    if _BEGIN in value:
        return value.strip() + "\n"
    try:
        decoded = base64.b64decode("".join(value.split()), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    return decoded.strip() + "\n" if _BEGIN in decoded else None


def is_pem_source(value: str) -> bool:
    """Whether `value` is PEM in some form or the path of a file that is there."""
    return pem_text(value) is not None or (len(value) < _LONGEST_PATH and os.path.isfile(value))


class PemFiles:
    """PEM texts as files, which is how OpenSSL wants them: 0600 in a directory of their own, gone with this object."""

    def __init__(self) -> None:
        self._directory: str | None = None

    def path(self, name: str, value: str | None) -> str | None:
        """The path of a file with `value`: its own if it is one."""
        if not value:
            return None
        text = pem_text(value)
        if text is None:
            return value
        if self._directory is None:
            import shutil
            import tempfile

            self._directory = tempfile.mkdtemp(prefix="keylease-tls-")
            weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        path = os.path.join(self._directory, f"{name}.pem")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return path

"""Google Cloud's Secret Manager, as far as reading and listing go: versions, aliases, states, who may read what.

https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets/list (a project is named by its number)
Its refusals: a missing permission https://github.com/googleapis/python-secret-manager/issues/389, a disabled or
destroyed version https://github.com/google-github-actions/get-secretmanager-secrets/issues/268, the API that is off
https://github.com/googleapis/nodejs-secret-manager/issues/58.

What it can't show: IAM's inheritance and delays, quotas, delayed destruction, expiry, customer-managed keys.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PROJECT = "acme-ml"
NUMBER = "123456789012"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def crc32c(data: bytes) -> int:
    """Bit by bit, so that it is another implementation than the one under test."""
    crc = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            low = (crc ^ byte >> bit) & 1
            crc = crc >> 1 ^ (0x82F63B78 if low else 0)
    return crc ^ 0xFFFFFFFF


class Denied(Exception):  # noqa: N818  # an answer rather than an error
    """A google.rpc.Status."""

    def __init__(self, code: int, status: str, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.code, self.status, self.message, self.reason = code, status, message, reason


@dataclass
class Stored:
    """One secret. readable: whether the job has roles/secretmanager.secretAccessor on it."""

    versions: list[bytes] = field(default_factory=list)
    states: dict[int, str] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    readable: bool = True


class SecretStore:
    """Secrets by full name (`projects/P/secrets/S`). enabled: whether the API is on.

    listable: whether the job has secretmanager.secrets.list in the project. page: names of an answer, at the most.
    """

    def __init__(self) -> None:
        self.secrets: dict[str, Stored] = {}
        self.enabled = True
        self.listable = True
        self.page = 3

    def list(self, path: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """The answer of `list` for the path `/v1/PARENT/secrets`. Raises :class:`Denied`."""
        parent = path.removeprefix("/v1/").removesuffix("/secrets")
        if not self.listable:
            message = f"Permission 'secretmanager.secrets.list' denied for resource '{parent}' (or it may not exist)."
            raise Denied(403, "PERMISSION_DENIED", message, "IAM_PERMISSION_DENIED")
        found = [name for name in self.secrets if re.fullmatch(re.escape(parent) + "/secrets/[^/]+", name)][::-1]
        within = query.get("filter", [""])[0].removeprefix("name:").lower()
        found = [name for name in found if within in name.lower()]
        start = int(query.get("pageToken", ["0"])[0])
        end = start + min(self.page, int(query.get("pageSize", ["25000"])[0]))
        if not found:
            return {}
        shown = [name.replace(f"projects/{PROJECT}/", f"projects/{NUMBER}/") for name in found[start:end]]
        more = {"nextPageToken": str(end)} if end < len(found) else {}
        items = [{"name": name, "createTime": "2026-01-01T00:00:00Z", "etag": '"1"'} for name in shown]
        return {"secrets": items, "totalSize": 0 if within else len(found), **more}

    def add(self, name: str, value: bytes) -> Stored:
        """A new version of `name`, which is a full name or a secret of `PROJECT`."""
        full = name if "/" in name else f"projects/{PROJECT}/secrets/{name}"
        stored = self.secrets.setdefault(full, Stored())
        stored.versions.append(value)
        return stored

    def access(self, path: str, scope: str) -> dict[str, Any]:
        """The answer of `access` for the path `/v1/NAME/versions/VERSION:access`. Raises :class:`Denied`."""
        found = re.fullmatch(r"/v1/(projects/.+/secrets/[^/]+)/versions/([^/:]+):access", path)
        assert found, path
        full, wanted = found.groups()
        if not self.enabled:
            message = (
                "Secret Manager API has not been used in project 123456789012 before or it is disabled. Enable it by "
                "visiting https://console.developers.google.com/apis/api/secretmanager.googleapis.com/overview?"
                "project=123456789012 then retry."
            )
            raise Denied(403, "PERMISSION_DENIED", message, "SERVICE_DISABLED")
        if SCOPE not in scope.split():
            message = "Request had insufficient authentication scopes."
            raise Denied(403, "PERMISSION_DENIED", message, "ACCESS_TOKEN_SCOPE_INSUFFICIENT")
        stored = self.secrets.get(full)
        # What may not be read is not told from what is not there. (A role on the project tells: then it is 404.)
        if stored is not None and not stored.readable:
            resource = f"{full}/versions/{wanted}"
            message = (
                f"Permission 'secretmanager.versions.access' denied for resource '{resource}' (or it may not exist)."
            )
            raise Denied(403, "PERMISSION_DENIED", message, "IAM_PERMISSION_DENIED")
        if stored is None or not stored.versions:
            raise Denied(404, "NOT_FOUND", f"Secret [{full}] not found or has no versions.")
        number = self._number(stored, wanted)
        if not 1 <= number <= len(stored.versions):
            raise Denied(404, "NOT_FOUND", f"Secret Version [{full}/versions/{wanted}] not found.")
        state = stored.states.get(number, "ENABLED")
        if state != "ENABLED":
            raise Denied(400, "FAILED_PRECONDITION", f"Secret Version [{full}/versions/{number}] is in {state} state.")
        value = stored.versions[number - 1]
        payload = {"data": base64.b64encode(value).decode(), "dataCrc32c": str(crc32c(value))}
        return {"name": f"{full}/versions/{number}", "payload": payload}

    def _number(self, stored: Stored, wanted: str) -> int:
        if wanted == "latest":  # the newest one, in any state
            return len(stored.versions)
        return int(wanted) if wanted.isdigit() else stored.aliases.get(wanted, 0)

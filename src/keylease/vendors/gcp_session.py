"""What Google Cloud's own manager needs of a lease, and how secrets are named."""

import re

from msgspec import Struct

from keylease.model import Env
from keylease.secret import Secret
from keylease.vendors.gcp_settings import PROJECT, GcpSettings, service_url

_SECRET = re.compile(r"[A-Za-z0-9_-]{1,255}")
_FULL = re.compile(
    r"projects/(?P<project>[^/]+)(?:/locations/(?P<location>[a-z0-9-]{1,63}))?/secrets/(?P<secret>[^/]+)"
)


class SecretName(Struct, frozen=True):
    """A secret of Secret Manager; with a location, a regional one.

    https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets
    """

    project: str
    location: str
    secret: str

    @classmethod
    def of(cls, path: str, project: str) -> "SecretName | None":
        """The secret that a reference's `path` names, in `project` where it has none; None if it names none."""
        found = _FULL.fullmatch(path)
        made = cls(found["project"], found["location"] or "", found["secret"]) if found else cls(project, "", path)
        well = _SECRET.fullmatch(made.secret) and (not found or PROJECT.fullmatch(made.project))
        return made if well else None

    def __str__(self) -> str:
        place = f"/locations/{self.location}" if self.location else ""
        return f"projects/{self.project}{place}/secrets/{self.secret}"


class GcpSession(Struct, frozen=True):
    """An access token and how it is used. member: whom an IAM policy must name for it; empty if that can't be told."""

    settings: GcpSettings
    token: Secret
    member: str

    def headers(self) -> dict[str, str]:
        """Of a request to an API. https://cloud.google.com/apis/docs/system-parameters"""
        quota = {"X-Goog-User-Project": self.settings.quota_project} if self.settings.quota_project else {}
        return {**self.settings.headers, **quota, "Authorization": f"Bearer {self.token.reveal()}"}

    def secret_manager(self, location: str, env: Env) -> str:
        """The address of Secret Manager for secrets of `location` (empty: global ones).

        https://cloud.google.com/secret-manager/docs/reference/rest (service endpoints). Raises
        :class:`keylease.errors.UsageError` for a host of another universe that the job does not allow.
        """
        s = self.settings
        service = f"secretmanager.{location}.rep" if location else "secretmanager"
        return s.secret_manager_url or service_url("secret_manager_url", "", service, s.universe_domain, env)

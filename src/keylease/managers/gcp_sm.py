"""Read secrets from Google Cloud's Secret Manager.

https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
"""

import re

from keylease.context import Context
from keylease.errors import UsageError
from keylease.http import HttpSettings
from keylease.managers.base import Manager, check_common, paged
from keylease.model import Document, Lease, Read
from keylease.vendors.answers import Answer, server_trouble
from keylease.vendors.gcp_secrets import listed, payload, refused_list, refused_read, version_of
from keylease.vendors.gcp_session import GcpSession, SecretName
from keylease.vendors.gcp_settings import VENDOR

MAX_BODY = 256 * 1024
"""Bytes of an answer: a payload has 64 KiB at the most, a third more in base64."""

MAX_LIST = 8 * 1024 * 1024
"""Bytes of a page of names, which come with labels and annotations (16 KiB a secret at the most, and mostly none)."""

_PAGE = 250

_EXAMPLE = "gcp-sm://SECRET or gcp-sm://projects/PROJECT/secrets/SECRET"

# A number, an alias, or `latest`. https://cloud.google.com/secret-manager/docs/assign-alias-to-secret-version
_VERSION = re.compile(r"[1-9]\d{0,18}|[A-Za-z][A-Za-z0-9_-]{0,62}")


class GcpSecretManager(Manager):
    """``gcp-sm://SECRET``, ``gcp-sm://projects/P/secrets/S``, ``gcp-sm://projects/P/locations/L/secrets/S``."""

    scheme = "gcp-sm"
    provider = "gcp"
    options = ("version",)

    def __init__(self, lease: Lease, context: Context) -> None:
        super().__init__(lease, context)
        assert isinstance(lease.session, GcpSession)
        self._session = lease.session
        s = lease.session.settings
        assert isinstance(s.timeout, float)
        self._http = context.http.session(
            VENDOR, HttpSettings(timeout=s.timeout, retries=s.retries, max_body=MAX_BODY), connections=8
        )

    @classmethod
    def check(cls, read: Read) -> None:
        """See the base class."""
        check_common(read, cls, VENDOR, _EXAMPLE, "gcp-secret")
        path, marker, version = read.path.partition("/versions/")
        if marker and SecretName.of(path, ""):
            raise _bad(
                read, "the version goes into `version`", f"{{gcp-sm://{path}: …, version: {version or 'NUMBER'}}}"
            )
        if not SecretName.of(read.path, ""):
            raise _bad(read, "is no secret's name", _EXAMPLE)
        wanted = dict(read.options).get("version")
        if wanted is not None and not _VERSION.fullmatch(wanted):
            raise _bad(read, "`version` is the number of a version, an alias, or latest", "version: 3")

    def read(self, read: Read) -> Document:
        """See the base class."""
        self.check(read)
        label = str(read)
        name = SecretName.of(read.path, self._session.settings.project_id)
        assert name
        if not name.project:
            raise _bad(
                read, "in which project? The provider has none", f"gcp-sm://projects/PROJECT/secrets/{name.secret}"
            )
        version = dict(read.options).get("version", "latest")
        address = self._session.secret_manager(name.location, self.context.env)
        response = self._http.get(f"{address}/v1/{name}/versions/{version}:access", headers=self._session.headers())
        answer = Answer.of(response)
        trouble = server_trouble(VENDOR, f"reading {label}", answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise refused_read(answer, label, name, version, self._session)
        value = payload(answer, label)
        try:
            text: str | bytes = value.decode()
        except UnicodeDecodeError:
            text = value
        return Document.of_text(label, text, version=version_of(answer))

    def find(self, read: Read, parent: str, prefix: str, *, deep: bool) -> list[str]:
        """See the base class. Of one project, and of one location where the pattern has one.

        https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets/list
        """
        del deep
        label = str(read)
        name = SecretName.of(f"{parent}/x" if parent else "x", self._session.settings.project_id)
        if not name or not name.project:
            example = "gcp-sm://projects/PROJECT/secrets/ml-*"
            raise _bad(
                read, "a pattern is of the secrets of one project", f"{example}, or `project_id` and gcp-sm://ml-*"
            )
        place = str(name).removesuffix("/secrets/x")
        address = self._session.secret_manager(name.location, self.context.env)
        http = self.context.http.session(
            VENDOR,
            HttpSettings(
                timeout=self._session.settings.timeout,  # type: ignore[arg-type]  # complete() makes it one
                retries=self._session.settings.retries,
                max_body=MAX_LIST,
            ),
        )
        # https://cloud.google.com/secret-manager/docs/filtering: names that contain it, whatever its case.
        chosen = {"filter": f"name:{prefix}"} if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_]*", prefix) else {}

        def page(token: str) -> tuple[list[str], str]:
            asked = {"pageSize": str(_PAGE), **chosen, **({"pageToken": token} if token else {})}
            response = http.get(f"{address}/v1/{place}/secrets", params=asked, headers=self._session.headers())
            answer = Answer.of(response)
            trouble = server_trouble(VENDOR, f"listing {label}", answer)
            if trouble:
                raise trouble
            if not answer.ok:
                raise refused_list(answer, label, name, self._session)
            names, following = listed(answer, label)
            # Google names the project by its number: the pattern's own words are put in front again.
            return [f"{parent}/{each}" if parent else each for each in names], following

        return paged(page, read, VENDOR)


def _bad(read: Read, what: str, change: str) -> UsageError:
    return UsageError(f"{VENDOR}: {read}: {what}", change=change, docs="gcp-secret")

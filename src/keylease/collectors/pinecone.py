"""Keys of a Pinecone organisation, by its Admin API.

https://docs.pinecone.io/reference/api/2026-04/admin/list_api_keys · …/list_projects
"""

from typing import Any, ClassVar

import msgspec

from keylease.audit.model import Inventory
from keylease.collectors.base import Collector
from keylease.collectors.credentials import Sealed, common, secret_of, variable_checked
from keylease.collectors.facts import text, texts, times
from keylease.errors import KeyleaseError
from keylease.model import Env
from keylease.vendors.endpoints import checked
from keylease.vendors.service_lists import ApiRefusedError, ServiceApi, part

VENDOR = "Pinecone"
URL = "https://api.pinecone.io"

_VERSION = {"X-Pinecone-Api-Version": "2026-04"}


class PineconeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Pinecone organisation.

    token, token_env: an access token of a service account (made with its client id and secret), or its variable.
    url: of the API. timeout: of one attempt. retries: attempts after the first one.
    """

    token: Sealed | None = None
    token_env: str | None = None
    url: str = ""
    timeout: float | str = 10.0
    retries: int = 4


class PineconeCollector(Collector):
    """Keys have no end, no last use and no hint there; some versions of the API don't tell when they were made."""

    type: ClassVar[str] = "pinecone"
    kinds: ClassVar[tuple[str, ...]] = ("pinecone.key",)
    permissions: ClassVar[tuple[str, ...]] = ("an access token of a service account with the role Organization owner",)
    Settings: ClassVar[Any] = PineconeSettings

    settings: PineconeSettings

    @classmethod
    def complete(cls, settings: PineconeSettings, env: Env) -> PineconeSettings:
        """See the base class."""
        variable_checked(VENDOR, settings, "token", env)
        url = checked(settings.url or URL, "url", VENDOR, ["api.pinecone.io"], env)
        return msgspec.structs.replace(settings, url=url, **common(VENDOR, settings))

    def collect(self) -> Inventory:
        """See the base class."""
        s = self.settings
        token = secret_of(VENDOR, s, "token", self.context)
        assert token is not None
        assert isinstance(s.timeout, float)
        api = ServiceApi(
            VENDOR,
            s.url,
            token,
            self.context,
            headers=_VERSION,
            timeout=s.timeout,
            retries=s.retries,
            permission="an access token of a service account that may manage the organization's projects",
        )
        self.whole("pinecone.key")
        for project in api.whole("/admin/projects", "list projects", "data"):
            named = text(project, "name") or project["id"]
            try:
                self._keys(api, project["id"], named)
            except ApiRefusedError as error:
                if error.status == 401:
                    raise
                self.problem("pinecone.key", error)
            except KeyleaseError as error:
                self.problem("pinecone.key", error)
        return self.inventory

    def _keys(self, api: ServiceApi, project: str, named: str) -> None:
        for item in api.whole(f"/admin/projects/{part(project)}/api-keys", f"list keys of project {named}", "data"):
            self.record(
                "pinecone.key",
                f"pinecone://{project}/key/{item['id']}",
                id=item["id"],
                name=text(item, "name") or item["id"],
                level="project",
                project=named,
                holder=f"project {named}",
                roles=texts(item.get("roles")),
                **times(item, {"created_at": "created_at"}),
            )

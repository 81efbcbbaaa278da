"""Personal access tokens of a Databricks workspace, by its token management API.

https://docs.databricks.com/api/workspace/tokenmanagement/list; fields: `TokenInfo` of databricks-sdk.
"""

import re
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from keylease.audit.model import Inventory
from keylease.collectors.base import Collector
from keylease.collectors.credentials import Sealed, common, secret_of, variable_checked
from keylease.collectors.facts import ended, text, texts, times
from keylease.errors import UsageError
from keylease.model import Env
from keylease.vendors.databricks_settings import DOMAINS
from keylease.vendors.endpoints import checked
from keylease.vendors.service_lists import ServiceApi

VENDOR = "Databricks"
DOCS = "audit-services"

_APPLICATION = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class DatabricksSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One workspace.

    host: of the workspace; by default the provider's, then ``DATABRICKS_HOST``.
    token, token_env: of a workspace admin; a lease of `provider` does as well.
    timeout: of one attempt. retries: attempts after the first one.
    """

    host: str = ""
    token: Sealed | None = None
    token_env: str | None = None
    timeout: float | str = 10.0
    retries: int = 4


class DatabricksCollector(Collector):
    """All tokens of a workspace, whoever made them. OAuth secrets of service principals are not among them."""

    type: ClassVar[str] = "databricks"
    kinds: ClassVar[tuple[str, ...]] = ("databricks.token",)
    permissions: ClassVar[tuple[str, ...]] = ("workspace admin (token management)",)
    via = "provider"
    via_types: ClassVar[tuple[str, ...]] = ("databricks",)
    optional: ClassVar[bool] = True
    Settings: ClassVar[Any] = DatabricksSettings

    settings: DatabricksSettings

    @classmethod
    def complete(cls, settings: DatabricksSettings, env: Env) -> DatabricksSettings:
        """See the base class."""
        variable_checked(VENDOR, settings, "token", env, required=False)
        own = settings.token is not None or settings.token_env is not None
        host = (settings.host or (env.get("DATABRICKS_HOST", "") if own else "")).strip()
        if own and not host:
            raise UsageError(
                f"{VENDOR}: `host` is missing", change="host: https://dbc-a1b2345c-d6e7.cloud.databricks.com", docs=DOCS
            )
        if host:
            host = checked(host if "://" in host else f"https://{host}", "host", VENDOR, DOMAINS, env)
        return msgspec.structs.replace(settings, host=host, **common(VENDOR, settings))

    @classmethod
    def alone(cls, settings: DatabricksSettings, env: Env) -> None:
        """See the base class."""
        del env
        if settings.token is None and settings.token_env is None:
            raise UsageError(
                f"{VENDOR}: there is no credential to ask with",
                change="provider: NAME, or host: https://… with token_env: VARIABLE",
                docs=DOCS,
            )

    def collect(self) -> Inventory:
        """See the base class."""
        s, lease = self.settings, self.access.lease
        token = secret_of(VENDOR, s, "token", self.context)
        host = s.host
        if token is None and lease is not None:
            token = lease.fields["DATABRICKS_TOKEN"]
            host = host or lease.plain["DATABRICKS_HOST"]
        assert token is not None
        assert isinstance(s.timeout, float)
        api = ServiceApi(
            VENDOR,
            host,
            token,
            self.context,
            timeout=s.timeout,
            retries=s.retries,
            permission="a workspace admin's token: for a service principal, membership of the group admins",
        )
        workspace = urlsplit(host).netloc
        self.whole("databricks.token")
        # Times are in milliseconds, -1 for never: https://docs.databricks.com/api/workspace/tokenmanagement/list
        for item in api.whole("/api/2.0/token-management/tokens", "list tokens", "token_infos", "token_id", empty=True):
            made_by = text(item, "created_by_username")
            sort = "service_account" if _APPLICATION.fullmatch(made_by) else "user" if made_by else ""
            when = times(item, {"created_at": "creation_time", "last_used_at": "last_used_day"}, 1000)
            if item.get("expiry_time") == -1:
                when["expires_at"] = None
            else:
                when |= times(item, {"expires_at": "expiry_time"}, 1000)
            self.record(
                "databricks.token",
                f"databricks://{workspace}/token/{item['token_id']}",
                id=item["token_id"],
                name=text(item, "comment") or item["token_id"],
                holder=f"workspace {workspace}",
                level="workspace",
                owner=made_by,
                active=not ended(when.get("expires_at"), self.inventory.now),
                **({"owner_sort": sort} if sort else {}),
                **({"scopes": texts(item["scopes"])} if "scopes" in item else {}),
                **when,
            )
        return self.inventory

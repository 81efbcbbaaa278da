"""Keys, service accounts and federation rules of an OpenAI organisation, by its Admin API.

https://developers.openai.com/api/reference/resources/admin/subresources/organization
"""

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from keylease.audit.model import Inventory
from keylease.collectors.base import Collector
from keylease.collectors.credentials import Sealed, common, secret_of, variable_checked
from keylease.collectors.facts import compared, elements, ended, hint, mapped, text, texts, times, unjudged
from keylease.errors import KeyleaseError
from keylease.model import Env
from keylease.parallel import given, parallel
from keylease.vendors.endpoints import checked
from keylease.vendors.service_lists import ServiceApi, part

VENDOR = "OpenAI"
URL = "https://api.openai.com/v1"

_AT_ONCE = 4
_PAGE = "100"  # the most that every one of these lists gives


class OpenAISettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenAI organisation.

    admin_key, admin_key_env: an Admin API key (``sk-admin-…``), or the variable that holds it.
    url: of the API, with ``/v1``: a gateway. timeout: of one attempt. retries: attempts after the first one.
    """

    admin_key: Sealed | None = None
    admin_key_env: str | None = None
    url: str = ""
    timeout: float | str = 10.0
    retries: int = 4


class OpenAICollector(Collector):
    """Projects that are archived are left out: their keys open nothing."""

    type: ClassVar[str] = "openai"
    kinds: ClassVar[tuple[str, ...]] = ("openai.key", "openai.service_account", "openai.federation_rule")
    permissions: ClassVar[tuple[str, ...]] = (
        "an Admin API key (organization owners make them; reading is enough: api.management.read)",
    )
    Settings: ClassVar[Any] = OpenAISettings

    settings: OpenAISettings

    @classmethod
    def complete(cls, settings: OpenAISettings, env: Env) -> OpenAISettings:
        """See the base class."""
        variable_checked(VENDOR, settings, "admin_key", env)
        url = checked(settings.url or URL, "url", VENDOR, ["api.openai.com"], env)
        return msgspec.structs.replace(settings, url=url, **common(VENDOR, settings))

    def collect(self) -> Inventory:
        """See the base class."""
        s = self.settings
        key = secret_of(VENDOR, s, "admin_key", self.context)
        assert key is not None
        assert isinstance(s.timeout, float)
        self._api = ServiceApi(
            VENDOR,
            s.url,
            key,
            self.context,
            timeout=s.timeout,
            retries=s.retries,
            permission="an Admin API key (https://platform.openai.com/settings/organization/admin-keys)",
        )
        # OpenAI may answer a key that lacks one scope as it answers one that is wrong, with 401: only a key that may
        # do nothing is refused.
        lists = (
            (self._projects, ("openai.key", "openai.service_account")),
            (self._admin_keys, ("openai.key",)),
            (self._rules, ("openai.federation_rule",)),
        )
        failed = [(error, kinds) for work, kinds in lists if (error := _failure(work))]
        if len(failed) == len(lists):
            raise failed[0][0]
        for error, kinds in failed:
            for kind in kinds:
                self.problem(kind, error)
        self.whole(*self.kinds)
        self.inventory.records.sort(key=lambda record: (record.kind, record.subject))
        return self.inventory

    def _list(self, path: str, doing: str, **query: str) -> list[dict[str, Any]]:
        return self._api.after(f"/organization/{path}", doing, "after", {"limit": _PAGE, **query})

    def _try(self, kind: str, work: Any, *args: Any) -> None:
        try:
            work(*args)
        except KeyleaseError as error:
            self.problem(kind, error)

    def _projects(self) -> None:
        projects = self._list("projects", "list projects")

        def both(project: dict[str, Any]) -> None:
            named = text(project, "name") or project["id"]
            path = f"projects/{part(project['id'])}"
            self._try("openai.key", self._keys, project, named, path)
            self._try("openai.service_account", self._accounts, project, named, path)

        done = parallel(both, projects, self.context.deadline, f"{VENDOR}: list keys", _AT_ONCE) if projects else []
        for each in done:
            given(each)

    def _keys(self, project: dict[str, Any], named: str, path: str) -> None:
        # Without this filter, keys of owners without membership may be left out ("which may exclude some enabled
        # keys"), and those of people who left are what an audit looks for.
        for item in self._list(f"{path}/api_keys", f"list keys of project {named}", owner_project_access="any"):
            owner = text(item, "owner", "type")
            access = item.get("owner_project_access")
            self._key(
                item,
                f"openai://{project['id']}/key/{item['id']}",
                level="project",
                project=named,
                holder=f"project {named}",
                owner=text(item, "owner", owner, "email") or text(item, "owner", owner, "name"),
                owner_sort=owner,
                **({"owner_active": access == "active"} if access in ("active", "inactive") else {}),
            )

    def _admin_keys(self) -> None:
        for item in self._list("admin_api_keys", "list admin keys"):
            sort = text(item, "owner", "type") or "user"
            self._key(
                item,
                f"openai://organization/admin-key/{item['id']}",
                level="admin",
                holder="the organization",
                owner=text(item, "owner", "name"),
                owner_sort=sort,
            )

    def _key(self, item: dict[str, Any], subject: str, **facts: Any) -> None:
        when = times(item, {"created_at": "created_at", "last_used_at": "last_used_at", "expires_at": "expires_at"})
        self.record(
            "openai.key",
            subject,
            id=item["id"],
            name=text(item, "name") or item["id"],
            active=not ended(when.get("expires_at"), self.inventory.now),
            **hint(item.get("redacted_value")),
            **when,
            **facts,
        )

    def _accounts(self, project: dict[str, Any], named: str, path: str) -> None:
        for item in self._list(f"{path}/service_accounts", f"list service accounts of project {named}"):
            self.record(
                "openai.service_account",
                f"openai://{project['id']}/service-account/{item['id']}",
                id=item["id"],
                name=text(item, "name"),
                project=named,
                role=text(item, "role"),
                **times(item, {"created_at": "created_at"}),
            )

    def _rules(self) -> None:
        for provider in self._list("workload_identity_providers", "list workload identity providers"):
            path = f"workload_identity_providers/{part(provider['id'])}/federation_rules"
            named = text(provider, "name") or provider["id"]
            for item in self._list(path, f"list federation rules of {named}"):
                matchers = item.get("attribute_matchers")
                if not isinstance(matchers, dict):
                    raise self._api.garbage(f"list federation rules of {named}")
                if odd := unjudged(VENDOR, item, matchers):
                    self.problem("openai.federation_rule", odd, "report it")
                self.record(
                    "openai.federation_rule",
                    f"openai://{provider['id']}/federation-rule/{item['id']}",
                    id=item["id"],
                    name=text(item, "name") or item["id"],
                    provider=named,
                    provider_id=provider["id"],
                    issuer=text(provider, "issuer"),
                    audience=text(provider, "audience"),
                    active=item.get("enabled") is not False and provider.get("enabled") is not False,
                    matchers=compared(matchers),
                    transformed=[text(t, "attribute") for t in elements(provider.get("attribute_transformations"))],
                    permissions=text(item, "permissions", "type"),
                    scopes=texts(mapped(item.get("permissions")).get("scopes")),
                    project=text(item, "project_id"),
                    service_account=text(item, "service_account_id"),
                    **times(item, {"created_at": "created_at", "updated_at": "updated_at"}),
                )


def _failure(work: Callable[[], None]) -> KeyleaseError | None:
    try:
        work()
    except KeyleaseError as error:
        return error
    return None

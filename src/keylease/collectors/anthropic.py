"""Keys, workspaces and federation rules of an Anthropic organisation, by its Admin API.

https://platform.claude.com/docs/en/api/admin/api_keys/list · …/docs/en/manage-claude/wif-admin-api
"""

from typing import Any, ClassVar

import msgspec

from keylease.audit.model import Inventory
from keylease.collectors.base import Collector
from keylease.collectors.credentials import Sealed, common, secret_of, variable_checked
from keylease.collectors.facts import compared, ended, hint, text, texts, times, uncut, unjudged
from keylease.errors import KeyleaseError, UsageError
from keylease.model import Env
from keylease.secret import Secret
from keylease.vendors.endpoints import checked
from keylease.vendors.service_lists import ApiRefusedError, ServiceApi

VENDOR = "Anthropic"
DOCS = "audit-services"
URL = "https://api.anthropic.com"

_VERSION = {"anthropic-version": "2023-06-01"}  # https://platform.claude.com/docs/en/api/versioning
_RULES = "anthropic.federation_rule"
_ORG_ADMIN = (
    "an OAuth token with the scope org:admin (ant auth login --scope org:admin, or a lease of a provider of type "
    "anthropic whose rule grants it); Admin keys are not taken"
)


class AnthropicSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An Anthropic organisation.

    admin_key, admin_key_env: an Admin key (``sk-ant-admin…``), or the variable that holds it: for keys and workspaces.
    token, token_env: an OAuth token with the scope ``org:admin``: for federation rules; `provider` leases one as well.
    url: of the API: a gateway. timeout: of one attempt. retries: attempts after the first one.
    """

    admin_key: Sealed | None = None
    admin_key_env: str | None = None
    token: Sealed | None = None
    token_env: str | None = None
    url: str = ""
    timeout: float | str = 10.0
    retries: int = 4


class AnthropicCollector(Collector):
    """Keys with an Admin key, federation rules with an OAuth token: neither takes the other's credential."""

    type: ClassVar[str] = "anthropic"
    kinds: ClassVar[tuple[str, ...]] = ("anthropic.key", _RULES)
    permissions: ClassVar[tuple[str, ...]] = ("an Admin key (organization admins make them)", _ORG_ADMIN)
    via = "provider"
    via_types: ClassVar[tuple[str, ...]] = ("anthropic",)
    optional: ClassVar[bool] = True
    Settings: ClassVar[Any] = AnthropicSettings

    settings: AnthropicSettings

    @classmethod
    def complete(cls, settings: AnthropicSettings, env: Env) -> AnthropicSettings:
        """See the base class."""
        variable_checked(VENDOR, settings, "admin_key", env, required=False)
        variable_checked(VENDOR, settings, "token", env, required=False)
        url = checked(settings.url or URL, "url", VENDOR, ["api.anthropic.com"], env)
        return msgspec.structs.replace(settings, url=url, **common(VENDOR, settings))

    @classmethod
    def alone(cls, settings: AnthropicSettings, env: Env) -> None:
        """See the base class."""
        del env
        s = settings
        if all(each is None for each in (s.admin_key, s.admin_key_env, s.token, s.token_env)):
            raise UsageError(
                f"{VENDOR}: there is no credential to ask with",
                change="admin_key_env: VARIABLE for keys; token_env: VARIABLE or provider: NAME for federation rules",
                docs=DOCS,
            )

    def collect(self) -> Inventory:
        """See the base class."""
        lease = self.access.lease
        key = secret_of(VENDOR, self.settings, "admin_key", self.context)
        token = secret_of(VENDOR, self.settings, "token", self.context)
        if token is None and lease is not None:
            token = lease.fields["ANTHROPIC_AUTH_TOKEN"]
        if key is not None:
            self._keys(self._api(key, "an Admin key (Console, Settings, Admin keys)", header="x-api-key", scheme=""))
            self.whole("anthropic.key")
        if token is None:
            self.problem(_RULES, f"{VENDOR}: federation rules were not asked for", f"give {_ORG_ADMIN}")
        else:
            try:
                self._rules(self._api(token, _ORG_ADMIN))
            except KeyleaseError as error:
                if key is None and not isinstance(error, ApiRefusedError):
                    raise
                self.problem(_RULES, error)
        self.whole(_RULES)
        return self.inventory

    def _api(self, credential: Secret, permission: str, **how: str) -> ServiceApi:
        s = self.settings
        assert isinstance(s.timeout, float)
        return ServiceApi(
            VENDOR,
            s.url,
            credential,
            self.context,
            headers=_VERSION,
            timeout=s.timeout,
            retries=s.retries,
            permission=permission,
            header=how.get("header", "Authorization"),
            scheme=how.get("scheme", "Bearer "),
        )

    def _keys(self, api: ServiceApi) -> None:
        names: dict[str, str] = {}
        everything = {"limit": "1000"}
        try:
            found = api.after(
                "/v1/organizations/workspaces",
                "list workspaces",
                "after_id",
                {**everything, "include_archived": "true", "include_default": "true"},
            )
            names = {each["id"]: text(each, "name") for each in found}
        except ApiRefusedError as error:
            if error.status == 401:
                raise
            # They give names only: keys without them are still whole.
            self.context.log.debug("%s", error)
        for item in api.after("/v1/organizations/api_keys", "list keys", "after_id", everything):
            self._key(item, names)

    def _key(self, item: dict[str, Any], names: dict[str, str]) -> None:
        # Before `scope`, a workspace_id of null meant the default workspace.
        level = text(item, "scope", "type") or "workspace"
        workspace = text(item, "scope", "workspace_id") or text(item, "workspace_id")
        named = names.get(workspace) or workspace or "default"
        # Documented as user_actor and service_account_actor, in examples of the same pages also without _actor.
        sort = text(item, "principal", "type").removesuffix("_actor")
        owner = text(item, "principal", f"{sort}_id") or text(item, "principal", "id")
        when = times(item, {"created_at": "created_at", "expires_at": "expires_at"})
        self.record(
            "anthropic.key",
            f"anthropic://organization/key/{item['id']}",
            id=item["id"],
            name=text(item, "name") or item["id"],
            level=level,
            holder=f"workspace {named}" if level == "workspace" else "the organization",
            active=text(item, "status") == "active" and not ended(when.get("expires_at"), self.inventory.now),
            created_by=text(item, "created_by", "id"),
            **({"workspace": named} if level == "workspace" else {}),
            **({"owner_sort": sort, "owner": owner} if sort in ("user", "service_account") else {}),
            **hint(item.get("partial_key_hint")),
            **when,
        )

    def _rules(self, api: ServiceApi) -> None:
        many = {"limit": "100"}
        issuers = api.by_token("/v1/organizations/federation_issuers", "list federation issuers", many)
        urls = {each["id"]: text(each, "issuer_url") for each in issuers}
        for item in api.by_token("/v1/organizations/federation_rules", "list federation rules", many):
            match = item.get("match")
            everywhere = item.get("applies_to_all_workspaces")
            if not isinstance(match, dict) or not isinstance(everywhere, bool):
                raise api.garbage("list federation rules")
            claims, parts = match.get("claims"), (match.get("subject_prefix"), match.get("condition"))
            if not isinstance(claims, dict | None) or not all(isinstance(each, str | None) for each in parts):
                raise api.garbage("list federation rules")
            claims = claims or {}
            if odd := unjudged(VENDOR, item, claims):
                self.problem(_RULES, odd, "report it")
            self.record(
                _RULES,
                f"anthropic://organization/federation-rule/{item['id']}",
                id=item["id"],
                name=text(item, "name") or item["id"],
                issuer=urls.get(text(item, "issuer_id"), ""),
                issuer_id=text(item, "issuer_id"),
                active=item.get("archived_at") is None,
                audience=text(match, "audience"),
                # Whole, for a part of them would be judged as something else.
                subject_prefix=uncut(match.get("subject_prefix")),
                condition=uncut(match.get("condition")),
                claims=compared(claims),
                scopes=text(item, "oauth_scope").split(),
                all_workspaces=everywhere,
                workspaces=texts(item.get("workspace_ids")),
                service_account=text(item, "target", "service_account_id"),
                lifetime=item.get("token_lifetime_seconds")
                if isinstance(item.get("token_lifetime_seconds"), int)
                else None,
                **times(item, {"created_at": "created_at", "updated_at": "updated_at"}),
            )

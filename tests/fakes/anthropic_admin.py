"""The lists of Anthropic's Admin API that an audit reads.

Paths, parameters and fields: the SDK anthropic (`anthropic/resources/organization`, `anthropic/types/organization`),
which the tests ask it with. Keys and workspaces take an Admin key, in ``x-api-key`` (documented) or as bearer (what the
SDK sends), and are paged by ``after_id``;
federation rules and issuers take an OAuth token with ``org:admin`` as bearer ("Admin API keys are not accepted") and
are paged by ``next_page``. Archived rules, and workspaces, come only when they are asked for.

What it can't show: the statuses and words of refusals (here 401 and 403 of the documented error object), how far real
hints go (the reference's example is ``sk-ant-api03-R2D...igAA``), and rate limits.
"""

from typing import Any

from tests.fakes.loopback import Exchange, LoopbackServer

AT = "2026-01-02T03:04:05.678901Z"
GITHUB = "https://token.actions.githubusercontent.com"


class AnthropicAdmin(LoopbackServer):
    """One organisation. key: the Admin key; token: the OAuth token with ``org:admin``."""

    def __init__(self, key: str, token: str, *, largest: int = 1000) -> None:
        super().__init__()
        self.key, self.token, self.largest = key, token, largest
        self.keys: list[dict[str, Any]] = []
        self.workspaces: list[dict[str, Any]] = []
        self.rules: list[dict[str, Any]] = []
        self.issuers: list[dict[str, Any]] = []
        self.refuse: dict[str, int] = {}
        self.override: dict[str, dict[str, Any]] = {}

    def workspace(self, ident: str, name: str) -> None:
        """One more."""
        self.workspaces.append(
            {
                "id": ident,
                "type": "workspace",
                "name": name,
                "created_at": AT,
                "archived_at": None,
                "compartment_id": "cmp",
                "data_residency": {
                    "workspace_geo": "us",
                    "allowed_inference_geos": "unrestricted",
                    "default_inference_geo": "us",
                },
                "display_color": "#6C5BB9",
                "tags": {},
            }
        )

    def api_key(
        self, ident: str, value: str, *, workspace: str = "", user: str = "", account: str = "", **more: Any
    ) -> None:
        """One more key, of a workspace or else of the organisation, for a person, an account, or nobody."""
        principal: dict[str, Any] | None = None
        if user:
            principal = {"type": "user_actor", "user_id": user}
        elif account:
            principal = {"type": "service_account_actor", "service_account_id": account}
        scope = {"type": "workspace", "workspace_id": workspace} if workspace else {"type": "organization"}
        self.keys.append(
            {
                "id": ident,
                "type": "api_key",
                "name": f"key {ident}",
                "status": "active",
                "created_at": AT,
                "created_by": {"id": "user_1", "type": "user"},
                "expires_at": None,
                "partial_key_hint": f"{value[:16]}...{value[-4:]}",
                "principal": principal,
                "scope": scope,
                "workspace_id": workspace or None,
                **more,
            }
        )

    def issuer(self, ident: str, url: str = GITHUB) -> None:
        """One more."""
        self.issuers.append(
            {
                "id": ident,
                "type": "federation_issuer",
                "name": ident,
                "issuer_url": url,
                "check_jti": True,
                "jwks": {"type": "discovery"},
                "max_jwt_lifetime_seconds": 3600,
                "created_at": AT,
                "updated_at": AT,
                "archived_at": None,
            }
        )

    def rule(self, ident: str, issuer: str, match: dict[str, Any], **more: Any) -> None:
        """One more rule, for one workspace and inference unless `more` says otherwise."""
        self.rules.append(
            {
                "id": ident,
                "type": "federation_rule",
                "name": ident,
                "issuer_id": issuer,
                "match": match,
                "oauth_scope": "workspace:inference",
                "applies_to_all_workspaces": False,
                "workspace_ids": ["wrkspc_1"],
                "target": {"type": "service_account", "service_account_id": "svac_1"},
                "token_lifetime_seconds": 600,
                "created_at": AT,
                "updated_at": AT,
                "archived_at": None,
                **more,
            }
        )

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        request = exchange.request
        name = request.path.removeprefix("/v1/organizations/")
        bearer = request.header("Authorization").removeprefix("Bearer ")
        by_id = {"api_keys": self.keys, "workspaces": self.workspaces}
        by_token = {"federation_rules": self.rules, "federation_issuers": self.issuers}
        if not request.header("anthropic-version"):
            self._refuse(exchange, 400, "invalid_request_error", "anthropic-version: header is required")
        elif name in self.refuse:
            self._refuse(exchange, self.refuse[name], "permission_error", "This action is not allowed.")
        elif name in by_id and self.key in (request.header("x-api-key"), bearer):
            self._by_id(exchange, name, by_id[name])
        elif name in by_token and bearer == self.token:
            self._by_token(exchange, name, by_token[name])
        elif name in by_id or name in by_token:
            self._refuse(exchange, 401, "authentication_error", "invalid credentials")
        else:
            self._refuse(exchange, 404, "not_found_error", "Not found")

    def _refuse(self, exchange: Exchange, status: int, kind: str, message: str) -> None:
        exchange.answer_json(status, {"type": "error", "error": {"type": kind, "message": message}})

    def _by_id(self, exchange: Exchange, name: str, items: list[dict[str, Any]]) -> None:
        query = {key: values[0] for key, values in exchange.request.query.items()}
        limit = min(int(query.get("limit", "20")), self.largest)
        start = [item["id"] for item in items].index(query["after_id"]) + 1 if "after_id" in query else 0
        page = items[start : start + limit]
        answer = {
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": start + limit < len(items),
        }
        exchange.answer_json(200, {**answer, **self.override.get(name, {})})

    def _by_token(self, exchange: Exchange, name: str, items: list[dict[str, Any]]) -> None:
        query = {key: values[0] for key, values in exchange.request.query.items()}
        limit = min(int(query.get("limit", "20")), self.largest)
        start = int(query.get("page", "page_0").removeprefix("page_"))
        following = f"page_{start + limit}" if start + limit < len(items) else None
        answer = {"data": items[start : start + limit], "next_page": following}
        exchange.answer_json(200, {**answer, **self.override.get(name, {})})

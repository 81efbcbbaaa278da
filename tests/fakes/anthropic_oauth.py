"""Anthropic's token endpoint (``/v1/oauth/token``) and ``/v1/messages``, which takes the tokens that were issued here.

Request, answer, checks and errors: https://platform.claude.com/docs/en/manage-claude/wif-reference
Single use of a token with a `jti`: `check_jti` of an issuer (``issuer_create_params.py`` of anthropic-python);
the lifetime: `token_lifetime_seconds` of a rule (``rule_create_params.py``).
The 401 ``authentication_error`` that users see instead of the documented 400 ``invalid_grant`` (`observed`):
https://github.com/anthropics/claude-code/issues/89095

What it can't show: which of both the real service answers when, its wording, scopes and rate limits.
"""

import secrets
import threading
import time
from typing import Any

from tests.fakes.loopback import Exchange, LoopbackServer
from tests.fakes.verifier import Verifier

RULE = "fdrl_01SDCCSbTxrXDpWc1phhtcfK"
ORGANIZATION = "0f3a7c52-9b1e-4d6f-8a2c-5e4d3c2b1a00"
ACCOUNT = "svac_01SDCCSbTxrXDpWc1phhtcfK"
WORKSPACE = "wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ"
AUDIENCE = "https://api.anthropic.com"

_REQUIRED = {"grant_type", "assertion", "federation_rule_id", "organization_id", "service_account_id"}


class AnthropicOAuth(LoopbackServer):
    """One rule for what `verifier` trusts. `.issued`: token → Unix time of its end.

    workspaces: how many the rule is enabled for. observed: refuse by 401 as seen, not by 400 as documented.
    lose_next: exchanges whose answer is lost after the token was issued. extra: put into (None: out of) answers.
    """

    def __init__(self, verifier: Verifier, *, rule_lifetime: int = 3600) -> None:
        super().__init__()
        self.verifier = verifier
        self.rule_lifetime = rule_lifetime
        self.workspaces = 1
        self.observed = False
        self.lose_next = 0
        self.extra: dict[str, Any] = {}
        self.issued: dict[str, float] = {}
        self._used: set[str] = set()
        self._lock = threading.Lock()

    def is_alive(self, token: str) -> bool:
        """Whether the API takes it."""
        return self.issued.get(token, 0.0) > time.time()

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        request = exchange.request
        if (request.method, request.path) == ("POST", "/v1/oauth/token"):
            self._token(exchange)
        elif (request.method, request.path) == ("POST", "/v1/messages"):
            self._message(exchange)
        else:
            self._error(exchange, 404, "not_found_error", "Not found")

    def _token(self, exchange: Exchange) -> None:
        request = exchange.request
        body = request.json() if request.header("Content-Type").startswith("application/json") else {}
        missing = sorted(name for name in _REQUIRED if not body.get(name))
        unknown = set(body) - _REQUIRED - {"workspace_id"}
        if missing or unknown or not str(body["federation_rule_id"]).startswith("fdrl_"):
            self._error(exchange, 400, "invalid_request", f"missing {missing}, or federation_rule_id is malformed")
            return
        if body["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            self._error(exchange, 400, "invalid_request", "grant_type")
            return
        claims = self._trusted(body)
        if claims is None:
            if self.observed:
                self._error(exchange, 401, "authentication_error", "Authentication failed")
            else:
                self._error(exchange, 400, "invalid_grant", "The assertion was not accepted.")
            return
        if self.workspaces > 1 and "workspace_id" not in body:
            self._error(exchange, 400, "invalid_request", "workspace_id_required")
            return
        lifetime = max(60, min(self.rule_lifetime, 2 * int(claims["exp"] - time.time())))
        token = f"sk-ant-oat01-{secrets.token_urlsafe(60)}"
        with self._lock:
            self.issued[token] = time.time() + lifetime
            if self.lose_next > 0:
                self.lose_next -= 1
                exchange.reset()
                return
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": lifetime,
            "scope": "workspace:inference",
            **self.extra,
        }
        exchange.answer_json(200, {k: v for k, v in answer.items() if v is not None})

    def _trusted(self, body: dict[str, Any]) -> dict[str, Any] | None:
        if len(body["assertion"]) > 16 * 1024:
            return None
        claims, _ = self.verifier.check(body["assertion"])
        ids = (body["federation_rule_id"], body["organization_id"], body["service_account_id"])
        if claims is None or ids != (RULE, ORGANIZATION, ACCOUNT):
            return None
        if body.get("workspace_id", WORKSPACE) not in (WORKSPACE, "default"):
            return None
        with self._lock:
            if claims.get("jti") in self._used:
                return None
            if "jti" in claims:
                self._used.add(claims["jti"])
        return claims

    def _message(self, exchange: Exchange) -> None:
        request = exchange.request
        scheme, _, token = request.header("Authorization").partition(" ")
        if request.header("X-Api-Key") or scheme != "Bearer" or not self.is_alive(token):
            self._error(exchange, 401, "authentication_error", "OAuth access token is invalid.")
            return
        exchange.answer_json(
            200,
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": request.json()["model"],
                "content": [{"type": "text", "text": "Hello from a lease"}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 1, "output_tokens": 4},
            },
        )

    def _error(self, exchange: Exchange, status: int, kind: str, message: str) -> None:
        # https://platform.claude.com/docs/en/api/errors
        body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_0123"}
        exchange.answer_json(status, body, {"request-id": "req_0123"})

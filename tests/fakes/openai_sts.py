"""OpenAI's token endpoint (``/oauth/token``) and one call of its API, which takes the tokens that were issued here.

Request, answer and causes of errors: https://developers.openai.com/api/reference/workload-identity-federation
Error codes: `OAuthErrorCode` of openai-python (``invalid_grant``, ``invalid_subject_token``); the shape is what its
`OAuthError` reads (``error``, ``error_description``).

What it can't show: the statuses and codes of the real service for JWTs, which OpenAI does not document (the SDK expects
400, 401 or 403; here it is 400), how it words its messages, permissions, and its transformations of attributes.
"""

import secrets
import threading
import time
from typing import Any

from tests.fakes.loopback import Exchange, LoopbackServer
from tests.fakes.verifier import Verifier

PROVIDER = "wip_0a1b2c3d4e5f"
ACCOUNT = "user-svc-trainer01"
AUDIENCE = "https://api.openai.com/v1"

_FIELDS = {"grant_type", "subject_token_type", "subject_token", "identity_provider_id", "service_account_id"}
_TYPES = {"urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"}
_SCOPE = "api.model.read api.model.request"


class OpenAISts(LoopbackServer):
    """One provider, one service account, one rule: what `verifier` trusts. `.issued`: token → Unix time of its end.

    extra: put into (or, as None, taken out of) the next answers, to see what is made of them.
    """

    def __init__(self, verifier: Verifier, *, lifetime: int = 3600) -> None:
        super().__init__()
        self.verifier = verifier
        self.lifetime = lifetime
        self.issued: dict[str, float] = {}
        self.extra: dict[str, Any] = {}
        self._lock = threading.Lock()

    def is_alive(self, token: str) -> bool:
        """Whether the API takes it."""
        return self.issued.get(token, 0.0) > time.time()

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        request = exchange.request
        if (request.method, request.path) == ("POST", "/oauth/token"):
            self._token(exchange)
        elif (request.method, request.path) == ("POST", "/v1/chat/completions"):
            self._completion(exchange)
        else:
            exchange.answer_json(404, {"error": {"message": "Not found", "type": "invalid_request_error"}})

    def _token(self, exchange: Exchange) -> None:
        request = exchange.request
        body = request.json() if request.header("Content-Type").startswith("application/json") else {}
        missing = sorted(_FIELDS - set(body))
        if missing or set(body) != _FIELDS:
            self._refuse(exchange, "invalid_request", f"fields missing {missing} or not accepted")
            return
        if body["grant_type"] != "urn:ietf:params:oauth:grant-type:token-exchange":
            self._refuse(exchange, "unsupported_grant_type", "grant_type")
            return
        if body["subject_token_type"] not in _TYPES:
            self._refuse(exchange, "invalid_request", "subject_token_type is not supported")
            return
        if body["identity_provider_id"] != PROVIDER:
            self._refuse(exchange, "invalid_grant", "The workload identity provider was not found.")
            return
        claims, reason = self.verifier.check(body["subject_token"])
        if reason in ("malformed", "signature", "expired", "issuer", "audience"):
            self._refuse(exchange, "invalid_subject_token", f"Subject token verification failed: {reason}.")
            return
        if claims is None or body["service_account_id"] != ACCOUNT:
            self._refuse(exchange, "invalid_grant", "No service account mapping matches.")
            return
        # "A JWT exchange token never outlives its external subject token."
        left = int(claims["exp"] - time.time())
        lifetime = min(self.lifetime, left)
        token = f"eyJ{secrets.token_urlsafe(60)}"
        with self._lock:
            self.issued[token] = time.time() + lifetime
        answer = {
            "access_token": token,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": lifetime,
            "scope": _SCOPE,
            **self.extra,
        }
        exchange.answer_json(200, {k: v for k, v in answer.items() if v is not None})

    def _refuse(self, exchange: Exchange, code: str, description: str) -> None:
        exchange.answer_json(400, {"error": code, "error_description": description}, {"x-request-id": "req_0123"})

    def _completion(self, exchange: Exchange) -> None:
        scheme, _, token = exchange.request.header("Authorization").partition(" ")
        if scheme != "Bearer" or not self.is_alive(token):
            error = {
                "message": "Incorrect API key provided",
                "type": "invalid_request_error",
                "code": "invalid_api_key",
            }
            exchange.answer_json(401, {"error": error})
            return
        message = {"role": "assistant", "content": "Hello from a lease", "refusal": None}
        exchange.answer_json(
            200,
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": exchange.request.json()["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5},
            },
        )

"""OpenRouter's token endpoint (``/api/v1/oauth/token``) and one call of its API, which takes what was issued here.

Request, answer, checks and errors: https://openrouter.ai/docs/guides/overview/auth/workload-identity-federation and
``post /oauth/token`` of OpenRouter's OpenAPI description, from which its SDK `openrouter` is made (a form; 15 minutes
at most, never longer than the subject token; one message for every mismatch; 413 above 32 KB).

What it can't show: the words of the real message, conditions and claim checks of a policy, and the rate limit.
"""

import secrets
import time
from typing import Any
from urllib.parse import parse_qs

from tests.fakes.loopback import Exchange, LoopbackServer
from tests.fakes.verifier import Verifier

POLICY = "4b2f7d1e-8c3a-4e5f-9a6b-1c2d3e4f5a6b"
AUDIENCE = "https://openrouter.ai"

_FIELDS = {"grant_type", "subject_token_type", "subject_token", "federation_policy_id"}
_OPTIONAL = {"requested_token_type", "scope", "audience", "resource"}


class OpenRouterOAuth(LoopbackServer):
    """One policy: what `verifier` trusts. `.issued`: token → Unix time of its end.

    extra: put into (or, as None, taken out of) the next answers.
    """

    def __init__(self, verifier: Verifier) -> None:
        super().__init__()
        self.verifier = verifier
        self.issued: dict[str, float] = {}
        self.extra: dict[str, Any] = {}

    def is_alive(self, token: str) -> bool:
        """Whether the API takes it."""
        return self.issued.get(token, 0.0) > time.time()

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        call = (exchange.request.method, exchange.request.path)
        if call == ("POST", "/api/v1/oauth/token"):
            self._token(exchange)
        elif call == ("POST", "/api/v1/chat/completions"):
            self._completion(exchange)
        else:
            exchange.answer_json(404, {"error": {"message": "Not Found", "code": 404}})

    def _token(self, exchange: Exchange) -> None:
        request = exchange.request
        if len(request.body) > 32 * 1024:
            exchange.answer_json(413, {"error": "invalid_request", "error_description": "Request body is too large."})
            return
        is_form = request.header("Content-Type").startswith("application/x-www-form-urlencoded")
        parsed = parse_qs(request.body.decode(), keep_blank_values=True) if is_form else {}
        form = {name: values[0] for name, values in parsed.items() if len(values) == 1}
        if _FIELDS - set(form) or set(form) - _FIELDS - _OPTIONAL or len(form) != len(parsed):
            self._refuse(exchange, "invalid_request", "A required field is missing or malformed.")
            return
        if form["grant_type"] != "urn:ietf:params:oauth:grant-type:token-exchange":
            self._refuse(exchange, "unsupported_grant_type", "grant_type")
            return
        claims, reason = self.verifier.check(form["subject_token"])
        wrong_type = form["subject_token_type"] != "urn:ietf:params:oauth:token-type:jwt"
        if wrong_type or reason == "malformed" or len(form["subject_token"]) > 16 * 1024:
            self._refuse(exchange, "invalid_request", "subject_token is not a JWT.")
            return
        if claims is None or form["federation_policy_id"] != POLICY:
            self._refuse(exchange, "invalid_grant", "The subject token was not accepted.")
            return
        lifetime = min(900, int(claims["exp"] - time.time()))
        token = f"eyJ{secrets.token_urlsafe(60)}"
        self.issued[token] = time.time() + lifetime
        answer = {
            "access_token": token,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": lifetime,
            "scope": "inference",
            **self.extra,
        }
        exchange.answer_json(200, {k: v for k, v in answer.items() if v is not None})

    def _refuse(self, exchange: Exchange, code: str, description: str) -> None:
        exchange.answer_json(400, {"error": code, "error_description": description})

    def _completion(self, exchange: Exchange) -> None:
        scheme, _, token = exchange.request.header("Authorization").partition(" ")
        if scheme != "Bearer" or not self.is_alive(token):
            exchange.answer_json(401, {"error": {"message": "User not found.", "code": 401}})
            return
        message = {"role": "assistant", "content": "Hello from a lease", "refusal": None}
        exchange.answer_json(
            200,
            {
                "id": "gen-1",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": exchange.request.json()["model"],
                "system_fingerprint": None,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5},
            },
        )

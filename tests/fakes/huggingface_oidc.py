"""Hugging Face's token endpoint for trusted publishers, and ``/api/whoami-v2``.

Request, answer, errors and rules: https://huggingface.co/docs/hub/trusted-publishers ("API reference", "Security
model"): JSON, 400 with ``invalid_request`` or ``invalid_grant``, descriptions that do not say which check
failed, one hour, ``hf_jwt_…`` for a repository and ``hf_oauth_…`` for a user.

What it can't show: the words of the real descriptions, which claims a publisher may be bound to, scopes, and what
``whoami-v2`` says of such a token (its documentation leaves that out).
"""

import secrets
import time
from collections.abc import Callable
from typing import Any

from tests.fakes.loopback import Exchange, LoopbackServer
from tests.fakes.verifier import Verifier

REPOSITORY = "acme/awesome-model"
USER = "acme-bot"

_FIELDS = {"grant_type", "subject_token_type", "subject_token", "resource"}
_FIXED = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
}


class HuggingFaceOidc(LoopbackServer):
    """A repository and a user with one publisher each: what `verifier` trusts. `.issued`: token → Unix time of its end.

    extra: put into (or, as None, taken out of) the next answers.
    """

    def __init__(self, verifier: Verifier) -> None:
        super().__init__()
        self.verifier = verifier
        self.issued: dict[str, float] = {}
        self.extra: dict[str, Any] = {}
        # Called with each token that is issued.
        self.on_token: Callable[[str], None] = lambda token: None

    def is_alive(self, token: str) -> bool:
        """Whether the Hub takes it."""
        return self.issued.get(token, 0.0) > time.time()

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        call = (exchange.request.method, exchange.request.path)
        if call == ("POST", "/oauth/token"):
            self._token(exchange)
        elif call == ("GET", "/api/whoami-v2"):
            self._whoami(exchange)
        else:
            exchange.answer_json(404, {"error": "Sorry, we can't find the page you are looking for."})

    def _token(self, exchange: Exchange) -> None:
        request = exchange.request
        body = request.json() if request.header("Content-Type").startswith("application/json") else {}
        if set(body) != _FIELDS or any(body[name] != value for name, value in _FIXED.items()) or request.query:
            self._refuse(exchange, "invalid_request", "Missing or malformed parameter")
            return
        claims, _ = self.verifier.check(body["subject_token"])
        if claims is None or body["resource"] not in (REPOSITORY, USER):
            self._refuse(exchange, "invalid_grant", "Token exchange failed")
            return
        prefix = "hf_jwt_" if "/" in body["resource"] else "hf_oauth_"
        token = prefix + secrets.token_urlsafe(60)
        self.issued[token] = time.time() + 3600
        self.on_token(token)
        answer = {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": 3600,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            **self.extra,
        }
        exchange.answer_json(200, {k: v for k, v in answer.items() if v is not None})

    def _refuse(self, exchange: Exchange, code: str, description: str) -> None:
        exchange.answer_json(400, {"error": code, "error_description": description}, {"x-request-id": "Root=1-0123"})

    def _whoami(self, exchange: Exchange) -> None:
        scheme, _, token = exchange.request.header("Authorization").partition(" ")
        if scheme != "Bearer" or not self.is_alive(token):
            exchange.answer_json(401, {"error": "Invalid username or password."})
            return
        exchange.answer_json(200, {"type": "user", "name": USER, "orgs": [], "auth": {"type": "access_token"}})

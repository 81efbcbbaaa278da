"""Weights & Biases' token endpoint (``/oidc/token``) and its GraphQL API's question of who one is.

Checks: https://docs.wandb.ai/platform/hosting/iam/identity_federation ("JWT validation": signature, `iss` of the
organization, `aud` its name, `sub` a service account's subject, `exp`). Request and answer: what wandb's SDK sends and
reads (core/internal/api/credentials.go, fetchAccessToken): a form, ``access_token`` and ``expires_in``.

What it can't show: statuses and words of the real refusals, which W&B does not document (here 400 and the codes of
RFC 6749 §5.2; the SDK tells only 4xx from the rest), the lifetime of its tokens, and what a service account may do.
"""

import secrets
import time
from typing import Any
from urllib.parse import parse_qs

from tests.fakes.loopback import Exchange, LoopbackServer
from tests.fakes.verifier import Verifier

ORGANIZATION = "acme-ml"
ACCOUNT = "trainer"


class WandbOidc(LoopbackServer):
    """One organization with one service account: what `verifier` trusts. `.issued`: token → Unix time of its end.

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
        if call == ("POST", "/oidc/token"):
            self._token(exchange)
        elif call == ("POST", "/graphql"):
            self._graphql(exchange)
        else:
            exchange.answer_json(404, {"error": "not found"})

    def _token(self, exchange: Exchange) -> None:
        request = exchange.request
        is_form = request.header("Content-Type") == "application/x-www-form-urlencoded"
        form = parse_qs(request.body.decode(), keep_blank_values=True) if is_form else {}
        if set(form) != {"grant_type", "assertion"} or request.query:
            self._refuse(exchange, "invalid_request", "a parameter is missing")
            return
        if form["grant_type"] != ["urn:ietf:params:oauth:grant-type:jwt-bearer"]:
            self._refuse(exchange, "unsupported_grant_type", "grant_type")
            return
        claims, reason = self.verifier.check(form["assertion"][0])
        if claims is None:
            self._refuse(exchange, "invalid_grant", f"identity token was not accepted: {reason}")
            return
        token = secrets.token_urlsafe(60)
        self.issued[token] = time.time() + 3600
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": 3600, **self.extra}
        exchange.answer_json(200, {k: v for k, v in answer.items() if v is not None})

    def _refuse(self, exchange: Exchange, code: str, description: str) -> None:
        exchange.answer_json(400, {"error": code, "error_description": description})

    def _graphql(self, exchange: Exchange) -> None:
        scheme, _, token = exchange.request.header("Authorization").partition(" ")
        if scheme != "Bearer" or not self.is_alive(token):
            exchange.answer_json(401, {"errors": [{"message": "permission denied"}]})
            return
        viewer = {"id": "1", "username": ACCOUNT, "entity": ORGANIZATION, "flags": "{}", "teams": {"edges": []}}
        exchange.answer_json(200, {"data": {"viewer": viewer}})

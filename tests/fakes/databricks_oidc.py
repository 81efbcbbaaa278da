"""Databricks' token endpoints, of a workspace and of an account, and the API call that says who one is.

Request: https://docs.databricks.com/aws/en/dev-tools/auth/oauth-federation-exchange (``/oidc/v1/token``,
``/oidc/accounts/<account-id>/v1/token``; form fields as there). Answer: the fields that databricks-sdk reads
(databricks/sdk/oauth.py, `retrieve_token`). Policy: issuer, audience and subject, compared exactly
(https://docs.databricks.com/aws/en/dev-tools/auth/oauth-federation-policy); the lifetime follows the identity token's.

What it can't show: statuses, codes and words of the real refusals, which Databricks does not document (here 400 and
``invalid_grant`` or ``invalid_request`` of RFC 6749 §5.2, 401 and ``invalid_client``), the discovery of
``/.well-known/databricks-config``, permissions, and how the lifetime is derived.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from tests.fakes.loopback import Exchange, LoopbackServer
from tests.fakes.verifier import Verifier

CLIENT = "7c3b0f5e-8a41-4f0e-9d55-1b2c3d4e5f60"
ACCOUNT = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
USER = "trainer service principal"

_FIELDS = {"client_id", "subject_token", "subject_token_type", "grant_type", "scope"}
_FIXED = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "scope": "all-apis",
}


class DatabricksOidc(LoopbackServer):
    """One service principal with one policy: what `verifier` trusts. `.issued`: token → Unix time of its end.

    lifetime: seconds at the most. extra: put into (or, as None, taken out of) the next answers.
    """

    def __init__(self, verifier: Verifier, *, lifetime: int = 3600) -> None:
        super().__init__()
        self.verifier = verifier
        self.lifetime = lifetime
        self.issued: dict[str, float] = {}
        self.extra: dict[str, Any] = {}
        # Called with each token that is issued.
        self.on_token: Callable[[str], None] = lambda token: None

    def is_alive(self, token: str) -> bool:
        """Whether the API takes it."""
        return self.issued.get(token, 0.0) > time.time()

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        call = (exchange.request.method, exchange.request.path)
        if call in (("POST", "/oidc/v1/token"), ("POST", f"/oidc/accounts/{ACCOUNT}/v1/token")):
            self._token(exchange)
        elif call == ("GET", "/api/2.0/preview/scim/v2/Me"):
            self._me(exchange)
        else:
            exchange.answer_json(404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found"})

    def _token(self, exchange: Exchange) -> None:
        request = exchange.request
        is_form = request.header("Content-Type").startswith("application/x-www-form-urlencoded")
        parsed = parse_qs(request.body.decode(), keep_blank_values=True) if is_form else {}
        if request.query or set(parsed) != _FIELDS or any(len(values) != 1 for values in parsed.values()):
            self._refuse(exchange, 400, "invalid_request", "The fields are not those of a token exchange.")
            return
        form = {name: values[0] for name, values in parsed.items()}
        if any(form[name] != value for name, value in _FIXED.items()):
            self._refuse(exchange, 400, "invalid_request", "A field has a value that is not supported.")
            return
        if form["client_id"] != CLIENT:
            self._refuse(exchange, 401, "invalid_client", "Client authentication failed.")
            return
        claims, reason = self.verifier.check(form["subject_token"])
        if claims is None:
            self._refuse(exchange, 400, "invalid_grant", f"No federation policy matches: {reason}.")
            return
        lifetime = min(self.lifetime, int(claims["exp"] - time.time()))
        token = f"eyJ{secrets.token_urlsafe(60)}"
        self.issued[token] = time.time() + lifetime
        self.on_token(token)
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": lifetime, "scope": form["scope"]}
        answer |= self.extra
        exchange.answer_json(200, {k: v for k, v in answer.items() if v is not None})

    def _refuse(self, exchange: Exchange, status: int, code: str, description: str) -> None:
        exchange.answer_json(status, {"error": code, "error_description": description}, {"x-request-id": "req-0123"})

    def _me(self, exchange: Exchange) -> None:
        scheme, _, token = exchange.request.header("Authorization").partition(" ")
        if scheme != "Bearer" or not self.is_alive(token):
            exchange.answer_json(401, {"error_code": "UNAUTHENTICATED", "message": "Invalid access token."})
            return
        exchange.answer_json(200, {"id": "5581763342009999", "userName": CLIENT, "displayName": USER, "active": True})

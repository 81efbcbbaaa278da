"""Microsoft Entra's token endpoint for one tenant with one application and one federated credential, and one ARM call.

Request: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow ("Third case: Access
token request with a federated credential"). Answers: "Successful response" there; errors as in "Handling error codes in
your application" of https://learn.microsoft.com/entra/identity-platform/reference-error-codes. Codes and words of
refusals: that page and what users posted (Azure/login#482 700213, Azure/login#515 7002138,
Azure/azure-workload-identity#1200 700211, microsoft/Agents#202 status 401 with ``invalid_client``). Issuer, subject and
audience are compared exactly
(https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations).

What it can't show: the order of Entra's checks, the delay before a new credential works, flexible credentials,
Conditional Access, and replay caches.
"""

import secrets
import time
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qs

from tests.fakes.loopback import Exchange, LoopbackServer
from tests.fakes.verifier import Verifier

TENANT = "4ecd6548-e33b-4b9d-9986-0bd3c22986c6"
CLIENT = "af3110ba-0ba9-4412-b1a0-59f50b7e9273"
SUBSCRIPTION = "868ab87f-fc57-46b2-8815-9b80a74b8922"
AUDIENCE = "api://AzureADTokenExchange"
ARM = "https://management.azure.com/.default"
RESOURCES = frozenset(
    {ARM, "https://vault.azure.net/.default", "https://storage.azure.com/.default"}
    | {"2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"}
)

_FIELDS = frozenset({"client_id", "client_assertion_type", "client_assertion", "grant_type", "scope"})
_TRACE = "0000aaaa-11bb-cccc-dd22-eeeeee333333"
_SEE = "https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
_CHECK = (
    f"Check your federated identity credential Subject, Audience and Issuer against the presented assertion. {_SEE}"
)


class AzureEntra(LoopbackServer):
    """What `verifier` trusts may log in. `.issued`: token → (scope, Unix time of its end). lifetime: seconds.

    extra: put into (or, as None, taken out of) the next answers. resources: scopes that the tenant has.
    """

    def __init__(self, verifier: Verifier, *, lifetime: int = 3599, **server: Any) -> None:
        super().__init__(**server)
        self.verifier = verifier
        self.lifetime = lifetime
        self.issued: dict[str, tuple[str, float]] = {}
        self.extra: dict[str, Any] = {}
        self.resources: Collection[str] = RESOURCES

    def is_alive(self, token: str, scope: str = ARM) -> bool:
        """Whether that resource takes it."""
        found, end = self.issued.get(token, ("", 0.0))
        return found == scope and end > time.time()

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        method, parts = exchange.request.method, exchange.request.path.split("/")
        if method == "POST" and len(parts) == 5 and parts[2:] == ["oauth2", "v2.0", "token"]:
            self._token(exchange, parts[1])
        elif (method, exchange.request.path) == ("GET", "/subscriptions"):
            self._subscriptions(exchange)
        else:
            exchange.answer(404, b"")

    def _token(self, exchange: Exchange, tenant: str) -> None:
        request = exchange.request
        is_form = request.header("Content-Type").startswith("application/x-www-form-urlencoded")
        parsed = parse_qs(request.body.decode(), keep_blank_values=True) if is_form else {}
        form = {name: values[0] for name, values in parsed.items() if len(values) == 1}
        if tenant.lower() != TENANT:
            words = f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID"
            return self._refuse(exchange, 400, "invalid_request", 90002, words)
        if request.query or set(form) < _FIELDS:
            missing = ", ".join(sorted(_FIELDS - set(form)))
            words = f"The request body must contain the following parameter: '{missing}'."
            return self._refuse(exchange, 400, "invalid_request", 900144, words)
        if form["grant_type"] != "client_credentials":
            return self._refuse(
                exchange, 400, "unsupported_grant_type", 70003, "The app requested an unsupported grant"
            )
        if form["client_assertion_type"] != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
            return self._refuse(exchange, 401, "invalid_client", 7000218, "The client_assertion_type is not supported.")
        if form["client_id"].lower() != CLIENT:
            words = f"Application with identifier '{form['client_id']}' was not found in the directory 'Acme'."
            return self._refuse(exchange, 400, "unauthorized_client", 700016, words)
        claims, reason = self.verifier.check(form["client_assertion"])
        if claims is None:
            return self._no_match(exchange, reason or "malformed", form["client_assertion"])
        return self._grant(exchange, form["scope"])

    def _grant(self, exchange: Exchange, scope: str) -> None:
        if not scope.endswith("/.default"):
            words = (
                f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value"
            )
            return self._refuse(exchange, 400, "invalid_scope", 1002012, words)
        if scope not in self.resources:
            name = scope.removesuffix("/.default")
            words = f"The resource principal named {name} was not found in the tenant named Acme."
            return self._refuse(exchange, 400, "invalid_resource", 500011, words)
        token = f"eyJ{secrets.token_urlsafe(120)}"
        self.issued[token] = (scope, time.time() + self.lifetime)
        answer = {"token_type": "Bearer", "expires_in": self.lifetime, "access_token": token, **self.extra}
        return exchange.answer_json(200, {k: v for k, v in answer.items() if v is not None})

    def _no_match(self, exchange: Exchange, reason: str, assertion: str) -> None:
        import jwt

        if reason in ("signature", "malformed"):
            words = "JWT token is invalid or malformed."
            return self._refuse(exchange, 401, "invalid_client", 50027, words)
        if reason == "expired":
            words = "Client assertion is not within its valid time range."
            return self._refuse(exchange, 401, "invalid_client", 700024, words)
        claims = jwt.decode(assertion, options={"verify_signature": False})
        found = "No matching federated identity record found for presented assertion"
        trusted = self.verifier.subject or ""
        if reason == "subject" and claims["sub"].lower() == trusted.lower():
            words = (
                f"{found} subject '{claims['sub']}'. The subject matches with case-insensitive comparison, but not "
                f"with case-sensitive comparison. {_CHECK}"
            )
            return self._refuse(exchange, 401, "invalid_client", 7002138, words)
        code, name = {"issuer": (700211, "iss"), "audience": (700212, "aud"), "subject": (700213, "sub")}[reason]
        return self._refuse(exchange, 401, "invalid_client", code, f"{found} {reason} '{claims[name]}'. {_CHECK}")

    def _refuse(self, exchange: Exchange, status: int, error: str, code: int, words: str) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
        body = {
            "error": error,
            "error_description": f"AADSTS{code}: {words} Trace ID: {_TRACE} Correlation ID: {_TRACE} Timestamp: {now}",
            "error_codes": [code],
            "timestamp": now,
            "trace_id": _TRACE,
            "correlation_id": _TRACE,
            "error_uri": f"{self.url}/error?code={code}",
        }
        exchange.answer_json(status, body, {"x-ms-request-id": _TRACE})

    def _subscriptions(self, exchange: Exchange) -> None:
        # https://learn.microsoft.com/rest/api/resources/subscriptions/list
        scheme, _, token = exchange.request.header("Authorization").partition(" ")
        if scheme != "Bearer" or not self.is_alive(token):
            body = {"error": {"code": "InvalidAuthenticationToken", "message": "The access token is invalid."}}
            return exchange.answer_json(401, body)
        found = {"id": f"/subscriptions/{SUBSCRIPTION}", "subscriptionId": SUBSCRIPTION, "tenantId": TENANT}
        found |= {"displayName": "Acme ML", "state": "Enabled", "authorizationSource": "RoleBased"}
        return exchange.answer_json(200, {"value": [found], "count": {"type": "Total", "value": 1}})

"""Google's Security Token Service and IAM Credentials API, which take the tokens that were issued here.

STS, both encodings of the request (JSON with camelCase names, forms with RFC 8693's), and its answer:
https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
Its errors (RFC 6749 §5.2): https://cloud.google.com/iam/docs/troubleshooting-workload-identity-federation, and for the
words of two of them https://github.com/google-github-actions/auth/issues/211 (invalid_request), …/202 (invalid_target).
IAM: https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken; its
errors are google.rpc.Status: https://cloud.google.com/apis/design/errors, seen in …/auth/issues/340.

What it can't show: how fast bindings take effect, CEL (the condition is a list of exact claims), organization policies
other than that of lifetimes, quotas, the words and statuses of the other refusals of STS, and whether the roles of an
account allow anything.
"""

import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from tests.fakes.loopback import Exchange, LoopbackServer
from tests.fakes.verifier import Verifier

PROVIDER = "projects/123456789012/locations/global/workloadIdentityPools/ci-pool/providers/github"
AUDIENCE = f"https://iam.googleapis.com/{PROVIDER}"
ACCOUNT = "trainer@acme-ml.iam.gserviceaccount.com"
DELEGATE = "relay@acme-ml.iam.gserviceaccount.com"

_JWT = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
_FIELDS = {"grantType", "audience", "scope", "requestedTokenType", "subjectToken", "subjectTokenType"}
_METHODS = {
    "generateAccessToken": {"scope", "lifetime", "delegates"},
    "generateIdToken": {"audience", "includeEmail", "delegates"},
}
_CAMEL = {
    "grant_type": "grantType",
    "audience": "audience",
    "scope": "scope",
    "requested_token_type": "requestedTokenType",
    "subject_token": "subjectToken",
    "subject_token_type": "subjectTokenType",
}


class GcpSts(LoopbackServer):
    """One provider that admits what `verifier` trusts, one account it may act as. `.issued`: token → when it ends.

    extra: put into (or, as None, taken out of) the next answers. bound: whether the job may act as `ACCOUNT`.
    """

    def __init__(self, verifier: Verifier) -> None:
        super().__init__()
        self.verifier = verifier
        self.issued: dict[str, float] = {}
        self.extra: dict[str, Any] = {}
        self.bound = True
        self.api_enabled = True
        self._lock = threading.Lock()

    def is_alive(self, token: str) -> bool:
        """Whether an API takes it."""
        return self.issued.get(token, 0.0) > time.time()

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        request = exchange.request
        before, _, account_method = request.path.partition("/v1/projects/-/serviceAccounts/")
        account, _, method = account_method.partition(":")
        if (request.method, request.path) == ("POST", "/v1/token"):
            self._token(exchange)
        elif request.method == "POST" and not before and method in _METHODS:
            self._account(exchange, account, method)
        elif (request.method, request.path) == ("GET", "/storage/v1/b"):
            self._buckets(exchange)
        else:
            exchange.answer(
                404, b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", {"Content-Type": "text/html"}
            )

    def _issue(self, prefix: str, lifetime: float) -> str:
        token = prefix + secrets.token_urlsafe(60)
        with self._lock:
            self.issued[token] = time.time() + lifetime
        return token

    def _answer(self, exchange: Exchange, answer: dict[str, Any]) -> None:
        exchange.answer_json(200, {k: v for k, v in {**answer, **self.extra}.items() if v is not None})

    # STS.

    def _token(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.header("Authorization"):
            # "When you call this method, do not send the Authorization HTTP header"
            self._refuse(exchange, "invalid_request", "Authorization header is not expected.")
            return
        if request.header("Content-Type").startswith("application/json"):
            body = request.json()
        else:
            form = parse_qs(request.body.decode())
            body = {_CAMEL.get(name, name): values[0] for name, values in form.items()}
        if set(body) != _FIELDS or body["grantType"] != "urn:ietf:params:oauth:grant-type:token-exchange":
            self._refuse(exchange, "invalid_request", f"Invalid fields: {sorted(_FIELDS ^ set(body))}")
            return
        if body["subjectTokenType"] not in _JWT or not body["requestedTokenType"].endswith(":access_token"):
            self._refuse(exchange, "invalid_request", "Invalid token type.")
            return
        if not body["audience"].startswith("//iam.googleapis.com/projects/"):
            self._refuse(
                exchange,
                "invalid_request",
                'Invalid value for "audience". This value should be the full resource name of the Identity Provider.',
            )
            return
        if body["audience"] != f"//iam.googleapis.com/{PROVIDER}":
            self._refuse(
                exchange,
                "invalid_target",
                'The target service indicated by the "audience" parameters is invalid. This might either be because '
                "the pool or provider is disabled or deleted or because it doesn't exist.",
            )
            return
        claims, reason = self.verifier.check(body["subjectToken"])
        words = {
            "malformed": "Unable to parse the ID Token.",
            "signature": "Invalid signature of the ID Token.",
            "expired": "ID Token is stale to sign-in.",
            "issuer": "The issuer in ID Token does not match the expected ones.",
            "audience": "The audience in ID Token does not match the expected audience.",
        }
        if claims is None:
            code = "invalid_grant" if reason in words else "unauthorized_client"
            words_of_condition = "The given credential is rejected by the attribute condition."
            self._refuse(exchange, code, words.get(str(reason), words_of_condition))
            return
        self._answer(
            exchange,
            {
                "access_token": self._issue("ya29.d.", 3599),
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer",
                "expires_in": 3599,
            },
        )

    def _refuse(self, exchange: Exchange, code: str, description: str) -> None:
        status = 401 if code == "unauthorized_client" else 400
        exchange.answer_json(status, {"error": code, "error_description": description})

    # IAM Credentials.

    def _account(self, exchange: Exchange, account: str, method: str) -> None:
        body = exchange.request.json()
        if not self._authenticated(exchange):
            return
        if set(body) - _METHODS[method]:
            self._status(exchange, 400, "INVALID_ARGUMENT", "Invalid JSON payload received. Unknown name.")
            return
        if not self.api_enabled:
            message = "IAM Service Account Credentials API has not been used in project 123456789012 or is disabled."
            self._status(exchange, 403, "PERMISSION_DENIED", message, "SERVICE_DISABLED")
            return
        delegates = body.get("delegates") or []  # google-auth sends null
        if account != ACCOUNT or not self.bound or delegates not in ([], [f"projects/-/serviceAccounts/{DELEGATE}"]):
            permission = "getAccessToken" if method == "generateAccessToken" else "getOpenIdToken"
            message = f"Permission 'iam.serviceAccounts.{permission}' denied on resource (or it may not exist)."
            self._status(exchange, 403, "PERMISSION_DENIED", message, "IAM_PERMISSION_DENIED")
            return
        if method == "generateIdToken":
            self._answer(exchange, {"token": self._issue("eyJ", 3600)})
            return
        lifetime = int(body.get("lifetime", "3600s").removesuffix("s"))
        if not body.get("scope") or lifetime > 3600:
            self._status(exchange, 400, "INVALID_ARGUMENT", "The access token lifetime cannot exceed 3600s.")
            return
        token = self._issue("ya29.c.", lifetime)
        end = datetime.fromtimestamp(self.issued[token], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._answer(exchange, {"accessToken": token, "expireTime": end})

    def _authenticated(self, exchange: Exchange) -> bool:
        scheme, _, token = exchange.request.header("Authorization").partition(" ")
        if scheme == "Bearer" and self.is_alive(token):
            return True
        message = "Request had invalid authentication credentials. Expected OAuth 2 access token."
        self._status(exchange, 401, "UNAUTHENTICATED", message, "ACCESS_TOKEN_TYPE_UNSUPPORTED")
        return False

    def _status(self, exchange: Exchange, code: int, status: str, message: str, reason: str = "") -> None:
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "iam.googleapis.com"}
        details = {"details": [info]} if reason else {}
        exchange.answer_json(code, {"error": {"code": code, "message": message, "status": status, **details}})

    def _buckets(self, exchange: Exchange) -> None:
        if self._authenticated(exchange):
            exchange.answer_json(200, {"kind": "storage#buckets", "items": [{"name": "acme-models"}]})

"""Google's Security Token Service, IAM Credentials API and Secret Manager, which take the tokens that were issued here.

Every request and answer of theirs is held against Google's discovery documents (gcp_discovery.py).

STS, both encodings of the request (JSON with camelCase names, forms with RFC 8693's), and its answer:
https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
Its errors (RFC 6749 §5.2): https://cloud.google.com/iam/docs/troubleshooting-workload-identity-federation, and in the
words of https://github.com/google-github-actions/auth/issues/211 (invalid_request), …/202 (invalid_target), …/29
(audience), https://github.com/googleapis/google-cloud-go/issues/12440 (stale).
IAM: https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken; its
errors are google.rpc.Status: https://cloud.google.com/apis/design/errors, seen in …/auth/issues/340.

What it can't show: how fast bindings take effect, CEL (the condition is a list of exact claims), organization policies
other than that of lifetimes, quotas, the words of STS for a wrong issuer or signature, and what the roles of an account
allow.
"""

import functools
import json
import secrets
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fakes.gcp_discovery import Discovery, Mismatch
from tests.fakes.gcp_secretmanager import Denied, SecretStore
from tests.fakes.loopback import Exchange, LoopbackServer
from tests.fakes.verifier import Verifier

PROVIDER = "projects/123456789012/locations/global/workloadIdentityPools/ci-pool/providers/github"
AUDIENCE = f"https://iam.googleapis.com/{PROVIDER}"
ACCOUNT = "trainer@acme-ml.iam.gserviceaccount.com"
USER = "admin@acme.example"
DELEGATE = "relay@acme-ml.iam.gserviceaccount.com"

DOCUMENTS = ("sts.v1", "iamcredentials.v1", "secretmanager.v1")

_JWT = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
_FIELDS = {"grantType", "audience", "scope", "requestedTokenType", "subjectToken", "subjectTokenType"}
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
    delegated: the scopes with which `ACCOUNT` may act for users of a Workspace, of whom there is one.
    stale: identity tokens whose time is over here.
    defects: where the fake itself did not answer as Google's documents say; empty, or it is to be mended.
    """

    def __init__(self, verifier: Verifier) -> None:
        super().__init__()
        self.verifier = verifier
        self.issued: dict[str, float] = {}
        self.extra: dict[str, Any] = {}
        self.bound = True
        self.api_enabled = True
        self.store = SecretStore()
        self.delegated: set[str] = set()
        self.stale: set[str] = set()
        self.defects: list[str] = []
        self._scopes: dict[str, str] = {}
        self._documents = [Discovery(name) for name in DOCUMENTS]
        self._lock = threading.Lock()

    @functools.cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        """The account's, that nobody but Google has."""
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def is_alive(self, token: str) -> bool:
        """Whether an API takes it."""
        return self.issued.get(token, 0.0) > time.time()

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        request = exchange.request
        if (request.method, request.path) == ("GET", "/storage/v1/b"):
            self._buckets(exchange)
            return
        if (request.method, request.path) == ("POST", "/token"):
            self._user_token(exchange)
            return
        try:
            for document in self._documents:
                method = document.method(request.method, request.path, request.query)
                if method:
                    body = self._body(exchange)
                    document.check_request(method, body)
                    self._call(exchange, document, method, body or {})
                    return
        except Mismatch as wrong:
            if request.path == "/v1/token":
                self._refuse(exchange, "invalid_request", str(wrong))
            else:
                self._status(exchange, 400, "INVALID_ARGUMENT", str(wrong))
            return
        exchange.answer(404, b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", {"Content-Type": "text/html"})

    def _body(self, exchange: Exchange) -> Any:
        request = exchange.request
        if not request.body:
            return None
        if request.header("Content-Type").startswith("application/json"):
            body = request.json()
            # Google takes null for a field that is not there; google-auth sends some.
            return {k: v for k, v in body.items() if v is not None} if isinstance(body, dict) else body
        form = parse_qs(request.body.decode())
        return {_CAMEL.get(name, name): values[0] for name, values in form.items()}

    def _call(self, exchange: Exchange, document: Discovery, method: Mapping[str, Any], body: dict[str, Any]) -> None:
        path = exchange.request.path
        name = method["id"].rpartition(".")[2]
        if name == "token":
            answer = self._token(exchange, body)
        elif not self._authenticated(exchange):
            return
        elif name in ("access", "list"):
            answer = self._secrets(exchange, name)
        else:
            answer = self._account(exchange, path.rpartition("/")[2].partition(":")[0], name, body)
        if answer is None:
            return
        try:
            document.check_answer(method, answer)
        except Mismatch as wrong:
            self.defects.append(f"{path}: {wrong}")
        exchange.answer_json(200, {k: v for k, v in {**answer, **self.extra}.items() if v is not None})

    def _issue(self, prefix: str, lifetime: float, scope: str = "") -> str:
        token = prefix + secrets.token_urlsafe(60)
        with self._lock:
            self.issued[token] = time.time() + lifetime
            self._scopes[token] = scope
        return token

    # STS.

    def _token(self, exchange: Exchange, body: dict[str, Any]) -> dict[str, Any] | None:
        request = exchange.request
        if request.header("Authorization"):
            # "When you call this method, do not send the Authorization HTTP header"
            self._refuse(exchange, "invalid_request", "Authorization header is not expected.")
            return None
        if set(body) != _FIELDS or body["grantType"] != "urn:ietf:params:oauth:grant-type:token-exchange":
            self._refuse(exchange, "invalid_request", f"Invalid fields: {sorted(_FIELDS ^ set(body))}")
            return None
        if body["subjectTokenType"] not in _JWT or not body["requestedTokenType"].endswith(":access_token"):
            self._refuse(exchange, "invalid_request", "Invalid token type.")
            return None
        if not body["audience"].startswith("//iam.googleapis.com/projects/"):
            self._refuse(
                exchange,
                "invalid_request",
                'Invalid value for "audience". This value should be the full resource name of the Identity Provider.',
            )
            return None
        if body["audience"] != f"//iam.googleapis.com/{PROVIDER}":
            self._refuse(
                exchange,
                "invalid_target",
                'The target service indicated by the "audience" parameters is invalid. This might either be because '
                "the pool or provider is disabled or deleted or because it doesn't exist.",
            )
            return None
        claims, reason = self.verifier.check(body["subjectToken"])
        if body["subjectToken"] in self.stale:
            claims, reason = None, "expired"
        words = {
            "malformed": "Unable to parse the ID Token.",
            "signature": "Invalid signature of the ID Token.",
            "expired": f"ID Token issued at {int(time.time()) - 900} is stale to sign-in.",
            "issuer": "The issuer in ID Token does not match the expected ones.",
            "audience": "The audience in JWT does not match the expected values.",
        }
        if claims is None:
            code = "invalid_grant" if reason in words else "unauthorized_client"
            words_of_condition = "The given credential is rejected by the attribute condition."
            self._refuse(exchange, code, words.get(str(reason), words_of_condition))
            return None
        return {
            "access_token": self._issue("ya29.d.", 3599, body["scope"]),
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": 3599,
        }

    def _refuse(self, exchange: Exchange, code: str, description: str) -> None:
        status = 401 if code == "unauthorized_client" else 400
        exchange.answer_json(status, {"error": code, "error_description": description})

    # IAM Credentials.

    def _account(self, exchange: Exchange, account: str, method: str, body: dict[str, Any]) -> dict[str, Any] | None:
        if not self.api_enabled:
            message = "IAM Service Account Credentials API has not been used in project 123456789012 or is disabled."
            self._status(exchange, 403, "PERMISSION_DENIED", message, "SERVICE_DISABLED")
            return None
        delegates = body.get("delegates", [])
        if account != ACCOUNT or not self.bound or delegates not in ([], [f"projects/-/serviceAccounts/{DELEGATE}"]):
            permission = {"generateAccessToken": "getAccessToken", "signJwt": "signJwt"}.get(method, "getOpenIdToken")
            message = f"Permission 'iam.serviceAccounts.{permission}' denied on resource (or it may not exist)."
            self._status(exchange, 403, "PERMISSION_DENIED", message, "IAM_PERMISSION_DENIED")
            return None
        if method == "generateIdToken":
            return {"token": self._issue("eyJ", 3600)}
        if method == "signJwt":
            return {"keyId": "key-1", "signedJwt": jwt.encode(json.loads(body["payload"]), self._key, "RS256")}
        lifetime = int(body.get("lifetime", "3600s").removesuffix("s"))
        if not body.get("scope") or lifetime > 3600:
            self._status(exchange, 400, "INVALID_ARGUMENT", "The access token lifetime cannot exceed 3600s.")
            return None
        token = self._issue("ya29.c.", lifetime, " ".join(body["scope"]))
        end = datetime.fromtimestamp(self.issued[token], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"accessToken": token, "expireTime": end}

    # Domain-wide delegation: https://developers.google.com/identity/protocols/oauth2/service-account#httprest

    def _user_token(self, exchange: Exchange) -> None:
        form = {name: values[0] for name, values in parse_qs(exchange.request.body.decode()).items()}
        if set(form) != {"grant_type", "assertion"} or not form["grant_type"].endswith(":grant-type:jwt-bearer"):
            exchange.answer_json(400, {"error": "unsupported_grant_type", "error_description": "Invalid grant_type"})
            return
        try:
            claims = jwt.decode(
                form["assertion"],
                self._key.public_key(),
                algorithms=["RS256"],
                audience="https://oauth2.googleapis.com/token",
                issuer=ACCOUNT,
                options={"require": ["iss", "sub", "scope", "aud", "iat", "exp"]},
            )
        except jwt.PyJWTError:
            exchange.answer_json(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
            return
        if claims["exp"] - claims["iat"] > 3600:
            message = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
            exchange.answer_json(400, {"error": "invalid_grant", "error_description": message})
        elif not set(claims["scope"].split()) <= self.delegated:
            message = (
                "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any "
                "of the scopes requested."
            )
            exchange.answer_json(401, {"error": "unauthorized_client", "error_description": message})
        elif claims["sub"] != USER:
            exchange.answer_json(400, {"error": "invalid_grant", "error_description": "Invalid email or User ID"})
        else:
            token = self._issue("ya29.a0", 3599, claims["scope"])
            exchange.answer_json(200, {"access_token": token, "expires_in": 3599, "token_type": "Bearer"})

    def _secrets(self, exchange: Exchange, name: str) -> dict[str, Any] | None:
        token = exchange.request.header("Authorization").partition(" ")[2]
        try:
            if name == "list":
                return self.store.list(exchange.request.path, exchange.request.query)
            answer = self.store.access(exchange.request.path, self._scopes[token])
        except Denied as denied:
            self._status(exchange, denied.code, denied.status, denied.message, denied.reason)
            return None
        return answer

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

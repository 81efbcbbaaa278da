"""Conjur's JWT authenticator, and its variables, one by one and in a batch.

Requests and answers: https://github.com/cyberark/conjur-openapi-spec; every one is held against it (`problems`).
Behaviour: the server's source, https://github.com/cyberark/conjur 1.24. authenticate_controller.rb: an empty 401 for
nearly every reason, an empty 403 for a host outside of the group, ``CONJ00016E`` in a body when the token has expired.
secrets_controller.rb: 404 for what is missing, has no value, no such version or may not be seen; 403 for what may be
seen and not fetched; a batch: 403 if any one is forbidden, then 404 if any one is missing, 406 for bytes that are no
UTF-8 unless base64 is asked for. app/domain/authentication/authn_jwt: annotations, `token-app-property`.

What it can't show: policies being loaded, followers and replication, dynamic secrets, claim aliases, nested claims, IP
restrictions (`restricted_to`), the signature of real access tokens, SaaS, and what a load balancer in front does to it.
"""

import base64
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.fakes.conjur_openapi import problem
from tests.fakes.loopback import Exchange, LoopbackServer, Received
from tests.fakes.verifier import Verifier

ACCOUNT = "acme"
SERVICE = "github"
HOST = "host/ci/trainer"


class ConjurServer(LoopbackServer):
    """One authenticator, one host with annotations, its variables.

    annotations: claim → value, of the host. token_app_property: the claim that names the host, instead of the URL; the
    host is then ``host/ci/`` and its value. member: whether the host may authenticate. ttl: seconds of a token.
    variables: id → versions (values in their order). privileges: id → what the host may: ``read``, ``execute``.
    log: CONJ codes that the server's own log has. encoding: whether the header for base64 arrives.
    listing: whether the host may list resources at all. list_max: of an answer. listed: called after each list.
    """

    def __init__(self, verifier: Verifier, annotations: Mapping[str, str], *, tls: Any = None) -> None:
        super().__init__(tls=tls)
        self.verifier = verifier
        self.annotations = dict(annotations)
        self.token_app_property = ""
        self.member = True
        self.ttl = 480
        self.with_exp = True
        self.encoding = True
        self.variables: dict[str, list[bytes]] = {}
        self.privileges: dict[str, set[str]] = {}
        self.log: list[str] = []
        self.problems: list[str] = []
        self.listing = True
        self.list_max = 500
        self.listed: Callable[[ConjurServer], None] = lambda _: None
        self._key = b"the signing key of this fake"

    def put(self, name: str, value: str | bytes, privileges: tuple[str, ...] = ("read", "execute")) -> None:
        """A further version of a variable, and what the host may do with it."""
        self.variables.setdefault(name, []).append(value.encode() if isinstance(value, str) else value)
        self.privileges[name] = set(privileges)

    # Access tokens.

    def issue(self, role: str, issued_at: float | None = None, expires_at: float | None = None) -> dict[str, str]:
        """A token as the API gives it out. app/domain/token_factory.rb."""
        issued_at = time.time() if issued_at is None else issued_at
        payload: dict[str, Any] = {"sub": role, "iat": int(issued_at)}
        if self.with_exp:
            payload["exp"] = int(issued_at + self.ttl if expires_at is None else expires_at)
        protected = _encoded({"alg": "conjur.org/slosilo/v2", "kid": "93ec51084fe37f773b588e562aecdc11"})
        body = _encoded(payload)
        return {"protected": protected, "payload": body, "signature": self._signature(protected, body)}

    def _signature(self, protected: str, payload: str) -> str:
        return hmac.new(self._key, f"{protected}.{payload}".encode(), "sha512").hexdigest()

    def role_of(self, token: str) -> str | None:
        """Whose live token (JSON) it is."""
        try:
            found = json.loads(token)
            payload = json.loads(base64.urlsafe_b64decode(found["payload"]))
        except (ValueError, KeyError, TypeError):
            return None
        signature = self._signature(found["protected"], found["payload"])
        if not hmac.compare_digest(signature, found["signature"]):
            return None
        ends = payload.get("exp", payload["iat"] + 480)
        return payload["sub"] if ends > time.time() else None

    # Requests.

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        status, content_type, body, extra = self._answer(exchange.request)
        found = problem(exchange.request, status, content_type, body)
        if found:
            self.problems.append(found)
        headers = {"X-Request-Id": "8d4a3f60", **({"Content-Type": content_type} if body else {}), **extra}
        exchange.answer(status, body, headers)

    def _answer(self, request: Received) -> "tuple[int, str, bytes, dict[str, str]]":
        parts = request.path.split("/")[1:]
        if parts[0] == "authn-jwt" and parts[-1] == "authenticate" and len(parts) in (4, 5):
            return self._authenticate(request, [unquote(part) for part in parts[1:-1]])
        if parts == ["whoami"]:
            role = self._caller(request)
            if role is None:
                return 401, "", b"", {}
            shown = {"client_ip": "127.0.0.1", "user_agent": "x", "account": ACCOUNT, "username": role}
            return _json(200, {**shown, "token_issued_at": "2026-01-01T00:00:00+00:00"})
        if parts[0] == "resources" and len(parts) == 2:
            return self._resources(request, unquote(parts[1]))
        if parts[0] == "secrets" and request.method == "GET":
            if self._caller(request) is None:
                return 401, "", b"", {}
            if len(parts) == 1:
                return self._batch(request)
            if len(parts) >= 4 and parts[2] == "variable":
                return self._show(request, unquote(parts[1]), unquote("/".join(parts[3:])))
        return _json(404, {"error": {"code": "not_found", "message": "no route"}})

    def _caller(self, request: Received) -> str | None:
        found = re.fullmatch(r'Token token="([A-Za-z0-9+/=]+)"', request.header("Authorization"))
        return self.role_of(base64.b64decode(found[1]).decode()) if found else None

    # The authenticator.

    def _authenticate(self, request: Received, names: list[str]) -> "tuple[int, str, bytes, dict[str, str]]":
        service, account, *rest = names
        form = parse_qs(request.body.decode(), keep_blank_values=True)
        if account != ACCOUNT:
            return self._no(401, "CONJ00008E")
        if service != SERVICE:
            return self._no(401, "CONJ00004E")
        if not form.get("jwt", [""])[0]:
            return self._no(400, "CONJ00009E")
        claims, reason = self.verifier.check(form["jwt"][0])
        if reason == "expired":
            self.log.append("CONJ00016E")
            return _json(401, {"error": {"code": "unauthorized", "message": "CONJ00016E Token expired"}})
        if claims is None:
            return self._no(401, "CONJ00035E")
        if bool(rest) == bool(self.token_app_property):
            return self._no(401, "CONJ00098E")
        host = rest[0] if rest else f"host/ci/{claims.get(self.token_app_property, '')}"
        known = HOST if rest else f"host/ci/{self.annotations.get(self.token_app_property, '')}"
        if host != known:
            return self._no(401, "CONJ00007E")
        if not self.member:
            return self._no(403, "CONJ00006E")
        for name, value in self.annotations.items():
            if name not in claims:
                return self._no(401, "CONJ00084E")
            if claims[name] != value:
                return self._no(401, "CONJ00049E")
        token = json.dumps(self.issue(host))
        encodings = [each.strip() for each in request.header("Accept-Encoding").split(",")]
        if self.encoding and "base64" in encodings:
            return 200, "text/plain; charset=utf-8", base64.b64encode(token.encode()), {"Content-Encoding": "base64"}
        # The specification knows the text only; the server says that it is JSON.
        return 200, "text/plain; charset=utf-8", token.encode(), {}

    def _no(self, status: int, code: str) -> "tuple[int, str, bytes, dict[str, str]]":
        self.log.append(code)
        return status, "", b"", {}

    # Variables.

    def _resources(self, request: Received, account: str) -> "tuple[int, str, bytes, dict[str, str]]":
        """resources_controller.rb: those that the role has any privilege on, by id; an account of others has none."""
        if self._caller(request) is None:
            return 401, "", b"", {}
        if not self.listing:
            return self._no(403, "CONJ00006E")
        query = {name: values[0] for name, values in request.query.items()}
        limit, offset = int(query.get("limit", "10" if "offset" in query else "10000")), int(query.get("offset", "0"))
        if limit > self.list_max:
            message = f"'Limit' parameter must not exceed {self.list_max}"
            return _json(422, {"error": {"code": "unprocessable_entity", "message": message}})
        seen = sorted(name for name, allowed in self.privileges.items() if allowed and account == ACCOUNT)
        shown = seen[offset : offset + limit]
        self.listed(self)
        made = {"created_at": "2026-01-01T00:00:00.000+00:00", "owner": f"{ACCOUNT}:policy:root", "policy": "p"}
        return _json(
            200,
            [
                {**made, "id": f"{ACCOUNT}:variable:{name}", "permissions": [], "annotations": [], "secrets": []}
                for name in shown
            ],
        )

    def _show(self, request: Received, account: str, name: str) -> "tuple[int, str, bytes, dict[str, str]]":
        versions, allowed = self.variables.get(name, []), self.privileges.get(name, set())
        version = request.query.get("version", [""])[0]
        if version and not version.isdigit():
            return _json(422, {"error": {"code": "argument_error", "message": "invalid type for parameter 'version'"}})
        if account != ACCOUNT or name not in self.privileges or not allowed:
            return self._empty(f"{account}:variable:{name}")
        if "execute" not in allowed:
            return self._no(403, "CONJ00006E")
        number = int(version) if version else len(versions)
        if not 1 <= number <= len(versions):
            return self._empty(f"{account}:variable:{name}")
        return 200, "application/octet-stream", versions[number - 1], {}

    def _batch(self, request: Received) -> "tuple[int, str, bytes, dict[str, str]]":
        wanted = request.query.get("variable_ids", [""])[0].split(",")
        if not all(wanted):
            return _json(422, {"error": {"code": "argument_error", "message": "variable_ids"}})
        ids = {f"{ACCOUNT}:variable:{name}": name for name in self.privileges}
        known = {each: ids[each] for each in wanted if each in ids}
        if any("execute" not in self.privileges[name] for name in known.values()):
            return self._no(403, "CONJ00006E")
        missing = [each for each in wanted if each not in known or not self.variables.get(known[each])]
        if missing or len(known) != len(wanted):  # one asked for twice counts as missing, too
            return self._empty(missing[0] if missing else wanted[0])
        values = {each: self.variables[name][-1] for each, name in known.items()}
        if self.encoding and request.header("Accept-Encoding").lower() == "base64":
            # Ruby's Base64.encode64: lines of 60 characters.
            return _json(200, {k: base64.encodebytes(v).decode() for k, v in values.items()}, "base64")
        try:
            return _json(200, {k: v.decode() for k, v in values.items()})
        except UnicodeDecodeError:
            return _json(406, {"error": {"code": "not_acceptable", "message": "CONJ00074E Issue encoding secret"}})

    def _empty(self, name: str) -> "tuple[int, str, bytes, dict[str, str]]":
        message = f"CONJ00076E Variable {name} is empty or not found."
        return _json(404, {"error": {"code": "not_found", "message": message}})


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def _json(status: int, value: object, encoding: str = "") -> "tuple[int, str, bytes, dict[str, str]]":
    extra = {"Content-Encoding": encoding} if encoding else {}
    return status, "application/json; charset=utf-8", json.dumps(value).encode(), extra

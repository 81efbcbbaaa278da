"""An OIDC issuer like GitHub's, whose tokens a real OpenBao accepts; mints any claims, so GitLab's as well.

    with OIDCIssuer() as issuer:
        bao.jwt_auth("jwt", issuer.url)
        environment = issuer.github_env()                 # GITHUB_* and ACTIONS_ID_TOKEN_REQUEST_*
        jwt = issuer.mint("bao", repository="acme/other")   # without a request
        issuer.fail_next(2, 503)                            # the token endpoint answers 503 twice

    python -m tests.fakes.github_oidc --port 9100

Claims: https://docs.github.com/en/actions/reference/security/oidc and
https://docs.gitlab.com/ci/secrets/id_token_authentication/#token-payload

What it can't show: GitHub's own throttling and token sizes, a real issuer's TLS certificate, key rotation on
GitHub's schedule, whether `permissions: id-token` would have been granted, subject customisation by an
organisation's settings, and that GitLab or GitHub fill a claim as documented.
"""

import argparse
import json
import secrets
import signal
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fakes.loopback import Exchange, LoopbackServer, Received
from tests.fakes.misbehaving import Behaviour, drop, garbage_json, hang, reply, slow_headers

Claims = dict[str, Any]

# GitHub's tokens live 5 minutes; `nbf` lies 10 minutes before `iat`, as seen in its documented example.
LIFETIME_SECONDS = 300
NOT_BEFORE_SECONDS = 600

# Claims whose value is also in a variable of the job, GITHUB_<NAME>.
SAME_AS_VARIABLES = (
    *("repository", "repository_id", "repository_owner", "repository_owner_id"),
    *("ref", "ref_type", "ref_protected", "sha", "workflow", "workflow_ref", "workflow_sha"),
    *("run_id", "run_number", "run_attempt", "actor", "actor_id", "event_name", "head_ref", "base_ref"),
)


def github_claims(
    repository: str = "acme/trainer",
    *,
    ref: str = "refs/heads/main",
    environment: str | None = None,
    event_name: str = "push",
    immutable_subject: bool = False,
) -> Claims:
    """The claims of a GitHub job, without iss, aud and times.

    `immutable_subject` is the form `repo:owner@id/name@id:...` that repositories created from July 2026 get.
    """
    owner, _, name = repository.partition("/")
    owner_id, repository_id = "6539", "817264"
    whose = f"{owner}@{owner_id}/{name}@{repository_id}" if immutable_subject else repository
    if environment:
        context = f"environment:{environment}"
    elif event_name == "pull_request":
        context = "pull_request"
    else:
        context = f"ref:{ref}"
    pull_request = event_name == "pull_request"
    workflow_ref = f"{repository}/.github/workflows/train.yml@{ref}"
    sha = "8f3b1c0a9d6e4f7250b1c3d4e5f60718293a4b5c"
    claims: Claims = {
        "sub": f"repo:{whose}:{context}",
        "repository": repository,
        "repository_id": repository_id,
        "repository_owner": owner,
        "repository_owner_id": owner_id,
        "repository_visibility": "private",
        "ref": ref,
        "ref_type": "tag" if ref.startswith("refs/tags/") else "branch",
        "ref_protected": "true",
        "sha": sha,
        "workflow": "train",
        "workflow_ref": workflow_ref,
        "workflow_sha": sha,
        "job_workflow_ref": workflow_ref,
        "job_workflow_sha": sha,
        "run_id": "7421359018",
        "run_number": "42",
        "run_attempt": "1",
        "actor": "octocat",
        "actor_id": "583231",
        "event_name": event_name,
        "head_ref": "topic" if pull_request else "",
        "base_ref": "main" if pull_request else "",
        "runner_environment": "github-hosted",
    }
    if environment:
        claims["environment"] = environment
        claims["environment_node_id"] = "EN_kwDOAJXlDM8AAAABHk"
    return claims


def gitlab_claims(project: str = "acme/trainer", *, ref: str = "main", ref_type: str = "branch") -> Claims:
    """The claims of a GitLab job, without iss, aud and times."""
    kind = {"branch": "heads", "tag": "tags"}[ref_type]
    return {
        "sub": f"project_path:{project}:ref_type:{ref_type}:ref:{ref}",
        "namespace_id": "72",
        "namespace_path": project.rpartition("/")[0],
        "project_id": "20",
        "project_path": project,
        "project_visibility": "private",
        "user_id": "1",
        "user_login": "sample-user",
        "user_email": "sample-user@example.com",
        "user_access_level": "developer",
        "pipeline_id": "574",
        "pipeline_source": "push",
        "job_id": "302",
        "ref": ref,
        "ref_type": ref_type,
        "ref_path": f"refs/{kind}/{ref}",
        "ref_protected": "true",
        "runner_id": 1,
        "runner_environment": "self-hosted",
        "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "ci_config_ref_uri": f"gitlab.example.com/{project}//.gitlab-ci.yml@refs/{kind}/{ref}",
        "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    }


class OIDCIssuer(LoopbackServer):
    """The issuer: `.url` is its `iss`, `.claims` what the token endpoint puts into a token (change it freely).

    `.token_requests()` is what arrived at the token endpoint; `.minted` counts tokens handed out there.
    """

    def __init__(
        self, claims: Mapping[str, Any] | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(port=port, tls=tls)
        self.claims: Claims = dict(github_claims() if claims is None else claims)
        self.request_token = f"runner-{secrets.token_hex(24)}"
        self.kid = uuid.uuid4().hex
        self.minted = 0
        # Called with each token that the endpoint hands out.
        self.on_token: Callable[[str], None] = lambda token: None
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._foreign_key: rsa.RSAPrivateKey | None = None
        self._faults: list[Behaviour] = []
        self._lock = threading.Lock()

    def reset(self, claims: Mapping[str, Any] | None = None) -> None:
        """As new, with the same URL and key: default claims, no faults, nothing on record."""
        with self._lock:
            self._faults.clear()
            self.requests.clear()
            self.minted = 0
        self.claims = dict(github_claims() if claims is None else claims)
        self.on_token = lambda token: None

    # What a job is given.

    @property
    def request_url(self) -> str:
        """ACTIONS_ID_TOKEN_REQUEST_URL. As GitHub's, it has a query already: append `&audience=`."""
        return f"{self.url}/token?api-version=2.0"

    def actions_env(self) -> dict[str, str]:
        """The two variables that `permissions: id-token: write` gives a job."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": self.request_url,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.request_token,
        }

    def github_env(self) -> dict[str, str]:
        """`actions_env()` and the GITHUB_*, RUNNER_* variables that agree with `.claims`.

        Files (GITHUB_ENV, GITHUB_OUTPUT, ...) and directories are the caller's to add.
        """
        claims = self.claims
        ref = claims["ref"]
        same = {f"GITHUB_{name.upper()}": str(claims[name]) for name in SAME_AS_VARIABLES}
        return {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_API_URL": "https://api.github.com",
            "GITHUB_JOB": "train",
            "GITHUB_ACTION": "lease",
            "GITHUB_REF_NAME": ref.removeprefix("refs/heads/").removeprefix("refs/tags/"),
            "GITHUB_TRIGGERING_ACTOR": claims["actor"],
            "RUNNER_ENVIRONMENT": claims["runner_environment"],
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
            "RUNNER_NAME": "GitHub Actions 7",
            **same,
            **self.actions_env(),
        }

    # Tokens.

    def mint(
        self,
        audience: str | list[str] | None = None,
        *,
        lifetime: float = LIFETIME_SECONDS,
        not_before: float = -NOT_BEFORE_SECONDS,
        without: tuple[str, ...] = (),
        forged: bool = False,
        **claims: Any,
    ) -> str:
        """A signed token: `.claims`, then these `claims` over them, then `without` names taken out.

        `lifetime` and `not_before` are seconds from now; a negative lifetime gives an expired token. `forged`
        signs with another key under the same `kid`. With other claims given, `sub` stays as it was.
        """
        now = int(time.time())
        issued = min(now, int(now + lifetime) - 1)
        payload: Claims = {
            "jti": str(uuid.uuid4()),
            **self.claims,
            "aud": audience if audience is not None else self.default_audience(),
            "iss": self.url,
            "nbf": int(now + not_before),
            "iat": issued,
            "exp": int(now + lifetime),
            **claims,
        }
        for name in without:
            payload.pop(name, None)
        key = self._key
        if forged:
            if self._foreign_key is None:
                self._foreign_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            key = self._foreign_key
        return jwt.encode(payload, key, algorithm="RS256", headers={"kid": self.kid})

    def default_audience(self) -> str:
        """Without an audience in the request GitHub takes the owner's URL."""
        return f"https://github.com/{self.claims.get('repository_owner', 'acme')}"

    def rotate_key(self) -> None:
        """A new signing key with a new kid; tokens minted before no longer verify."""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.kid = uuid.uuid4().hex

    def jwks(self) -> dict[str, Any]:
        """The public key set (RFC 7517)."""
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**key, "kid": self.kid, "use": "sig", "alg": "RS256"}]}

    # Faults of the token endpoint: the next request or requests, then all is well again.

    def fault(self, *behaviours: Behaviour) -> None:
        """The next token requests get these behaviours (see `tests.fakes.misbehaving`), one each."""
        with self._lock:
            self._faults += behaviours

    def fail_next(self, count: int = 1, code: int = 503, *, retry_after: str | None = None) -> None:
        """The next `count` token requests answer with an error status."""
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        self.fault(*[reply(code, json={"message": "fault injected"}, headers=headers)] * count)

    def hang_next(self, count: int = 1) -> None:
        """The next token requests are never answered."""
        self.fault(*[hang()] * count)

    def drop_next(self, count: int = 1) -> None:
        """The next token requests get their connection reset."""
        self.fault(*[drop()] * count)

    def drip_next(self, count: int = 1) -> None:
        """The next token requests are answered a byte a second."""
        self.fault(*[slow_headers()] * count)

    def garbage_next(self, count: int = 1) -> None:
        """The next token requests get something that is no JSON."""
        self.fault(*[garbage_json()] * count)

    def answer_next(self, value: object, code: int = 200) -> None:
        """The next token request gets this JSON, such as `{"value": ""}`."""
        self.fault(reply(code, json=value))

    def token_next(self, **mint: Any) -> None:
        """The next token request gets a token minted so: `token_next(lifetime=-60)`, `token_next(forged=True)`."""
        self.fault(lambda exchange: self._answer_token(exchange, **mint))

    def expired_next(self, count: int = 1) -> None:
        """The next token requests get a token that expired a minute ago."""
        for _ in range(count):
            self.token_next(lifetime=-60)

    # What arrived.

    def token_requests(self) -> list[Received]:
        """Requests to the token endpoint, failed ones too."""
        return [request for request in self.requests if request.path == "/token"]

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        path = exchange.request.path
        if path == "/.well-known/openid-configuration":
            exchange.answer_json(200, self._discovery())
        elif path in ("/jwks", "/.well-known/jwks"):
            exchange.answer_json(200, self.jwks())
        elif path == "/token":
            self._token(exchange)
        else:
            exchange.answer_json(404, {"message": "Not Found"})

    def _discovery(self) -> Claims:
        known = ["sub", "aud", "exp", "iat", "iss", "jti", "nbf", *self.claims]
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/.well-known/jwks",
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "claims_supported": sorted(set(known)),
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        }

    def _token(self, exchange: Exchange) -> None:
        with self._lock:
            behaviour = self._faults.pop(0) if self._faults else None
        if behaviour is not None:
            behaviour(exchange)
            return
        request = exchange.request
        scheme, _, credential = request.header("Authorization").partition(" ")
        known = secrets.compare_digest(credential.encode(), self.request_token.encode())
        if scheme.lower() != "bearer" or not known:
            exchange.answer_json(401, {"message": "The request token is not known."})
            return
        if request.method != "GET" or request.query.get("api-version") != ["2.0"]:
            exchange.answer_json(400, {"message": "GET with api-version=2.0 is what this endpoint knows."})
            return
        self._answer_token(exchange)

    def _answer_token(self, exchange: Exchange, **mint: Any) -> None:
        audiences = exchange.request.query.get("audience", [None])
        if len(audiences) > 1:
            exchange.answer_json(400, {"message": "More than one audience."})
            return
        token = self.mint(**{"audience": audiences[0], **mint})
        self.on_token(token)
        with self._lock:
            self.minted += 1
        exchange.answer_json(
            200,
            {"count": 1, "value": token},
            {"Content-Type": "application/json; charset=utf-8; api-version=2.0"},
        )

    def audience_url(self, audience: str) -> str:
        """The URL that a correct client asks for."""
        return f"{self.request_url}&audience={quote(audience, safe='')}"


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; prints the URL, then the request token, one a line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.github_oidc", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--repository", default="acme/trainer")
    parser.add_argument("--environment", default=None)
    options = parser.parse_args(arguments)
    claims = github_claims(options.repository, environment=options.environment)
    # A shell starts its background jobs with SIGINT ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with OIDCIssuer(claims, port=options.port) as issuer:
        try:
            sys.stdout.write(f"{issuer.url}\n{issuer.request_token}\n")
            sys.stdout.flush()
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""An OpenBao made ready for a job: the set-up that nearly every test, the demo and the bench need."""

import secrets
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.github_oidc import OIDCIssuer
from tests.servers.openbao import KV, SELF_POLICY, BaoClient


def unique_name(prefix: str) -> str:
    """`prefix` and 8 random hex digits: a name nobody else has in a shared server."""
    return f"{prefix}-{secrets.token_hex(4)}"


@dataclass
class Trust:
    """What a job needs to know to log in, and what it may read.

    `grant(path, *capabilities)` lets it do more. Its tokens last 15 min, at most 1 h.
    """

    bao: BaoClient
    issuer: OIDCIssuer
    mount: str
    role: str
    audience: str
    policy: str
    kv: KV
    _rules: list[str] = field(default_factory=list)

    @classmethod
    def create(
        cls,
        bao: BaoClient,
        issuer: OIDCIssuer,
        *,
        audience: str = "https://bao.example.com",
        repository: str | None = None,
        **role: Any,
    ) -> "Trust":
        """JWT mount, role (fields over the defaults in `role`), policy and KV v2 mount, all newly named.

        The role is bound to `repository` (the issuer's unless given) and to `audience`.
        """
        kv = bao.kv2(unique_name("kv"))
        made = cls(bao, issuer, unique_name("jwt"), unique_name("role"), audience, unique_name("policy"), kv)
        made._rules.append(SELF_POLICY)
        made.grant(f"{kv.mount}/data/*", "read")
        made.grant(f"{kv.mount}/metadata/*", "read", "list")
        bao.jwt_auth(made.mount, issuer.url)
        bound = repository or issuer.claims["repository"]
        bao.jwt_role(
            made.mount,
            made.role,
            {
                "bound_audiences": [audience],
                "bound_claims": {"repository": bound},
                "user_claim": "repository",
                "claim_mappings": {"repository": "repository", "run_id": "run_id", "actor": "actor"},
                "token_policies": [made.policy],
                **role,
            },
        )
        return made

    def grant(self, path: str, *capabilities: str) -> None:
        """Let the role's tokens (those alive too) do this to a path; no capabilities means read."""
        listed = ", ".join(f'"{name}"' for name in capabilities or ("read",))
        self._rules.append(f'path "{path}" {{ capabilities = [{listed}] }}')
        self.bao.policy(self.policy, "\n".join(self._rules))

    def login(self, **mint: Any) -> str:
        """A token as the job would get it, without the code under test. Raises AssertionError when refused."""
        token = self.issuer.mint(**{"audience": self.audience, **mint})
        answer = self.bao.request("POST", f"auth/{self.mount}/login", {"role": self.role, "jwt": token}, token="")
        assert answer.ok, f"login refused with {answer.status_code}"
        return str(answer.json()["auth"]["client_token"])

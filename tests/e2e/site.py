"""The OpenBao that the examples speak of: mount `jwt`, role `deploy`, `secret/ci`, `database/creds/app` on Valkey.

The examples name all of it, so it is a server of its own (one per worker), and each test gets it as new: other
secrets, another role, no token alive but root's.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import leaks
from tests.fakes.github_oidc import OIDCIssuer
from tests.leaks import Seeded
from tests.servers.openbao import SELF_POLICY, OpenBao
from tests.servers.valkey import Valkey

REPOSITORY = Path(__file__).resolve().parents[2]
AUDIENCE = "https://vault.example.com"
RULES = f"""{SELF_POLICY}
path "secret/data/*" {{ capabilities = ["read"] }}
path "database/creds/app" {{ capabilities = ["read"] }}
"""
# What a script of the tests prints instead of a value, and what shows that the database user works: AUTH is
# answered with +OK. /dev/tcp is bash's.
SHOW = """\
show() { printf '%s sha256=%s\\n' "$1" "$(printf '%s' "$2" | sha256sum | cut -d' ' -f1)"; }
database_answers() {
    exec 3<>"/dev/tcp/127.0.0.1/$VALKEY_PORT"
    printf 'AUTH %s %s\\r\\n' "$DB_USERNAME" "$DB_PASSWORD" >&3
    head -n 1 <&3 | tr -d '\\r'
    exec 3>&-
}
"""


def sha256(value: str | bytes) -> str:
    """What the scripts print of a value: its SHA-256 in hex."""
    return hashlib.sha256(value.encode() if isinstance(value, str) else value).hexdigest()


@dataclass
class Site:
    """The server, ready for one test. `token` is the value of `secret/ci#token`."""

    bao: OpenBao
    valkey: Valkey
    issuer: OIDCIssuer
    seeded: Seeded = field(repr=False)
    token: str = field(default="", repr=False)

    def reset(self) -> None:
        """Other secrets, no dynamic user and no token but root's; the role is bound to the issuer's repository."""
        for accessor in self.accessors():
            self.bao.write("auth/token/revoke-accessor", accessor=accessor)
        self.bao.write("sys/leases/revoke-force/database")
        self.dynamic()
        self.token = self.seeded.new("deploy-token")
        self.put("ci", {"token": self.token})
        self.grant()
        self.bind()

    def put(self, path: str, data: Mapping[str, Any]) -> None:
        """Write `secret/<path>`."""
        self.bao.write(f"secret/data/{path}", {"data": dict(data)})

    def dynamic(self, ttl: str = "5m") -> None:
        """Users of `database/creds/app` live this long, and can be renewed up to 30 min."""
        self.bao.database_valkey("database", self.valkey, "app", ttl=ttl)

    def flags(self, *secrets: str) -> list[str]:
        """Flags of the command line: the server, the role, and what to read (`DEPLOY_TOKEN` if not given)."""
        words = ["--url", self.bao.url, "--role", "deploy", "--audience", AUDIENCE]
        for secret in secrets or ("secret/data/ci token | DEPLOY_TOKEN",):
            words += ["--secret", secret]
        return words

    def grant(self, *rules: str) -> None:
        """The role may read `secret/` and `database/creds/app`, and what these HCL rules say."""
        self.bao.policy("deploy", "\n".join([RULES, *rules]))

    def bind(self, claims: Mapping[str, str] | None = None, **role: Any) -> None:
        """Bind the role to these claims (the repository's if not given); `role` are more of its fields."""
        self.bao.jwt_role(
            "jwt",
            "deploy",
            {
                "bound_audiences": [self.bao.url, AUDIENCE],
                "bound_claims": dict(claims or {"repository": self.issuer.claims["repository"]}),
                "token_policies": ["deploy"],
                **role,
            },
        )

    def accessors(self) -> set[str]:
        """Accessors of the tokens that are alive, without root's."""
        own = self.bao.read("auth/token/lookup-self")["data"]["accessor"]
        return set(self.bao.list("auth/token/accessors")) - {own}

    def users(self) -> set[str]:
        """Valkey users made for the role `app` (other tests of this worker use the same Valkey)."""
        return {name for name in self.valkey.users() if "_APP_" in name}

    def logins(self) -> int:
        """How many logins of the JWT mount the audit device has seen succeed so far."""
        return sum(
            entry["type"] == "response"
            and entry["request"]["path"] == "auth/jwt/login"
            and bool(entry.get("auth"))
            and not entry.get("error")
            for entry in self.bao.audit_lines()
        )

    def nothing_alive(self) -> bool:
        """No token, no dynamic user."""
        return not self.accessors() and not self.users()

    def token_file(self, path: Path, **mint: Any) -> Path:
        """A file with an identity token, for platforms that hand one over; seeded, and allowed in that file."""
        token = self.issuer.mint(AUDIENCE, **mint)
        self.seeded.add(token)
        path.write_text(token)
        path.chmod(0o600)
        self.seeded.allow_file(path, token)
        return path


@pytest.fixture(scope="session")
def _site_server(_issuer: OIDCIssuer, valkey: Valkey) -> Iterator[OpenBao]:
    with OpenBao() as bao:
        leaks.SESSION_VALUES.add(bao.token)
        bao.jwt_auth("jwt", _issuer.url)
        bao.database_valkey("database", valkey, "app")
        yield bao


@pytest.fixture
def site(_site_server: OpenBao, valkey: Valkey, issuer: OIDCIssuer, seeded: Seeded) -> Site:
    """The server of the examples, fresh; see `Site`."""
    made = Site(_site_server, valkey, issuer, seeded)
    made.reset()
    return made


def example(name: str) -> str:
    """The text of examples/<name>."""
    return (REPOSITORY / "examples" / name).read_text()


def substituted(text: str, pattern: str, replacement: str) -> str:
    """The one substitution that examples/README.md allows: `pattern` must be there exactly once."""
    made, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
    assert count == 1, f"{count} places match {pattern!r}"
    return made


def script(path: Path, body: str, shell: str = "/bin/bash") -> Path:
    """An executable script with `show` and `database_answers`."""
    path.write_text(f"#!{shell}\nset -eu\n{SHOW}{body}")
    path.chmod(0o755)
    return path

"""A small client for setting an OpenBao up, and for looking at what is alive in it.

It is `requests` straight on the HTTP API, so that a test never sets a server up with the very code it tests.
API: https://openbao.org/api-docs/
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tests.servers.process import ServerError, wait_until

if TYPE_CHECKING:
    from tests.servers.postgres import Postgres
    from tests.servers.valkey import Valkey

JSON = dict[str, Any]
# Names of their own: inside the client, `list` is the HTTP method of that name.
Strings = list[str]
Entries = list[JSON]

# Least a CI token needs besides its secrets, since roles here leave the `default` policy out.
SELF_POLICY = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"""


class BaoError(ServerError):
    """OpenBao refused a request of the test bed; `status` is the HTTP code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class KV:
    """A key/value mount. `kv.put("ci", {"key": "value"})`; `kv.api("ci")` is the path of the HTTP API."""

    bao: "BaoClient"
    mount: str
    version: int

    def api(self, path: str) -> str:
        """The API path that reads a secret: `mount/data/path` on version 2, `mount/path` on version 1."""
        return f"{self.mount}/data/{path}" if self.version == 2 else f"{self.mount}/{path}"

    def put(self, path: str, data: Mapping[str, Any]) -> int:
        """Write a secret; returns its version number (0 on a version 1 mount)."""
        if self.version == 1:
            self.bao.write(f"{self.mount}/{path}", dict(data))
            return 0
        answer = self.bao.write(self.api(path), {"data": dict(data)})
        return int(answer["data"]["version"])

    def get(self, path: str) -> JSON:
        """The fields of the newest version."""
        data: JSON = self.bao.read(self.api(path))["data"]
        if self.version == 2:
            data = data["data"]
        return data


class BaoClient:
    """Set-up calls with a token (root unless said otherwise) in one namespace."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        namespace: str | None = None,
        ca_path: Path | None = None,
    ) -> None:
        self.url = url
        self.token = token
        self.namespace_path = namespace
        self.ca_path = ca_path

    # Requests.

    def request(
        self,
        method: str,
        path: str,
        data: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """One request to `/v1/<path>`; the answer as it came, redirects too. `token=""` sends none."""
        sent = {"X-Vault-Request": "true"}
        used = self.token if token is None else token
        if used:
            sent["X-Vault-Token"] = used
        if self.namespace_path:
            sent["X-Vault-Namespace"] = self.namespace_path
        sent.update(headers or {})
        with requests.Session() as session:
            # A proxy or a netrc of the developer's machine has no say in the test bed.
            session.trust_env = False
            return session.request(
                method,
                f"{self.url}/v1/{path}",
                json=data,
                headers=sent,
                timeout=20,
                allow_redirects=False,
                verify=str(self.ca_path) if self.ca_path else True,
            )

    def call(self, method: str, path: str, data: Mapping[str, Any] | None = None) -> JSON:
        """One request that must succeed; `{}` for an empty answer. Raises BaoError."""
        answer = self.request(method, path, data)
        if not answer.ok:
            raise BaoError(
                answer.status_code,
                f"{method} {path}: {answer.status_code} {answer.text.strip()}",
            )
        body: JSON = answer.json() if answer.content else {}
        return body

    def write(self, path: str, data: Mapping[str, Any] | None = None, /, **fields: Any) -> JSON:
        """POST; returns the whole answer."""
        return self.call("POST", path, {**(data or {}), **fields})

    def read(self, path: str) -> JSON:
        """GET; returns the whole answer, so a KV v2 secret is at `["data"]["data"]`."""
        return self.call("GET", path)

    def list(self, path: str) -> Strings:
        """LIST; no keys is an empty list."""
        try:
            keys: list[str] = self.call("LIST", path)["data"]["keys"]
        except BaoError as error:
            if error.status == 404:
                return []
            raise
        return keys

    def delete(self, path: str) -> None:
        """DELETE."""
        self.call("DELETE", path)

    # Policies, mounts, auth methods.

    def policy(self, name: str, hcl: str) -> str:
        """Write a policy; returns its name. Add `SELF_POLICY` for what every CI token needs."""
        self.call("PUT", f"sys/policies/acl/{name}", {"policy": hcl})
        return name

    def mount(self, path: str, kind: str, **config: Any) -> str:
        """Enable a secrets engine; returns its path."""
        self.write(f"sys/mounts/{path}", {"type": kind, **config})
        return path

    def auth(self, path: str, kind: str, **config: Any) -> str:
        """Enable an auth method; returns its path."""
        self.write(f"sys/auth/{path}", {"type": kind, **config})
        return path

    def kv1(self, mount: str) -> KV:
        """A new key/value mount, version 1."""
        self.mount(mount, "kv", options={"version": "1"})
        return KV(self, mount, 1)

    def kv2(self, mount: str) -> KV:
        """A new key/value mount, version 2."""
        self.mount(mount, "kv", options={"version": "2"})

        def upgraded() -> bool:
            # A fresh v2 mount answers 400 "Upgrading from non-versioned to versioned data" for a moment.
            return self.request("GET", f"{mount}/config").status_code == 200

        wait_until(upgraded, 10, f"kv v2 mount {mount}")
        return KV(self, mount, 2)

    def jwt_auth(self, mount: str, issuer: str, **config: Any) -> str:
        """Enable JWT auth trusting `issuer` (its discovery document is read at once); returns the mount."""
        self.auth(mount, "jwt")
        self.write(
            f"auth/{mount}/config",
            oidc_discovery_url=issuer,
            bound_issuer=issuer,
            **config,
        )
        return mount

    def jwt_role(self, mount: str, name: str, role: Mapping[str, Any]) -> str:
        """A JWT role; returns its name. A role needs at least one bound_* constraint.

        Defaults: user_claim `sub`, no default policy, 15 min tokens, at most 1 h.
        https://openbao.org/api-docs/auth/jwt/#create-update-role
        """
        defaults: JSON = {
            "role_type": "jwt",
            "user_claim": "sub",
            "token_ttl": "15m",
            "token_max_ttl": "1h",
            "token_no_default_policy": True,
        }
        self.write(f"auth/{mount}/role/{name}", {**defaults, **role})
        return name

    def namespace(self, name: str) -> "BaoClient":
        """Create a namespace (below this one) and return a client inside it."""
        self.write(f"sys/namespaces/{name}")
        path = f"{self.namespace_path}/{name}" if self.namespace_path else name
        return BaoClient(self.url, self.token, namespace=path, ca_path=self.ca_path)

    def approle(self, mount: str, name: str, *policies: str, **role: Any) -> tuple[str, str]:
        """Enable AppRole with one role; returns its role id and a secret id."""
        self.auth(mount, "approle")
        self.write(
            f"auth/{mount}/role/{name}",
            {"token_policies": list(policies), "token_ttl": "15m", "token_no_default_policy": True, **role},
        )
        role_id = self.read(f"auth/{mount}/role/{name}/role-id")["data"]["role_id"]
        secret_id = self.write(f"auth/{mount}/role/{name}/secret-id")["data"]["secret_id"]
        return str(role_id), str(secret_id)

    def pki(self, mount: str, role: str, *, domain: str = "ci.example.com", ttl: str = "5m", **fields: Any) -> str:
        """A CA with a role for `domain` and its subdomains; returns the path to write, `<mount>/issue/<role>`."""
        self.mount(mount, "pki", config={"max_lease_ttl": "24h"})
        self.write(f"{mount}/root/generate/internal", common_name=f"{domain} test CA", ttl="24h")
        self.write(
            f"{mount}/roles/{role}",
            {
                "allowed_domains": [domain],
                "allow_bare_domains": True,
                "allow_subdomains": True,
                "max_ttl": "1h",
                "ttl": ttl,
                "generate_lease": True,
                **fields,
            },
        )
        return f"{mount}/issue/{role}"

    def wrap(self, path: str, ttl: str = "60s") -> str:
        """Read a path response-wrapped; returns the single-use wrapping token."""
        answer = self.request("GET", path, headers={"X-Vault-Wrap-TTL": ttl})
        if not answer.ok:
            raise BaoError(answer.status_code, f"GET {path}: {answer.status_code} {answer.text.strip()}")
        return str(answer.json()["wrap_info"]["token"])

    # Dynamic database credentials.

    def database_valkey(
        self,
        mount: str,
        valkey: "Valkey",
        role: str,
        *,
        creation: Sequence[str] = ("~app:*", "+@read", "+set"),
        ttl: str = "5m",
        max_ttl: str = "30m",
    ) -> str:
        """A role that makes Valkey users; returns the path to read, `<mount>/creds/<role>`."""
        config = {
            "plugin_name": "valkey-database-plugin" if self._has_plugin("valkey") else "redis-database-plugin",
            "host": "127.0.0.1",
            "port": valkey.port,
            "username": "default",
            "password": valkey.password,
        }
        return self._database(mount, "valkey", config, role, json.dumps(list(creation)), ttl, max_ttl)

    def database_postgres(
        self,
        mount: str,
        postgres: "Postgres",
        role: str,
        *,
        creation: str = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' "
        "VALID UNTIL '{{expiration}}' INHERIT; GRANT pg_read_all_data TO \"{{name}}\";",
        ttl: str = "5m",
        max_ttl: str = "30m",
    ) -> str:
        """A role that makes PostgreSQL roles; returns the path to read, `<mount>/creds/<role>`."""
        config = {
            "plugin_name": "postgresql-database-plugin",
            "username": postgres.admin,
            "password": postgres.password,
            "connection_url": "postgresql://{{username}}:{{password}}"
            f"@127.0.0.1:{postgres.port}/postgres?sslmode=disable",
        }
        return self._database(mount, "postgres", config, role, creation, ttl, max_ttl)

    def _has_plugin(self, kind: str) -> bool:
        catalog = self.read("sys/plugins/catalog")["data"]
        return f"{kind}-database-plugin" in catalog.get("database", [])

    def _database(
        self,
        mount: str,
        name: str,
        config: JSON,
        role: str,
        creation: str,
        ttl: str,
        max_ttl: str,
    ) -> str:
        if f"{mount}/" not in self.read("sys/mounts")["data"]:
            self.mount(mount, "database")
        self.write(f"{mount}/config/{name}", {**config, "allowed_roles": "*"})
        self.write(
            f"{mount}/roles/{role}",
            db_name=name,
            creation_statements=creation,
            default_ttl=ttl,
            max_ttl=max_ttl,
        )
        return f"{mount}/creds/{role}"

    # What is alive.

    def new_token(self, *, policies: Sequence[str] = (), ttl: str = "15m", **fields: Any) -> str:
        """A new service token."""
        answer = self.write("auth/token/create", policies=list(policies), ttl=ttl, **fields)
        return str(answer["auth"]["client_token"])

    def token_lookup(self, accessor_or_token: str) -> JSON | None:
        """What OpenBao knows of a token (given itself or by its accessor), or None when it is gone."""
        is_token = accessor_or_token == self.token or accessor_or_token.startswith(("s.", "b.", "hvs."))
        if is_token:
            answer = self.request("POST", "auth/token/lookup", {"token": accessor_or_token})
        else:
            answer = self.request("POST", "auth/token/lookup-accessor", {"accessor": accessor_or_token})
        if answer.status_code in (403, 404) or "invalid accessor" in answer.text:
            return None
        if not answer.ok:
            raise BaoError(
                answer.status_code,
                f"token lookup: {answer.status_code} {answer.text.strip()}",
            )
        data: JSON = answer.json()["data"]
        return data

    def leases(self, prefix: str) -> Strings:
        """Full ids of the live leases below a path, such as `database/creds/ci`."""
        found: Strings = []
        base = prefix.rstrip("/")
        for key in self.list(f"sys/leases/lookup/{base}/"):
            found += self.leases(f"{base}/{key}") if key.endswith("/") else [f"{base}/{key}"]
        return found

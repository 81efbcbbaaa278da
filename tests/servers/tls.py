"""Certificates from a throw-away CA (trustme), for servers that no client trusts by itself."""

import ssl
from pathlib import Path

import trustme


class ThrowawayCA:
    """A certificate authority of its own: `.write(directory)` gives the CA file, `.server_context()` a server.

    Two of them don't trust each other: that is "an unknown CA".
    """

    def __init__(self) -> None:
        self._ca = trustme.CA()

    def write(self, directory: Path, name: str = "ca.pem") -> Path:
        """Write the CA certificate and return its path."""
        path = directory / name
        self._ca.cert_pem.write_to_path(str(path))
        return path

    def server_context(self, *names: str, require_client: bool = False) -> ssl.SSLContext:
        """TLS settings of a server for `names` (127.0.0.1 and localhost unless given).

        With `require_client`, only clients that show a certificate of this CA get in.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*(names or ("127.0.0.1", "localhost"))).configure_cert(context)
        if require_client:
            self._ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_files(self, directory: Path, identity: str = "ci@example.com") -> tuple[Path, Path]:
        """Write a client certificate and its key; returns both paths."""
        leaf = self._ca.issue_cert(identity)
        certificate, key = directory / "client.pem", directory / "client-key.pem"
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key.touch(0o600)
        leaf.private_key_pem.write_to_path(str(key))
        return certificate, key

"""A process of moto's server: STS, Secrets Manager and SSM's parameters, for the breadth of their APIs.

It verifies nothing: not the signature of a request, not a session's token or its end, no trust or other policy. What a
test shows with it is that requests have the right names and shapes, and that answers are read. Signatures are checked
by `tests.fakes.aws_sigv4`, and by SeaweedFS, which also verifies identity tokens.
"""

import logging
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from tests.servers.process import Server

ACCOUNT = "123456789012"
"""Moto's own: where no role tells another one (`moto.core.DEFAULT_ACCOUNT_ID`)."""


class Moto(Server):
    """`.url` serves all services on one port: the fixture `moto`. `moto.client("ssm").put_parameter(…)`."""

    name = "moto"

    @property
    def url(self) -> str:
        """Address of every service."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str, region: str = "eu-central-1", **credentials: str) -> Any:
        """A boto3 client to fill a service, as an administrator of `ACCOUNT` where no credentials are given."""
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]

        # At DEBUG it logs what it sends: the values that a test stores.
        logging.getLogger("botocore").setLevel(logging.INFO)
        keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "moto-verifies-nothing"}
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            config=Config(retries={"max_attempts": 1}, ignore_configured_endpoint_urls=True, proxies={}),
            **(credentials or keys),
        )

    def command(self) -> Sequence[str]:
        """See Server."""
        return [sys.executable, "-P", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def environment(self) -> Mapping[str, str]:
        """See Server. Its own instance metadata are never asked for."""
        return {**super().environment(), "AWS_EC2_METADATA_DISABLED": "true", "PYTHONDONTWRITEBYTECODE": "1"}

    def ready(self) -> bool:
        """See Server."""
        with urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=1) as answer:
            return bool(answer.status == 200)

"""The services of the cases with clouds: SeaweedFS's STS for AWS, and fakes that verify the identity token.

What they do not show: a vendor's own time. All of them are slowed down alike where a case says so.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import boto3  # type: ignore[import-untyped]
import yaml
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from bench.measure import BenchError
from tests.fakes import anthropic_oauth, azure_entra, gcp_sts, openai_sts
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.verifier import Verifier
from tests.servers import seaweedfs

REGION = "eu-central-1"
ACCOUNTS = (seaweedfs.ACCOUNT, "000000000000")
"""The role's own, and the one that SeaweedFS's GetCallerIdentity names for all sessions."""
REFUSED_ROLE = f"arn:aws:iam::{seaweedfs.ACCOUNT}:role/nope"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

Way = Callable[[str, float, str], str]
"""Address of a server, seconds added to each call, kind of proxy → the proxy's address. See latency.py."""


class _Fake(Protocol):
    url: str

    def is_alive(self, token: str) -> bool: ...


@dataclass(frozen=True)
class Provider:
    """One provider of keylease.yml: its settings, and the variables that must have been delivered, masked ones."""

    settings: Mapping[str, Any]
    secrets: tuple[str, ...]


class Clouds:
    """Started by its constructor, stopped by `stack`. `way`: see Way."""

    def __init__(self, issuer: OIDCIssuer, stack: ExitStack, way: Way) -> None:
        subject = str(issuer.claims["sub"])

        def trusting(audience: str) -> Verifier:
            return Verifier(issuer, audience, subject=subject)

        self._way = way
        self._aws = stack.enter_context(seaweedfs.SeaweedFS(issuer))
        self._fakes: dict[str, _Fake] = {
            "GOOGLE_OAUTH_ACCESS_TOKEN": stack.enter_context(gcp_sts.GcpSts(trusting(gcp_sts.AUDIENCE))),
            "AZURE_ACCESS_TOKEN": stack.enter_context(azure_entra.AzureEntra(trusting(azure_entra.AUDIENCE))),
            "OPENAI_API_KEY": stack.enter_context(openai_sts.OpenAISts(trusting(openai_sts.AUDIENCE))),
            "ANTHROPIC_AUTH_TOKEN": stack.enter_context(
                anthropic_oauth.AnthropicOAuth(trusting(anthropic_oauth.AUDIENCE))
            ),
        }

    def sts(self, latency: float = 0.0) -> str:
        """AWS's STS. Always by way of a proxy, which tells whose a session is, as AWS does."""
        return self._way(self._aws.url, latency, "sts")

    def aws(self, latency: float = 0.0, role: str = seaweedfs.ROLE) -> Provider:
        """The session is checked by GetCallerIdentity, as the peer does it."""
        settings = {
            "type": "aws",
            "role_arn": role,
            "region": REGION,
            "url": self.sts(latency),
            "allowed_account_ids": list(ACCOUNTS),
        }
        return Provider(settings, KEYS)

    def providers(self, latency: float) -> dict[str, Provider]:
        """Five of them, each as its documentation page sets it up; AWS's and Google's take two calls each."""
        google, azure, openai, claude = (self._way(fake.url, latency, "") for fake in self._fakes.values())
        made: dict[str, dict[str, Any]] = {
            "google": {
                "type": "gcp",
                "workload_identity_provider": gcp_sts.PROVIDER,
                "service_account": gcp_sts.ACCOUNT,
                "sts_url": google,
                "iam_url": google,
            },
            "azure": {
                "type": "azure",
                "tenant_id": azure_entra.TENANT,
                "client_id": azure_entra.CLIENT,
                "authority_host": azure,
            },
            "openai": {
                "type": "openai",
                "identity_provider_id": openai_sts.PROVIDER,
                "service_account_id": openai_sts.ACCOUNT,
                "url": openai,
            },
            "anthropic": {
                "type": "anthropic",
                "federation_rule_id": anthropic_oauth.RULE,
                "organization_id": anthropic_oauth.ORGANIZATION,
                "service_account_id": anthropic_oauth.ACCOUNT,
                "url": claude,
            },
        }
        others = {
            name: Provider(settings, (variable,))
            for (name, settings), variable in zip(made.items(), self._fakes, strict=True)
        }
        return {"aws": self.aws(latency), **others}

    def verify(self, delivered: Mapping[str, str]) -> None:
        """Raises BenchError unless all credentials among `delivered` are taken by who issued them."""
        for variable, fake in self._fakes.items():
            if variable in delivered and not fake.is_alive(delivered[variable]):
                raise BenchError(f"{variable} is not what was issued")
        if KEYS[0] in delivered:
            self._call(*(delivered[name] for name in KEYS))

    def _call(self, key_id: str, secret_key: str, session_token: str) -> None:
        # At DEBUG it logs what it sends: the session's token.
        logging.getLogger("botocore").setLevel(logging.INFO)
        client = boto3.client(
            "sts",
            endpoint_url=self._aws.url,
            region_name=REGION,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret_key,
            aws_session_token=session_token,
            config=Config(retries={"max_attempts": 1}, ignore_configured_endpoint_urls=True, proxies={}),
        )
        try:
            client.get_caller_identity()
        except ClientError as error:
            raise BenchError(f"the credentials are refused: {error}") from None
        finally:
            client.close()


def keylease_yml(providers: Mapping[str, Provider]) -> str:
    """A file that leases from all of them, as people write it."""
    content = {
        "version": 1,
        "providers": {name: dict(provider.settings) for name, provider in providers.items()},
        "leases": [{"use": name} for name in providers],
    }
    # Quoted where YAML 1.1 takes digits for a number: accounts' ids.
    return str(yaml.safe_dump(content, sort_keys=False))

"""A role's session at moto's stores, behind a front that verifies signatures and asks policies."""

from typing import Any

import jwt
import pytest
from msgspec.structs import replace

from keylease.context import Context
from keylease.errors import RefusedError
from keylease.exchange.aws import AwsExchanger
from keylease.http import Deadline
from keylease.managers.aws_sm import AwsSecretsManager
from keylease.managers.aws_ssm import AwsParameterStore
from keylease.managers.base import Manager
from keylease.masking import Masker
from keylease.model import Document, IdentityToken, Lease, Read
from keylease.vendors.aws_session import AwsSession
from tests.fakes.aws_signature import Admitted, AwsFront
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Proxy
from tests.leaks import Seeded
from tests.servers.moto import ACCOUNT, Moto
from tests.servers.trust import unique_name

REGION = "eu-central-1"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/acme-trainer@7421359018"
"""The session's, as moto makes it."""

AUDIENCE = "sts.amazonaws.com"


class Stores:
    """`.moto.client("ssm")` fills them as an administrator; `.lease()` is the role's; `.front` decides what it may.

    The stores are behind `proxy`, STS is not. prefix: of all names of this test, for moto is shared.
    """

    def __init__(self, moto: Moto, issuer: OIDCIssuer, seeded: Seeded) -> None:
        self.moto, self.issuer, self._seeded = moto, issuer, seeded
        self.front = AwsFront(moto.url).start()
        self.proxy = Proxy(self.front.url).start()
        self.prefix = unique_name("t")
        self.context = Context({}, Masker(), Deadline(30))
        self._lease: Lease | None = None
        for kind, action in (("secret:", "secretsmanager:GetSecretValue"), ("parameter/", "ssm:GetParameters")):
            start = f"arn:aws:{action.partition(':')[0]}:{REGION}:{ACCOUNT}:{kind}"
            self.allow(action, f"{start}{self.prefix}/*")
            self.allow(action, f"{start}/{self.prefix}/*")

        for action in ("secretsmanager:ListSecrets", "ssm:DescribeParameters"):
            self.allow(action, "*")

    def allow(self, action: str, resource: str) -> None:
        """Add a policy to the role."""
        self.front.policies.append({"Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]})

    def settings(self, **changed: Any) -> dict[str, Any]:
        """Of the provider, as in keylease.yml."""
        given = {"role_arn": f"arn:aws:iam::{ACCOUNT}:role/ci", "region": REGION, "retries": 2, "timeout": 5.0}
        urls = {"url": self.front.url, "secretsmanager_url": self.proxy.url, "ssm_url": self.proxy.url}
        return {**given, **urls, **changed}

    def log_in(self, **changed: Any) -> Lease:
        """By the exchanger, from moto's STS."""
        settings = AwsExchanger.complete(AwsExchanger.Settings(**self.settings(**changed)), {})
        minted = self.issuer.mint(AUDIENCE)
        claims = jwt.decode(minted, options={"verify_signature": False})
        token = IdentityToken(self.context.seal(minted, "identity token"), claims, "github", "a test", AUDIENCE)
        lease = AwsExchanger("aws", settings, self.context).exchange(token)
        for secret in (lease.fields["AWS_SECRET_ACCESS_KEY"], lease.fields["AWS_SESSION_TOKEN"]):
            self._seeded.add(secret.reveal())
        return lease

    def lease(self, **changed: Any) -> Lease:
        """Of the role, taken once; its session with `changed`."""
        if self._lease is None:
            self._lease = self.log_in()
        assert isinstance(self._lease.session, AwsSession)
        return replace(self._lease, session=replace(self._lease.session, **changed))

    @property
    def session(self) -> Admitted:
        """What AWS knows of it."""
        return self.front.admitted(self.lease().fields["AWS_ACCESS_KEY_ID"].reveal())

    def stop(self) -> None:
        """Stop both servers."""
        self.context.http.close()
        self.proxy.stop()
        self.front.stop()


def stores(request: pytest.FixtureRequest) -> Stores:
    """For one test."""
    made = Stores(*map(request.getfixturevalue, ("moto", "issuer", "seeded")))
    request.addfinalizer(made.stop)
    return made


def secrets(aws: Stores, **changed: Any) -> Manager:
    """Secrets Manager."""
    return AwsSecretsManager(aws.lease(**changed), aws.context)


def parameters(aws: Stores, **changed: Any) -> Manager:
    """Parameter Store."""
    return AwsParameterStore(aws.lease(**changed), aws.context)


def secret(aws: Stores, name: str, value: str | bytes, region: str = REGION) -> tuple[Read, dict[str, Any]]:
    """Store one; (the request that reads it, what AWS said)."""
    path = f"{aws.prefix}/{name}"
    kind = "SecretString" if isinstance(value, str) else "SecretBinary"
    made = aws.moto.client("secretsmanager", region).create_secret(Name=path, **{kind: value})
    return Read("aws", "aws-sm", path), made


def parameter(aws: Stores, name: str, value: str, kind: str = "SecureString", version: str = "") -> Read:
    """Store one, or another version of it; the request that reads it."""
    path = f"/{aws.prefix}/{name}"
    aws.moto.client("ssm").put_parameter(Name=path, Value=value, Type=kind, Overwrite=True)
    return Read("aws", "aws-ssm", path, (("version", version),) if version else ())


def value(aws: Stores, document: Document, *selector: str) -> str:
    """A value of a document."""
    return document.value(selector or None, aws.context.seal).reveal()


def refused(manager: Manager, read: Read) -> RefusedError:
    """The refusal of `read`."""
    with pytest.raises(RefusedError) as caught:
        manager.read(read)
    return caught.value

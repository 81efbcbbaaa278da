"""AWS: SeaweedFS's STS, which verifies the token's signature, times and the role's trust policy."""

import logging
import time
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from keylease.context import Context
from keylease.exchange.aws import AwsExchanger
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Lease
from tests.contract.harness import Harness
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Behaviour, Proxy, reply
from tests.servers.seaweedfs import AUDIENCE, ROLE, SeaweedFS


def error(code: str, status: int = 400, words: str = "no") -> Behaviour:
    """As STS words it: https://docs.aws.amazon.com/IAM/latest/UserGuide/programming.html ("Error response")."""
    body = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{words}</Message></Error>"
        "<RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ErrorResponse>"
    )
    return reply(status, body=body.encode(), content_type="text/xml")


class AwsHarness(Harness):
    audience = AUDIENCE
    login_pattern = "/"
    throttled = staticmethod(error("Throttling"))
    unavailable = staticmethod(error("IDPCommunicationError"))
    garbage: tuple[object, ...] = ({}, {"AssumeRoleWithWebIdentityResponse": {"Credentials": {}}})

    def __init__(self, issuer: OIDCIssuer, server: SeaweedFS, proxy: Proxy) -> None:
        self.issuer, self.server, self.proxy = issuer, server, proxy
        self.context = Context({}, Masker(), Deadline(20))

    def exchanger(self, url: str | None = None, **settings: Any) -> AwsExchanger:
        given = {"role_arn": ROLE, "region": "eu-central-1", "retries": 2, "timeout": 5.0, "url": url or self.proxy.url}
        made = AwsExchanger.Settings(**{**given, **settings})
        return AwsExchanger("aws", AwsExchanger.complete(made, self.context.env), self.context)

    def is_alive(self, lease: Lease) -> bool:
        # At DEBUG it logs the credentials it is given: the check's own affair, not the exchanger's.
        logging.getLogger("botocore").setLevel(logging.INFO)
        key_id, secret_key, token = (value.reveal() for value in lease.fields.values())
        client = boto3.client(
            "sts",
            endpoint_url=self.server.url,
            region_name="eu-central-1",
            aws_access_key_id=key_id,
            aws_secret_access_key=secret_key,
            aws_session_token=token,
        )
        try:
            return bool(client.get_caller_identity()["Arn"])
        except ClientError:
            return False
        finally:
            client.close()

    def refusal(self, code: int, words: str) -> Behaviour:
        return error("AccessDenied", code, words)

    def issued(self, value: str, lifetime: float) -> Behaviour:
        ends = min(time.time() + lifetime, 253402300799)  # the last second that four digits of a year can tell
        leaves = {
            "AccessKeyId": "ASIA" + "Q" * 16,
            "SecretAccessKey": "k/9" + "x" * 37,
            "SessionToken": value,
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends)),
        }
        text = "".join(f"<{name}>{leaf}</{name}>" for name, leaf in leaves.items())
        body = (
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<AssumeRoleWithWebIdentityResult><Credentials>{text}</Credentials>"
            "<AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/ci/x</Arn></AssumedRoleUser>"
            "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )
        return reply(body=body.encode(), content_type="text/xml")


_running: list[tuple[OIDCIssuer, SeaweedFS]] = []


def _server(request: pytest.FixtureRequest) -> tuple[OIDCIssuer, SeaweedFS]:
    """One for all tests of this process: it takes 4 s to start."""
    if not _running:
        issuer = OIDCIssuer().start()
        server = SeaweedFS(issuer)
        try:
            server.start()
        except BaseException:
            issuer.stop()
            raise
        _running.append((issuer, server))

        def stop() -> None:
            _running.clear()
            server.stop()
            issuer.stop()

        request.session.addfinalizer(stop)
    return _running[0]


def make(request: pytest.FixtureRequest) -> AwsHarness:
    """See tests/contract/test_exchange.py."""
    issuer, server = _server(request)
    proxy = Proxy(server.url).start()
    request.addfinalizer(proxy.stop)
    return AwsHarness(issuer, server, proxy)

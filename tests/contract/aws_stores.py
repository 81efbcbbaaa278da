"""A role's session at moto's stores, behind a front that verifies signatures and asks policies."""

from typing import Any

import pytest

from keylease.context import Context
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Env, Lease
from keylease.vendors.aws_session import AwsSession
from tests.fakes.aws_signature import Admitted, AwsFront
from tests.fakes.misbehaving import Proxy
from tests.leaks import Seeded
from tests.servers.moto import ACCOUNT, Moto
from tests.servers.trust import unique_name

REGION = "eu-central-1"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/acme-trainer@7421359018"


class Stores:
    """`.moto.client("ssm")` fills them as an administrator; `.lease()` is the role's; `.front` decides what it may.

    prefix: of all names of this test, for moto is shared.
    """

    def __init__(self, moto: Moto, seeded: Seeded, env: Env | None = None) -> None:
        self.moto = moto
        self.front = AwsFront(moto.url).start()
        self.proxy = Proxy(self.front.url).start()
        self.prefix = unique_name("t")
        self.context = Context(env or {}, Masker(), Deadline(30))
        self.session = Admitted("ASIA" + "Q" * 16, seeded.new("secret-key"), seeded.new("session-token"), ROLE)
        self.front.admit(self.session)
        for action, kind in (("secretsmanager:GetSecretValue", "secret:"), ("ssm:GetParameters", "parameter/")):
            service = action.partition(":")[0]
            for start in ("", "/"):
                name = f"{start}{self.prefix}" if kind == "secret:" else self.prefix
                self.allow(action, f"arn:aws:{service}:{REGION}:{ACCOUNT}:{kind}{name}/*")

        for action in ("secretsmanager:ListSecrets", "ssm:DescribeParameters"):
            self.allow(action, "*")

    def allow(self, action: str, resource: str) -> None:
        """Add a policy to the role."""
        self.front.policies.append({"Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]})

    def lease(self, **changed: Any) -> Lease:
        """Of the role."""
        s, seal = self.session, self.context.seal
        given: dict[str, Any] = {
            "key_id": seal(s.key_id, "key id"),
            "secret_key": seal(s.secret_key, "secret key"),
            "session_token": seal(s.session_token, "session token"),
            "role": s.role,
            "region": REGION,
            "timeout": 5.0,
            "retries": 2,
            "endpoints": {"secretsmanager": self.proxy.url, "ssm": self.proxy.url},
        }
        return Lease("aws", "aws", {}, session=AwsSession(**{**given, **changed}), account=s.role)

    def stop(self) -> None:
        """Stop both servers."""
        self.context.http.close()
        self.proxy.stop()
        self.front.stop()


def stores(request: pytest.FixtureRequest, env: Env | None = None) -> Stores:
    """For one test."""
    made = Stores(request.getfixturevalue("moto"), request.getfixturevalue("seeded"), env)
    request.addfinalizer(made.stop)
    return made

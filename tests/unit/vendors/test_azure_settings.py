"""Settings and trust of Azure."""

import json
from typing import Any

import pytest

from keylease.errors import UsageError
from keylease.vendors.azure_settings import AzureSettings, complete
from keylease.vendors.azure_trust import trust_for
from tests.fakes.github_oidc import github_claims

TENANT = "4ecd6548-e33b-4b9d-9986-0bd3c22986c6"
CLIENT = "af3110ba-0ba9-4412-b1a0-59f50b7e9273"


def done(env: dict[str, str] | None = None, **settings: Any) -> AzureSettings:
    return complete(AzureSettings(**{"tenant_id": TENANT, "client_id": CLIENT, **settings}), env or {})


def claims(**changed: Any) -> dict[str, Any]:
    issuer = "https://token.actions.githubusercontent.com"
    return {**github_claims(), "iss": issuer, "aud": "api://AzureADTokenExchange", **changed}


def test_the_environment_comes_last() -> None:
    env = {
        "AZURE_TENANT_ID": "acme.onmicrosoft.com",
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_SUBSCRIPTION_ID": TENANT,
        "AZURE_AUTHORITY_HOST": "login.microsoftonline.us",
    }
    found = complete(AzureSettings(), env)
    assert found.token_url == "https://login.microsoftonline.us/acme.onmicrosoft.com/oauth2/v2.0/token"
    assert found.subscription_id == TENANT
    assert found.cloud == "usgovernment"
    assert complete(AzureSettings(tenant_id=TENANT), env).tenant_id == TENANT


@pytest.mark.parametrize(
    ("cloud", "host", "audience", "arm", "keyvault"),
    [
        ("public", "login.microsoftonline.com", "", "management.azure.com", "vault.azure.net"),
        (
            "usgovernment",
            "login.microsoftonline.us",
            "USGov",
            "management.usgovcloudapi.net",
            "vault.usgovcloudapi.net",
        ),
        ("china", "login.chinacloudapi.cn", "China", "management.chinacloudapi.cn", "vault.azure.cn"),
    ],
)
def test_each_cloud_has_its_own_addresses(cloud: str, host: str, audience: str, arm: str, keyvault: str) -> None:
    # A cloud that is written down is not overruled by the environment.
    env = {"AZURE_AUTHORITY_HOST": "https://login.windows.net"}
    for found in (
        done(env, cloud=cloud, resources={"A": "arm", "K": "keyvault"}),
        done(authority_host=f"https://{host}/", resources={"A": "arm", "K": "keyvault"}),
    ):
        assert found.authority_host == f"https://{host}"
        assert found.audience == f"api://AzureADTokenExchange{audience}"
        assert found.resources == {"A": f"https://{arm}/.default", "K": f"https://{keyvault}/.default"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tenant_id", "common"),
        ("tenant_id", "../evil"),
        ("tenant_id", "a.b/c"),
        ("client_id", "my app"),
        ("client_id", "acme.example"),
        ("subscription_id", "prod"),
        ("authority_host", "https://login.evil.example"),
        ("authority_host", "https://x.chinacloudapi.cn"),
        ("authority_host", "http://login.microsoftonline.com"),
        ("authority_host", f"https://login.microsoftonline.com/{TENANT}"),
        ("resources", {"A": "graph"}),
        ("resources", {"A": "https://vault.azure.net"}),
        ("resources", {"A B": "arm"}),
        ("resources", {"AZURE_CLIENT_ID": "arm"}),
        ("resources", {"ARM_CLIENT_ID": "arm"}),
        ("vaults", {"ml": "https://ml.evil.example"}),
        ("vaults", {"ml": "https://vault.azure.net.evil.example"}),
        ("vaults", {"ml": "http://ml.vault.azure.net"}),
        ("vaults", {"ml": "https://ml.vault.azure.net/secrets"}),
        ("vaults", {"ml": "https://login.microsoftonline.com"}),
        ("audience", "ünïcode"),
        ("timeout", "soon"),
        ("retries", 99),
    ],
)
def test_what_is_wrong_is_named(key: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        done(**{key: value})
    assert f"`{key}" in caught.value.summary
    assert caught.value.change


def test_a_vault_s_address_is_the_job_s_to_allow() -> None:
    found = done({"KEYLEASE_ALLOW_HOSTS": "kv.acme.example"}, vaults={"ML-Prod": "https://kv.acme.example:8443/"})
    assert found.vaults == {"ml-prod": "https://kv.acme.example:8443"}
    assert done(vaults={"a": "http://127.0.0.1:9"}).vaults == {"a": "http://127.0.0.1:9"}


def test_the_credential_has_the_exact_subject() -> None:
    immutable = "repo:acme@6539/trainer@817264:ref:refs/heads/main"
    made = trust_for(claims(sub=immutable), done())
    body = json.loads(made.text.split("<<'EOF'\n")[1].removesuffix("\nEOF"))
    assert body.pop("name").startswith("keylease-")
    assert body == {
        "issuer": "https://token.actions.githubusercontent.com",
        "subject": immutable,
        "audiences": ["api://AzureADTokenExchange"],
    }
    assert not any("takes over" in note for note in made.notes)
    assert any("takes over" in note for note in trust_for(claims(), done()).notes)
    assert any("flexible" in note for note in made.notes)


def test_two_jobs_get_credentials_of_two_names() -> None:
    first, second = (trust_for(claims(sub=f"repo:acme/trainer:ref:refs/heads/{b}"), done()).text for b in "ab")
    assert first.splitlines()[2] != second.splitlines()[2]


@pytest.mark.parametrize("sub", ["x\nEOF\nrm -rf ~", "$(id)'`\"", "a\u2028b"])
def test_a_hostile_subject_stays_text(sub: str) -> None:
    sub = f"repo:acme/trainer:{sub}"
    text = trust_for(claims(sub=sub), done()).text
    assert text.isascii()
    assert text.splitlines().count("EOF") == 1
    assert json.loads(text.split("<<'EOF'\n")[1].removesuffix("\nEOF"))["subject"] == sub


@pytest.mark.parametrize("sub", ["", None, 5, "repo:acme/*:ref", "x" * 601])
def test_what_cannot_be_bound_is_not_suggested(sub: Any) -> None:
    made = trust_for(claims(sub=sub), done())
    assert made.text == ""
    assert made.notes


def test_the_audience_that_the_token_has() -> None:
    made = trust_for(claims(aud="theirs"), done())
    assert '"theirs"' in made.text
    assert any("configure the same" in note for note in made.notes)

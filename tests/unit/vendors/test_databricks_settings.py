"""Settings and trust of Databricks."""

from typing import Any

import pytest

from keylease.errors import UsageError
from keylease.vendors.databricks_settings import DatabricksSettings, complete
from keylease.vendors.databricks_trust import trust_for
from tests.fakes.github_oidc import github_claims

HOST = "https://dbc-a1b2345c-d6e7.cloud.databricks.com"
CLIENT = "7c3b0f5e-8a41-4f0e-9d55-1b2c3d4e5f60"
ACCOUNT = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


def done(env: dict[str, str] | None = None, **settings: Any) -> DatabricksSettings:
    return complete(DatabricksSettings(**{"host": HOST, "client_id": CLIENT, **settings}), env or {})


def claims(**changed: Any) -> dict[str, Any]:
    return {**github_claims(), "iss": "https://token.actions.githubusercontent.com", "aud": ACCOUNT, **changed}


def test_the_environment_comes_last() -> None:
    env = {
        "DATABRICKS_HOST": "adb-1.2.azuredatabricks.net/",
        "DATABRICKS_CLIENT_ID": CLIENT,
        "DATABRICKS_ACCOUNT_ID": ACCOUNT,
        "DATABRICKS_TOKEN_AUDIENCE": "theirs",
    }
    found = complete(DatabricksSettings(), env)
    assert (found.host, found.client_id, found.account_id) == ("https://adb-1.2.azuredatabricks.net", CLIENT, ACCOUNT)
    assert found.audience == "theirs"
    own = complete(DatabricksSettings(host=HOST, client_id="c", account_id="a", audience="ours"), env)
    assert (own.host, own.client_id, own.account_id, own.audience) == (HOST, "c", "a", "ours")


def test_the_audience_is_the_account_or_else_the_token_endpoint() -> None:
    assert done(account_id=ACCOUNT).audience == ACCOUNT
    assert done().audience == f"{HOST}/oidc/v1/token"


@pytest.mark.parametrize(
    "host",
    [
        "https://accounts.cloud.databricks.com",
        "https://accounts.azuredatabricks.net",
        "https://accounts.gcp.databricks.com",
        "https://accounts-dod.cloud.databricks.us",
    ],
)
def test_a_host_of_accounts(host: str) -> None:
    assert done(host=host, account_id=ACCOUNT).token_url == f"{host}/oidc/accounts/{ACCOUNT}/v1/token"
    with pytest.raises(UsageError, match="`account_id`"):
        done(host=host)
    assert done(host=host, level="workspace").token_url == f"{host}/oidc/v1/token"


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("host", {"host": ""}),
        ("host", {"host": "https://databricks.com.evil.example"}),
        ("host", {"host": "https://evildatabricks.com"}),
        ("host", {"host": "http://dbc-1.cloud.databricks.com"}),
        ("host", {"host": f"{HOST}/oidc"}),
        ("host", {"host": f"{HOST}/?o=123"}),
        ("client_id", {"client_id": ""}),
        ("client_id", {"client_id": "a b"}),
        ("client_id", {"client_id": "5581763342009999"}),
        ("account_id", {"account_id": "../x"}),
        ("account_id", {"level": "account"}),
        ("service_principal_id", {"service_principal_id": "1; rm -rf /"}),
        ("service_principal_id", {"service_principal_id": CLIENT}),
        ("scope", {"scope": ""}),
        ("scope", {"scope": "a\nb"}),
        ("audience", {"audience": "é"}),
        ("timeout", {"timeout": "soon"}),
        ("retries", {"retries": -1}),
    ],
)
def test_what_cannot_be_is_named(key: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"`{key}`") as caught:
        done(**settings)
    assert caught.value.change


def test_the_policy_is_ready_to_paste() -> None:
    trust = trust_for(claims(), done(account_id=ACCOUNT, service_principal_id="5581763342009999"))
    assert trust.text == (
        "databricks account service-principal-federation-policy create 5581763342009999 --json @/dev/stdin <<'EOF'\n"
        "{\n"
        '  "oidc_policy": {"issuer": "https://token.actions.githubusercontent.com", '
        f'"audiences": ["{ACCOUNT}"], "subject": "repo:acme/trainer:ref:refs/heads/main"}}\n'
        "}\n"
        "EOF"
    )
    assert any("takes over the name" in note for note in trust.notes)
    immutable = "repo:acme@6539/trainer@817264:ref:refs/heads/main"
    assert not any("takes over" in note for note in trust_for(claims(sub=immutable), done()).notes)


def test_the_numeric_id_is_asked_for() -> None:
    trust = trust_for(claims(), done(account_id=ACCOUNT))
    assert " create SERVICE_PRINCIPAL_ID " in trust.text
    assert any("numeric id" in note for note in trust.notes)


def test_another_audience_is_said() -> None:
    trust = trust_for(claims(aud="https://github.com/acme"), done(account_id=ACCOUNT))
    assert '"audiences": ["https://github.com/acme"]' in trust.text
    assert any("configure the same" in note for note in trust.notes)


def test_claims_reach_no_shell() -> None:
    trust = trust_for(claims(sub="repo:a/b:ref:refs/heads/x'\nEOF\n$(id)\u202e"), done())
    assert trust.text.count("\nEOF") == 1
    assert trust.text.isascii()
    assert "$(id)" in trust.text.split("<<'EOF'")[1]


def test_without_subject_or_issuer_there_is_nothing_to_bind() -> None:
    for name in ("sub", "iss"):
        trust = trust_for({k: v for k, v in claims().items() if k != name}, done())
        assert not trust.text
        assert trust.notes

"""Settings of a Conjur provider: fallbacks of conjur-api-go, checks, addresses of SaaS tenants."""

from pathlib import Path
from typing import Any

import pytest

from keylease.errors import UsageError
from keylease.vendors.conjur_settings import ConjurSettings, complete
from tests.servers.tls import ThrowawayCA

GIVEN: dict[str, Any] = {"url": "https://conjur.example.com", "account": "acme", "service_id": "github"}


def made(env: dict[str, str] | None = None, **settings: Any) -> ConjurSettings:
    return complete(ConjurSettings(**{**GIVEN, **settings}), env or {})


def test_all_may_come_from_the_variables_of_conjurs_tools() -> None:
    env = {
        "CONJUR_APPLIANCE_URL": "https://conjur.example.com/",
        "CONJUR_ACCOUNT": "acme",
        "CONJUR_SERVICE_ID": "other",
        "CONJUR_AUTHN_JWT_SERVICE_ID": "github",
        "CONJUR_AUTHN_LOGIN": "host/ci/trainer",
    }
    found = complete(ConjurSettings(), env)
    assert (found.url, found.account, found.service_id) == ("https://conjur.example.com", "acme", "github")
    assert found.login_url == "https://conjur.example.com/authn-jwt/github/acme/host%2Fci%2Ftrainer/authenticate"
    assert complete(ConjurSettings(), {**env, "CONJUR_AUTHN_JWT_SERVICE_ID": ""}).service_id == "other"
    assert complete(ConjurSettings(), {**env, "CONJUR_AUTHN_JWT_HOST_ID": "ci/two"}).host_id == "host/ci/two"


def test_a_users_login_is_no_host() -> None:
    found = made({"CONJUR_AUTHN_LOGIN": "admin"})
    assert found.host_id == ""
    assert found.login_url == "https://conjur.example.com/authn-jwt/github/acme/authenticate"


@pytest.mark.parametrize(
    ("url", "audience"),
    [
        ("https://Conjur.example.com:8443/conjur", "https://conjur.example.com:8443"),
        ("https://acme.secretsmgr.cyberark.cloud", "https://acme.secretsmgr.cyberark.cloud"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
    ],
)
def test_the_audience_is_the_servers_own(url: str, audience: str) -> None:
    assert made(url=url).audience == audience
    assert made(url=url, audience="conjur").audience == "conjur"


@pytest.mark.parametrize(
    ("url", "completed"),
    [
        ("https://acme.secretsmgr.cyberark.cloud", "https://acme.secretsmgr.cyberark.cloud/api"),
        ("https://acme.secretsmgr.cyberark.cloud/api/", "https://acme.secretsmgr.cyberark.cloud/api"),
        ("https://acme-secretsmanager.cyberark.cloud", "https://acme-secretsmanager.cyberark.cloud/api"),
        ("https://acme.secretsmgr.test-cyberark.cloud", "https://acme.secretsmgr.test-cyberark.cloud/api"),
        ("https://conjur.example.com", "https://conjur.example.com"),
    ],
)
def test_a_tenants_api_is_below_api(url: str, completed: str) -> None:
    found = complete(ConjurSettings(url=url, account="" if "cyberark" in url else "acme", service_id="github"), {})
    assert found.url == completed
    assert found.account == ("conjur" if found.is_saas else "acme")


@pytest.mark.parametrize("given", ["github", "authn-jwt/github", " github "])
def test_the_service_may_have_its_authenticator_before_it(given: str) -> None:
    assert made(service_id=given).service_id == "github"


def test_a_service_with_a_slash_is_one_segment() -> None:
    assert "/authn-jwt/prod%2Fci/acme/" in made(service_id="prod/ci").login_url


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"url": ""}, "`url`"),
        ({"url": "conjur.example.com"}, "`url`"),
        ({"url": "http://conjur.example.com"}, "`url`"),
        ({"url": "https://user:pw@conjur.example.com"}, "`url`"),
        ({"url": "https://[conjur"}, "`url`"),
        ({"account": ""}, "`account`"),
        ({"account": "a b"}, "`account`"),
        ({"account": "a:b"}, "`account`"),
        ({"account": "../x"}, "`account`"),
        ({"service_id": ""}, "`service_id`"),
        ({"service_id": "a b"}, "`service_id`"),
        ({"service_id": "a//b"}, "`service_id`"),
        ({"host_id": "host/a b"}, "`host_id`"),
        ({"host_id": "host/a:b"}, "`host_id`"),
        ({"host_id": "host/../x"}, "`host_id`"),
        ({"host_id": "host/x*"}, "`host_id`"),
        ({"audience": "*"}, "`audience`"),
        ({"ca_certificate": "/no/such/file.pem"}, "`ca_certificate`"),
        ({"timeout": "soon"}, "`timeout`"),
        ({"retries": 99}, "`retries`"),
    ],
)
def test_what_is_wrong_is_named(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError) as caught:
        made(**settings)
    assert key in caught.value.summary
    assert caught.value.change


def test_the_ca_may_be_a_variable_with_text_or_with_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ThrowawayCA().write(tmp_path)
    text = path.read_text()
    assert made({"CONJUR_SSL_CERTIFICATE": text, "CONJUR_CERT_FILE": "/no/such"}).ca_certificate == text
    monkeypatch.chdir(tmp_path)
    assert made({"CONJUR_CERT_FILE": "ca.pem"}).ca_certificate == str(path)
    with pytest.raises(UsageError, match="CONJUR_CERT_FILE"):
        made({"CONJUR_CERT_FILE": "/no/such"})

"""What may be said of GitHub, and what is said about mistakes."""

from typing import Any

import pytest

from keylease.errors import UsageError
from keylease.secret import Secret
from keylease.vendors.github_settings import GitHubSettings, GitHubTo, Select, address_of, checked, complete, parse

ENV = {"SYNC_TOKEN": "github_pat_x", "APP_KEY": "-----BEGIN RSA PRIVATE KEY-----"}


def settings(env: dict[str, str] | None = None, **given: Any) -> GitHubSettings:
    return complete(GitHubSettings(**{"token_env": "SYNC_TOKEN", **given}), ENV | (env or {}))


def test_the_address_of_the_api() -> None:
    assert settings().url == "https://api.github.com"
    assert settings().host == ""
    enterprise = settings({"GITHUB_API_URL": "https://github.acme.com/api/v3/"})
    assert enterprise.url == "https://github.acme.com/api/v3"
    assert enterprise.host == "github.acme.com"
    assert settings({"GITHUB_API_URL": "https://x.example.com"}, url="https://api.github.com").host == ""
    assert settings(url="https://api.acme.ghe.com").host == "api.acme.ghe.com"
    allowed = {"KEYLEASE_ALLOW_HOSTS": "github.acme.com"}
    assert settings(allowed, url="https://github.acme.com/api/v3").host == "github.acme.com"
    for url in (
        "https://evil.example.com",
        "http://api.github.com",
        "https://u:p@api.github.com",
        "https://github.com.evil",
    ):
        with pytest.raises(UsageError, match="`url`"):
            settings(url=url)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"token_env": None}, "no credential"),
        ({"token": Secret("x")}, "two credentials"),
        ({"token_env": "NOT_SET"}, "NOT_SET is not set"),
        ({"token_env": "APP_KEY"}, "is no token"),
        ({"token_env": None, "app_id": 1}, "needs its private key"),
        ({"token_env": None, "app_id": 1, "private_key_env": "NOT_SET"}, "NOT_SET is not set"),
        ({"token_env": None, "app_id": 1, "private_key_env": "APP_KEY", "private_key_file": "x"}, "in one way"),
        ({"token_env": None, "app_id": "a b", "private_key_env": "APP_KEY"}, "`app_id`"),
        ({"installation_id": 3}, "`installation_id`"),
        ({"retries": -1}, "`retries`"),
        ({"timeout": 0.0}, "`timeout`"),
        ({"ca_certificate": "no/such.pem"}, "`ca_certificate`"),
    ],
)
def test_mistakes_in_a_target(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        settings(**given)


def test_the_jobs_own_token() -> None:
    own = {"GITHUB_TOKEN": "ghs_1", "SYNC_TOKEN": "ghs_1"}
    with pytest.raises(UsageError, match="can't write secrets"):
        settings({**own, "GITHUB_ACTIONS": "true"})
    assert settings(own).token_env == "SYNC_TOKEN"  # elsewhere the name says nothing
    mine = settings({"GITHUB_TOKEN": "github_pat_x", "GITHUB_ACTIONS": "true"}, token_env="GITHUB_TOKEN")
    assert mine.token_env == "GITHUB_TOKEN"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "one of them"),
        ({"repository": "acme/x", "organization": "acme"}, "one of them"),
        ({"repository": "acme"}, "not like acme/trainer"),
        ({"repository": "acme/x/y"}, "not like acme/trainer"),
        ({"repository": "acme/.."}, "not like acme/trainer"),
        ({"repository": "../x"}, "not like acme/trainer"),
        ({"organization": "a/b"}, "account"),
        ({"repository": "acme/x", "select": Select()}, "one of them|`select`"),
        ({"organization": "acme", "environment": "prod"}, "no environments"),
        ({"repository": "acme/x", "environment": "a\nb"}, "`environment`"),
        ({"repository": "acme/x", "environment": "."}, "`environment`"),
        ({"repository": "acme/x", "environment": ".."}, "`environment`"),
        ({"repository": "acme/x", "environment": "prod", "kind": "codespaces"}, "no codespaces"),
        ({"repository": "acme/x", "visibility": "all"}, "organisation's own"),
        ({"organization": "acme", "select": Select(), "repositories": ("x",)}, "organisation's own"),
        ({"organization": "acme", "visibility": "all", "repositories": ("x",)}, "selected"),
        ({"organization": "acme", "repositories": ("other/x",)}, "no name"),
    ],
)
def test_mistakes_in_a_to(given: dict[str, Any], says: str) -> None:
    if given.get("select") and given.get("repository"):
        says = "`select`"
    with pytest.raises(UsageError, match=says):
        checked(GitHubTo(**given))


def test_short_and_long_forms_are_one() -> None:
    assert parse("github://Acme/Trainer?environment=Prod%2Feu&kind=variable") == checked(
        GitHubTo(repository="acme/trainer", environment="prod/eu", kind="variable")
    )
    assert parse("github://acme?visibility=private") == checked(GitHubTo(organization="acme", visibility="private"))
    to = parse("github://acme/trainer?environment=Prod%2Feu")
    assert address_of(to) == "github://acme/trainer?environment=prod%2Feu"
    assert parse(address_of(to)) == to
    declared = checked(GitHubTo(organization="Acme", repositories=("b", "acme/A", "b")))
    assert declared.visibility == "selected"
    assert declared.repositories == ("a", "b")

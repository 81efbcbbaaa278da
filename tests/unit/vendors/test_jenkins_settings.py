"""What is said of a Jenkins server and its stores, checked before anything is sent."""

import pytest

from keylease.errors import UsageError
from keylease.secret import Secret
from keylease.vendors.jenkins_settings import (
    JenkinsSettings,
    JenkinsTo,
    address_of,
    checked,
    complete,
    is_cleartext,
    parse,
    path_of,
    server_of,
)

HOME = {"JENKINS_URL": "https://ci.example.com/jenkins/"}


def test_fallbacks_of_the_environment() -> None:
    made = complete(JenkinsSettings(), {**HOME, "JENKINS_USER_ID": "ci"})
    assert (made.url, made.user, made.token_env) == ("https://ci.example.com/jenkins", "ci", "JENKINS_API_TOKEN")
    made = complete(JenkinsSettings(url="https://ci.example.com", user="me", token_env="MINE", timeout="1m"), HOME)
    assert (made.url, made.user, made.token_env, made.timeout) == ("https://ci.example.com", "me", "MINE", 60.0)
    assert complete(JenkinsSettings(user="me", token=Secret("x")), HOME).token_env == ""


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"url": ""}, "`url` is missing"),
        ({"url": "ci.example.com"}, "is not an http"),
        ({"url": "https://"}, "is not an http"),
        ({"url": "https://ci.example.com:x"}, "is not an http"),
        ({"url": "https://a b"}, "is not an http"),
        ({"url": "https://me:pw@ci.example.com"}, "holds a user"),
        ({"url": "https://ci.example.com/?a=b"}, "holds a user"),
        ({"user": ""}, "`user` is missing"),
        ({"user": "a:b"}, "`user` has a colon"),
        ({"user": "a\nb"}, "`user` has a colon or control"),
        ({"token": Secret("x"), "token_env": "Y"}, "given as well"),
        ({"ca_certificate": "/not/there.pem"}, "no file here"),
        ({"timeout": "soon"}, "`timeout`"),
        ({"retries": 99}, "`retries`"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        complete(JenkinsSettings(**{"url": "https://127.0.0.1", "user": "me", **given}), {})  # type: ignore[arg-type]
    assert problem in caught.value.summary


def test_the_job_says_where_the_token_goes() -> None:
    stranger = JenkinsSettings(url="https://ci.example.org", user="me")
    with pytest.raises(UsageError, match=r"ci\.example\.org") as caught:
        complete(stranger, HOME)
    assert "KEYLEASE_ALLOW_HOSTS=ci.example.org" in caught.value.change
    assert complete(stranger, {**HOME, "KEYLEASE_ALLOW_HOSTS": "a.example.com, CI.example.org"}).url
    with pytest.raises(UsageError):
        complete(JenkinsSettings(url="https://ci.example.com.evil.example", user="me"), HOME)


def test_cleartext() -> None:
    assert is_cleartext("http://ci.example.com")
    assert not is_cleartext("https://ci.example.com")
    assert not is_cleartext("http://127.0.0.1:8080")


def test_servers() -> None:
    assert server_of("https://CI.example.com:443/jenkins/") == "ci.example.com/jenkins"
    assert server_of("http://ci.example.com:8080") == "ci.example.com:8080"
    assert server_of("https://[::1]:8443") == "[::1]:8443"


def test_addresses_and_paths() -> None:
    url = "https://ci.example.com/jenkins"
    to = parse("jenkins://?folder=Team/My App&domain=Prod")
    assert address_of(url, to) == "jenkins://ci.example.com/jenkins?domain=Prod&folder=team/my%20app"
    assert path_of(to) == "/job/Team/job/My%20App/credentials/store/folder/domain/Prod"
    assert address_of(url, JenkinsTo()) == "jenkins://ci.example.com/jenkins"
    assert path_of(JenkinsTo()) == "/credentials/store/system/domain/_"
    again = parse(address_of(url, to))
    assert (again.folder, again.domain, again.server) == ("team/my app", "Prod", "ci.example.com/jenkins")
    assert path_of(parse("jenkins://?folder=a%25b/c%3Fd")) == "/job/a%25b/job/c%3Fd/credentials/store/folder/domain/_"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"folder": "a/./b"}, "`folder`"),
        ({"folder": "a\tb"}, "`folder`"),
        ({"domain": ".."}, "`domain`"),
        ({"description": "x" * 201}, "`description`"),
        ({"description": "a [keylease 2026"}, "`description`"),
        ({"username": "a", "kind": "secret-file"}, "`username`"),
        ({"file_name": "a"}, "`file_name`"),
        ({"file_name": "a/b", "kind": "secret-file"}, "`file_name`"),
        ({"scope": "SYSTEM", "folder": "a"}, "`scope`"),
    ],
)
def test_what_cannot_be_said_of_a_place(given: dict[str, str], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked(JenkinsTo(**given))  # type: ignore[arg-type]
    assert problem in caught.value.summary

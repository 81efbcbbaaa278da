"""That the fake Jenkins does what the Credentials plugin's documentation shows: docs/user.adoc, "REST API"."""

import base64
import json
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from tests.fakes.jenkins_rest import FakeJenkins

STORE = "/job/example-folder/credentials/store/folder/domain/testing"
ACCOUNT = """<com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl>
  <scope>GLOBAL</scope>
  <id>deploy-key</id>
  <username>wecoyote</username>
  <password>secret123</password>
</com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl>
"""
TEXT = """<org.jenkinsci.plugins.plaincredentials.impl.StringCredentialsImpl>
  <scope>GLOBAL</scope>
  <id>wecoyote</id>
  <secret>secret123</secret>
  <description>TEST</description>
</org.jenkinsci.plugins.plaincredentials.impl.StringCredentialsImpl>
"""


@pytest.fixture
def jenkins() -> Iterator[FakeJenkins]:
    """With the documentation's folder and domain."""
    server = FakeJenkins()
    server.add_user("me", token="token")
    server.add_folder("example-folder", "testing")
    with server:
        yield server


def ask(server: FakeJenkins, method: str, path: str, body: str | None = None) -> tuple[int, str]:
    """As curl does it there."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    headers = {"Authorization": "Basic " + base64.b64encode(b"me:token").decode()}
    if body is not None:
        headers["content-type"] = "application/xml"
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_the_examples_of_the_documentation(jenkins: FakeJenkins) -> None:
    assert ask(jenkins, "POST", f"{STORE}/createCredentials", ACCOUNT) == (200, "")
    assert ask(jenkins, "POST", f"{STORE}/createCredentials", TEXT) == (200, "")
    status, _ = ask(jenkins, "POST", f"{STORE}/createCredentials", ACCOUNT)
    assert status == 409, "a credentials with that id already exists"
    status, _ = ask(jenkins, "POST", f"{STORE}/createCredentials", ACCOUNT[:-20])
    assert status == 500, "could not parse the supplied XML body"
    status, text = ask(jenkins, "GET", f"{STORE}/api/json?tree=credentials[id]")
    assert status == 200
    assert json.loads(text) == {
        "_class": "com.cloudbees.plugins.credentials.CredentialsStoreAction$DomainWrapper",
        "credentials": [{"id": "deploy-key"}, {"id": "wecoyote"}],
    }
    status, text = ask(jenkins, "GET", f"{STORE}/credential/deploy-key/config.xml")
    assert status == 200
    assert "secret123" not in text
    assert "  <username>wecoyote</username>\n" in text
    assert text.endswith(
        "  <password>\n    <secret-redacted/>\n  </password>\n"
        "</com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl>"
    )
    changed = ACCOUNT.replace("secret123", "pAssw0rd")
    assert ask(jenkins, "POST", f"{STORE}/credential/deploy-key/config.xml", changed) == (200, "")
    assert jenkins.credentials("example-folder", "testing")["deploy-key"].value == b"pAssw0rd"
    assert ask(jenkins, "DELETE", f"{STORE}/credential/deploy-key/config.xml") == (200, "")
    status, _ = ask(jenkins, "DELETE", f"{STORE}/credential/deploy-key/config.xml")
    assert status == 404
    assert set(jenkins.credentials("example-folder", "testing")) == {"wecoyote"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/job/EXAMPLE-folder/credentials/store/folder/domain/_/api/json", 200),
        ("GET", "/job/example-folder/credentials/store/folder/domain/Testing/api/json", 404),
        ("GET", "/job/example-folder/credentials/store/system/domain/_/api/json", 404),
        ("GET", "/credentials/store/system/domain/_/api/json", 200),
        ("GET", "/credentials/store/folder/domain/_/api/json", 404),
        ("GET", "/job/other/credentials/store/folder/domain/_/api/json", 404),
        ("GET", f"{STORE}/createCredentials", 405),
        ("PUT", f"{STORE}/credential/wecoyote/config.xml", 400),
        ("GET", f"{STORE}/credential/nobody/config.xml", 404),
    ],
)
def test_what_is_where(jenkins: FakeJenkins, method: str, path: str, status: int) -> None:
    ask(jenkins, "POST", f"{STORE}/createCredentials", TEXT)
    assert ask(jenkins, method, path)[0] == status


def test_an_id_does_not_change(jenkins: FakeJenkins) -> None:
    ask(jenkins, "POST", f"{STORE}/createCredentials", TEXT)
    status, text = ask(jenkins, "POST", f"{STORE}/credential/wecoyote/config.xml", TEXT.replace(">wecoyote", ">other"))
    assert (status, "IDs do not match" in text) == (500, True)

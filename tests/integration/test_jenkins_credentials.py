"""Jenkins' credentials as such: values and their XML, logins and crumbs, refusals and faults.

The Jenkins is a fake: tests/fakes/jenkins_rest.py says what it can't show.
"""

import base64
import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keylease.context import Context
from keylease.errors import KeyleaseError, RefusedError, UnreachableError, UsageError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.sync.model import Slot
from keylease.targets.jenkins import JenkinsTarget
from keylease.vendors.jenkins_settings import JenkinsSettings, complete
from tests.fakes.jenkins_credentials import TEXT, Credential
from tests.fakes.jenkins_rest import ALL, DELETE, UPDATE, FakeJenkins, Lost
from tests.fakes.misbehaving import Misbehaving, reply
from tests.integration.jenkins_site import USER, at, put, site, target_of, wanted
from tests.leaks import Seeded

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\r\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.fixture
def jenkins(seeded: Seeded) -> Iterator[FakeJenkins]:
    """See `site`."""
    with site(seeded) as server:
        yield server


# Values and XML.


@given(text=st.text(st.characters(codec="utf-8"), max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_text_arrives_or_is_refused(text: str) -> None:
    server = _shared()
    target = target_of(server)
    place = at(target)
    name = f"T{secrets.token_hex(4)}"
    why = target.check(place, wanted(place, name, text))
    control = any((ord(c) < 32 and c not in "\t\n\r") or c in "\ufffe\uffff\0" for c in text)
    assert bool(why) == control
    if not why:
        target.put(place, wanted(place, name, text), exists=False)
        assert server.credentials("team/app")[name].value == text.encode()


_SHARED: list[FakeJenkins] = []


def _shared() -> FakeJenkins:
    if not _SHARED:
        server = FakeJenkins()
        server.add_user(USER, token="for values that are no secrets")
        server.add_folder("team/app")
        _SHARED.append(server.start())
    return _SHARED[0]


@pytest.fixture(scope="module", autouse=True)
def _end_of_shared() -> Iterator[None]:
    yield
    while _SHARED:
        _SHARED.pop().stop()


@pytest.mark.parametrize(
    "value",
    [
        "</secret><id>EVIL</id><secret>",
        "]]>&amp;<![CDATA[x]]>",
        "a\rb\r\nc\n\n",
        "\u0085\u2028\ufffd\U0001f600",
        "{not base64}",
        "{AAAA}",
        "{}",
        " \t ",
        "",
    ],
)
def test_values_that_need_care(jenkins: FakeJenkins, value: str) -> None:
    target = target_of(jenkins)
    put(target, at(target), "A", value)
    assert jenkins.credentials("team/app")["A"].value == value.encode()
    assert set(jenkins.credentials("team/app")) == {"A"}
    assert all(each.body.isascii() for each in jenkins.requests)


def test_what_jenkins_encrypted_itself_is_not_sent(jenkins: FakeJenkins, seeded: Seeded) -> None:
    text = seeded.new("plain")
    stolen = jenkins.encrypt(text)
    target = target_of(jenkins)
    place = at(target)
    for value in (stolen, "{AQ==}"):
        assert "encrypted" in target.check(place, wanted(place, "A", value))
    with pytest.raises(UsageError, match="encrypted"):
        target.put(place, wanted(place, "A", stolen), exists=False)
    # The rule is there because it would be decrypted:
    jenkins.users[USER].permissions = set(ALL)
    body = f"<{TEXT}><id>A</id><secret>{stolen}</secret></{TEXT}>".encode()
    path = "/job/team/job/app/credentials/store/folder/domain/_"
    assert target._api.create(path, body).status_code == 200
    assert jenkins.credentials("team/app")["A"].value == text.encode()


@pytest.mark.parametrize(
    ("query", "value", "problem"),
    [
        ("", b"\xff\xfe", "binary"),
        ("", "a\0b", "binary"),
        ("", "a\x1bb", "control characters"),
        ("&kind=username-password", "plain", "no JSON object"),
        ("&kind=username-password", '{"username": "u"}', "without a username and a password"),
        ("&kind=username-password", '{"username": "", "password": "p"}', "without a username and a password"),
        ("&kind=username-password", '{"username": "u", "password": 1}', "without a username and a password"),
        ("&kind=ssh-key&username=git", "value", "no private key"),
        ("&kind=ssh-key&username=git", "-----BEGIN PUBLIC KEY-----\nAAAA", "no private key"),
        ("&kind=ssh-key", KEY, "no `username:`"),
        ("&kind=ssh-key", '{"username": "git"}', "without a private_key"),
        ("&kind=ssh-key&username=git", '{"private_key": "x", "passphrase": 1}', "passphrase that is no text"),
        ("&kind=secret-file", b"\xff", ""),
    ],
)
def test_values_that_do_not_fit_their_kind(jenkins: FakeJenkins, query: str, value: str | bytes, problem: str) -> None:
    target = target_of(jenkins)
    place = at(target, f"jenkins://?folder=team/app{query}")
    why = target.check(place, wanted(place, "A", value))
    assert problem in why
    assert bool(problem) == bool(why)
    assert not jenkins.requests, "known before anything is sent"


def test_kinds(jenkins: FakeJenkins, seeded: Seeded) -> None:
    target = target_of(jenkins)
    held = jenkins.credentials("team/app")
    user, password, phrase = seeded.new("user"), seeded.new("password"), seeded.new("passphrase")

    def made(query: str, name: str, value: str | bytes) -> Credential:
        put(target, at(target, f"jenkins://?folder=team/app&{query}"), name, value)
        return held[name]

    found = made("kind=username-password", "A", json.dumps({"username": user, "password": password}))
    assert (found.plain["username"], found.value, found.hides_username) == (user, password.encode(), True)
    assert user not in found.name
    found = made("kind=ssh-key&username=git", "B", KEY)
    assert (found.plain["username"], found.value, "passphrase" in found.secrets) == ("git", KEY.encode(), False)
    body = json.dumps({"username": user, "private_key": KEY, "passphrase": phrase})
    found = made("kind=ssh-key", "C", body)
    assert (found.plain["username"], found.value, found.secrets["passphrase"]) == (user, KEY.encode(), phrase.encode())
    binary = bytes(range(256))
    found = made("kind=secret-file&file_name=model.bin", "D", binary)
    assert (found.plain["fileName"], found.value) == ("model.bin", binary)
    found = made("kind=secret-file", "E", "text")
    assert found.plain["fileName"] == "E"
    masker = target.context.masker
    for value in (user, password, phrase):
        assert value not in masker.scrub(f"a {value} z"), "parts of a value are masked too"


# Logins, crumbs.


def test_a_token_needs_no_crumb(jenkins: FakeJenkins) -> None:
    target = target_of(jenkins)
    put(target, at(target), "A", "value")
    target.delete(at(target), Slot("credential", "A"))
    token = jenkins.users[USER].token
    encoded = base64.b64encode(f"{USER}:{token}".encode()).decode()
    for each in jenkins.requests:
        assert not each.header("Cookie")
        assert "crumb" not in each.target
        assert each.header("Authorization") == f"Basic {encoded}"
        assert token not in each.target
        assert token.encode() not in each.body


def test_a_password_needs_a_crumb_and_its_session(jenkins: FakeJenkins) -> None:
    target = target_of(jenkins, password=True)
    place = at(target)
    put(target, place, "A", "value")
    put(target, place, "B", "value")
    asked = [each for each in jenkins.requests if "crumbIssuer" in each.target]
    assert len(asked) == 1
    assert all(not each.header("Cookie") for each in jenkins.requests if each.method == "GET"), "where it is needed"
    jenkins.end_sessions()
    put(target, place, "A", "second", exists=True)
    assert jenkins.credentials("team/app")["A"].value == b"second"
    assert len([each for each in jenkins.requests if "crumbIssuer" in each.target]) == 2
    assert jenkins.changes == ["create A", "create B", "update A"]


def test_without_a_crumb_issuer_a_password_is_enough(jenkins: FakeJenkins) -> None:
    jenkins.crumbs = False
    target = target_of(jenkins, password=True)
    put(target, at(target), "A", "value")
    assert jenkins.credentials("team/app")["A"].value == b"value"


def test_a_crumb_without_a_session(jenkins: FakeJenkins) -> None:
    # As with the Strict Crumb Issuer; a cookie that is taken back is not sent.
    with Misbehaving() as server:
        crumb = {"crumb": "c" * 64, "crumbRequestField": "Jenkins-Crumb"}
        server.on("/crumbIssuer/*", reply(json=crumb, headers={"Set-Cookie": "remember-me=; Max-Age=0; Path=/"}))
        server.on("*/createCredentials", reply(403, body=b"No valid crumb was included in the request"), reply(500))
        target = target_of(jenkins, url=server.url, retries=0)
        with pytest.raises(UnreachableError):
            put(target, at(target), "A", "value")
        last = server.requests[-1]
        assert (last.method, last.header("Jenkins-Crumb"), last.header("Cookie")) == ("POST", "c" * 64, "")


def test_a_session_that_gets_lost(jenkins: FakeJenkins) -> None:
    target = target_of(jenkins, password=True)
    issue = jenkins._issue_crumb

    def lose(*arguments: Any) -> None:
        issue(*arguments)
        jenkins.end_sessions()

    jenkins._issue_crumb = lose  # type: ignore[method-assign,assignment]
    with pytest.raises(RefusedError, match="no valid crumb") as caught:
        put(target, at(target), "A", "value")
    assert "API token" in caught.value.change
    assert len([each for each in jenkins.requests if each.method == "POST"]) == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"crumb": "a\r\nX: y", "crumbRequestField": "Jenkins-Crumb"},
        {"crumb": "a", "crumbRequestField": "X\r\nY"},
        {"crumb": "a", "crumbRequestField": 1},
        {"crumb": ["a"], "crumbRequestField": "Jenkins-Crumb"},
        ["a"],
    ],
)
def test_odd_crumbs_are_not_used(jenkins: FakeJenkins, answer: object) -> None:
    with Misbehaving() as server:
        server.on("/crumbIssuer/*", reply(json=answer))
        server.on("*/createCredentials", reply(403, body=b"<p>No valid crumb was included in the request</p>"))
        target = target_of(jenkins, url=server.url)
        with pytest.raises(RefusedError, match="no valid crumb"):
            put(target, at(target), "A", "value")


def test_a_token_that_is_not_accepted(jenkins: FakeJenkins) -> None:
    target = target_of(jenkins)
    jenkins.users[USER].token = "another one"
    for does in (lambda: target.list(at(target)), lambda: put(target, at(target), "A", "value")):
        sent = len(jenkins.requests)
        with pytest.raises(RefusedError, match=f"HTTP 401: the token of the user {USER}") as caught:
            does()
        assert len(jenkins.requests) == sent + 1
        assert f"{jenkins.url}/me/security" in caught.value.change


def test_no_token() -> None:
    made = complete(
        JenkinsSettings(user=USER, token_env="NOT_THERE"),
        {"JENKINS_URL": "https://ci.example.com/"},
    )
    with pytest.raises(UsageError, match="NOT_THERE"):
        JenkinsTarget("jenkins", made, Context({}, Masker(), Deadline(60)))


def test_plain_http_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    made = complete(JenkinsSettings(user=USER), {"JENKINS_URL": "http://ci.example.com"})
    JenkinsTarget("jenkins", made, Context({"JENKINS_API_TOKEN": "x" * 20}, Masker(), Deadline(60)))
    assert "plain http" in caplog.text


@pytest.mark.parametrize(("permission", "name"), [(UPDATE, "Update"), (DELETE, "Delete")])
def test_permissions_that_lack_are_named(jenkins: FakeJenkins, permission: str, name: str) -> None:
    target = target_of(jenkins)
    place = at(target)
    put(target, place, "A", "value")
    jenkins.users[USER].permissions.discard(permission)
    slot = Slot("credential", "A")
    does = {
        "Update": lambda: put(target, place, "A", "second", exists=True),
        "Delete": lambda: target.delete(place, slot),
    }
    with pytest.raises(RefusedError, match=f"lacks the permission Credentials/{name}") as caught:
        does[name]()
    assert f"Credentials/{name}" in caught.value.change
    assert jenkins.credentials("team/app")["A"].value == b"value"


def test_a_user_for_one_folder_is_enough(jenkins: FakeJenkins) -> None:
    jenkins.users[USER].below = "team/app"
    target = target_of(jenkins)
    put(target, at(target), "A", "value")
    assert Slot("credential", "A") in target.list(at(target)).remotes
    with pytest.raises(RefusedError, match="Credentials/View"):
        target.list(at(target, "jenkins://"))
    assert target.permissions([target.parse("jenkins://?folder=team/app")]) == [
        "Overall/Read",
        "Job/Read on the folder team",
        "Job/Read on the folder team/app",
        "Credentials/View, Credentials/Create, Credentials/Update and Credentials/Delete on the folder team/app",
    ]


# Faults.


def test_an_update_that_jenkins_drops_is_not_believed(jenkins: FakeJenkins) -> None:
    target = target_of(jenkins)
    place = at(target)
    put(target, place, "A", "1")
    jenkins.drops_updates = True
    with pytest.raises(UnreachableError, match="HTTP 200, but"):
        put(target, place, "A", "2", exists=True)
    assert jenkins.credentials("team/app")["A"].value == b"1"


def test_a_create_whose_answer_is_lost_is_one_create(jenkins: FakeJenkins) -> None:
    lost = iter([True])

    def after(_what: str) -> None:
        if next(lost, False):
            raise Lost

    jenkins.after = after
    target = target_of(jenkins)
    put(target, at(target), "A", "value")
    assert jenkins.changes == ["create A"]
    assert [each.method for each in jenkins.requests] == ["POST", "POST", "GET"]


def test_an_id_that_somebody_took_meanwhile(jenkins: FakeJenkins) -> None:
    target = target_of(jenkins)
    jenkins.plant("team/app", "", Credential(TEXT, "A", None, "theirs", {}, {"secret": b"theirs"}))
    with pytest.raises(RefusedError, match="there is a credential with this ID already"):
        put(target, at(target), "A", "value")
    assert jenkins.credentials("team/app")["A"].value == b"theirs"


def test_a_plugin_that_is_not_installed(jenkins: FakeJenkins, seeded: Seeded) -> None:
    value = seeded.new("value")
    jenkins.missing_plugins = {TEXT}
    target = target_of(jenkins, retries=1)
    with pytest.raises(UnreachableError, match="HTTP 500") as caught:
        put(target, at(target), "A", value)
    assert "plain-credentials" in caught.value.cause
    assert value not in caught.value.diagnostics(debug=True), "Jenkins' page quotes the document"


@pytest.mark.parametrize("exists", [False, True])
def test_a_login_page_is_no_success(jenkins: FakeJenkins, exists: bool) -> None:
    page = reply(body=b"<html>Sign in</html>", content_type="text/html")
    with Misbehaving() as server:
        server.on("*", page)
        target = target_of(jenkins, url=server.url)
        place = at(target)
        with pytest.raises(UnreachableError):
            put(target, place, "A", "value", exists=exists)
        with pytest.raises(UnreachableError):
            target.delete(place, Slot("credential", "A"))
        with pytest.raises(UnreachableError):
            target.list(place)


def test_a_redirect_to_another_host_gets_nothing(jenkins: FakeJenkins) -> None:
    with Misbehaving() as stranger, Misbehaving() as server:
        server.on("*", reply(302, body=b"", headers={"Location": stranger.url}))
        target = target_of(jenkins, url=server.url)
        with pytest.raises(KeyleaseError):
            put(target, at(target), "A", "value")
        with pytest.raises(KeyleaseError):
            target.list(at(target))
        assert not stranger.requests


def test_a_bomb_in_the_configuration_is_not_expanded(jenkins: FakeJenkins) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;">]><a><scope>&c;</scope></a>'
    with Misbehaving() as server:
        server.on("*/config.xml", reply(body=bomb, content_type="application/xml"))
        target = target_of(jenkins, url=server.url)
        with pytest.raises(UnreachableError, match="not Jenkins' XML"):
            put(target, at(target), "A", "value", exists=True)
        assert all(each.method == "GET" for each in server.requests)


def test_an_address_of_another_server(jenkins: FakeJenkins) -> None:
    target = target_of(jenkins)
    with pytest.raises(UsageError, match=r"on 'ci\.example\.com'"):
        target.places(target.parse("jenkins://ci.example.com?folder=team/app"))

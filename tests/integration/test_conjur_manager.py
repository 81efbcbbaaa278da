"""Conjur's variables: one request for many, the culprit of a batch that fails, versions, bytes; the whole program."""

import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.managers.conjur import PAGE, ConjurManager
from keylease.model import Document
from tests.conftest import RunKeylease
from tests.contract.harness_conjur import AUDIENCE
from tests.contract.manager_conjur import ConjurManagerHarness, make, read_of
from tests.fakes.conjur_server import ACCOUNT, ConjurServer
from tests.fakes.misbehaving import reply
from tests.integration.test_conjur_exchange import exported, script
from tests.leaks import Seeded


@pytest.fixture
def conjur(request: pytest.FixtureRequest) -> ConjurManagerHarness:
    return make(request)


def texts(conjur: ConjurManagerHarness, found: list[Document | KeyleaseError]) -> list[str]:
    return [d.value(None, conjur.seal).reveal() if isinstance(d, Document) else type(d).__name__ for d in found]


def asked(conjur: ConjurManagerHarness) -> list[str]:
    return [request.target for request in conjur.proxy.requests if request.path.startswith("/secrets")]


def test_many_in_one_request_as_conjur_api_asks(conjur: ConjurManagerHarness, tmp_path: Path) -> None:
    reads = [conjur.put_text(f"name {n}", f"value-{n}") for n in range(3)]
    lease = conjur.conjur.exchanger().exchange(conjur.conjur.token())
    manager = conjur.manager()
    (group,) = manager.grouped(reads)
    assert texts(conjur, manager.read_many(group)) == ["value-0", "value-1", "value-2"]
    code = "print(client.get_many('prod/name 0', 'prod/name 1', 'prod/name 2'))"
    assert "value-2" in script(code, exported(lease), tmp_path)
    ours, theirs = asked(conjur)
    assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(theirs).query)
    assert urlsplit(ours).path == urlsplit(theirs).path == "/secrets"


def test_a_line_that_would_be_too_long_is_several(conjur: ConjurManagerHarness) -> None:
    reads = [conjur.put_text(f"{n:03}-{'x' * 80}", str(n)) for n in range(100)]
    manager = conjur.manager()
    groups = manager.grouped(reads)
    assert [read for group in groups for read in group] == reads
    assert 1 < len(groups) < 6
    assert [t for group in groups for t in texts(conjur, manager.read_many(group))] == [str(n) for n in range(100)]
    assert len(asked(conjur)) == len(groups)
    assert max(map(len, asked(conjur))) < 4200


def test_what_cannot_be_in_a_batch_is_asked_for_alone(conjur: ConjurManagerHarness) -> None:
    plain, comma, last = (conjur.put_text(name, name) for name in ("a", "with,comma", "b"))
    old = read_of("prod/a", version="1")
    manager = conjur.manager()
    groups = manager.grouped([plain, comma, old, last])
    assert groups == [[comma], [old], [plain, last]]
    assert [texts(conjur, manager.read_many(group)) for group in groups] == [["with,comma"], ["a"], ["a", "b"]]
    assert asked(conjur)[:2] == [
        "/secrets/acme/variable/prod%2Fwith%2Ccomma",
        "/secrets/acme/variable/prod%2Fa?version=1",
    ]


def test_the_culprits_of_a_batch_are_found(conjur: ConjurManagerHarness) -> None:
    good = [conjur.put_text(f"n{n}", f"value-{n}") for n in range(3)]
    reads = [good[0], conjur.forbidden(), good[1], conjur.missing(), good[2]]
    found = conjur.manager().read_many(reads)
    assert texts(conjur, found) == ["value-0", "RefusedError", "value-1", "NotFoundError", "value-2"]
    assert len(asked(conjur)) == 1 + len(reads)


def test_a_forbidden_one_gets_the_policy_for_it_alone(conjur: ConjurManagerHarness) -> None:
    with pytest.raises(RefusedError) as caught:
        conjur.manager().read(conjur.forbidden())
    error = caught.value
    assert error.summary == "Conjur: conjur://others/password: HTTP 403"
    assert "host/ci/trainer of account acme has no privilege `execute`" in error.cause
    body = re.search(r"<<'EOF'\n(.*)\nEOF", error.change, re.DOTALL)
    assert body
    assert body[1].splitlines() == [
        "- !permit",
        '  role: !host "ci/trainer"',
        "  privilege: [ read, execute ]",
        '  resource: !variable "others/password"',
    ]
    assert error.docs.endswith("#conjur-secret")


def test_a_variable_without_a_value_is_not_found(conjur: ConjurManagerHarness) -> None:
    conjur.server.privileges["prod/empty"] = {"read", "execute"}
    with pytest.raises(NotFoundError, match="CONJ00076E") as caught:
        conjur.manager().read(read_of("prod/empty"))
    assert "no value yet" in caught.value.cause
    assert "conjur variable set" in caught.value.change


def test_versions(conjur: ConjurManagerHarness) -> None:
    for n in range(1, 4):
        conjur.put_text("turned", f"value-{n}")
    manager = conjur.manager()
    document = manager.read(read_of("prod/turned", version="2"))
    assert document.value(None, conjur.seal).reveal() == "value-2"
    assert document.version == "2"
    assert manager.read(read_of("prod/turned")).value(None, conjur.seal).reveal() == "value-3"
    with pytest.raises(NotFoundError) as caught:
        manager.read(read_of("prod/turned", version="9"))
    assert "no such version" in caught.value.cause
    assert "may not see it" in caught.value.cause
    conjur.server.privileges["prod/turned"] = {"read"}
    with pytest.raises(RefusedError) as refused:
        manager.read(read_of("prod/turned", version="2"))
    assert not isinstance(refused.value, NotFoundError)


@pytest.mark.parametrize("version", ["0", "-1", "latest", "1.5", "\u0663", str(2**40)])
def test_a_version_is_a_number(conjur: ConjurManagerHarness, version: str) -> None:
    with pytest.raises(UsageError, match="`version`"):
        conjur.manager().read(read_of("prod/x", version=version))
    assert asked(conjur) == []


@pytest.mark.parametrize("encoding", [True, False], ids=["base64", "a proxy drops the header"])
def test_bytes_arrive_whole(conjur: ConjurManagerHarness, encoding: bool) -> None:
    keystore = bytes(range(256)) * 4
    conjur.server.put("prod/keystore", keystore)
    text = conjur.put_text("text", "aGVsbG8=\n")  # looks like base64, and is none
    conjur.server.encoding = encoding
    manager = conjur.manager()
    found = manager.read_many([read_of("prod/keystore"), text])
    values = [each.value(None, conjur.seal).reveal_bytes() for each in found if isinstance(each, Document)]
    assert values == [keystore, b"aGVsbG8=\n"]


@pytest.mark.parametrize(
    "answer",
    [
        reply(json={f"{ACCOUNT}:variable:prod/other": "x"}),
        reply(json={f"{ACCOUNT}:variable:prod/a": 5}),
        reply(json={f"{ACCOUNT}:variable:prod/a": "not base64!"}, headers={"Content-Encoding": "base64"}),
        reply(404, body=b"<html>nginx</html>", content_type="text/html"),
    ],
    ids=["another", "a number", "no base64", "a proxy's 404"],
)
def test_an_answer_without_the_variable_is_none(conjur: ConjurManagerHarness, answer: object) -> None:
    read = conjur.put_text("a", "1")
    manager = conjur.manager()
    conjur.proxy.fail("/secrets", answer)  # type: ignore[arg-type]
    with pytest.raises(UnreachableError) as caught:
        manager.read(read)
    assert caught.value.docs.endswith("#garbage")


def test_a_page_is_no_version_of_a_variable(conjur: ConjurManagerHarness) -> None:
    conjur.put_text("a", "1")
    manager = conjur.manager()
    conjur.proxy.fail("/secrets/*", reply(body=b"<html>Sign in</html>", content_type="text/html"))
    with pytest.raises(UnreachableError):
        manager.read(read_of("prod/a", version="1"))


def test_a_token_that_has_expired(conjur: ConjurManagerHarness) -> None:
    read = conjur.put_text("a", "1")
    manager = conjur.manager()
    conjur.proxy.fail("/secrets", reply(401, body=b""))
    with pytest.raises(RefusedError) as caught:
        manager.read(read)
    assert "not accepted any more" in caught.value.cause


def test_a_token_that_was_tampered_with(conjur: ConjurManagerHarness) -> None:
    read = conjur.put_text("a", "1")
    token = json.loads(conjur.conjur.exchanger().exchange(conjur.conjur.token()).fields["CONJUR_AUTHN_TOKEN"].reveal())
    lease = conjur.conjur.exchanger().exchange(conjur.conjur.token())
    forged = json.dumps({**token, "signature": "0" * 128}).encode()
    session = msgspec.structs.replace(
        lease.session.token,  # type: ignore[attr-defined]
        encoded=conjur.seal(base64.b64encode(forged).decode(), "forged"),
    )
    lease.session = msgspec.structs.replace(lease.session, token=session)  # type: ignore[type-var]
    with pytest.raises(RefusedError, match="HTTP 401"):
        ConjurManager(lease, conjur.conjur.context).read(read)


CONFIG = """
version: 1
providers:
  conjur:
    type: conjur
    url: {url}
    account: acme
    service_id: github
    host_id: host/ci/trainer
    audience: {audience}
leases:
  - use: conjur
  - secret: conjur://prod/db/password
    env: DATABASE_PASSWORD
  - secret: conjur://prod/db/password
    version: 1
    env: OLD_PASSWORD
  - secret: conjur://prod/api
    env: {{API_USER: user, API_KEY: key}}
"""

SHOW = """
import hashlib, json, os
names = ("DATABASE_PASSWORD", "API_USER", "API_KEY", "OLD_PASSWORD")
print(json.dumps([hashlib.sha256(os.environ[n].encode()).hexdigest() for n in names]))
token = open(os.environ["CONJUR_AUTHN_TOKEN_FILE"]).read()
print(token == os.environ["CONJUR_AUTHN_TOKEN"], os.environ["CONJUR_ACCOUNT"])
print(token)
"""

WAIT = """
import os, time
path = os.environ["CONJUR_AUTHN_TOKEN_FILE"]
first, end = open(path).read(), time.time() + 20
while open(path).read() == first and time.time() < end:
    time.sleep(0.1)
print("the same" if open(path).read() == first else "another one")
"""


def test_the_program_reads_and_hands_over(
    keylease: RunKeylease, conjur: ConjurManagerHarness, tmp_path: Path, seeded: Seeded
) -> None:
    old, new, key = seeded.new("old"), seeded.new("new"), seeded.new("key")
    conjur.put_text("db/password", old)
    conjur.put_text("db/password", new)
    conjur.put("api", {"user": "trainer", "key": key})
    config = tmp_path / "keylease.yml"
    config.write_text(CONFIG.format(url=conjur.proxy.url, audience=AUDIENCE), encoding="utf-8")
    env = {**conjur.conjur.issuer.github_env(), "RUNNER_TEMP": str(tmp_path)}
    done = keylease("exec", "--config", str(config), "--", sys.executable, "-c", SHOW, env=env)
    assert done.returncode == 0, done.stderr
    digests, same, token = done.stdout.splitlines()[-3:]
    assert json.loads(digests) == [hashlib.sha256(v.encode()).hexdigest() for v in (new, "trainer", key, old)]
    assert same == "True acme"
    assert "signature" not in token, "the token itself is hidden in the command's output"
    paths = sorted(urlsplit(target).path for target in asked(conjur))
    assert paths == ["/secrets", "/secrets/acme/variable/prod%2Fdb%2Fpassword"], "one batch, one version"
    assert sum(request.method == "POST" for request in conjur.proxy.requests) == 1


def test_the_file_follows_the_token_in_exec(
    keylease: RunKeylease, conjur: ConjurManagerHarness, tmp_path: Path
) -> None:
    # Three seconds, where the identity token has five minutes: the file must follow the shorter of the two.
    conjur.server.ttl = 3
    config = tmp_path / "keylease.yml"
    text = CONFIG.format(url=conjur.proxy.url, audience=AUDIENCE).partition("  - secret")[0]
    config.write_text(text, encoding="utf-8")
    env = {**conjur.conjur.issuer.github_env(), "RUNNER_TEMP": str(tmp_path)}
    done = keylease("exec", "--config", str(config), "--", sys.executable, "-c", WAIT, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "another one"


def test_whoami_prints_the_policy_with_what_is_read(
    keylease: RunKeylease, conjur: ConjurManagerHarness, tmp_path: Path
) -> None:
    config = tmp_path / "keylease.yml"
    config.write_text(CONFIG.format(url=conjur.proxy.url, audience=AUDIENCE), encoding="utf-8")
    done = keylease("whoami", "--config", str(config), env=conjur.conjur.issuer.github_env())
    assert done.returncode == 0, done.stderr
    assert '"authn-jwt/github/repository_id": "817264"' in done.stdout
    assert done.stdout.count('resource: !variable "prod/db/password"') == 1
    assert 'resource: !variable "prod/api"' in done.stdout


# Patterns.


def find(conjur: ConjurManagerHarness, text: str = "*") -> list[str]:
    return conjur.manager().find(conjur.pattern(text), "prod", "", deep=False)


def test_a_list_of_many_has_each_once(conjur: ConjurManagerHarness) -> None:
    names = [f"prod/n{n:03}" for n in range(PAGE * 2 - 1)]  # two full pages, which share one
    for name in names:
        conjur.server.put(name, "x")
    assert find(conjur) == names
    assert conjur.server.problems == []


def test_what_the_host_may_not_see_is_left_out(conjur: ConjurManagerHarness) -> None:
    conjur.server.put("prod/mine", "x")
    conjur.server.put("prod/others", "x", ())
    assert find(conjur) == ["prod/mine"]


def test_a_list_that_changes_while_it_is_read_is_read_again(conjur: ConjurManagerHarness) -> None:
    for n in range(PAGE + 5):
        conjur.server.put(f"prod/n{n:03}", "x")

    def once(server: ConjurServer) -> None:
        server.listed = lambda _: None
        del server.privileges["prod/n000"]  # all that follow move up by one

    conjur.server.listed = once
    assert find(conjur) == [f"prod/n{n:03}" for n in range(1, PAGE + 5)]

    def always(server: ConjurServer) -> None:
        del server.privileges[min(server.privileges)]

    for n in range(PAGE + 90):
        conjur.server.put(f"prod/n{n:03}", "x")
    conjur.server.listed = always
    with pytest.raises(UnreachableError, match="changes while it is read"):
        find(conjur)


def test_a_server_that_gives_out_fewer_says_so(conjur: ConjurManagerHarness) -> None:
    conjur.server.list_max = 50
    with pytest.raises(RefusedError, match="must not exceed 50") as caught:
        find(conjur)
    assert "api_resource_list_limit_max" in caught.value.cause


@pytest.mark.parametrize(
    "body",
    [
        [{"id": "acme:host:x"}],
        [{"id": "other:variable:x"}],
        [{}],
        [1],
        {"id": "x"},
        [{"id": f"acme:variable:{n}"} for n in range(PAGE + 1)],
    ],
)
def test_a_list_of_something_else_is_none(conjur: ConjurManagerHarness, body: object) -> None:
    conjur.proxy.fail("/resources/*", reply(body=json.dumps(body).encode()))
    with pytest.raises(UnreachableError):
        find(conjur)


def test_a_list_that_goes_on_for_ever_ends(conjur: ConjurManagerHarness) -> None:
    page = json.dumps([{"id": "acme:variable:same"}] * PAGE).encode()
    conjur.proxy.always("/resources/*", reply(body=page))
    with pytest.raises(UsageError, match="more than 10000"):
        find(conjur)

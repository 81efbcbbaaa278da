"""Conjur: what is sent, what comes back, what a refusal says, and whether CyberArk's conjur-api works with it."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError
from keylease.model import Lease, Read, Revocation
from tests.contract.harness_conjur import AUDIENCE, BOUND, ConjurHarness, make
from tests.fakes.conjur_server import ACCOUNT, HOST, SERVICE, ConjurServer
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import reply
from tests.fakes.verifier import Verifier
from tests.leaks import Seeded
from tests.servers.tls import ThrowawayCA


@pytest.fixture
def conjur(request: pytest.FixtureRequest) -> ConjurHarness:
    return make(request)


@pytest.fixture
def conjur_tls(issuer: OIDCIssuer, ca: ThrowawayCA) -> Iterator[ConjurServer]:
    annotations = {name: issuer.claims[name] for name in BOUND}
    with ConjurServer(Verifier(issuer, AUDIENCE), annotations, tls=ca.server_context()) as server:
        yield server
        assert server.problems == []


# CyberArk's library reads no variables: this is what a script does that has them.
CLIENT = """
import os, sys
from conjur_api import Client
from conjur_api.models import ConjurConnectionInfo, CredentialsData, SslVerificationMode
from conjur_api.providers import JWTAuthenticationStrategy, SimpleCredentialsProvider, TokenAuthenticationStrategy

env = os.environ
url, account = env["CONJUR_APPLIANCE_URL"], env["CONJUR_ACCOUNT"]
mode, certificate = SslVerificationMode.TRUST_STORE, None
if "CONJUR_SSL_CERTIFICATE" in env:
    mode, certificate = SslVerificationMode.CA_BUNDLE, "ca-of-the-job.pem"
    open(certificate, "w").write(env["CONJUR_SSL_CERTIFICATE"])
if "JWT" in env:
    strategy = JWTAuthenticationStrategy(env["JWT"])
else:
    known = SimpleCredentialsProvider()
    known.save(CredentialsData(machine=url, api_token=env["CONJUR_AUTHN_TOKEN"]))
    strategy = TokenAuthenticationStrategy(known)
info = ConjurConnectionInfo(url, account, certificate, service_id=env.get("SERVICE"))
client = Client(info, mode, strategy, async_mode=False)
"""


def script(code: str, variables: Mapping[str, str], home: Path) -> str:
    """Run `code` after CLIENT in a process of its own with these variables; its output."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), **variables}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT + code],
        env=env,
        cwd=home,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def exported(lease: Lease) -> dict[str, str]:
    return {**lease.plain, **{name: value.reveal() for name, value in lease.fields.items()}}


def test_the_request_is_the_documented_one(conjur: ConjurHarness) -> None:
    token = conjur.token()
    lease = conjur.exchanger().exchange(token)
    (request,) = conjur.proxy.requests
    assert (request.method, request.target) == ("POST", "/authn-jwt/github/acme/host%2Fci%2Ftrainer/authenticate")
    assert parse_qs(request.body.decode()) == {"jwt": [token.jwt.reveal()]}
    assert request.header("Accept-Encoding") == "base64"
    assert not request.header("Authorization")
    assert lease.account == "host/ci/trainer in acme"
    assert lease.plain == {"CONJUR_APPLIANCE_URL": conjur.proxy.url, "CONJUR_ACCOUNT": ACCOUNT}
    assert lease.revocation is None
    assert lease.expires_at == pytest.approx(time.time() + 480, abs=5)


def test_conjur_api_reads_with_what_is_exported(conjur: ConjurHarness, tmp_path: Path, seeded: Seeded) -> None:
    value = seeded.new("variable")
    conjur.server.put("prod/db/password", value)
    lease = conjur.exchanger().exchange(conjur.token())
    code = "print(client.whoami()['username'], client.get('prod/db/password').decode()[::-1])"
    assert script(code, exported(lease), tmp_path).split() == [HOST, value[::-1]]


def test_our_login_is_conjur_apis(conjur: ConjurHarness, tmp_path: Path) -> None:
    # The library names no host in the URL.
    conjur.server.token_app_property = "repository_id"
    conjur.server.annotations["repository_id"] = "817264"
    token = conjur.token()
    lease = conjur.exchanger(host_id="").exchange(token)
    assert lease.account == "host/ci/817264 in acme"
    variables = {
        "CONJUR_APPLIANCE_URL": conjur.proxy.url,
        "CONJUR_ACCOUNT": ACCOUNT,
        "SERVICE": SERVICE,
        "JWT": token.jwt.reveal(),
    }
    assert script("print(client.whoami()['username'])", variables, tmp_path).split() == ["host/ci/817264"]
    ours, theirs = (each for each in conjur.proxy.requests if each.method == "POST")
    assert (ours.target, ours.body) == (theirs.target, theirs.body)
    # The library calls its form text/plain, which the specification does not know and servers take all the same.
    (problem,) = conjur.server.problems
    assert "a body of type 'text/plain'" in problem
    conjur.server.problems.clear()


def test_conjur_api_trusts_the_ca_that_is_exported(
    conjur: ConjurHarness, conjur_tls: ConjurServer, ca: ThrowawayCA, tmp_path: Path
) -> None:
    path = ca.write(tmp_path)
    lease = conjur.exchanger(conjur_tls.url, ca_certificate=str(path)).exchange(conjur.token())
    assert lease.plain["CONJUR_SSL_CERTIFICATE"] == path.read_text()
    job = tmp_path / "job"
    job.mkdir()
    assert script("print(client.whoami()['username'])", exported(lease), job).split() == [HOST]


def test_the_ca_may_be_text_and_must_be_the_servers(
    conjur: ConjurHarness, conjur_tls: ConjurServer, ca: ThrowawayCA, tmp_path: Path
) -> None:
    text = ca.write(tmp_path).read_text()
    assert conjur.exchanger(conjur_tls.url, ca_certificate=text).exchange(conjur.token()).account
    with pytest.raises(UnreachableError) as caught:
        conjur.exchanger(conjur_tls.url).exchange(conjur.token())
    assert "not trusted" in caught.value.summary
    assert "ca_certificate" in caught.value.change


def test_a_proxy_that_drops_the_header_gets_us_json(conjur: ConjurHarness) -> None:
    conjur.server.encoding = False
    assert conjur.is_alive(conjur.exchanger().exchange(conjur.token()))


def test_a_token_without_an_end_lives_eight_minutes(conjur: ConjurHarness) -> None:
    conjur.server.with_exp = False
    lease = conjur.exchanger().exchange(conjur.token())
    assert lease.expires_at == pytest.approx(time.time() + 480, abs=5)


def test_every_form_of_the_token_is_masked(conjur: ConjurHarness) -> None:
    exchanger = conjur.exchanger()
    lease = exchanger.exchange(conjur.token())
    token = json.loads(lease.fields["CONJUR_AUTHN_TOKEN"].reveal())
    text = json.dumps(token, indent=2)  # as a tool prints it that knows nothing of secrets
    header = base64.b64encode(lease.fields["CONJUR_AUTHN_TOKEN"].reveal().encode()).decode()
    shown = exchanger.context.masker.scrub(f'{text}\nAuthorization: Token token="{header}"')
    assert token["signature"] not in shown
    assert header not in shown


def test_the_file_gets_a_new_token_for_a_new_identity(conjur: ConjurHarness) -> None:
    lease = conjur.exchanger().exchange(conjur.token())
    (file,) = lease.files
    assert file.variable == "CONJUR_AUTHN_TOKEN_FILE"
    assert file.content is not None
    assert conjur.server.role_of(file.content.reveal()) == HOST
    assert file.fresh is not None
    conjur.server.ttl = 900
    again = file.fresh(conjur.token())
    assert again != file.content
    assert conjur.server.role_of(again.reveal()) == HOST
    assert again.reveal() not in conjur.context.masker.scrub(f"x {again.reveal()} y")


REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "annotation": ({"ref": "refs/heads/other"}, "CONJ00049E", "annotations that do not fit"),
    "audience": ({"audience": "https://elsewhere.example"}, "CONJ00035E", "another issuer or audience"),
    "forged": ({"forged": True}, "CONJ00035E", "Conjur tells its log alone"),
}


@pytest.mark.parametrize(("claims", "code", "said"), REFUSALS.values(), ids=REFUSALS)
def test_an_empty_401_is_explained_and_has_the_policy(
    conjur: ConjurHarness, claims: dict[str, Any], code: str, said: str
) -> None:
    exchanger = conjur.exchanger()
    exchanger.reads = [Read("conjur", "conjur", "prod/db/password")]
    with pytest.raises(RefusedError) as caught:
        exchanger.exchange(conjur.token(**claims))
    assert conjur.server.log == [code]
    assert caught.value.summary == "Conjur: authn-jwt/github refused host/ci/trainer: HTTP 401"
    assert said in caught.value.cause
    assert "conjur policy load" in caught.value.change
    assert '!variable "prod/db/password"' in caught.value.change
    assert caught.value.docs.endswith("#conjur-login")
    assert code in (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")


def test_both_or_neither_way_to_name_the_host(conjur: ConjurHarness) -> None:
    with pytest.raises(RefusedError) as caught:
        conjur.exchanger(host_id="").exchange(conjur.token())
    assert "needs `host_id`" in caught.value.cause
    conjur.server.token_app_property = "repository_id"
    with pytest.raises(RefusedError) as caught:
        conjur.exchanger().exchange(conjur.token())
    assert "a token-app-property besides `host_id`" in caught.value.cause
    assert conjur.server.log == ["CONJ00098E", "CONJ00098E"]


def test_a_host_outside_of_the_group(conjur: ConjurHarness) -> None:
    conjur.server.member = False
    with pytest.raises(RefusedError) as caught:
        conjur.exchanger().exchange(conjur.token())
    assert "may not `authenticate`" in caught.value.cause
    assert "- !grant" in caught.value.change


def test_the_servers_clock_may_be_ahead(conjur: ConjurHarness) -> None:
    said = {"error": {"code": "unauthorized", "message": "CONJ00016E Token expired"}}
    conjur.proxy.fail("/authn-jwt/*", reply(401, json=said))
    with pytest.raises(RefusedError, match="CONJ00016E") as caught:
        conjur.exchanger().exchange(conjur.token())
    assert caught.value.retry_with_new_token
    assert "clock" in caught.value.cause


def test_a_server_that_issues_what_has_expired(conjur: ConjurHarness) -> None:
    conjur.server.ttl = 0
    with pytest.raises(RefusedError, match="already expired on arrival") as caught:
        conjur.exchanger().exchange(conjur.token())
    assert "TTL" in caught.value.change


def test_an_address_that_is_not_the_apis(conjur: ConjurHarness) -> None:
    with pytest.raises(NotFoundError) as caught:
        conjur.exchanger(f"{conjur.proxy.url}/elsewhere").exchange(conjur.token())
    assert "`url`" in caught.value.cause
    conjur.server.problems.clear()  # the wrong path is the point


def test_a_firewalls_page_is_no_refusal_of_the_claims(conjur: ConjurHarness) -> None:
    conjur.proxy.fail("/authn-jwt/*", reply(403, body=b"<html>no</html>", content_type="text/html"))
    with pytest.raises(RefusedError) as caught:
        conjur.exchanger().exchange(conjur.token())
    assert "proxy or firewall" in caught.value.cause
    assert not caught.value.claims


def test_revoking_says_that_it_cannot_be(conjur: ConjurHarness) -> None:
    exchanger = conjur.exchanger()
    with pytest.raises(KeyleaseError, match="can't be revoked"):
        exchanger.revoke(Revocation("conjur", "conjur", {}, None, own_token=True), conjur.context)

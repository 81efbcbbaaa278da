"""The test bed itself: its servers are real and leave nothing behind, its faults are the faults they claim."""

# long file: one place that proves every server and fault of the bed; its parts share fixtures and read in order.

import http.client
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import requests
from cryptography import x509

from tests import environment
from tests.conftest import RunKeylease
from tests.fakes import misbehaving as faults
from tests.fakes.github_oidc import OIDCIssuer, github_claims, gitlab_claims
from tests.fakes.misbehaving import Misbehaving, Proxy
from tests.leaks import Seeded
from tests.servers.openbao import SELF_POLICY, BaoError, OpenBao
from tests.servers.postgres import Postgres
from tests.servers.process import Server, ServerError
from tests.servers.tls import ThrowawayCA
from tests.servers.trust import Trust
from tests.servers.valkey import Valkey

Unique = Callable[[str], str]
ROOT = Path(__file__).parents[2]


def get(url: str, **options: Any) -> requests.Response:
    return requests.get(url, timeout=options.pop("timeout", 5), **options)


class TestOpenBao:
    def test_login_with_a_token_of_the_issuer(self, trust: Trust) -> None:
        found = trust.bao.token_lookup(trust.login())
        assert found is not None
        assert found["policies"] == [trust.policy]
        assert found["meta"]["repository"] == "acme/trainer"

    @pytest.mark.parametrize(
        ("mint", "refusal"),
        [
            ({"audience": "other"}, "audience"),
            ({"repository": "acme/other"}, "repository"),
            ({"lifetime": -300}, "expired"),
            ({"forged": True}, "signature"),
            ({"iss": "http://127.0.0.1:1"}, "issuer"),
            ({"without": ("repository",)}, "repository"),
        ],
    )
    def test_login_is_refused(self, trust: Trust, mint: dict[str, Any], refusal: str) -> None:
        token = trust.issuer.mint(**{"audience": trust.audience, **mint})
        answer = trust.bao.request("POST", f"auth/{trust.mount}/login", {"role": trust.role, "jwt": token}, token="")
        assert answer.status_code == 400
        assert refusal in answer.text

    def test_key_value_mounts(self, openbao: OpenBao, unique: Unique) -> None:
        for kv in (openbao.kv1(unique("kv")), openbao.kv2(unique("kv"))):
            kv.put("a/b", {"key": "value"})
            assert kv.get("a/b") == {"key": "value"}
        assert kv.put("a/b", {"key": "newer"}) == 2
        assert openbao.list(f"{kv.mount}/metadata/a") == ["b"]
        assert openbao.list(f"{kv.mount}/metadata/none") == []

    def test_grant_reaches_living_tokens(self, trust: Trust, unique: Unique) -> None:
        other = trust.bao.kv1(unique("kv"))
        other.put("x", {"key": "value"})
        token = trust.login()
        assert trust.bao.request("GET", other.api("x"), token=token).status_code == 403
        trust.grant(other.api("x"))
        assert trust.bao.request("GET", other.api("x"), token=token).status_code == 200

    def test_namespaces_are_separate(self, openbao: OpenBao, unique: Unique) -> None:
        inside = openbao.namespace(unique("team"))
        kv = inside.kv2(unique("kv"))
        kv.put("a", {"key": "value"})
        assert kv.get("a") == {"key": "value"}
        with pytest.raises(BaoError) as refused:
            openbao.read(kv.api("a"))
        assert refused.value.status == 404
        assert inside.namespace("sub").namespace_path == f"{inside.namespace_path}/sub"

    def test_tokens_end(self, openbao: OpenBao) -> None:
        token = openbao.new_token(policies=["default"])
        found = openbao.token_lookup(token)
        assert found is not None
        accessor = found["accessor"]
        assert openbao.token_lookup(accessor) is not None
        openbao.write("auth/token/revoke", token=token)
        assert openbao.token_lookup(token) is None
        assert openbao.wait_gone(accessor) < 5

    def test_audit_lines(self, openbao: OpenBao, trust: Trust) -> None:
        before = openbao.audit_size()
        trust.kv.put("ci", {"key": "value"})
        written = [
            line
            for line in openbao.audit_lines(before)
            if line["request"]["path"] == trust.kv.api("ci") and line["request"]["operation"] == "create"
        ]
        assert [line["type"] for line in written] == ["request", "response"]

    def test_approle_pki_wrapping(self, openbao: OpenBao, unique: Unique) -> None:
        policy = openbao.policy(unique("policy"), SELF_POLICY)
        mount = unique("approle")
        role_id, secret_id = openbao.approle(mount, "ci", policy)
        login = openbao.write(f"auth/{mount}/login", role_id=role_id, secret_id=secret_id)
        assert login["auth"]["policies"] == [policy]

        issued = openbao.write(openbao.pki(unique("pki"), "ci"), common_name="a.ci.example.com")
        leaf = x509.load_pem_x509_certificate(issued["data"]["certificate"].encode())
        assert leaf.subject.rfc4514_string() == "CN=a.ci.example.com"
        assert issued["lease_id"]

        kv = openbao.kv1(unique("kv"))
        kv.put("a", {"key": "value"})
        wrapped = openbao.wrap(kv.api("a"))
        answer = openbao.request("POST", "sys/wrapping/unwrap", token=wrapped)
        assert answer.json()["data"] == {"key": "value"}
        assert openbao.request("POST", "sys/wrapping/unwrap", token=wrapped).status_code == 400

    def test_over_tls(self, openbao_tls: OpenBao) -> None:
        assert openbao_tls.url.startswith("https://")
        assert openbao_tls.health() == 200
        with pytest.raises(requests.exceptions.SSLError):
            get(f"{openbao_tls.url}/v1/sys/health")

    def test_uninitialised_sealed_active(self, new_openbao: OpenBao, seeded: Seeded) -> None:
        seen = [new_openbao.health()]
        new_openbao.initialise()
        seen.append(new_openbao.health())
        new_openbao.unseal()
        seen.append(new_openbao.health())
        new_openbao.seal()
        seen.append(new_openbao.health())
        assert seen == [501, 503, 200, 503]
        assert seeded.values == {new_openbao.token, new_openbao.unseal_key}
        assert new_openbao.request("GET", "auth/token/lookup-self").status_code == 503

    def test_standby(self, cluster: tuple[OpenBao, OpenBao]) -> None:
        leader, standby = cluster
        assert (leader.health(), standby.health()) == (200, 429)
        assert standby.request("GET", "auth/token/lookup-self").status_code == 200
        leader.kill()
        answer = standby.request("GET", "auth/token/lookup-self")
        assert answer.status_code == 307
        assert answer.headers["Location"] == f"{leader.url}/v1/auth/token/lookup-self"


class TestDatabases:
    def test_valkey_users_come_and_go(self, openbao: OpenBao, valkey: Valkey, unique: Unique) -> None:
        creds = openbao.read(openbao.database_valkey(unique("db"), valkey, unique("role")))
        username, password = creds["data"]["username"], creds["data"]["password"]
        assert username in valkey.users()
        assert valkey.login(username, password)
        assert not valkey.login(username, "wrong-password")
        assert openbao.leases(creds["lease_id"].rpartition("/")[0]) == [creds["lease_id"]]
        openbao.write("sys/leases/revoke", lease_id=creds["lease_id"])
        assert username not in valkey.users()
        assert not valkey.login(username, password)
        assert openbao.leases(creds["lease_id"].rpartition("/")[0]) == []

    def test_postgres_roles_come_and_go(self, openbao: OpenBao, postgres: Postgres, unique: Unique) -> None:
        creds = openbao.read(openbao.database_postgres(unique("db"), postgres, unique("role")))
        username, password = creds["data"]["username"], creds["data"]["password"]
        assert username in postgres.roles()
        assert postgres.login(username, password)
        assert not postgres.login(username, "wrong-password")
        openbao.write("sys/leases/revoke", lease_id=creds["lease_id"])
        assert username not in postgres.roles()
        assert not postgres.login(username, password)


class TestProcesses:
    @pytest.mark.parametrize("kind", [OpenBao, Valkey, Postgres])
    def test_nothing_stays(self, kind: type[Server]) -> None:
        with kind() as server:
            pid, directory, port = server.pid, server.directory, server.port
            assert directory.is_dir()
        assert not directory.exists()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 1)

    def test_postgres_where_nobody_can_reach_its_programs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.servers.postgres.traversable", lambda path: False)
        with Postgres() as server:
            assert server.roles() == [server.admin]

    def test_a_server_that_fails_shows_its_log(self) -> None:
        class Broken(Valkey):
            def prepare(self) -> None:
                super().prepare()
                with (self.directory / "valkey.conf").open("a") as config:
                    config.write("no-such-directive 1\n")

        with pytest.raises(ServerError, match="no-such-directive"):
            Broken().start()

    def test_a_killed_run_takes_its_servers_along(self, tmp_path: Path) -> None:
        program = (
            "import os, signal, sys\nfrom tests.servers.valkey import Valkey\n"
            "server = Valkey().start()\nprint(server.pid, server.directory, flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        pid, directory = done.stdout.split()
        deadline = time.monotonic() + 5
        while Path(f"/proc/{pid}/exe").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        subprocess.run(["rm", "-rf", directory], check=True)
        assert not Path(f"/proc/{pid}/exe").exists()


class TestIssuer:
    def ask(self, issuer: OIDCIssuer, audience: str = "bao", **options: Any) -> requests.Response:
        token = {"Authorization": f"bearer {issuer.request_token}"}
        return get(issuer.audience_url(audience), headers=token, **options)

    def test_token_endpoint(self, issuer: OIDCIssuer) -> None:
        answer = self.ask(issuer, "https://bao.example.com/?a=b&c")
        key = jwt.PyJWKClient(f"{issuer.url}/.well-known/jwks").get_signing_key_from_jwt(answer.json()["value"])
        claims = jwt.decode(
            answer.json()["value"], key, ["RS256"], audience="https://bao.example.com/?a=b&c", issuer=issuer.url
        )
        assert answer.json()["count"] == 1
        assert claims["sub"] == "repo:acme/trainer:ref:refs/heads/main"
        assert claims["exp"] - claims["iat"] == 300
        (request,) = issuer.token_requests()
        assert request.query == {"api-version": ["2.0"], "audience": ["https://bao.example.com/?a=b&c"]}

    def test_default_audience_is_the_owner(self, issuer: OIDCIssuer) -> None:
        token = {"Authorization": f"bearer {issuer.request_token}"}
        value = get(issuer.request_url, headers=token).json()["value"]
        assert jwt.decode(value, options={"verify_signature": False})["aud"] == "https://github.com/acme"

    @pytest.mark.parametrize(
        ("url", "token", "status"),
        [
            ("{request_url}", "", 401),
            ("{request_url}", "bearer wrong", 401),
            ("{request_url}", "basic {request_token}", 401),
            ("{url}/token?audience=a", "bearer {request_token}", 400),
            ("{request_url}?audience=a", "bearer {request_token}", 400),
            ("{request_url}&audience=a&audience=b", "bearer {request_token}", 400),
            ("{url}/nothing", "bearer {request_token}", 404),
        ],
    )
    def test_wrong_requests_are_refused(self, issuer: OIDCIssuer, url: str, token: str, status: int) -> None:
        known = {"url": issuer.url, "request_url": issuer.request_url, "request_token": issuer.request_token}
        answer = get(url.format(**known), headers={"Authorization": token.format(**known)})
        assert answer.status_code == status
        assert issuer.minted == 0

    def test_faults_pass(self, issuer: OIDCIssuer) -> None:
        issuer.fail_next(2, 429, retry_after="1")
        issuer.garbage_next()
        issuer.drop_next()
        issuer.hang_next()
        issuer.expired_next()
        issuer.answer_next({"value": ""})
        first, second, garbage = (self.ask(issuer) for _ in range(3))
        assert [first.status_code, second.status_code] == [429, 429]
        assert first.headers["Retry-After"] == "1"
        with pytest.raises(requests.exceptions.JSONDecodeError):
            garbage.json()
        with pytest.raises(requests.exceptions.ConnectionError):
            self.ask(issuer)
        with pytest.raises(requests.exceptions.ReadTimeout):
            self.ask(issuer, timeout=0.2)
        expired = self.ask(issuer).json()["value"]
        assert jwt.decode(expired, options={"verify_signature": False})["exp"] < time.time()
        assert self.ask(issuer).json() == {"value": ""}
        assert self.ask(issuer).json()["value"]
        assert len(issuer.token_requests()) == 8

    def test_each_test_gets_it_fresh(self, issuer: OIDCIssuer) -> None:
        assert issuer.requests == []
        assert issuer.claims == github_claims()
        issuer.claims["repository"] = "changed/here"

    def test_job_variables_agree_with_the_claims(self, issuer: OIDCIssuer) -> None:
        variables = issuer.github_env()
        assert variables["GITHUB_REPOSITORY"] == issuer.claims["repository"]
        assert variables["GITHUB_WORKFLOW_REF"] == issuer.claims["workflow_ref"]
        assert variables["ACTIONS_ID_TOKEN_REQUEST_URL"] == issuer.request_url

    @pytest.mark.parametrize(
        ("claims", "subject"),
        [
            (github_claims(environment="production"), "repo:acme/trainer:environment:production"),
            (github_claims(event_name="pull_request"), "repo:acme/trainer:pull_request"),
            (github_claims(immutable_subject=True), "repo:acme@6539/trainer@817264:ref:refs/heads/main"),
            (gitlab_claims(), "project_path:acme/trainer:ref_type:branch:ref:main"),
        ],
    )
    def test_subjects(self, claims: dict[str, Any], subject: str) -> None:
        assert claims["sub"] == subject

    def test_gitlab_tokens(self, openbao: OpenBao, issuer: OIDCIssuer, unique: Unique) -> None:
        issuer.reset(gitlab_claims("acme/platform/trainer"))
        mount = openbao.jwt_auth(unique("jwt"), issuer.url)
        bound = {"bound_audiences": ["bao"], "bound_claims": {"project_path": "acme/platform/trainer"}}
        role = openbao.jwt_role(mount, unique("role"), {**bound, "token_policies": ["default"]})
        login = {"role": role, "jwt": issuer.mint(["other", "bao"])}
        assert openbao.request("POST", f"auth/{mount}/login", login, token="").status_code == 200

    def test_runs_on_its_own(self) -> None:
        command = [sys.executable, "-m", "tests.fakes.github_oidc", "--repository", "acme/alone"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = process.stdout.readline().strip()
                token = process.stdout.readline().strip()
                answer = get(f"{url}/token?api-version=2.0", headers={"Authorization": f"bearer {token}"})
            finally:
                process.send_signal(2)
        assert process.returncode == 0
        claims = jwt.decode(answer.json()["value"], options={"verify_signature": False})
        assert claims["repository"] == "acme/alone"


class TestMisbehaving:
    def test_a_script_runs_and_its_last_line_stays(self, misbehaving: Misbehaving) -> None:
        misbehaving.on("/v1/x", faults.status(503), faults.too_many("7"), faults.reply(json={"ok": 1}))
        answers = [get(f"{misbehaving.url}/v1/x") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [503, 429, 200, 200]
        assert answers[1].headers["Retry-After"] == "7"
        assert get(f"{misbehaving.url}/v1/other").status_code == 404
        assert len(misbehaving.to("/v1/x")) == 4

    @pytest.mark.parametrize("behaviour", [faults.drop(), faults.close_quietly()])
    def test_dropped_connections(self, misbehaving: Misbehaving, behaviour: faults.Behaviour) -> None:
        misbehaving.on("*", behaviour, behaviour, faults.reply())
        for _ in range(2):
            with pytest.raises(requests.exceptions.ConnectionError):
                get(misbehaving.url)
        assert get(misbehaving.url).status_code == 200

    @pytest.mark.parametrize("chunked", [True, False])
    def test_cut_off(self, misbehaving: Misbehaving, chunked: bool) -> None:
        misbehaving.on("*", faults.cut_off(chunked=chunked))
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            get(misbehaving.url)

    @pytest.mark.parametrize("behaviour", [faults.slow_headers(0.1), faults.slow_body(seconds_per_byte=0.1)])
    def test_drip_outlives_a_read_timeout(self, misbehaving: Misbehaving, behaviour: faults.Behaviour) -> None:
        misbehaving.on("*", behaviour)
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", misbehaving.port, timeout=0.5)
        connection.request("GET", "/")
        received = 0
        while time.monotonic() < started + 1.0:
            assert connection.sock is not None
            received += len(connection.sock.recv(1))
        connection.close()
        # Twice the read timeout has passed, and bytes still come.
        assert received >= 5

    @pytest.mark.parametrize("chunked", [True, False])
    def test_huge(self, misbehaving: Misbehaving, chunked: bool) -> None:
        misbehaving.on("*", faults.huge(3, chunked=chunked))
        assert len(get(misbehaving.url).json()["data"]["value"]) == 3 << 20

    def test_a_client_may_leave_a_huge_answer(self, misbehaving: Misbehaving) -> None:
        misbehaving.on("/huge", faults.huge(64))
        misbehaving.on("/", faults.reply())
        with get(f"{misbehaving.url}/huge", stream=True) as answer:
            assert len(answer.raw.read(1024)) == 1024
        assert get(f"{misbehaving.url}/").status_code == 200

    def test_garbage_and_wrong_type(self, misbehaving: Misbehaving) -> None:
        misbehaving.on("*", faults.garbage_json(), faults.wrong_content_type())
        garbage, page = get(misbehaving.url), get(misbehaving.url)
        with pytest.raises(requests.exceptions.JSONDecodeError):
            garbage.json()
        assert page.headers["Content-Type"].startswith("text/html")

    @pytest.mark.parametrize("code", [301, 307, 308])
    def test_redirects_show_what_followed(self, misbehaving: Misbehaving, code: int) -> None:
        with Misbehaving() as elsewhere:
            elsewhere.on("*", faults.reply())
            misbehaving.on("*", faults.redirect(f"{elsewhere.url}/stolen", code))
            requests.put(misbehaving.url, json={"jwt": "x"}, headers={"X-Vault-Token": "t"}, timeout=5)
            # requests itself lets a custom header follow to any host.
            followed = {"X-Vault-Token"} if code == 301 else {"X-Vault-Token", "body"}
            assert elsewhere.credentials_seen() >= followed

    def test_unknown_ca(self, unknown_ca: Misbehaving, ca: ThrowawayCA, tmp_path: Path) -> None:
        unknown_ca.on("*", faults.reply())
        with pytest.raises(requests.exceptions.SSLError):
            get(unknown_ca.url)
        assert unknown_ca.requests == []
        assert get(unknown_ca.url, verify=str(ca.write(tmp_path))).status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            get(unknown_ca.url, verify=str(ThrowawayCA().write(tmp_path, "other.pem")))

    def test_client_certificates(self, ca: ThrowawayCA, tmp_path: Path) -> None:
        certificate, key = ca.client_files(tmp_path)
        with Misbehaving(tls=ca.server_context(require_client=True)) as server:
            server.on("*", faults.reply())
            trusted = str(ca.write(tmp_path))
            assert get(server.url, verify=trusted, cert=(str(certificate), str(key))).status_code == 200
            with pytest.raises(requests.exceptions.ConnectionError):
                get(server.url, verify=trusted)
        assert key.stat().st_mode & 0o777 == 0o600

    def test_stops_at_once_whatever_it_does(self) -> None:
        with Misbehaving() as server:
            server.on("/hang", faults.hang())
            server.on("/drip", faults.slow_headers(60))
            clients = []
            for path in ("/hang", "/drip"):
                client = socket.create_connection(("127.0.0.1", server.port))
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                clients.append(client)
            while len(server.requests) < 2:
                time.sleep(0.01)
            started = time.monotonic()
        assert time.monotonic() - started < 2
        for client in clients:
            client.close()

    def test_a_silent_tls_client_blocks_nobody(self, ca: ThrowawayCA, tmp_path: Path) -> None:
        with Misbehaving(tls=ca.server_context()) as server:
            server.on("*", faults.reply())
            with socket.create_connection(("127.0.0.1", server.port)):
                assert get(server.url, verify=str(ca.write(tmp_path))).status_code == 200


class TestProxy:
    def test_forwards_and_counts(self, proxy: Proxy, trust: Trust) -> None:
        trust.kv.put("ci", {"key": "value"})
        headers = {"X-Vault-Token": trust.login()}
        url = f"{proxy.url}/v1/{trust.kv.api('ci')}"
        assert get(url, headers=headers).json()["data"]["data"] == {"key": "value"}
        assert get(url).status_code == 403
        assert proxy.counts[f"/v1/{trust.kv.api('ci')}"] == 2
        assert proxy.requests[0].header("x-vault-token") == headers["X-Vault-Token"]

    def test_faults_then_fine(self, proxy: Proxy) -> None:
        proxy.fail("/v1/sys/*", faults.status(503), faults.drop())
        url = f"{proxy.url}/v1/sys/health"
        assert get(url).status_code == 503
        with pytest.raises(requests.exceptions.ConnectionError):
            get(url)
        assert get(url).json()["initialized"] is True
        assert (proxy.counts["/v1/sys/health"], proxy.forwarded["/v1/sys/health"]) == (3, 1)

    def test_latency_is_added_per_call_and_runs_side_by_side(self, proxy: Proxy) -> None:
        proxy.latency = 0.2
        connections = [http.client.HTTPConnection("127.0.0.1", proxy.port) for _ in range(5)]
        started = time.monotonic()
        for connection in connections:
            connection.request("GET", "/v1/sys/health")
        for connection in connections:
            connection.getresponse().read()
            connection.close()
        assert 0.2 <= time.monotonic() - started < 0.8

    def test_before_a_tls_server(self, openbao_tls: OpenBao) -> None:
        with Proxy(openbao_tls.url, ca_path=openbao_tls.ca_path) as proxy:
            assert get(f"{proxy.url}/v1/sys/health").status_code == 200

    def test_a_dead_upstream_is_a_502(self) -> None:
        with Proxy("http://127.0.0.1:1") as proxy:
            assert get(f"{proxy.url}/v1/sys/health").status_code == 502

    def test_writes_with_a_body_and_lists(self, proxy: Proxy, openbao: OpenBao, unique: Unique) -> None:
        kv = openbao.kv1(unique("kv"))
        token = {"X-Vault-Token": openbao.token}
        written = requests.put(f"{proxy.url}/v1/{kv.mount}/a", json={"key": "é" * 9}, headers=token, timeout=5)
        assert (written.status_code, written.content) == (204, b"")
        assert kv.get("a") == {"key": "é" * 9}
        listed = requests.request("LIST", f"{proxy.url}/v1/{kv.mount}", headers=token, timeout=5)
        assert listed.json()["data"]["keys"] == ["a"]


class TestEnvironment:
    @pytest.mark.parametrize(
        "name",
        [
            *("CI", "GITHUB_TOKEN", "GITHUB_ENV", "ACTIONS_ID_TOKEN_REQUEST_URL", "RUNNER_TEMP", "INPUT_A-B"),
            *("STATE_x", "CI_JOB_JWT", "GITLAB_CI", "JENKINS_URL", "BUILD_NUMBER", "BITBUCKET_STEP_OIDC_TOKEN"),
            *("CIRCLECI", "CIRCLE_OIDC_TOKEN_V2", "BUILDKITE", "SYSTEM_OIDCREQUESTURI", "AWS_PROFILE"),
            *("GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CLIENT_ID", "VAULT_ADDR", "BAO_TOKEN", "KEYLEASE_CONFIG"),
            *("HTTPS_PROXY", "https_proxy", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
        ],
    )
    def test_scrubbed(self, name: str) -> None:
        assert environment.is_scrubbed(name)
        assert name not in os.environ

    @pytest.mark.parametrize(
        "name", ["PATH", "HOME", "LANG", "TMPDIR", "PYTEST_CURRENT_TEST", "CIVIL", "PIP_INDEX_URL"]
    )
    def test_kept(self, name: str) -> None:
        assert not environment.is_scrubbed(name)

    def test_home_is_empty_and_ours(self, tmp_path: Path) -> None:
        assert Path.home().parent == tmp_path.parent
        assert list(Path.home().iterdir()) == []

    def test_set_for_one_test_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
        assert "VAULT_ADDR" not in environment.clean_environment()
        assert environment.clean_environment(VAULT_ADDR="x")["VAULT_ADDR"] == "x"

    def test_program_runs_without_the_machines_variables(
        self, keylease: RunKeylease, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KEYLEASE_CONFIG", "/nowhere")
        done = keylease("--version", env={"X": "y"})
        assert done.returncode == 0, done.stderr

    def test_certificates_of_the_ca_are_checked_by_ssl(self, ca: ThrowawayCA, unknown_ca: Misbehaving) -> None:
        parts = urlsplit(unknown_ca.url)
        with (
            socket.create_connection((parts.hostname or "", parts.port or 0)) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1")


def test_seeded_values_differ(seeded: Seeded) -> None:
    assert seeded.new() != seeded.new()

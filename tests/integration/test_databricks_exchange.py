"""Databricks: what is sent, what comes back, what a refusal says, and whether databricks-sdk works with it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError
from keylease.model import Lease, Revocation
from tests.contract.harness_databricks import DatabricksHarness, make
from tests.fakes.databricks_oidc import ACCOUNT, CLIENT
from tests.fakes.misbehaving import reply
from tests.leaks import Seeded


@pytest.fixture
def databricks(request: pytest.FixtureRequest) -> DatabricksHarness:
    return make(request)


def sdk(code: str, variables: Mapping[str, str], home: Path) -> "subprocess.CompletedProcess[str]":
    """Run `code` with the SDK, in a process with these variables and no configuration file."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), **variables}
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def exported(lease: Lease) -> dict[str, str]:
    return {**lease.plain, **{name: value.reveal() for name, value in lease.fields.items()}}


def test_the_request_is_the_documented_one(databricks: DatabricksHarness) -> None:
    token = databricks.token()
    databricks.exchanger().exchange(token)
    (request,) = databricks.proxy.requests
    assert (request.method, request.target) == ("POST", "/oidc/v1/token")
    assert parse_qs(request.body.decode()) == {
        "client_id": [CLIENT],
        "subject_token": [token.jwt.reveal()],
        "subject_token_type": ["urn:ietf:params:oauth:token-type:jwt"],
        "grant_type": ["urn:ietf:params:oauth:grant-type:token-exchange"],
        "scope": ["all-apis"],
    }
    assert not request.header("Authorization")


def test_databricks_sdk_calls_with_what_is_exported(databricks: DatabricksHarness, tmp_path: Path) -> None:
    lease = databricks.exchanger().exchange(databricks.token())
    assert set(lease.fields) == {"DATABRICKS_TOKEN"}
    code = "from databricks.sdk import WorkspaceClient; print(WorkspaceClient().current_user.me().user_name)"
    # The variables that keylease itself took its settings from are still there in a job.
    job = {"DATABRICKS_CLIENT_ID": CLIENT, "DATABRICKS_ACCOUNT_ID": ACCOUNT}
    done = sdk(code, job | exported(lease), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == CLIENT
    calls = [request for request in databricks.proxy.requests if request.path.endswith("/Me")]
    assert [call.header("Authorization") for call in calls] == [f"Bearer {lease.fields['DATABRICKS_TOKEN'].reveal()}"]


def test_without_the_type_a_client_id_in_the_job_would_stop_the_sdk(
    databricks: DatabricksHarness, tmp_path: Path
) -> None:
    variables = exported(databricks.exchanger().exchange(databricks.token()))
    del variables["DATABRICKS_AUTH_TYPE"]
    code = "from databricks.sdk import WorkspaceClient; WorkspaceClient()"
    done = sdk(code, variables | {"DATABRICKS_CLIENT_ID": CLIENT}, tmp_path)
    assert "more than one authorization method configured" in done.stderr


def test_our_request_is_the_sdks(databricks: DatabricksHarness, tmp_path: Path) -> None:
    token = databricks.token()
    databricks.exchanger().exchange(token)
    code = "from databricks.sdk import WorkspaceClient; WorkspaceClient().current_user.me()"
    variables = {
        "DATABRICKS_HOST": databricks.proxy.url,
        "DATABRICKS_AUTH_TYPE": "env-oidc",
        "DATABRICKS_OIDC_TOKEN": token.jwt.reveal(),
        "DATABRICKS_CLIENT_ID": CLIENT,
        "DATABRICKS_DISCOVERY_URL": f"{databricks.proxy.url}/oidc/.well-known/oauth-authorization-server",
    }
    endpoints = {
        "authorization_endpoint": f"{databricks.proxy.url}/oidc/v1/authorize",
        "token_endpoint": f"{databricks.proxy.url}/oidc/v1/token",
    }
    databricks.proxy.always("/oidc/.well-known/*", reply(json=endpoints))
    done = sdk(code, variables, tmp_path)
    assert done.returncode == 0, done.stderr
    ours, theirs = (parse_qs(r.body.decode()) for r in databricks.proxy.requests if r.path == "/oidc/v1/token")
    assert ours == theirs


def test_a_token_of_the_account(databricks: DatabricksHarness) -> None:
    lease = databricks.exchanger(level="account").exchange(databricks.token())
    assert databricks.proxy.requests[0].target == f"/oidc/accounts/{ACCOUNT}/v1/token"
    assert lease.plain["DATABRICKS_ACCOUNT_ID"] == ACCOUNT
    assert databricks.is_alive(lease)


def test_another_account_is_not_found(databricks: DatabricksHarness) -> None:
    with pytest.raises(NotFoundError, match="ENDPOINT_NOT_FOUND") as caught:
        databricks.exchanger(level="account", account_id="elsewhere").exchange(databricks.token())
    assert "no such account" in caught.value.cause


def test_the_lease_ends_with_the_identity_token_and_says_so(databricks: DatabricksHarness) -> None:
    short = databricks.exchanger().exchange(databricks.token(lifetime=300))
    assert short.warnings[0].startswith("Databricks: DATABRICKS_TOKEN is good for 5.0 minutes only")
    long = databricks.exchanger().exchange(databricks.token(lifetime=3600))
    assert not long.warnings
    assert long.expires_at is not None
    assert short.expires_at is not None
    assert long.expires_at - short.expires_at > 3000


def test_a_refusal_tells_the_vendors_words_and_the_policy(databricks: DatabricksHarness) -> None:
    with pytest.raises(RefusedError) as caught:
        databricks.exchanger().exchange(databricks.token(**databricks.other))
    shown = caught.value.diagnostics()
    assert f"no token for service principal {CLIENT}: invalid_grant: No federation policy matches" in shown
    body = caught.value.change.split("<<'EOF'\n")[1].split("\nEOF")[0]
    assert json.loads(body) == {
        "oidc_policy": {
            "issuer": databricks.issuer.url,
            "audiences": [ACCOUNT],
            "subject": "repo:evil/fork:ref:refs/heads/main",
        }
    }


def test_github_s_other_subject_form_is_named(databricks: DatabricksHarness) -> None:
    immutable = "repo:acme@6539/trainer@817264:ref:refs/heads/main"
    with pytest.raises(RefusedError) as caught:
        databricks.exchanger().exchange(databricks.token(sub=immutable))
    assert "'repo:acme/trainer:ref:refs/heads/main'" in caught.value.cause


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"errorCode": "E1", "errorSummary": "Not allowed."}, "E1: Not allowed."),
        (403, {"error_code": "PERMISSION_DENIED", "message": "IP is blocked."}, "PERMISSION_DENIED: IP is blocked."),
        (403, {}, "HTTP 403"),
    ],
)
def test_every_shape_of_error_that_the_sdk_reads(
    databricks: DatabricksHarness, status: int, body: object, said: str
) -> None:
    databricks.proxy.fail("/oidc/v1/token", reply(status, json=body))
    with pytest.raises(RefusedError) as caught:
        databricks.exchanger().exchange(databricks.token())
    assert caught.value.summary.endswith(said)


def test_an_error_body_is_not_repeated(databricks: DatabricksHarness, seeded: Seeded) -> None:
    body = {"error": "invalid_grant", "error_description": "no", "subject_token": seeded.new("echo")}
    databricks.proxy.fail("/oidc/v1/token", reply(400, json=body))
    with pytest.raises(RefusedError) as caught:
        databricks.exchanger().exchange(databricks.token())
    assert not any(value in caught.value.diagnostics(debug=True) for value in seeded.values)


def test_an_unauthorised_answer_is_no_redirect_to_follow(databricks: DatabricksHarness) -> None:
    databricks.proxy.fail("/oidc/v1/token", reply(303, json={}, headers={"Location": "https://login.example/"}))
    with pytest.raises(UnreachableError):
        databricks.exchanger().exchange(databricks.token())


def test_revoking_says_that_it_cannot_be(databricks: DatabricksHarness) -> None:
    exchanger = databricks.exchanger()
    with pytest.raises(KeyleaseError, match="can't be revoked"):
        exchanger.revoke(Revocation("databricks", "lakehouse", {}, None, own_token=True), databricks.context)


def test_a_firewall_s_page_is_no_refusal_of_the_claims(databricks: DatabricksHarness) -> None:
    databricks.proxy.fail(
        "/oidc/v1/token", reply(403, body=b"<html>blocked</html>", headers={"Content-Type": "text/html"})
    )
    with pytest.raises(RefusedError) as caught:
        databricks.exchanger().exchange(databricks.token())
    assert "firewall" in caught.value.cause
    assert not caught.value.claims

"""Weights & Biases: what is sent, and the files as its SDK reads them (core/internal/api/credentials.go)."""

import calendar
import json
import time
from typing import Any
from urllib.parse import parse_qs

import pytest

from keylease.context import Context
from keylease.errors import RefusedError, UsageError
from keylease.exchange.wandb import WandbExchanger
from keylease.http import Deadline
from keylease.masking import Masker
from tests.contract.harness_wandb import WandbHarness, make
from tests.fakes.misbehaving import reply
from tests.fakes.wandb_oidc import ACCOUNT, ORGANIZATION


@pytest.fixture
def wb(request: pytest.FixtureRequest) -> WandbHarness:
    """The fake behind a proxy."""
    return make(request)


def refused(wb: WandbHarness, **claims: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        wb.exchanger().exchange(wb.token(**claims))
    return caught.value


def test_the_request_is_that_of_the_sdk(wb: WandbHarness) -> None:
    token = wb.token()
    wb.exchanger().exchange(token)
    (request,) = wb.server.requests
    assert (request.method, request.target) == ("POST", "/oidc/token")
    assert request.header("Content-Type") == "application/x-www-form-urlencoded"
    assert not request.header("Authorization")
    # fetchAccessToken: "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=%s"
    theirs = f"grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={token.jwt.reveal()}"
    assert parse_qs(request.body.decode()) == parse_qs(theirs)


def test_the_files_are_as_the_sdk_reads_them(wb: WandbHarness) -> None:
    token = wb.token()
    lease = wb.exchanger().exchange(token)
    identity, credentials = lease.files
    assert lease.plain == {"WANDB_BASE_URL": wb.proxy.url}
    assert identity.variable == "WANDB_IDENTITY_TOKEN_FILE"
    assert identity.content is token.jwt
    assert credentials.variable == "WANDB_CREDENTIALS_FILE"
    assert credentials.content is not None
    entry = json.loads(credentials.content.reveal())["credentials"][wb.proxy.url]
    assert entry["access_token"] == lease.fields["WANDB_ACCESS_TOKEN"].reveal()
    ends = calendar.timegm(time.strptime(entry["expires_at"], "%Y-%m-%d %H:%M:%S"))  # expiresAtLayout, in UTC
    assert lease.expires_at is not None
    assert 0 <= lease.expires_at - ends < 1
    assert wb.server.is_alive(entry["access_token"])


def test_a_new_identity_token_is_the_new_file(wb: WandbHarness) -> None:
    identity = wb.exchanger().exchange(wb.token()).files[0]
    new = wb.token()
    assert identity.fresh is not None
    assert identity.fresh(new) is new.jwt


@pytest.mark.parametrize("env", [{}, {"WANDB_API_KEY": "0123456789"}])
def test_an_api_key_beside_it_is_warned_of(wb: WandbHarness, env: dict[str, str]) -> None:
    wb.context = Context(env, Masker(), Deadline(20))
    warnings = wb.exchanger().exchange(wb.token()).warnings
    assert ["WANDB_API_KEY" in each for each in warnings] == [True] * len(env)


def test_a_refusal_says_what_to_compare(wb: WandbHarness) -> None:
    error = refused(wb, sub="repo:acme/trainer:ref:refs/heads/other")
    assert "invalid_grant: identity token was not accepted: subject" in error.summary
    assert ACCOUNT in error.summary
    assert '"subject": "repo:acme/trainer:ref:refs/heads/other"' in error.change
    assert error.docs.endswith("#wandb-login")
    assert ORGANIZATION in error.cause
    # Its words are not documented: whatever they are, it is final.
    wb.proxy.fail("*", reply(401, json={"message": "S3CR3T"}))
    error = refused(wb)
    assert "HTTP 401" in error.summary
    assert "S3CR3T" not in error.diagnostics(debug=True)


def test_trust(wb: WandbHarness) -> None:
    exchanger = wb.exchanger()
    claims = wb.token().claims
    named = {**claims, "sub": "repo:acme/trainer:ref:refs/heads/main"}
    assert any("takes over the name" in note for note in exchanger.trust(named).notes)
    assert any("organization's name" in note for note in exchanger.trust({**claims, "aud": "other"}).notes)
    assert exchanger.trust({"iss": "https://x.example"}).text == ""


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "audience"),
        ({"audience": "a*"}, "audience"),
        ({"audience": "acme", "base_url": "https://wandb.ai"}, "base_url"),
        ({"audience": "acme", "base_url": "https://wandb.evil.example"}, "base_url"),
        ({"audience": "acme", "base_url": "http://api.wandb.ai"}, "base_url"),
        ({"audience": "acme", "service_account": "a\nb"}, "service_account"),
        ({"audience": "acme", "timeout": 0}, "timeout"),
    ],
)
def test_settings_that_can_not_be(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError, match=f"`{key}`"):
        WandbExchanger.complete(WandbExchanger.Settings(**settings), {})


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, "https://api.wandb.ai"),
        ({"WANDB_BASE_URL": "https://acme.wandb.io/"}, "https://acme.wandb.io"),
        ({"WANDB_BASE_URL": "https://wandb.acme.example", "KEYLEASE_ALLOW_HOSTS": "wandb.acme.example"}, None),
    ],
)
def test_where_the_server_is(env: dict[str, str], url: str | None) -> None:
    made = WandbExchanger.complete(WandbExchanger.Settings(audience="acme"), env)
    assert made.base_url == (url or env["WANDB_BASE_URL"])

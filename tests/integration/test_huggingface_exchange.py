"""Hugging Face: what is sent, what comes back, what a refusal says, and whether huggingface_hub works with it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from keylease.errors import KeyleaseError, NotFoundError, RefusedError
from keylease.model import Lease, Revocation
from tests.contract.harness_huggingface import HuggingFaceHarness, make
from tests.fakes.huggingface_oidc import REPOSITORY, USER
from tests.fakes.misbehaving import reply

WHO = "from huggingface_hub import whoami; print(whoami()['name'])"


@pytest.fixture
def hub(request: pytest.FixtureRequest) -> HuggingFaceHarness:
    return make(request)


def sdk(code: str, variables: Mapping[str, str], home: Path) -> "subprocess.CompletedProcess[str]":
    """Run `code` with the SDK, in a process with these variables, logged in nowhere."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **variables}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, check=False, capture_output=True, text=True, timeout=60
    )


def exported(lease: Lease) -> dict[str, str]:
    return {**lease.plain, **{name: value.reveal() for name, value in lease.fields.items()}}


def test_the_request_is_the_documented_one(hub: HuggingFaceHarness) -> None:
    token = hub.token()
    hub.exchanger().exchange(token)
    (request,) = hub.proxy.requests
    assert (request.method, request.target) == ("POST", "/oauth/token")
    assert request.json() == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "subject_token": token.jwt.reveal(),
        "resource": REPOSITORY,
    }
    assert not request.header("Authorization")


def test_huggingface_hub_calls_with_what_is_exported(hub: HuggingFaceHarness, tmp_path: Path) -> None:
    lease = hub.exchanger().exchange(hub.token())
    assert set(lease.fields) == {"HF_TOKEN"}
    done = sdk(WHO, exported(lease), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == USER
    assert hub.proxy.requests[-1].header("Authorization") == f"Bearer {lease.fields['HF_TOKEN'].reveal()}"


def test_a_resource_in_the_environment_no_longer_makes_the_library_exchange(
    hub: HuggingFaceHarness, tmp_path: Path
) -> None:
    job = {"HF_OIDC_RESOURCE": REPOSITORY}
    hub.new_context(job)
    lease = hub.exchanger(resource="").exchange(hub.token())
    assert lease.account == REPOSITORY
    done = sdk(WHO, job | exported(lease), tmp_path)
    assert done.returncode == 0, done.stderr
    assert hub.proxy.counts["/oauth/token"] == 1, "ours"
    without = job | {name: value for name, value in exported(lease).items() if name != "HF_OIDC_RESOURCE"}
    assert "OIDCError" in sdk(WHO, without, tmp_path).stderr, "the library would have wanted a token of its own"


def test_our_request_is_the_library_s(hub: HuggingFaceHarness, tmp_path: Path) -> None:
    token = hub.token()
    hub.exchanger().exchange(token)
    job = {"HF_ENDPOINT": hub.proxy.url, "HF_OIDC_RESOURCE": REPOSITORY, "HF_OIDC_ID_TOKEN": token.jwt.reveal()}
    done = sdk(WHO, job, tmp_path)
    assert done.returncode == 0, done.stderr
    ours, theirs = (request.json() for request in hub.proxy.requests if request.path == "/oauth/token")
    assert ours == theirs


def test_a_user_s_token(hub: HuggingFaceHarness) -> None:
    lease = hub.exchanger(resource=USER).exchange(hub.token())
    assert lease.account == USER
    assert hub.is_alive(lease)
    assert lease.expires_at is not None
    assert abs(lease.expires_at - time.time() - 3600) < 5


@pytest.mark.parametrize("resource", ["acme/other", "datasets/acme/awesome-model", "somebody"])
def test_what_has_no_publisher_is_refused(hub: HuggingFaceHarness, resource: str) -> None:
    with pytest.raises(RefusedError) as caught:
        hub.exchanger(resource=resource).exchange(hub.token())
    assert caught.value.summary == f"Hugging Face: no token for {resource}: invalid_grant: Token exchange failed"
    assert ("user" if resource == "somebody" else "repository") in caught.value.cause


def test_a_refusal_shows_what_to_enter(hub: HuggingFaceHarness) -> None:
    with pytest.raises(RefusedError) as caught:
        hub.exchanger().exchange(hub.token(**hub.other))
    change = caught.value.change
    body = change.split("<<'EOF'\n")[1].split("\nEOF")[0]
    assert json.loads(body) == {
        "issuer": hub.issuer.url,
        "claims": {"repository_owner_id": "6539", "repository_id": "817264", "ref": "refs/heads/main"},
    }
    assert f"{hub.proxy.url}/{REPOSITORY}/settings" in change


def test_a_wrong_audience_is_named_though_the_hub_does_not(hub: HuggingFaceHarness) -> None:
    with pytest.raises(RefusedError) as caught:
        hub.exchanger().exchange(hub.token(audience="https://elsewhere.example"))
    assert "`aud` is not https://huggingface.co" in caught.value.cause


def test_a_malformed_resource_is_told_apart(hub: HuggingFaceHarness) -> None:
    hub.proxy.fail("/oauth/token", reply(400, json={"error": "invalid_request", "error_description": "Bad resource"}))
    with pytest.raises(RefusedError, match="invalid_request: Bad resource") as caught:
        hub.exchanger().exchange(hub.token())
    assert "`resource`" in caught.value.cause


def test_no_hub_at_the_endpoint(hub: HuggingFaceHarness) -> None:
    hub.proxy.fail("/oauth/token", reply(404, json={"error": "?"}))
    with pytest.raises(NotFoundError) as caught:
        hub.exchanger().exchange(hub.token())
    assert "endpoint" in caught.value.cause


def test_revoking_says_that_it_cannot_be(hub: HuggingFaceHarness) -> None:
    exchanger = hub.exchanger()
    with pytest.raises(KeyleaseError, match="can't be revoked"):
        exchanger.revoke(Revocation("huggingface", "hub", {}, None, own_token=True), hub.context)


def test_a_firewall_s_page_is_no_refusal_of_the_claims(hub: HuggingFaceHarness) -> None:
    hub.proxy.fail("/oauth/token", reply(403, body=b"<html>blocked</html>", headers={"Content-Type": "text/html"}))
    with pytest.raises(RefusedError) as caught:
        hub.exchanger().exchange(hub.token())
    assert "firewall" in caught.value.cause
    assert not caught.value.claims


def test_a_mirror_in_the_job_is_not_sent_the_token(hub: HuggingFaceHarness) -> None:
    hub.new_context({"HF_ENDPOINT": "https://hf-mirror.example"})
    assert hub.exchanger().exchange(hub.token()).plain["HF_ENDPOINT"] == hub.proxy.url

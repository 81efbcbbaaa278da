"""identity/azure_devops.py against a scripted server, which shows what we send, not what Azure DevOps does with it."""

import pytest

from keylease.errors import IdentityError, KeyleaseError
from keylease.identity.azure_devops import AUDIENCE, TOKEN, URL, AzureDevOpsIdentity
from tests.fakes.misbehaving import Misbehaving, redirect, reply, status
from tests.leaks import Seeded
from tests.unit.identity.support import Recorder, good_claims, token_text

PATH = "/acme/0f1e/_apis/distributedtask/hubs/build/plans/1/jobs/2/oidctoken"


def job(server: Misbehaving, access: str = "access-token") -> dict[str, str]:
    return {"TF_BUILD": "True", URL: f"{server.url}{PATH}", TOKEN: access}


def failure(env: dict[str, str], audience: str = AUDIENCE) -> KeyleaseError:
    with pytest.raises(KeyleaseError) as caught:
        AzureDevOpsIdentity(Recorder(env).context).token(audience)
    assert caught.value.summary.startswith("Azure DevOps: ")
    assert caught.value.change
    return caught.value


def test_what_arrives(misbehaving: Misbehaving, seeded: Seeded) -> None:
    text, access = token_text(good_claims(AUDIENCE)), seeded.new("access")
    misbehaving.on(PATH, status(503), reply(json={"oidcToken": text}))
    recorder = Recorder(job(misbehaving, access))
    token = AzureDevOpsIdentity(recorder.context).token(AUDIENCE)
    assert token is not None
    assert token.jwt.reveal() == text
    assert len(misbehaving.requests) == 2
    request = misbehaving.requests[-1]
    assert (request.method, request.target) == ("POST", f"{PATH}?api-version=7.1")
    assert request.header("Authorization") == f"Bearer {access}"
    assert request.header("X-TFS-FedAuthRedirect") == "Suppress"
    assert request.header("Content-Length") == "0"
    assert recorder.announced == [access, text]


def test_the_audience_is_fixed(misbehaving: Misbehaving) -> None:
    misbehaving.on(PATH, reply(json={"oidcToken": token_text(good_claims(AUDIENCE))}))
    error = failure(job(misbehaving), "https://vault.example.com")
    assert "another audience" in error.summary
    assert f"audience: {AUDIENCE}" in error.change


def test_an_access_token_that_was_not_mapped(misbehaving: Misbehaving) -> None:
    error = failure({**job(misbehaving), TOKEN: ""})
    assert "SYSTEM_ACCESSTOKEN: $(System.AccessToken)" in error.change
    assert misbehaving.requests == []


def test_an_agent_that_does_not_offer_it() -> None:
    assert f"{URL} is not set" in failure({"TF_BUILD": "True"}).summary


@pytest.mark.parametrize("code", [401, 403])
def test_a_refusal(misbehaving: Misbehaving, code: int) -> None:
    misbehaving.on(PATH, status(code))
    error = failure(job(misbehaving))
    assert isinstance(error, IdentityError)
    assert "$(System.AccessToken)" in error.change
    assert len(misbehaving.requests) == 1


def test_a_sign_in_page_instead_of_a_token(misbehaving: Misbehaving) -> None:
    misbehaving.on(PATH, redirect("https://spsprodweu4.vssps.visualstudio.com/_signin", 302))
    assert "sent us elsewhere (302)" in failure(job(misbehaving)).summary
    misbehaving.on(PATH, reply(203, body=b"<html>", content_type="text/html"))
    assert "sent us elsewhere (203)" in failure(job(misbehaving)).summary


def test_outside_of_azure_devops() -> None:
    identity = AzureDevOpsIdentity(Recorder({URL: "https://x"}).context)
    assert not identity.detect()
    assert identity.token(AUDIENCE) is None

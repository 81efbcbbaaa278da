"""identity/verify.py: signatures against a real key set over a socket."""

from typing import Any

import jwt
import pytest

from keylease.errors import IdentityError, KeyleaseError, UnreachableError, UsageError
from keylease.identity.verify import verify
from keylease.model import IdentityToken
from tests.fakes.github_oidc import OIDCIssuer
from tests.fakes.misbehaving import Misbehaving, huge, redirect, reply, status
from tests.unit.identity.support import Recorder, good_claims, token_text

AUD = "vault"


def token(text: str, audience: str = AUD) -> tuple[IdentityToken, Recorder]:
    recorder = Recorder({})
    claims: dict[str, Any] = jwt.decode(text, options={"verify_signature": False})
    return IdentityToken(recorder.context.seal(text, "t"), claims, "github", "the endpoint", audience), recorder


def failure(text: str, audience: str = AUD) -> KeyleaseError:
    made, recorder = token(text, audience)
    with pytest.raises(KeyleaseError) as caught:
        verify(made, recorder.context)
    assert text not in caught.value.diagnostics(debug=True)
    return caught.value


def test_a_good_signature(issuer: OIDCIssuer) -> None:
    made, recorder = token(issuer.mint(AUD))
    verified = verify(made, recorder.context)
    assert (verified.issuer, verified.key_id, verified.algorithm) == (issuer.url, issuer.kid, "RS256")
    assert [request.path for request in issuer.requests] == ["/.well-known/openid-configuration", "/.well-known/jwks"]


def test_without_an_audience_any_is_right(issuer: OIDCIssuer) -> None:
    made, recorder = token(issuer.mint("whatever"), "")
    assert verify(made, recorder.context).issuer == issuer.url


@pytest.mark.parametrize(
    ("mint", "words"),
    [
        ({"forged": True}, "the signature is not the issuer's"),
        ({"audience": "other"}, "InvalidAudienceError"),
        ({"lifetime": -60}, "ExpiredSignatureError"),
    ],
)
def test_what_does_not_verify(issuer: OIDCIssuer, mint: dict[str, Any], words: str) -> None:
    error = failure(issuer.mint(**{"audience": AUD, **mint}))
    assert isinstance(error, IdentityError)
    assert words in error.summary


def test_a_changed_payload(issuer: OIDCIssuer) -> None:
    head, _, signature = issuer.mint(AUD).split(".")
    payload = token_text(good_claims(AUD, iss=issuer.url, sub="repo:acme/other:ref:refs/heads/main")).split(".")[1]
    assert "the signature is not the issuer's" in failure(f"{head}.{payload}.{signature}").summary


def test_a_key_that_is_gone(issuer: OIDCIssuer) -> None:
    text = issuer.mint(AUD)
    issuer.rotate_key()
    assert "publishes no key" in failure(text).summary


def test_a_shared_key_algorithm_is_refused_even_with_a_public_key(issuer: OIDCIssuer) -> None:
    text = jwt.encode(good_claims(AUD, iss=issuer.url), "k" * 64, algorithm="HS256", headers={"kid": issuer.kid})
    assert "signed with 'HS256'" in failure(text).summary
    assert [request.path for request in issuer.requests] == ["/.well-known/openid-configuration"]


@pytest.mark.parametrize(
    "iss",
    [
        "http://issuer.example.com",
        "file:///etc/passwd",
        "https://user:pw@issuer.example.com",
        "https://x/?q=1",
        "https://h:99999",
        "https://",
        "x",
        "",
        None,
        5,
    ],
)
def test_an_issuer_that_is_not_asked(iss: object) -> None:
    assert "not an https URL" in failure(token_text(good_claims(AUD, iss=iss))).summary


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (reply(json={"issuer": "https://other.example.com"}), "names another issuer"),
        (status(404), "answered 404"),
        (reply(body=b"<html>"), "not a JSON object"),
        (reply(json=[]), "not a JSON object"),
        (huge(8), "larger than"),
        (redirect("https://other.example.com/x"), "answered 307"),
    ],
)
def test_a_discovery_document_that_is_none(misbehaving: Misbehaving, document: Any, words: str) -> None:
    misbehaving.on("/.well-known/openid-configuration", document)
    assert words in failure(token_text(good_claims(AUD, iss=misbehaving.url))).summary


@pytest.mark.parametrize("keys_url", ["http://issuer.example.com/jwks", "file:///etc/passwd", None])
def test_a_key_set_that_is_not_asked_for(misbehaving: Misbehaving, keys_url: object) -> None:
    document = reply(json={"issuer": misbehaving.url, "jwks_uri": keys_url})
    misbehaving.on("/.well-known/openid-configuration", document)
    error = failure(token_text(good_claims(AUD, iss=misbehaving.url)))
    assert isinstance(error, UnreachableError)
    assert "`jwks_uri` is not an https URL" in error.summary


@pytest.mark.parametrize("keys", [None, {}, [], [5], [{"kty": "oct", "kid": "k1", "k": "a2V5"}], [{"kty": "RSA"}]])
def test_a_key_set_without_the_key(misbehaving: Misbehaving, keys: object) -> None:
    document = {"issuer": misbehaving.url, "jwks_uri": f"{misbehaving.url}/keys"}
    misbehaving.on("/.well-known/openid-configuration", reply(json=document))
    misbehaving.on("/keys", reply(json={"keys": keys}))
    assert "publishes no key" in failure(token_text(good_claims(AUD, iss=misbehaving.url))).summary


def test_a_broken_key(misbehaving: Misbehaving) -> None:
    document = {"issuer": misbehaving.url, "jwks_uri": f"{misbehaving.url}/keys"}
    misbehaving.on("/.well-known/openid-configuration", reply(json=document))
    misbehaving.on("/keys", reply(json={"keys": [{"kty": "RSA", "kid": "k1", "n": "!", "e": "AQAB"}]}))
    assert "PyJWT refuses it" in failure(token_text(good_claims(AUD, iss=misbehaving.url))).summary


def test_without_a_key_id_there_must_be_one_key(issuer: OIDCIssuer, misbehaving: Misbehaving) -> None:
    claims = good_claims(AUD, iss=misbehaving.url)
    text = jwt.encode(claims, issuer._key, algorithm="RS256")
    [key] = issuer.jwks()["keys"]
    document = {"issuer": misbehaving.url, "jwks_uri": f"{misbehaving.url}/keys"}
    misbehaving.on("/.well-known/openid-configuration", reply(json=document))
    misbehaving.on("/keys", reply(json={"keys": [key]}), reply(json={"keys": [key, {**key, "kid": "k2"}]}))
    made, recorder = token(text)
    assert verify(made, recorder.context).algorithm == "RS256"
    assert "publishes no key" in failure(text).summary


def test_without_cryptography_it_says_what_to_install(issuer: OIDCIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt.algorithms, "has_crypto", False)
    error = failure(issuer.mint(AUD))
    assert isinstance(error, UsageError)
    assert "keylease[verify]" in error.change

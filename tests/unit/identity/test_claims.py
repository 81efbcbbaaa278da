"""identity/claims.py: what is a token, and may a provider accept it."""

import json
import math
import subprocess
import sys
import time
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keylease.errors import IdentityError
from keylease.identity.claims import (
    LEEWAY,
    MAX_TOKEN,
    MalformedError,
    audiences,
    check,
    decode,
    find_fault,
    header,
    matching,
    show,
    span,
    utc,
    yaml_text,
)
from tests.unit.identity.support import AUDIENCE, Recorder, good_claims, leaks, segment, token_text, told

NOW = 1_800_000_000


def refused(text: str, audience: str = AUDIENCE, **options: Any) -> IdentityError:
    """The error that `check` raises; makes sure that it shows nothing of the token."""
    with pytest.raises(IdentityError) as caught:
        check(text, audience, "gitlab", "VAULT_ID_TOKEN", Recorder({}).context, title="GitLab", **options)
    assert leaks(told(caught.value), text) == []
    assert caught.value.summary.startswith("GitLab: ")
    assert caught.value.change
    assert caught.value.docs
    return caught.value


def test_a_good_token_is_sealed_and_returned() -> None:
    recorder = Recorder({})
    text = token_text()
    token = check(f" {text}\n", AUDIENCE, "gitlab", "VAULT_ID_TOKEN", recorder.context)
    assert token.jwt.reveal() == text
    assert recorder.announced == [text]
    assert (token.platform, token.source, token.audience) == ("gitlab", "VAULT_ID_TOKEN", AUDIENCE)
    assert token.claims["sub"] == "project_path:acme/trainer:ref_type:branch:ref:main"
    assert token.expires_at == token.claims["exp"]
    assert text not in repr(token)


def test_a_token_is_sealed_before_it_is_found_to_be_bad() -> None:
    recorder = Recorder({})
    text = token_text(good_claims(exp=1))
    with pytest.raises(IdentityError):
        check(text, AUDIENCE, "gitlab", "X", recorder.context)
    assert recorder.announced == [text]


def test_an_empty_audience_takes_what_the_platform_gave() -> None:
    token = check(token_text(good_claims(["a", "b"])), "", "github", "endpoint", Recorder({}).context)
    assert token.audience == "a, b"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("   \n", "it is empty"),
        ("hello-world", "this has 1"),
        (f"{segment({'alg': 'RS256'})}.{segment({})}", "this has 2"),
        (token_text() + ".again", "this has 4"),
        ("a.b.c.d.e", "encrypted token (JWE)"),
        (f"{segment({'alg': 'RS256'})}.{{}}.sig", "its payload is not base64url"),
        (f'"{token_text()}"', "its header is not base64url"),
        ("....", "encrypted token (JWE)"),
        ("..", "its header is not base64url"),
        (f"a.{segment({})}.c2ln", "its header is not base64url"),  # one character can't be base64
        (f"{segment(b'not json')}.{segment({})}.c2ln", "its header is not a JSON object"),
        (f"{segment({'alg': 'RS256'})}.{segment([1])}.c2ln", "its payload is not a JSON object"),
        (f"{segment({'alg': 'RS256'})}.{segment(b'[' * 20000)}.c2ln", "its payload is not a JSON object"),
        (f"{segment({'alg': 'RS256'})}.{segment(bytes([0xFF, 0xFE, 0]))}.c2ln", "its payload is not a JSON object"),
        (token_text(header={"typ": "JWT"}), "names no algorithm"),
        (token_text(header={"alg": 5}), "names no algorithm"),
        (token_text(header={"alg": "none"}), "it is not signed"),
        (token_text(header={"alg": "NonE"}), "it is not signed"),
        (token_text(signature=""), "it is not signed"),
        (token_text(signature="a+b/"), "its signature is not base64url"),
        (token_text(signature="c2lnbmF0dXJ"), "its last character is wrong"),
        ("$VAULT_ID_TOKEN", "a variable's name that nobody replaced"),
        ("${VAULT_ID_TOKEN}", "a variable's name that nobody replaced"),
        ("${{ steps.x.outputs.token }}", "a variable's name that nobody replaced"),
    ],
)
def test_what_is_not_a_token_is_called_malformed(text: str, reason: str) -> None:
    error = refused(text)
    assert reason in error.summary
    assert error.docs.endswith("#identity-malformed")


def test_a_huge_text_is_refused_without_being_masked_or_read() -> None:
    recorder = Recorder({})
    text = "a" * (MAX_TOKEN + 1)
    with pytest.raises(IdentityError, match=f"{MAX_TOKEN + 1} characters"):
        check(text, AUDIENCE, "gitlab", "X", recorder.context)
    assert recorder.announced == []
    with pytest.raises(MalformedError):
        decode(text)


def test_a_large_token_below_the_cap_passes() -> None:
    groups = [f"group/{n}" for n in range(2000)]
    text = token_text(good_claims(groups=groups))
    assert 30_000 < len(text) <= MAX_TOKEN
    assert check(text, AUDIENCE, "gitlab", "X", Recorder({}).context).claims["groups"] == groups


def test_expired() -> None:
    error = refused(token_text(good_claims(exp=int(time.time()) - 600, iat=int(time.time()) - 900)))
    assert "expired 10 min ago" in error.summary
    assert "sub=project_path:acme/trainer" in error.diagnostics()
    assert "UTC" in error.diagnostics()
    assert error.docs.endswith("#identity-expired")


def test_a_fresh_token_that_has_expired_tells_of_the_clock() -> None:
    error = refused(token_text(good_claims(exp=int(time.time()) - 600)), fresh=True)
    assert "clock is ahead" in error.cause
    assert error.docs.endswith("#identity-clock")


@pytest.mark.parametrize(("claim", "words"), [("iat", "is issued 95 s in the future"), ("nbf", "is valid only 95 s")])
def test_a_token_from_the_future_tells_by_how_much(claim: str, words: str) -> None:
    error = refused(token_text(good_claims(**{claim: math.ceil(time.time()) + 95})))
    assert words in error.summary.replace("96 s", "95 s")
    assert "clock is at least 9" in error.cause
    assert "timedatectl" in error.change
    assert error.docs.endswith("#identity-clock")


@pytest.mark.parametrize(
    ("aud", "seen"),
    [
        ("https://other.example.com", "'https://other.example.com'"),
        (["a", "b"], "'a' and 'b'"),
        ([], "nothing"),
        (None, "nothing"),
        (f"{AUDIENCE}/", f"'{AUDIENCE}/'"),
        (AUDIENCE.upper(), f"'{AUDIENCE.upper()}'"),
        ([AUDIENCE, 5], "nothing"),
        ({"x": AUDIENCE}, "nothing"),
    ],
)
def test_another_audience(aud: object, seen: str) -> None:
    error = refused(token_text(good_claims(aud)), audience_change="do this")
    assert error.cause == f"the provider wants '{AUDIENCE}', the token is for {seen}"
    assert error.change == "do this"
    assert error.docs.endswith("#identity-audience")


def test_the_audience_may_be_one_of_several() -> None:
    token = check(token_text(good_claims(["x", AUDIENCE])), AUDIENCE, "g", "s", Recorder({}).context)
    assert token.audience == AUDIENCE


def test_claims_with_control_characters_stay_on_one_line() -> None:
    text = token_text(good_claims("evil\n::add-mask::x\x1b[0m" + "y" * 500))
    message = refused(text).diagnostics()
    assert "\n::add-mask::" not in message
    assert "\x1b" not in message
    assert "y" * 300 not in message


@pytest.mark.parametrize("claim", ["iat", "nbf", "exp"])
@pytest.mark.parametrize("value", ["1800000000", True, None, [1], {}, float("nan"), float("inf")])
def test_times_must_be_numbers(claim: str, value: object) -> None:
    assert find_fault({"aud": "a", claim: value}, "a", NOW) is not None
    error = refused(token_text(good_claims(**{claim: value})))
    assert f"`{claim}` is not a number" in error.summary


def test_the_leeway_is_thirty_seconds_to_the_second() -> None:
    assert LEEWAY == 30

    def kind(**claims: int) -> str | None:
        fault = find_fault({"aud": "a", **claims}, "a", NOW)
        return fault.kind if fault else None

    assert kind(exp=NOW - 29) is None
    assert kind(exp=NOW - 30) == "expired"
    assert kind(nbf=NOW + 30) is None
    assert kind(nbf=NOW + 31) == "early"
    assert kind(iat=NOW + 30) is None
    assert kind(iat=NOW + 31) == "early"
    assert kind() is None


# The same verdict as PyJWT's. Not compared: numeric strings and booleans as times, which PyJWT takes and the
# providers refuse; and offsets within two seconds of the limit, because PyJWT looks at the clock itself.
_offsets = st.integers(-10_000, 10_000).filter(lambda n: abs(abs(n) - LEEWAY) > 2)
_moments = _offsets.map(lambda n: int(time.time()) + n)
_times: st.SearchStrategy[Any] = st.one_of(
    _moments,
    _moments.map(lambda t: t + 0.5),
    st.sampled_from([None, [], {}, math.nan, math.inf, -math.inf, 10**30, -(10**30), 0]),
)
_aud = st.one_of(
    st.sampled_from(["aud", "other", "", "AUD", "aud/"]),
    st.lists(st.one_of(st.sampled_from(["aud", "other"]), st.integers(), st.none()), max_size=3),
    st.none(),
    st.integers(),
    st.dictionaries(st.just("aud"), st.just("aud")),
)
_claims = st.fixed_dictionaries({}, optional={"iat": _times, "nbf": _times, "exp": _times, "aud": _aud})


def pyjwt_verdict(text: str) -> str | None:
    """What PyJWT says."""
    options: Any = {
        "verify_signature": False,
        "verify_aud": True,
        "verify_exp": True,
        "verify_nbf": True,
        "verify_iat": True,
    }
    try:
        jwt.decode(text, options=options, audience="aud", leeway=LEEWAY)
    except jwt.ExpiredSignatureError:
        return "expired"
    except jwt.ImmatureSignatureError:
        return "early"
    except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
        return "audience"
    except (jwt.DecodeError, jwt.InvalidIssuedAtError):
        return "malformed"
    return None


@settings(max_examples=400, deadline=None)
@given(_claims)
def test_our_verdict_is_pyjwts(claims: dict[str, Any]) -> None:
    fault = find_fault(json.loads(json.dumps(claims)), "aud", time.time())
    assert (fault and fault.kind) == pyjwt_verdict(token_text(claims))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_we_take_for_a_token_pyjwt_takes_too_and_reads_alike(data: st.DataObject) -> None:
    text = list(token_text({"aud": "aud", "n": 1}))
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place] = data.draw(st.sampled_from("Aa0_-.=+/ \n\0é"))
    mutated = "".join(text)
    try:
        claims = decode(mutated)
    except MalformedError:
        return
    plain: Any = {"verify_signature": False}
    assert jwt.decode(mutated, options=plain) == claims
    assert jwt.get_unverified_header(mutated) == header(mutated)


@given(st.text(max_size=200))
def test_no_text_makes_it_fall_over(text: str) -> None:
    if len(text.split(".")) == 3:
        text = text.replace(".", "")  # by chance it might be a token
    with pytest.raises(MalformedError) as caught:
        decode(text)
    assert len(text) < 20 or text not in str(caught.value)


def test_importing_it_does_not_import_pyjwt_or_requests_extras() -> None:
    code = "import sys, keylease.identity.source, keylease.identity.github; print('jwt' in sys.modules or 'cryptography' in sys.modules)"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_audiences() -> None:
    assert audiences({"aud": "a"}) == ["a"]
    assert audiences({"aud": ["a", "b"]}) == ["a", "b"]
    assert audiences({}) == audiences({"aud": ""}) == audiences({"aud": 5}) == audiences({"aud": ["a", None]}) == []


def test_matching_keeps_the_order_and_skips_what_is_no_token() -> None:
    here = [
        ("A", "junk"),
        ("B", token_text({"aud": ["x", "y"]})),
        ("C", token_text({"aud": "z"})),
        ("D", token_text({"aud": "y"})),
    ]
    assert [name for name, _ in matching(here, "y")] == ["B", "D"]
    assert [name for name, _ in matching(here, "")] == ["B", "C", "D"]


def test_words_for_people() -> None:
    assert show("a\nb\x00") == "'a?b?'"
    assert len(show("x" * 1000)) == 202
    assert utc(0) == "1970-01-01 00:00:00 UTC"
    assert utc("soon") == utc(10**30) == utc(None) == utc(math.nan) == "?"
    assert [span(5), span(-119), span(120), span(7200), span(3 * 86400)] == ["5 s", "119 s", "2 min", "2 h", "3 days"]


@pytest.mark.parametrize(
    "text",
    [
        "https://vault.example.com",
        "job",
        "build:x86",
        "/a",
        "true",
        "- x",
        "a: b",
        "#x",
        "é",
        "1",
        "a\nb",
        "",
        "&x",
        "a #b",
        "null",
        "x:",
    ],
)
def test_yaml_text_comes_back_as_the_same_text(text: str) -> None:
    import yaml

    assert yaml.safe_load(yaml_text(text)) == text
    assert yaml.safe_load(f"k: {yaml_text(text)}") == {"k": text}


def test_yaml_text_leaves_a_url_bare() -> None:
    assert yaml_text("https://vault.example.com:8200/v1") == "https://vault.example.com:8200/v1"

"""Access tokens as servers and proxies give them out, and what is none."""

import base64
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.errors import KeyleaseError, RefusedError, UnreachableError
from keylease.masking import Masker
from keylease.vendors.conjur_session import AccessToken, _issued


def issued(body: bytes) -> AccessToken:
    return _issued(body, Masker().seal, "a token")


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def token(**payload: Any) -> dict[str, str]:
    made = {"sub": "host/ci/trainer", "iat": int(time.time()), "exp": int(time.time()) + 480} | payload
    body = encoded({name: value for name, value in made.items() if value is not None})
    return {"protected": encoded({"alg": "conjur.org/slosilo/v2"}), "payload": body, "signature": "c2lnbmVkLTE="}


def lines(text: bytes) -> bytes:
    return base64.encodebytes(text)


@pytest.mark.parametrize(
    "form",
    [bytes, base64.b64encode, base64.urlsafe_b64encode, lines, lambda text: base64.b64encode(text).rstrip(b"=")],
    ids=["json", "base64", "url-safe", "in lines", "unpadded"],
)
def test_each_form_gives_the_same(form: Any) -> None:
    given_out = token()
    found = issued(form(json.dumps(given_out, indent=1).encode()))
    assert json.loads(found.text.reveal()) == given_out
    assert "\n" not in found.text.reveal()
    assert base64.b64decode(found.encoded.reveal()).decode() == found.text.reveal()
    assert found.role == "host/ci/trainer"


@pytest.mark.parametrize("padding", [True, False])
def test_a_payload_of_either_alphabet(padding: bool) -> None:
    made = token(sub="host/\u00ff\u00fe?>")
    made["payload"] = made["payload"] if padding else made["payload"].rstrip("=")
    assert issued(json.dumps(made).encode()).role == "host/\u00ff\u00fe?>"


def test_a_role_is_one_line() -> None:
    assert issued(json.dumps(token(sub="host/a\n::add-mask::b\x1b[2J")).encode()).role == "host/a ::add-mask::b [2J"


@pytest.mark.parametrize(
    "payload",
    [
        {"sub": None},
        {"sub": ""},
        {"sub": 5},
        {"iat": None},
        {"iat": True},
        {"iat": "1700000000"},
        {"exp": True},
        {"exp": "tomorrow"},
        {"exp": 10**400},
        {"exp": float("inf")},
        {"exp": time.time() + 2 * 86400},
        {"iat": 10**400, "exp": None},
    ],
)
def test_what_makes_no_sense_is_garbage(payload: dict[str, Any]) -> None:
    with pytest.raises(UnreachableError):
        issued(json.dumps(token(**payload)).encode())


@pytest.mark.parametrize("payload", [{"exp": 1}, {"exp": None, "iat": int(time.time()) - 481}])
def test_what_is_over_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="expired on arrival"):
        issued(json.dumps(token(**payload)).encode())


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=10),
        lambda inner: st.dictionaries(st.sampled_from(["protected", "payload", "signature", "x"]), inner, max_size=4),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_nothing_else_comes_out_of_any_answer(body: bytes) -> None:
    with pytest.raises(KeyleaseError):
        issued(body)

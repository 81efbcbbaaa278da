"""A Secret gives its value to nobody who does not ask for it by name."""

import copy
import json
import logging
import pickle

import pytest

from keylease.secret import Secret
from tests.leaks import Seeded


def test_no_text_form(seeded: Seeded) -> None:
    value = seeded.new("token")
    secret = Secret(value)
    assert repr(secret) == "<Secret>"
    assert repr({"a": [secret]}) == "{'a': [<Secret>]}"
    with pytest.raises(TypeError, match="reveal"):
        str(secret)
    for template in ("{}", "{:>10}", "{!s}"):
        with pytest.raises(TypeError, match="reveal"):
            template.format(secret)
    assert secret.reveal() == value


def test_no_way_out_by_serialising(seeded: Seeded) -> None:
    secret = Secret(seeded.new("token"))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(secret, protocol)
    with pytest.raises(TypeError):
        json.dumps({"a": secret})
    with pytest.raises(TypeError):
        vars(secret)
    assert copy.deepcopy([secret])[0] is secret
    assert copy.copy(secret) is secret


def test_a_log_record_shows_no_value(seeded: Seeded, caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(seeded.new("token"))
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("keylease").info("got %r", secret)
    assert "<Secret>" in caplog.text


def test_equality_only_with_secrets() -> None:
    assert Secret("abc") == Secret(b"abc")
    assert Secret("abc") != Secret("abd")
    assert Secret("abc") != "abc"
    with pytest.raises(TypeError, match="unhashable"):
        {Secret("abc")}


def test_binary_is_not_text_and_its_error_holds_no_value() -> None:
    secret = Secret(b"\xff\xfe\x00binary")
    assert not secret.is_text
    with pytest.raises(UnicodeDecodeError) as caught:
        secret.reveal()
    assert caught.value.object == b""
    assert caught.value.__context__ is None
    assert secret.reveal_bytes() == b"\xff\xfe\x00binary"


@pytest.mark.parametrize(
    ("value", "text"), [("a", True), ("", True), ("a\0b", False), ("\ud800", False), (b"ok", True)]
)
def test_is_text(value: str | bytes, text: bool) -> None:
    assert Secret(value).is_text is text
    assert Secret(value).is_empty is (not value)


def test_only_text_and_bytes() -> None:
    with pytest.raises(TypeError, match="str or bytes"):
        Secret(5)  # type: ignore[arg-type]

"""What the masker registers, announces and hides."""

import base64
import json
import os
import threading
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease import cli
from keylease.masking import REPLACEMENT, Masker, Redactor
from keylease.masking.forms import announcements, is_maskable, leaves_of


@pytest.mark.parametrize(
    "value",
    ["true", "1", "{", "", " ", "abc", "----", "0000", "False", "null", "\n\n", "  on  ", "\t{\n}", "LOCALHOST"],
)
def test_too_short_or_common_values_are_reported_not_masked(value: str) -> None:
    announced: list[str] = []
    masker = Masker(announced.append)
    secret = masker.seal(value, "vault://kv/app#flag")
    assert secret.reveal() == value
    assert announced == []
    assert masker.unmaskable == (["vault://kv/app#flag"] if value.strip() else [])
    assert masker.scrub(f"[{value}] stays") == f"[{value}] stays"


def test_value_and_each_line_are_announced_before_seal_returns() -> None:
    announced: list[str] = []
    pem = "-----BEGIN KEY-----\r\n  MIIEvQIBADANBg  \nab\n\n{\n-----END KEY-----\n"
    masker = Masker(announced.append)
    masker.seal(pem, "key")
    assert announced == [pem, pem.strip(), "MIIEvQIBADANBg"]  # the first and last lines are in every certificate
    assert masker.unmaskable == ["key (1 of its 5 lines)"]
    assert masker.scrub("MIIEvQIBADANBg\r\nab {") == "*** {"


def test_a_line_that_becomes_a_value_is_announced_again_with_what_it_lacked() -> None:
    announced: list[str] = []
    masker = Masker(announced.append)
    masker.seal("hunter22\nhunter33", "both")
    masker.seal("hunter22", "one")
    masker.seal(" hunter22 ", "one")
    assert announced == ["hunter22\nhunter33", "hunter22", "hunter33", "hunter22", " hunter22 "]


def test_a_value_is_announced_also_without_the_white_space_around_it() -> None:
    assert announcements(b" hunter22\n") == [" hunter22\n", "hunter22"]


def test_only_cr_and_lf_end_a_line() -> None:
    assert announcements("one\x0ctwo\u2028three\rfour4".encode()) == [
        "one\x0ctwo\u2028three\rfour4",
        "one\x0ctwo\u2028three",
        "four4",
    ]


def test_the_same_value_is_announced_once() -> None:
    announced: list[str] = []
    masker = Masker(announced.append)
    masker.seal("hunter22", "a")
    masker.seal(b"hunter22", "b")
    masker.seal("hunter22\nhunter22", "c")
    assert announced == ["hunter22", "hunter22\nhunter22"]


def test_strings_inside_json_are_masked_also_when_nested_twice() -> None:
    inner = json.dumps({"private_key": "-----BEGIN-----\nabcdefgh\n", "port": 5432, "ok": True})
    masker = Masker()
    masker.seal(json.dumps({"list": ["first-leaf", {"deep": "second-leaf"}], "inner": inner, "type": "x"}), "doc")
    for leak in ("first-leaf", "second-leaf", "abcdefgh"):
        assert masker.scrub(f"<{leak}>") == "<***>"
    assert masker.scrub("5432 x") == "5432 x"
    assert masker.unmaskable == []


def test_json_deeper_than_the_parser_follows_is_still_masked_as_text() -> None:
    value = '["deep-leaf",' * 200_000
    masker = Masker()
    masker.seal(value, "deep")
    assert masker.scrub(value) == "***"
    assert leaves_of("[" * 200_000 + "]" * 200_000) == []


def test_binary_values_are_hidden_raw_and_encoded_and_announced_encoded() -> None:
    announced: list[str] = []
    data = b"\xff\x00\xfe binary \x80 value"
    masker = Masker(announced.append)
    masker.seal(data, "bin")
    assert masker.scrub(f"hex {data.hex()}") == "hex ***"
    assert data in masker.patterns()
    assert data.hex() in announced
    assert any(text in base64.b64encode(data).decode() for text in announced)


@given(st.text(min_size=1, max_size=60))
def test_every_form_of_a_maskable_value_is_hidden(value: str) -> None:
    masker = Masker()
    masker.seal(value, "v")
    if not is_maskable(value):
        return
    bare = value.strip().encode("utf-8")
    for form in (value, json.dumps(value), json.dumps(value, ensure_ascii=False), quote(value, safe="")):
        redactor = Redactor(masker.patterns())
        shown = redactor.feed(form.encode("utf-8")) + redactor.flush()
        assert bare not in shown.replace(b"***", b"")
        assert b"***" in shown


def test_secrets_that_overlap_leave_nothing_standing() -> None:
    masker = Masker()
    masker.seal("alpha-beta", "a")
    masker.seal("beta-gamma", "b")
    assert masker.scrub("x alpha-beta-gamma y") == "x *** y"


def test_what_is_sealed_later_is_hidden_from_then_on() -> None:
    masker = Masker()
    masker.seal("first-value", "a")
    assert masker.scrub("first-value second-value") == "*** second-value"
    masker.seal("second-value", "b")
    assert masker.scrub("first-value second-value") == "*** ***"


def test_scrub_takes_any_text() -> None:
    masker = Masker()
    masker.seal("hunter22", "a")
    assert masker.scrub("\ud800 hunter22 \udcff ü\0") == "\ud800 *** \udcff ü\0"


def test_scrub_finds_a_value_that_is_no_utf_8_in_a_message() -> None:
    value = os.fsdecode(b"caf\xe9-password")  # as os.environ has it
    masker = Masker()
    masker.seal(value, "a")
    assert masker.scrub(f"no such user: {value} \udcff") == "no such user: *** \udcff"
    assert masker.scrub("\udcc3\udca9") == "\udcc3\udca9"


def test_each_label_of_a_value_that_cannot_be_masked_is_reported() -> None:
    masker = Masker()
    for label in ("A", "B", "B"):
        masker.seal("yes", label)
    masker.seal("hunter22\nab", "C")
    masker.seal("hunter22\nab", "D")
    assert masker.unmaskable == ["A", "B", "C (1 of its 2 lines)", "D (1 of its 2 lines)"]


def test_the_command_line_names_the_same_replacement() -> None:
    assert cli.REPLACEMENT == REPLACEMENT  # not imported there: it would take longer than `--help` to print


def test_scrub_survives_a_binary_value_that_is_part_of_a_character() -> None:
    masker = Masker()
    masker.seal("€€".encode()[1:5], "b")
    assert "*" in masker.scrub("€€")


def test_a_value_that_cannot_be_announced_does_not_go_on() -> None:
    def broken(text: str) -> None:
        raise BrokenPipeError

    masker = Masker(broken)
    for _ in range(2):  # the second time too: it was not registered as announced
        with pytest.raises(BrokenPipeError):
            masker.seal("hunter22", "a")


def test_announcing_may_write_a_message_that_is_scrubbed() -> None:
    shown: list[str] = []

    def announce(text: str) -> None:
        shown.append(masker.scrub(f"warning while {text} and first-value are announced"))

    masker = Masker(announce)

    def work() -> None:
        masker.seal("first-value", "a")
        masker.seal("second-value", "b")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "deadlock"
    assert shown == ["warning while *** and *** are announced"] * 2


def test_what_could_not_be_announced_is_hidden_in_the_message_about_it() -> None:
    def broken(text: str) -> None:
        raise BrokenPipeError

    masker = Masker(broken)
    with pytest.raises(BrokenPipeError):
        masker.seal("hunter22", "a")
    assert masker.scrub("hunter22") == "***"


def test_running_streams_get_the_newest_patterns_last_and_before_the_value_is_used() -> None:
    masker = Masker()
    sealed: list[str] = []
    in_use: list[set[bytes]] = []

    def work(value: str) -> None:
        masker.seal(value, "x")
        sealed.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in ("first-value", "second-value", "first-value")]

    def added() -> None:
        patterns = set(masker.patterns())
        if not in_use:
            for thread in threads[1:]:
                thread.start()
            threads[1].join(0.2)
            assert sealed == []  # neither the other value nor the same one
        in_use.append(patterns)

    masker.added = added
    threads[0].start()
    threads[0].join(10)
    for thread in threads[1:]:
        thread.join(10)
    assert sorted(sealed) == ["first-value", "first-value", "second-value"]
    assert len(in_use) == 2
    assert {b"first-value", b"second-value"} <= in_use[-1]


def test_a_value_that_running_streams_cannot_hide_does_not_go_on() -> None:
    def added() -> None:
        raise MemoryError

    masker = Masker()
    masker.added = added
    for _ in range(2):
        with pytest.raises(MemoryError):
            masker.seal("hunter22", "a")


def test_many_threads_may_seal_at_once() -> None:
    announced: list[str] = []
    masker = Masker(announced.append)
    barrier = threading.Barrier(8)

    def work(n: int) -> None:
        barrier.wait()
        for m in range(50):
            masker.seal(f"value-{(n + m) % 50}", "x")
            masker.scrub("value-1")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(announced) == sorted(f"value-{n}" for n in range(50))

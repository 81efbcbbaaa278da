"""Which patterns a value gives: none survives, none eats innocent text, and there is a limit to their number."""

import base64
import itertools
import json
import re
import shutil
import subprocess
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.masking import Masker, Redactor
from keylease.masking.encodings import PIECE, base64_cores, pieces, url_safe
from keylease.masking.forms import (
    LARGE,
    MINIMUM_ENCODED,
    Announcement,
    announcements,
    forms,
    is_maskable,
    named_forms,
    short_lines,
)
from tests.unit.masking.parity import DOCUMENT, KEY, PAGE, PASSWORD, PEM

INNOCENT = b"""\
2024-06-01T12:00:00.123456Z INFO  [main] user admin logged in from 127.0.0.1:8080, 42 ms
-----BEGIN CERTIFICATE-----
MIIBszCCAVmgAwIBAgIUabcdefghijklmnopqrstuvwxyz0123456789AAAAAAAA
-----END CERTIFICATE-----
{"type": "service_account", "token_uri": "https://oauth2.googleapis.com/token", "ok": true, "value": null}
+ docker build -t app:latest . && echo 'done' > /dev/null; $HOME/bin/test "x y" || exit 1
c3RhdGljIHRleHQgaW4gYmFzZTY0IHdpdGggc3BhY2VzICAgICAgICAgICAgICAgICAgIA== 00000000 ffffffff
"""


def masked(values: list[str | bytes], chunks: list[bytes]) -> bytes:
    masker = Masker()
    for value in values:
        masker.seal(value, "v")
    redactor = Redactor(masker.patterns())
    return b"".join([*map(redactor.feed, chunks), redactor.flush()])


secrets = st.one_of(
    st.text(min_size=1, max_size=60),
    st.text("aB3é'\"\\$`&<%^/+ \t~#", min_size=1, max_size=40),
    st.lists(st.text("abXY01+/=", max_size=30), max_size=6).map("\n".join),
)


@given(
    values=st.lists(st.one_of(secrets, st.binary(min_size=1, max_size=60)), min_size=1, max_size=3),
    between=st.lists(st.binary(max_size=20), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 9999), max_size=12),
    pick=st.randoms(use_true_random=False),
)
def test_no_form_survives(values: list[str | bytes], between: list[bytes], cuts: list[int], pick: Random) -> None:
    data = [value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value for value in values]
    patterns = [form for each in data for form in forms(each)]
    chosen = [pick.choice(patterns) for _ in between] if patterns else []
    log = b"".join(itertools.chain(*itertools.zip_longest(between, chosen, fillvalue=b"")))
    edges = [0, *sorted(cut % (len(log) + 1) for cut in cuts), len(log)]
    redactor = Redactor(patterns, b"")
    out = b"".join([*(redactor.feed(log[a:b]) for a, b in itertools.pairwise(edges)), redactor.flush()])
    assert len(out) <= sum(map(len, between))


@given(values=st.lists(st.binary(min_size=9, max_size=40), min_size=1, max_size=5), cuts=st.lists(st.integers(0, 999)))
def test_innocent_text_is_unchanged(values: list[bytes], cuts: list[int]) -> None:
    unusual: list[str | bytes] = [b"\xf7" + value + b"\xf7" for value in values]  # binary: nothing of it can be there
    edges = [0, *sorted(cut % len(INNOCENT) for cut in cuts), len(INNOCENT)]
    assert masked(unusual, [INNOCENT[a:b] for a, b in itertools.pairwise(edges)]) == INNOCENT


@pytest.mark.parametrize("value", [KEY, PASSWORD, PEM, DOCUMENT, "2024", "8080", "true", "admin", "a\nb\n42"])
def test_usual_secrets_leave_an_ordinary_log_alone(value: str) -> None:
    assert masked([value], [INNOCENT]) == INNOCENT


@given(secret=st.text(min_size=8, max_size=60), before=st.binary(max_size=7), after=st.binary(max_size=7))
def test_base64_is_found_wherever_the_value_starts(secret: str, before: bytes, after: bytes) -> None:
    data = secret.encode()
    encoded = base64.b64encode(before + data + after)
    core = base64_cores(data)[len(before) % 3]
    assert core in encoded
    assert url_safe(core) in base64.urlsafe_b64encode(before + data + after)
    assert len(core) >= len(data) * 8 // 6 - 2


@given(st.binary(min_size=PIECE, max_size=300))
def test_pieces_cover_the_whole(core: bytes) -> None:
    out = Redactor(pieces(core), b"")
    assert out.feed(core) + out.flush() == b""


@pytest.mark.parametrize("user", ["", "u", "me", "deploy", "x-access-token", "nöbody"])
@pytest.mark.parametrize("password", [KEY, PASSWORD])
def test_of_basic_auth_the_user_is_left(user: str, password: str) -> None:
    encoded = base64.b64encode(f"{user}:{password}".encode())
    out = masked([password], [encoded])
    kept, found, rest = out.partition(b"***")
    assert found
    assert rest == b""
    assert len(kept) <= len(base64.b64encode(f"{user}:".encode()).rstrip(b"="))  # at most bits of one byte more


SPECIAL = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


@pytest.mark.parametrize(
    "value", [f"aB{c}9x{c}{c}Z" for c in SPECIAL] + [f"{c}aB9x" for c in SPECIAL] + ["Zä\té\x01\x9f9"]
)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_bash_writes_no_value_that_is_not_found(value: str, locale: str) -> None:
    script = 'printf "%q\n" "$1"; echo "${1@Q}"; A=$1; declare -p A; set -x; : "$1"; : "x=$1:$1"'
    done = subprocess.run(["bash", "-c", script, "_", value], env={"LC_ALL": locale, "PATH": "/usr/bin:/bin"},
                          check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    out = masked([value], [done.stdout])
    assert out.count(b"***") == 6, out
    assert b"aB" not in out
    assert b"9x" not in out


def test_short_lines_are_hidden_beside_their_neighbour_and_counted() -> None:
    value = "first-line-9\nab\n{\nsecond-line-8"
    assert short_lines(value.encode()) == (1, 4)
    for log in ("first-line-9\nab", "first-line-9\r\nab", "first-line-9 ab", json.dumps("first-line-9\nab")[1:-1]):
        assert masked([value], [log.encode()]) == b"***"
    assert masked([value], [b"ab {"]) == b"ab {"
    assert short_lines(PEM.encode()) == (0, 9)
    assert short_lines(DOCUMENT.encode()) == (0, 0)
    assert masked(["ab\ncd\nef"], [b"ab\ncd\nef ab"]) == b"*** ab"


@pytest.mark.parametrize("end", ["\\n", "\\r\\n"])
def test_the_lines_of_a_value_kept_on_one_line_are_hidden_as_well(end: str) -> None:
    value = PEM.replace("\n", end)
    lines = [line.encode() for line in PEM.splitlines()[1:-1]]
    for log in (PEM, PEM.replace("\n", "\r\n"), value, json.dumps(PEM), json.dumps(value)):
        assert not any(line in masked([value], [log.encode()]) for line in lines), log
    texts = announcements(value.encode())
    assert set(PEM.splitlines()[1:-2]) <= set(texts)
    assert masked([json.dumps({"key": value, "on": True})], [PEM.encode()]) == masked([value], [PEM.encode()])
    assert masked(["C:\\new\\n1"], [b"ew n1 C:"]) == b"ew n1 C:"  # too short


@pytest.mark.parametrize("value", ["!@#$%^&*()", "}{][)(*&^%$#", "~ ! @ # $ % ^"])
def test_a_password_of_signs_is_hidden(value: str) -> None:
    assert masked([value], [f"<{value}>".encode()]) == b"<***>"
    assert masked([f"first-line-9\n{value}\nlast-line-9"], [f"<{value}>".encode()]) == b"<***>"


@pytest.mark.parametrize("value", ["aB3\\tcD4", "aB3\\\\cD4", "aB3x\\0101cD4", "aB3xyz\\cD4\\tZ"])
def test_dash_echoes_no_value_that_is_not_found(value: str) -> None:
    dash = shutil.which("dash")
    if dash is None:
        pytest.skip("not installed: dash")
    done = subprocess.run([dash, "-c", 'echo "<$1>"', "_", value], check=True, capture_output=True)
    assert masked([value], [done.stdout]).rstrip() in (b"<***>", b"<***")


@pytest.mark.parametrize("value", ["----", "+---+---+", '"}]}', "|  --  |", "=> =>", "});});"])
def test_rules_and_brackets_are_not(value: str) -> None:
    assert not is_maskable(value)


def test_all_strings_of_an_odd_json_document_are_hidden() -> None:
    number = "9" * 5000
    for text in ('{"a": "first-value", "a": "second-value"}', '\ufeff["first-value", "second-value"]',
                 f'["first-value", {number}, "second-value"]'):  # fmt: skip
        assert masked([text], [b"<first-value> <second-value>"]) == b"<***> <***>"


@pytest.mark.parametrize(
    "value",
    [
        "ab\rcd",
        "ab\n\ncd\n\nef",
        "ab\n\n  cd\n\tef",
        "long-line-9\n\nab\r\n\r\n\n cd \nlong-line-8",
        "ab\n\nlong-line-9",
    ],
)
def test_a_value_with_short_lines_is_hidden_as_it_is(value: str) -> None:
    for log in (value, value.replace("\r\n", "\n").replace("\n", "\r\n")):
        out = masked([value], [f"<{log}>".encode()])
        assert not re.search(rb"\w", out), out
    assert is_maskable(value)


@pytest.mark.parametrize("value", ["00\r0", "!@#$\n%^&*"])
def test_a_value_of_lines_that_hold_too_little_together_is_reported(value: str) -> None:
    masker = Masker()
    masker.seal(value, "v")
    assert masker.unmaskable == ["v"]


def test_an_escaped_carriage_return_is_one() -> None:
    assert masked(["000\r:"], [json.dumps("000\r:").encode()]) == b'"***"'


def test_patterns_with_a_newline_are_few() -> None:
    assert not [form for form in forms(PEM.encode()) if b"\n" in form]
    assert len([form for form in forms(b"first-line-9\nab\nsecond-line-8") if b"\n" in form]) == 2


@given(secrets)
def test_no_pattern_is_short_or_common(value: str) -> None:
    for form in named_forms(value.encode("utf-8", "surrogatepass")):
        text = form.pattern.decode("utf-8", "replace")
        assert is_maskable(text) or form.name.startswith(("base64", "hex")), form
        assert len(form.pattern) >= (MINIMUM_ENCODED if form.name.startswith(("base64", "hex")) else 4)


@given(secrets)
def test_announced_forms_are_single_lines_of_what_is_hidden(value: str) -> None:
    data = value.encode("utf-8", "surrogatepass")
    for text in announcements(data):
        assert isinstance(text, Announcement)
        for form in text.forms:
            assert b"\n" not in form.pattern
            assert b"\r" not in form.pattern
            assert is_maskable(form.pattern.decode()) or form.name.startswith(("base64", "hex"))


COUNTS = {"API key, 40 characters": KEY, "password with 14 specials": PASSWORD,
          "PEM key, 8 lines": PEM, "JSON service account": DOCUMENT}  # fmt: skip


def counts() -> str:
    """The table of docs/masking.md."""
    lines = ["| secret | bytes | patterns | bytes of patterns | masks on GitHub |", "| --- | --- | --- | --- | --- |"]
    from tests.unit.masking.parity import told_by_keylease

    for name, value in COUNTS.items():
        found = list(forms(value.encode()))
        searched = len(told_by_keylease(value).values)
        lines.append(f"| {name} | {len(value)} | {len(found)} | {sum(map(len, found))} | {searched} |")
    return "\n".join(lines) + "\n"


def test_the_page_shows_the_counts() -> None:
    shown = (
        PAGE.read_text(encoding="utf-8").partition("<!-- measured: counts -->\n")[2].partition("<!-- end of counts")[0]
    )
    assert shown == counts()


def test_a_large_value_is_prepared_in_a_few_forms() -> None:
    assert len(list(forms(b"aZ9+" * LARGE))) < 30
    lines = "\n".join(f"line-{n:06}-aZ9+/" for n in range(3000))
    assert len(list(forms(lines.encode()))) <= 3000 * 16 + 30

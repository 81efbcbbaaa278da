"""YAML: what is refused, where, and in which words."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.config import yamltree
from keylease.errors import UsageError
from tests.leaks import Seeded


def refused(data: str | bytes) -> UsageError:
    with pytest.raises(UsageError) as caught:
        yamltree.parse(data, "k.yml")
    return caught.value


def test_a_tree_knows_its_lines() -> None:
    tree = yamltree.parse("a: 1\nb:\n  - c: x\n    d: [true, 1.5]\n", "k.yml")
    assert tree.plain == {"a": 1, "b": [{"c": "x", "d": [True, 1.5]}]}
    assert [tree.line_of(path) for path in (".a", ".b", ".b[0].d", ".b[0].d[1]", ".b[0].nothing", "")] == [
        *(1, 2, 4, 4, 3, 1)
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-3", -3),
        ("0", 0),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("text", "text"),
        ("https://vault.example.com:8200", "https://vault.example.com:8200"),
        ("vault://secret/ci#token", "vault://secret/ci#token"),
        ("10s", "10s"),
        ('"no"', "no"),
        ("'010'", "010"),
        ('""', ""),
        ('"2027-01-31"', "2027-01-31"),
        ("nope", "nope"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_a_value(text: str, value: object) -> None:
    found = yamltree.parse(f"a: {text}", "k.yml").plain["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "No",
        "NO",
        "yes",
        "on",
        "off",
        "Off",
        "010",
        "0o10",
        "08",
        "0b1",
        "1_000",
        "12:30",
        "1:30:00",
        "2027-01-31",
        "2027-01-31T10:00:00Z",
        "1e3",
        "1.5e3",
        "=",
        "<<",
    ],
)
def test_what_yaml_1_1_and_1_2_read_differently(text: str) -> None:
    error = refused(f"x: 1\na:\n  b: {text}\n")
    assert error.summary == "k.yml:3: a.b: a plain word or number that YAML 1.1 and 1.2 read differently"
    assert error.change == (
        "put it in quotes if it is text; write true or false, or a plain decimal number, if it is not"
    )


@pytest.mark.parametrize("text", ["", "~", "null", "# a comment"])
def test_no_value(text: str) -> None:
    error = refused(f"a:\n  - b\nc: {text}\n")
    assert (error.summary, error.change) == ("k.yml:3: c: has no value", "give it a value, or remove the line")


@pytest.mark.parametrize("text", [".inf", "-.inf", ".nan"])
def test_numbers_that_are_none(text: str) -> None:
    assert refused(f"a: {text}").summary == "k.yml:1: a: is not a number that can be used here"


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("", "k.yml: is empty"),
        ("# only a comment\n", "k.yml: is empty"),
        ("a: 1\nb: 2\na: 3\n", "k.yml:3: a: is there twice (first in line 1)"),
        ("x:\n  a: 1\n  a: 1\n", "k.yml:3: x.a: is there twice (first in line 2)"),
        ("a: 1\n---\nb: 2\n", "k.yml:2: starts a second document"),
        ("a:\n\tb: 1\n", "k.yml:2: is indented with a tab"),
        ("a: @b\n", "k.yml:1: is not valid YAML (column 4): a value can't start with '@'"),
        (
            "a: 1\nb: c: d\n",
            "k.yml:2: is not valid YAML (column 5): a second `: ` in one line, or wrong indentation",
        ),
        ("a: 1\nb: 'c\n", "k.yml:2: is not valid YAML: a quote or bracket is not closed"),
        ("a: !!str 1\n", "k.yml:1: YAML tags (!…) are not used here"),
        ("a: !!python/object/apply:os.system [id]\n", "k.yml:1: YAML tags (!…) are not used here"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "k.yml:3: c: merge keys (<<) are not used here"),
        ("a: *nowhere\n", "k.yml:1: a: there is no anchor &nowhere above"),
        ("a: &x [1, *x]\n", "k.yml:1: a[1]: the anchor &x contains itself"),
        ("on: 1\n", "k.yml:1: a plain word or number that YAML 1.1 and 1.2 read differently"),
        ("1: 1\n", "k.yml:1: a key must be text"),
        ("true: 1\n", "k.yml:1: a key must be text"),
        ("'': 1\n", "k.yml:1: a key must not be empty"),
        ("? [a]\n: 1\n", "k.yml:1: a key must be plain text"),
        ("a: \x07\n", "k.yml:1: has a control character (U+0007)"),
        ("a: 1\nb: \x00\n", "k.yml:2: has a control character (U+0000)"),
        ("[" * 40 + "]" * 40, "k.yml:1: is nested more than 32 levels deep"),
    ],
)
def test_refused(text: str, summary: str) -> None:
    assert refused(text).summary == summary


@pytest.mark.parametrize(
    ("data", "summary"),
    [
        (b"a: 1\nb: \xff\xfe\n", "k.yml:2: is not UTF-8 (byte 8)"),
        ("a: 1\n".encode("utf-16"), "k.yml:1: is not UTF-8 (byte 0)"),
        (b"a: " + b"x" * yamltree.MAX_BYTES, "k.yml: is 1048579 bytes long; more than 1048576 are not read"),
    ],
)
def test_bytes_refused(data: bytes, summary: str) -> None:
    assert refused(data).summary == summary


def test_utf_8_with_a_byte_order_mark() -> None:
    assert yamltree.parse(b"\xef\xbb\xbfa: \xc3\xa4\r\n", "k.yml").plain == {"a": "ä"}


def test_an_alias_is_its_anchors_value() -> None:
    assert yamltree.parse("a: &x {b: 1}\nc: *x\n", "k.yml").plain == {"a": {"b": 1}, "c": {"b": 1}}


def test_a_billion_laughs_end_soon() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    started = time.monotonic()
    assert refused(text).summary == "k.yml:4: has more than 10000 values once its aliases are written out"
    assert time.monotonic() - started < 1


def test_no_value_in_a_message(seeded: Seeded) -> None:
    value = seeded.new("in a file")
    for text in (f"a: {value}: {value}", f"a: '{value}", f"a: [{value}", f"- {value}\n{value}", f"a: !{value} b"):
        assert value not in refused(text).diagnostics(debug=True)


@given(st.text(alphabet=st.sampled_from("ab:-[]{},&*!|>'\"%@ \n\t#?0.~<"), max_size=60))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        tree = yamltree.parse(text, "k.yml")
    except UsageError as error:
        place = error.summary
    else:
        place = "k.yml"
        assert tree.size <= yamltree.MAX_NODES
    assert place.startswith("k.yml")

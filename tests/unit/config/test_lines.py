"""vault-action's line syntax, as its v3.4.0 reads it (src/action.js, src/secrets.js, and their tests)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.config import lines
from keylease.errors import UsageError
from keylease.model import Deliver
from tests.leaks import Seeded


def one(text: str) -> Deliver:
    (deliver,) = lines.parse(text, "secrets")
    return deliver


@pytest.mark.parametrize(
    ("text", "path", "steps", "variable", "output"),
    [
        ("test key", "test", ("key",), "KEY", "key"),
        ("secret/data/ci npmToken", "secret/data/ci", ("npmToken",), "NPMTOKEN", "npmToken"),
        ("secret/data/ci npmToken | NPM_TOKEN", "secret/data/ci", ("npmToken",), "NPM_TOKEN", "NPM_TOKEN"),
        ("test key|testName", "test", ("key",), "testName", "testName"),
        ("  test \t key  |  NAME  ; ", "test", ("key",), "NAME", "NAME"),
        ("test\nkey\n|\nNAME", "test", ("key",), "NAME", "NAME"),
        ("/cubbyhole/test foo", "cubbyhole/test", ("foo",), "FOO", "foo"),
        ('s/data/t "other-Secret-dash"', "s/data/t", ("other-Secret-dash",), "OTHERSECRETDASH", "otherSecretdash"),
        ("s/data/t other-Secret | X", "s/data/t", ("other-Secret",), "X", "X"),
        ("s/data/t `a.b`", "s/data/t", ("a.b",), "A__B", "a__b"),
        ('s/data/t "a.b.c"', "s/data/t", ("a.b.c",), "A__B__C", "a__b__c"),
        ("s/data/t key.value", "s/data/t", ("key", "value"), "KEY__VALUE", "key__value"),
        ("s/data/t a.`b.c`.d", "s/data/t", ("a", "b.c", "d"), "A__B__C__D", "a__b__c__d"),
        ("s/data/t list[0].name | X", "s/data/t", ("list", "0", "name"), "X", "X"),
        ("测试 测试", "测试", ("测试",), "测试", "测试"),
        ("s/data/a|b key | X", "s/data/a|b", ("key",), "X", "X"),
    ],
)
def test_one_request(text: str, path: str, steps: tuple[str, ...], variable: str, output: str) -> None:
    deliver = one(text)
    assert (deliver.read.path, deliver.selector, deliver.name) == (path, steps, variable)
    assert (deliver.output_name or deliver.name) == output
    assert (deliver.env, deliver.output, deliver.required, deliver.decode) == (True, True, True, "none")


def test_paths_are_those_of_the_api() -> None:
    read = one("secret/data/ci key").read
    assert (read.scheme, read.provider, read.options) == ("vault", "vault", (("raw", "true"),))


def test_an_old_version() -> None:
    read = one("secret/data/ci?version=3 key").read
    assert (read.path, read.options) == ("secret/data/ci", (("raw", "true"), ("version", "3")))


@pytest.mark.parametrize(
    ("text", "selector", "prefix"),
    [
        ("secret/data/ci *", "*", ""),
        ("secret/data/ci * | MYAPP_", "*", "MYAPP_"),
        ("secret/data/ci **", "**", ""),
        ("secret/data/ci ** | myapp_ ;", "**", "myapp_"),
    ],
)
def test_all_fields(text: str, selector: str, prefix: str) -> None:
    deliver = one(text)
    assert (deliver.selector, deliver.name, deliver.is_wildcard) == (selector, prefix, True)


@pytest.mark.parametrize("text", ["", " ", ";", " ; \n;; \n"])
def test_nothing(text: str) -> None:
    assert lines.parse(text, "secrets") == []


def test_many_requests_keep_order_and_know_their_lines() -> None:
    text = "\n  first a ;\n\n  second b;third c | C ;\n  fourth\n    d | D"
    found = lines.parse(text, "secrets", provider="prod")
    assert [(d.read.path, d.name, str(d.origin)) for d in found] == [
        ("first", "A", "secrets:2"),
        ("second", "B", "secrets:4"),
        ("third", "C", "secrets:4"),
        ("fourth", "D", "secrets:5"),
    ]
    assert {d.read.provider for d in found} == {"prod"}


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("a b ;\nsecret/data/ci", "secrets:2: a path and a field are wanted, there is one word"),
        ("a b c", "secrets:1: a path and a field are wanted, there are 3 words"),
        ("|NAME", "secrets:1: a path and a field are wanted, there is nothing"),
        ("a b |", "secrets:1: there is no name after the |"),
        ("a b | C D", "secrets:1: a name has no spaces in it"),
        ("\n\na $sum(b) | X", "secrets:3: the field is an expression, not a field or path"),
        ("a b[c=1].d | X", "secrets:1: the field is not a field or path"),
        ("a b.*.d | X", "secrets:1: the field is an expression, not a field or path"),
        ("a b..c | X", "secrets:1: the field is an empty step"),
        ("a b. | X", "secrets:1: the field is an empty step"),
        ('a "" | X', "secrets:1: the field is an empty step"),
        ('a "b | X', "secrets:1: the field is not a field or path"),
        ('a "b"c | X', "secrets:1: the field is not a field or path"),
        ("a my-key", "secrets:1: a field like this one needs a name of its own"),
        ("a list[0]", "secrets:1: a field like this one needs a name of its own"),
        ('a "--"', "secrets:1: no name can be made of the field"),
        ("a?list=true b", "secrets:1: the only thing that may follow a ? in a path is version=NUMBER"),
        ("a/../b c", "secrets:1: is not the path of a secret"),
        ("a//b c", "secrets:1: is not the path of a secret"),
        ("/ c", "secrets:1: is not the path of a secret"),
    ],
)
def test_mistakes(text: str, summary: str) -> None:
    with pytest.raises(UsageError) as caught:
        lines.parse(text, "secrets")
    assert caught.value.summary == summary
    assert caught.value.change


def test_a_missing_semicolon_is_the_likely_cause() -> None:
    with pytest.raises(UsageError) as caught:
        lines.parse("secret/data/ci a | A\nsecret/data/ci b | B", "secrets")
    assert caught.value.summary == "secrets:1: a path and a field are wanted, there are 6 words"
    assert caught.value.cause == "a ; is missing at the end of a line"


def test_no_value_in_a_message(seeded: Seeded) -> None:
    """Somebody who pastes a value where a path belongs does not find it in the log."""
    value = seeded.new("pasted")
    for text in (value, f"{value} a b", f"a {value}( | X", f"a b | {value} {value}", f"a/../{value} b", f"a?{value} b"):
        with pytest.raises(UsageError) as caught:
            lines.parse(text, "secrets")
        assert value not in caught.value.diagnostics(debug=True)


@given(st.text(alphabet=st.sampled_from('ab/ \n;|*."`[]0?-$('), max_size=40))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        found = lines.parse(text, "secrets")
    except UsageError as error:
        place = error.summary
    else:
        place = "secrets:"
        assert all(d.is_wildcard or (d.selector and d.name) for d in found)
    assert place.startswith("secrets:")

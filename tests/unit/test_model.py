"""Documents give their values one by one, and say what there is when asked for what is not."""

from typing import Any

import pytest

from keylease.errors import NotFoundError, UsageError
from keylease.masking import Masker
from keylease.model import Deliver, Document, Origin, Plan, Provider, Read, fingerprint
from keylease.secret import Secret
from tests.leaks import Seeded


def value(data: dict[str, Any], *selector: str) -> str:
    return Document("vault://kv/ci", data).value(selector or None, Masker().seal).reveal()


@pytest.mark.parametrize(
    ("data", "selector", "expected"),
    [
        ({"a": "x"}, ["a"], "x"),
        ({"a": "x"}, [], "x"),
        ({"a.b": "x", "a": {"b": "y"}}, ["a.b"], "x"),
        ({"a.b": "x", "a": {"b": "y"}}, ["a", "b"], "y"),
        ({"a": ["x", {"b": "y"}]}, ["a", "1", "b"], "y"),
        ({"a": '{"b": {"c": "deep"}}'}, ["a", "b", "c"], "deep"),
        ({"a": 5}, ["a"], "5"),
        ({"a": True}, ["a"], "true"),
        ({"a": None}, ["a"], "null"),
        ({"a": {"b": [1, "é"]}}, ["a"], '{"b":[1,"é"]}'),
        ({"a": ""}, ["a"], ""),
    ],
)
def test_values(data: dict[str, Any], selector: list[str], expected: str) -> None:
    assert value(data, *selector) == expected


def test_a_missing_field_lists_the_names_and_no_value(seeded: Seeded) -> None:
    data = {"user": "bob", "pass": seeded.new("pass"), "deep": {"x": seeded.new("x")}}
    with pytest.raises(NotFoundError, match="vault://kv/ci: no field 'password'") as caught:
        value(data, "password")
    assert "user, pass, deep" in caught.value.cause
    with pytest.raises(NotFoundError, match=r"no field 'deep\.y'") as caught:
        value(data, "deep", "y")
    assert caught.value.cause == "the fields under 'deep' are: x"
    with pytest.raises(NotFoundError, match=r"no field 'pass\.y'") as caught:
        value(data, "pass", "y")
    assert "plain value" in caught.value.cause


def test_lines_are_answered_in_lines() -> None:
    read = Read("vault", "vault", "kv/data/ci", (("raw", "true"),))
    assert str(read) == "kv/data/ci"
    assert str(Read("vault", "vault", "kv/ci")) == "vault://kv/ci"
    document = Document(str(read), {"a": "1", "b": "2"}, raw=read.raw)
    with pytest.raises(NotFoundError) as missing:
        document.value(["c"], Masker().seal)
    assert missing.value.change == "use `kv/data/ci FIELD | NAME` with one of these names as FIELD"
    with pytest.raises(UsageError) as unnamed:
        document.value(None, Masker().seal)
    assert unnamed.value.change == "`kv/data/ci FIELD | NAME` with FIELD one of: a, b"
    assert document.value(["a"], Masker().seal).reveal() == "1"


def test_a_plan_tells_what_is_read_with_each_lease() -> None:
    one, two = Read("a", "vault", "kv/one"), Read("b", "vault", "kv/two")
    providers = {
        "a": Provider("a", "vault", None),
        "b": Provider("b", "vault", None, needs={"secret_id": Deliver(one, None, "")}),
    }
    plan = Plan(providers, deliveries=[Deliver(two, ("x",), "X"), Deliver(two, ("y",), "Y")])
    assert plan.reads("a") == [one]
    assert plan.reads("b") == [two]


def test_no_field_named_needs_exactly_one() -> None:
    with pytest.raises(UsageError, match="has 2 fields; say which"):
        value({"a": "1", "b": "2"})


def test_a_value_is_masked_before_it_is_given(seeded: Seeded) -> None:
    announced: list[str] = []
    secret = seeded.new("pass")
    Document("d", {"a": secret}).value(["a"], Masker(announced.append).seal)
    assert announced == [secret]


def test_repr_shows_no_value(seeded: Seeded) -> None:
    assert repr(Document("vault://kv/ci", {"a": seeded.new("a")})) == "<Document vault://kv/ci: 1 fields>"


def test_fingerprint_is_sha256() -> None:
    assert fingerprint(Secret("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        (Origin("keylease.yml", 3, "leases[0].env"), "keylease.yml:3: leases[0].env"),
        (Origin("keylease.yml"), "keylease.yml"),
        (Origin(key="secrets"), "secrets"),
        (Origin(), ""),
    ],
)
def test_origin(origin: Origin, text: str) -> None:
    assert str(origin) == text


@pytest.mark.parametrize("data", [{"a": "VALUE\ud800"}, {"a": {"b": "VALUE\udfff"}}])
def test_half_a_character_is_refused_without_the_value(data: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="half a character") as caught:
        Document("kv/x", data).value(("a",), lambda value, _: Secret(value))
    assert "VALUE" not in caught.value.diagnostics(debug=True)


def test_a_digit_of_another_script_is_no_index() -> None:
    with pytest.raises(NotFoundError):
        Document("kv/x", {"a": [1, 2, 3]}).value(("a", "\u00b2"), lambda value, _: Secret(value))

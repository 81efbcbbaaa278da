"""Patterns, and the names that values get."""

import fnmatch
import re
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keylease.errors import UsageError
from keylease.sync.naming import Naming, Pattern, is_pattern, matches, pattern_of

# Patterns.


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("kv/*", ["kv/a", "kv/a.b-c_d", "kv/ü"], ["kv", "kv/", "kv/a/b", "kvx/a", "x/kv/a"]),
        ("kv/a*", ["kv/a", "kv/ab"], ["kv/A", "kv/b", "kv/a/b"]),
        ("kv/*-x", ["kv/-x", "kv/a-x"], ["kv/a-xx"]),
        ("kv/a?c", ["kv/abc", "kv/aüc"], ["kv/ac", "kv/a/c"]),
        ("kv/*/db", ["kv/a/db"], ["kv/db", "kv/a/b/db", "kv/a/dbx"]),
        ("kv/**", ["kv/a", "kv/a/b/c"], ["kv", "kvx"]),
        ("kv/**/db", ["kv/db", "kv/a/db", "kv/a/b/db"], ["kv/xdb", "kv/db/x"]),
        ("kv/**/**/db", ["kv/db", "kv/a/db"], ["kv/xdb"]),
        ("**/db", ["db", "a/db", "a/b/db"], ["adb"]),
        ("kv/[ab]x", ["kv/ax", "kv/bx"], ["kv/cx", "kv/abx"]),
        ("kv/[!ab]x", ["kv/cx"], ["kv/ax", "kv//x"]),
        ("kv/[a-c]", ["kv/b"], ["kv/d", "kv/-"]),
        ("kv/[a-]", ["kv/-", "kv/a"], ["kv/b"]),
        ("kv/[]a]", ["kv/]", "kv/a"], ["kv/b"]),
        ("kv/[!]a]", ["kv/b"], ["kv/]", "kv/a"]),
        ("kv/[+-9]", ["kv/7", "kv/."], ["kv//"]),
        ("kv/[^a]", ["kv/^", "kv/a"], ["kv/b"]),
        ("kv/[[:x]*", ["kv/[", "kv/:y"], ["kv/y"]),
        ("kv/[a", ["kv/[a"], ["kv/a"]),
        ("kv/a.b+(c)*", ["kv/a.b+(c)d"], ["kv/aXb+(c)"]),
        ("kv/[\\d]", ["kv/\\", "kv/d"], ["kv/7"]),
        ("/rooted/*", ["/rooted/a"], ["rooted/a"]),
    ],
)
def test_what_a_pattern_means(pattern: str, yes: list[str], no: list[str]) -> None:
    made = Pattern(pattern)
    assert [path for path in yes if not made.matches(path)] == []
    assert [path for path in no if made.matches(path)] == []


@pytest.mark.parametrize(
    ("pattern", "parent", "prefix", "deep"),
    [
        ("kv/ml/prod-*", "kv/ml", "prod-", False),
        ("kv/*", "kv", "", False),
        ("kv/a*b/c", "kv", "a", True),
        ("kv/**", "kv", "", True),
        ("ml-*", "", "ml-", False),
        ("/a/*", "/a", "", False),
        ("/a*", "", "a", False),
    ],
)
def test_where_to_look(pattern: str, parent: str, prefix: str, deep: bool) -> None:
    made = Pattern(pattern)
    assert (made.parent, made.prefix, made.deep) == (parent, prefix, deep)


@given(st.lists(st.text("ab*?[]!-", min_size=1, max_size=4), min_size=1, max_size=4), st.text("ab/", max_size=8))
@settings(max_examples=500, deadline=None)
def test_what_matches_lies_where_one_looks(segments: list[str], path: str) -> None:
    text = "/".join(segments)
    try:
        made = Pattern(text)
    except ValueError:
        return
    if made.matches(path) and made.parent:
        assert path.startswith(f"{made.parent}/{made.prefix}")
        assert made.below(path) == path.removeprefix(f"{made.parent}/")
    if made.matches(path) and not made.deep:
        assert "/" not in made.below(path)


@given(st.text("ab*?[]!-^\\", max_size=6), st.text("ab-^]", max_size=4))
@settings(max_examples=1000, deadline=None)
def test_within_a_segment_it_is_the_shells(pattern: str, name: str) -> None:
    if "**" in pattern:
        return
    try:
        found = matches(pattern, name)
    except ValueError:
        return  # a range that has nothing in it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = re.fullmatch(fnmatch.translate(pattern).replace(r"\Z", "").replace(r"\z", ""), name) is not None
    assert found == expected, (pattern, name)


@given(st.text(max_size=20))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_pattern_or_says_why_not(text: str) -> None:
    try:
        made = Pattern(text)
    except ValueError:
        return
    made.matches(text)
    assert not is_pattern(made.sample)
    assert len(made.sample.split("/")) == len(text.split("/"))


@pytest.mark.parametrize("text", ["kv/a**", "kv/**b/c", "kv/***", "kv/[z-a]"])
def test_what_is_no_pattern_says_where(text: str) -> None:
    with pytest.raises(UsageError, match=r"^k\.yml:3: sync") as caught:
        pattern_of(text, "k.yml:3: sync[0].from")
    assert caught.value.docs.endswith("#sync-pattern")


def test_many_wildcards_take_no_time() -> None:
    made = Pattern("kv/" + "**/" * 40 + "x")
    assert not made.matches("kv/" + "a/" * 200 + "y")


# Names.


def name(path: str, field: str | None = None, alone: bool = False, **more: object) -> str | None:
    return Naming(**more).name(path, field, alone=alone)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "field", "alone", "expected"),
    [
        ("db", "password", False, "DB_PASSWORD"),
        ("team/db", "password", False, "TEAM_DB_PASSWORD"),
        ("db", None, False, "DB"),
        ("db", "password", True, "PASSWORD"),
        ("db", None, True, "DB"),
        ("my-db.prod", "api key", False, "MY_DB_PROD_API_KEY"),
        ("über", None, False, "BER"),
        ("中文", None, False, ""),
        ("---", "--", False, ""),
    ],
)
def test_names_by_default(path: str, field: str | None, alone: bool, expected: str) -> None:
    assert name(path, field, alone) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"template": "{name}_{field}"}, "DB_PASSWORD"),
        ({"template": "{field}"}, "PASSWORD"),
        ({"template": "x{path}"}, "XTEAM_DB"),
        ({"case": "lower"}, "team_db_password"),
        ({"case": "keep"}, "team_DB_password"),
        ({"prefix": "ml-", "suffix": ".x"}, "ml-TEAM_DB_PASSWORD.x"),
        ({"names": {"team_DB_password": "exact-1"}, "prefix": "P_"}, "exact-1"),
        ({"names": {"TEAM_DB_PASSWORD": "exact-2"}}, "exact-2"),
        ({"names": {"password": "exact-3"}}, "exact-3"),
        ({"names": {"DB": "other"}}, "TEAM_DB_PASSWORD"),
        ({"include": ["TEAM_*"]}, "TEAM_DB_PASSWORD"),
        ({"include": ["team_*"]}, None),
        ({"include": ["X*", "*_PASSWORD"]}, "TEAM_DB_PASSWORD"),
        ({"exclude": ["*_PASSWORD"]}, None),
        ({"include": ["*"], "exclude": ["*"]}, None),
        ({"prefix": "P_", "include": ["P_*"]}, "P_TEAM_DB_PASSWORD"),
        ({"include": ["**"]}, "TEAM_DB_PASSWORD"),
    ],
)
def test_what_may_be_said_of_names(more: dict[str, object], expected: str | None) -> None:
    assert Naming(**more).name("team/DB", "password", alone=False) == expected  # type: ignore[arg-type]


def test_nothing_is_made_of_nothing() -> None:
    assert name("中文", prefix="P_") == ""
    assert name("中文", names={"中文": "CHINESE"}) == "CHINESE"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "ml-prod.Db_Key"),
        ({"prefix": "X_"}, "X_ml-prod.Db_Key"),
        ({"case": "keep"}, "ml-prod.Db_Key"),
        ({"template": "ci-{name}"}, "ci-ml-prod.Db_Key"),
        ({"template": "{path}!"}, "ml-prod.Db_Key!"),
        ({"names": {"ml-prod.Db_Key": "other"}, "suffix": "_X"}, "other"),
        ({"exclude": ["ml-*"]}, None),
    ],
)
def test_a_target_takes_the_finished_name_as_it_is(more: dict[str, object], expected: str | None) -> None:
    assert Naming(**{"case": "keep", **more}).again("ml-prod.Db_Key") == expected  # type: ignore[arg-type]


@given(st.text(max_size=30), st.one_of(st.none(), st.text(max_size=10)), st.booleans())
def test_default_names_are_names(path: str, field: str | None, alone: bool) -> None:
    made = name(path, field, alone)
    assert made is not None
    assert re.fullmatch("[A-Z0-9_]*", made)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"template": "{nmae}"}, "there is no {nmae}: use {path}, {name}, {field}"),
        ({"template": "{name"}, "a { or }"),
        ({"template": "name}"}, "a { or }"),
        ({"template": "{Name}"}, "a { or }"),
        ({"template": "{}"}, "a { or }"),
        ({"include": ["[z-a]"]}, "[z-a]"),
        ({"exclude": ["A", "[9-0]"]}, "[9-0]"),
    ],
)
def test_mistakes_are_told(more: dict[str, object], problem: str) -> None:
    assert problem in Naming(**more).check()  # type: ignore[arg-type]


def test_no_mistake() -> None:
    assert Naming("{path}_{field}", include=("A*",), exclude=("[a]",)).check() == ""

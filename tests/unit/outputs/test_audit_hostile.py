"""What foreign names and texts can't do in any report of an audit: each hostile text in each place, in each form."""

import datetime as dt
import json
import re
import time
import unicodedata
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from keylease.audit.model import Finding, Inventory, Location, NotChecked, Problem, Record, Verdict
from keylease.audit.policy import AuditPolicy, Sorted, Waiver
from keylease.outputs.audit_report import FORMS, RULES_PAGE, render
from keylease.outputs.audit_text import annotations
from keylease.outputs.console import sanitize
from tests.unit.outputs.audit_samples import RULES, TRUST
from tests.unit.outputs.html_page import page
from tests.unit.outputs.test_audit_formats import GITLAB, JENKINS
from tests.unit.outputs.test_audit_report import SCHEMA, closed
from tests.unit.outputs.test_audit_sarif import VALIDATOR

HOSTILE = {
    "table": "a | b || c \\| d",
    "backticks": "```\n`a` ``` ~~~\n~~~",
    "html": "</details></code><script>alert(1)</script><img src=x onerror=alert(1)> <!-- ",
    "markdown": "[a](https://evil.example) ![b](https://evil.example/p.png) @octocat #1 **x** <https://evil.example>",
    "autolink": "https://evil.example www.evil.example mailto:x@evil.example",
    "cdata": "]]> <![CDATA[ <!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]> &e;",
    "lines": "a\r\nb\rc\nd\x0be\x0cf\x85g\u2028h\u2029i",
    "command": "::set-output name=x::y\n::error::z\r::add-mask::q\n \t::stop-commands::t",
    "azure": "##vso[task.setvariable variable=x]y ##[error]z ###[section]",
    "ansi": "\x1b[2J\x1b[31mred\x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \x9b2J",
    "bidi": "a\u202eb\u2066c\u2069\u200b\ufeff\u061c",
    "surrogates": "a\ud800b\udcffc",
    "noncharacters": "\ufffe\uffff\x00\x01\x7f",
    "long": "é<`|" * 250_000,
    "percent": "%0A::error::x%25 %(a)s {0} {name} $x ${{ secrets.X }}",
    "heading": "# h\n\n## h2\n\n    code\n\n---\n\n| a | b |\n| --- | --- |",
    "quotes": '"\'\\" \\u0000 \\n',
}


def everywhere(bad: str) -> tuple[Verdict, Sorted, Inventory, AuditPolicy]:
    """`bad` in each place that holds what others wrote."""
    finding = Finding(
        TRUST.rule,
        "critical",
        "high",
        "regular",
        f"file://{bad}#{bad}",
        bad,
        ((bad, bad), ("x", bad)),
        f"{bad}\n\n{bad}\n  {bad}",
        Location(bad, 3),
        bad,
    )
    nowhere = replace(finding, location=None, subject=bad, severity="low")
    changed = replace(finding, change=f"write:\n\n{bad}", location=Location(f"{bad}/x.yml"))
    waiver = Waiver(bad, bad, bad, dt.date(2027, 1, 1))
    problem = Problem("aws.trust_policy", bad, f"{bad}\n\n{bad}", Location(bad, 1))
    verdict = Verdict(
        [finding, nowhere, changed],
        [NotChecked(TRUST.rule, bad, f"{bad}\n\n{bad}"), NotChecked("other", bad)],
        {TRUST.rule: 1},
        [problem, Problem("", bad)],
    )
    found = Sorted([finding, changed], [nowhere], [(finding, waiver)], [changed], 1)
    policy = AuditPolicy(baseline=frozenset({changed.fingerprint}))
    return verdict, found, Inventory([Record("aws.trust_policy", bad)], {"aws.trust_policy"}, [problem]), policy


def made(form: str, bad: str) -> str:
    verdict, found, inventory, policy = everywhere(bad)
    return render(form, verdict, found, inventory, rules=RULES, policy=policy, source="keylease.yml", created=0)


def safe_in_a_log(text: str) -> None:
    """Nothing that a runner or a terminal obeys, and what any encoder can write."""
    assert not re.search(r"(?m)^\s*::", text)
    assert not re.search(r"##\w*\[", text)
    odd = {c for c in text if c != "\n" and c != "\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert odd <= {"\x7f"}, odd
    text.encode("utf-8")


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


def check(form: str, text: str) -> None:
    """The form is still what it was."""
    safe_in_a_log(text)
    assert text.endswith("\n")
    if form in ("json", "gitlab", "sarif", "code-scanning"):
        assert text.isascii()
        whole = json.loads(text)
        for each in texts(whole):
            each.encode("utf-8")
        if form == "json":
            jsonschema.Draft202012Validator(closed(SCHEMA)).validate(whole)
        elif form == "gitlab":
            jsonschema.Draft202012Validator(GITLAB).validate(whole)
        else:
            VALIDATOR.validate(whole)
            for result in whole["runs"][0]["results"]:
                assert not re.search(r"(?<!\\)\]\(", result["message"]["text"])
    elif form == "junit":
        root = ET.fromstring(text)
        assert list(JENKINS.problems(root)) == []
        cases = [case.get("name", "").split(":")[0] for case in root.iter("testcase")]
        assert cases == [TRUST.rule, "other", "everything could be looked at"]
        assert "<!" not in text
    elif form == "html":
        assert page(text).odd() == []
    elif form == "table":
        assert text == sanitize(text)
        known = ("critical  ", "low  ", "Not checked", "Could not", "3 findings")
        for line in text.splitlines():
            assert not line or line.startswith(("  ", *known)), line[:100]
    else:
        plain_markdown(text)


def plain_markdown(text: str) -> None:
    """Outside of blocks of code there is no markup but ours."""
    assert len(text.encode()) <= 1024 * 1024
    ours = re.compile(re.escape(RULES_PAGE) + r"#[a-z0-9-]+")
    for line in text.splitlines():
        if line.startswith("    "):
            continue
        bare = re.sub(r"\[[a-z0-9-]+\]\(" + ours.pattern + r"\)", "", line)
        if bare in ("<details><summary>What to change</summary>", "</details>", "### Keylease audit"):
            continue
        bare = re.sub(
            r"&#\d+;",
            "",
            re.sub(
                r"^\*\*(critical|low|\d+ rules? not checked(, \d+ more only in part)?|Could not be looked at: \d+)\*\*",
                "",
                bare,
            ),
        )
        assert not set("<>`[]*_~!@#") & set(bare), line[:200]
        assert "://" not in bare
        assert "www." not in bare
        assert bare.count("|") in ((0,) if not line.startswith("|") else (5,)), line[:200]
    blocks = [line for line in text.splitlines() if not line.startswith("    ")]
    assert blocks.count("</details>") == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text(form: str, name: str) -> None:
    check(form, made(form, HOSTILE[name]))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(FORMS),
    st.text(st.characters(), max_size=40) | st.sampled_from(sorted(HOSTILE.values(), key=len)[:-1]),
)
def test_any_text(form: str, bad: str) -> None:
    check(form, made(form, bad))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from([*"|`<>&#:[]()\\\n\r\t -=*_~@%{}!", "::", "##", "\n\n", "    ", "</details>"]), max_size=20
    )
)
def test_any_markup(parts: list[str]) -> None:
    for form in ("table", "markdown", "junit", "sarif"):
        check(form, made(form, "".join(parts)))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_annotations(name: str) -> None:
    found = everywhere(HOSTILE[name])[1]
    lines = annotations(found)
    assert len(lines) == 3
    for line in lines:
        assert re.match(r"::(error|warning) [^:]*::", line), "properties hold no colon of their own"
        assert "\n" not in line
        assert "\r" not in line
        assert len(line) <= 3 * 4096
        safe_in_a_log(line.split("::", 2)[2])


def test_what_is_long_takes_no_long_time() -> None:
    for form in FORMS:
        start = time.monotonic()
        text = made(form, HOSTILE["long"])
        assert len(text) < 8_000_000
        assert time.monotonic() - start < 10


def test_a_subject_is_whole_in_json() -> None:
    """A waiver is written from it."""
    for name in ("table", "html", "command", "azure", "bidi", "ansi"):
        told = json.loads(made("json", HOSTILE[name]))
        assert told["findings"][0]["subject"] == f"file://{HOSTILE[name]}#{HOSTILE[name]}"
        assert told["findings"][0]["location"]["path"] == HOSTILE[name]


def test_the_checks_would_tell() -> None:
    for form, spoiled in (
        ("table", "::error::x\n"),
        ("table", "x\n"),
        ("markdown", "<b>\n"),
        ("markdown", "[a](https://evil.example)\n"),
        ("markdown", "| a | b |\n"),
        ("json", "{}\n"),
        ("junit", "<testsuites><x/></testsuites>\n"),
        ("html", "<!DOCTYPE html><html><body><img src=x></body></html>\n"),
        ("gitlab", '[{"description": "\\ud800"}]\n'),
    ):
        with pytest.raises((AssertionError, jsonschema.ValidationError, UnicodeEncodeError)):
            check(form, spoiled)

"""The audit's page: what is in it. How it behaves in a browser is in tests/e2e/test_audit_html.py."""

import datetime as dt
import re
import time
from typing import Any

import pytest
from msgspec.structs import replace

from keylease.audit.model import Inventory, Record, Verdict
from keylease.audit.policy import AuditPolicy, Sorted
from keylease.outputs.audit_html import MAX_FINDINGS, STEP
from keylease.outputs.audit_html_charts import charts
from keylease.outputs.audit_report import render
from tests.unit.outputs.audit_samples import POLICY, TRUST, rendered, sample
from tests.unit.outputs.html_page import page

NOW = dt.datetime(2026, 9, 21, tzinfo=dt.UTC)


def ago(days: int) -> str:
    return (NOW - dt.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def credential(kind: str, number: int = 0, **facts: Any) -> Record:
    return Record(kind, f"test://{kind}/{number}", {"name": f"N{number}", **facts})


def drawn(*records: Record, policy: AuditPolicy | None = None) -> str:
    return charts(Inventory(list(records), now=NOW), policy or AuditPolicy())


def cells(text: str, table: int = 0) -> list[list[str]]:
    """The rows of the figures' tables."""
    rows = re.findall(r"<table>(.*?)</table>", text)[table]
    return [re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", row) for row in rows.split("</tr>")[:-1]]


def many(number: int, **more: Any) -> str:
    verdict, _, inventory = sample()
    findings = [replace(TRUST, key=str(each), **more) for each in range(number)]
    return render("html", verdict, Sorted(failing=findings), inventory, policy=POLICY, created=0)


def test_the_page_is_well_formed_and_allows_nothing_else() -> None:
    found = page(rendered("html"))
    assert found.odd() == []
    assert "unsafe" not in found.csp


def test_each_finding_is_there_with_its_status_and_what_to_do() -> None:
    found = page(rendered("html"))
    rows = [each for each in found.of("tr") if "data-s" in each]
    assert [each["data-t"] for each in rows] == ["failing"] * 2 + ["below"] * 3 + ["baselined", "waived"]
    text = found.texts["body"][0]
    for told in (
        TRUST.message,
        "principal: token.actions.githubusercontent.com",
        TRUST.fingerprint,
        "Waived until 2026-10-31: goes in October",
        "a stranger's workflow is let in",
        "Add a condition on `sub`",
        "more than 100,000 files",
        "keylease audit collect",
    ):
        assert told in text
    assert any('"token.actions.githubusercontent.com:sub": "repo:acme/trainer' in each for each in found.texts["pre"])


def test_what_is_hidden_is_only_counted() -> None:
    told = rendered("html")
    assert "it may be old" not in told
    assert "1 hidden" in told


def test_ten_thousand_findings_make_a_page_that_a_browser_bears() -> None:
    start = time.process_time()
    told = many(MAX_FINDINGS)
    assert time.process_time() - start < 2
    assert len(told.encode()) < 15_000_000
    assert told.count("<tr data-s") == MAX_FINDINGS
    assert told.count("class=far") == MAX_FINDINGS - STEP


def test_more_are_counted() -> None:
    told = many(MAX_FINDINGS + 7)
    assert told.count("<tr data-s") == MAX_FINDINGS
    assert "… and 7 more" in told


def test_long_ones_fill_no_page_without_end() -> None:
    told = many(1500, change="write:\n\n" + "<" * 20_000)
    assert len(told.encode()) < 15_000_000
    shown = told.count("<tr data-s")
    assert 0 < shown < 1500
    assert f"… and {1500 - shown} more" in told


def test_no_finding_is_said() -> None:
    told = render("html", Verdict(checked={"x": 1}), Sorted(), Inventory(), created=0)
    assert "<p>None.</p>" in told
    assert page(told).odd() == []


def test_ages_are_counted_against_the_limit_of_their_kind() -> None:
    told = drawn(
        credential("openai.key", 1, created_at=ago(30)),
        credential("openai.key", 2, created_at=ago(90)),
        credential("openai.key", 3, created_at=ago(91)),
        credential("openai.key", 4),
        credential("github.secret", 5, created_at=ago(900), updated_at=ago(180)),
        credential("github.secret", 6, updated_at=ago(181)),
        credential("github.secret", 7, updated_at=ago(9), active=False),
        credential("jenkins.credential", 8),
    )
    assert cells(told) == [
        ["Kind", "≤ 30", "31–90", "91–180", "181–365", "&gt; 365", "not told"],
        ["GitHub secret", "0", "0", "1", "1", "0", "0"],
        ["OpenAI key", "1", "1", "1", "0", "0", "1"],
    ]
    assert told.count('class="over"') == 2
    assert told.count('class="limit"') == 2
    assert "6 credentials, 2 over the limit" in told


@pytest.mark.parametrize(
    ("policy", "over"),
    [
        (AuditPolicy(settings={"credential-stale": {"max_days": 400}}), 0),
        (AuditPolicy(settings={"credential-stale": {"max_days": 45}}), 1),
        (AuditPolicy(off=frozenset({"credential-stale"})), 0),
        (AuditPolicy(), 1),
    ],
)
def test_the_limit_is_the_policys(policy: AuditPolicy, over: int) -> None:
    assert drawn(credential("openai.key", created_at=ago(120)), policy=policy).count('class="over"') == over


def test_ends_to_come() -> None:
    told = drawn(
        credential("openai.key", 1, expires_at=ago(1)),
        credential("openai.key", 2, expires_at=ago(-7)),
        credential("openai.key", 3, expires_at=ago(-8)),
        credential("openai.key", 4, expires_at=ago(-4000)),
        credential("openai.key", 5, expires_at=None),
        credential("github.secret", 6),
    )
    assert cells(told, 1) == [
        ["Kind", "ended", "≤ 7", "≤ 30", "≤ 90", "≤ 365", "&gt; 365", "never"],
        ["OpenAI key", "1", "1", "1", "0", "0", "1", "1"],
    ]


def test_how_many_repositories_see_a_secret() -> None:
    told = drawn(
        *(credential("github.repository", each, name=f"Acme/r{each}") for each in range(5)),
        credential("github.repository", 9, name="acme/old", archived=True),
        credential("github.secret", 1, level="organization", holder="acme", visibility="all"),
        credential(
            "github.secret", 2, level="organization", holder="acme", visibility="selected", repositories=["acme/r1"]
        ),
        credential("github.secret", 3, level="repository", holder="acme/r1"),
    )
    assert cells(told, 1) == [
        ["Secret", "Visible to", "Repositories"],
        ["acme: N1", "all", "5"],
        ["acme: N2", "selected", "1"],
    ]


def test_figures_are_named_and_have_their_numbers_beside_them() -> None:
    told = drawn(credential("openai.key", created_at=ago(3), expires_at=None))
    assert told.count('<svg role="img" aria-labelledby="') == 2
    assert told.count("<title id=") == told.count("<desc id=") == told.count("<table>") == 2


def test_no_credentials_no_figures() -> None:
    assert drawn(Record("file.workflow", "file://x")) == ""


@pytest.mark.parametrize("bad", ["</script><script>x</script>", '"><img src=x onerror=x>', "\u202e\x00\x1b[2J", "']]>"])
def test_facts_are_text(bad: str) -> None:
    facts = {"name": bad, "holder": bad, "visibility": bad, "level": "organization", "repositories": [bad]}
    odd = [Record("github.secret", bad, {**facts, "updated_at": bad}), Record(bad, bad, {"name": bad})]
    odd.append(Record("github.repository", bad, {"name": 3, "archived": bad}))
    told = render("html", Verdict(checked={"x": 1}), Sorted(), Inventory(odd, {bad}, now=NOW), created=0)
    assert page(told).odd() == []
    assert "\u202e" not in told
    assert "\x00" not in told

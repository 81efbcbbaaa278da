"""Which vendor's record a CI copy is of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.audit.hints import matches, parse, same
from keylease.audit.model import Inventory, Record


@pytest.mark.parametrize(
    ("copy", "record", "alike"),
    [
        ("sk-proj-…Wxyz", "sk-proj-aba...Wxyz", True),
        ("sk-proj-…Wxyz", "sk-proj-aba***...***Wxyz", True),
        ("sk-proj-…Wxyz", "sk-proj-ab********************Wxyz", True),
        ("sk-ant-api03-…igAA", "sk-ant-api03-R2D...igAA", True),
        ("sk-ant-api03-…igAA", "sk-ant-...igAA", True),
        ("sk-ant-admin01-…igAA", "sk-ant-api03-R2D...igAA", False),
        ("sk-proj-…Wxyz", "sk-svcacct-ab...Wxyz", False),
        ("sk-proj-…Wxyz", "sk-proj-aba...Wxya", False),
        ("sk-proj-…Wxyz", "sk-proj-aba...wxyz", False),
        ("sk-proj-abc…Wxyz", "sk-proj-abd...Wxyz", False),
        ("AKIA…WXYZ", "AKIA…WXYZ", True),
    ],
)
def test_alike(copy: str, record: str, alike: bool) -> None:
    one, other = parse(copy), parse(record)
    assert one is not None
    assert other is not None
    assert same(one, other) is alike
    assert same(other, one) is alike


@pytest.mark.parametrize(
    "text", ["sk-abc...def", "sk-proj-", "sk-proj-…", "hello…abcd", "", None, 7, "…abcd", "x" * 300]
)
def test_what_shows_too_little(text: object) -> None:
    assert parse(text) is None


@given(st.text(alphabet="abcdAB12-_", min_size=12, max_size=60), st.integers(0, 6), st.integers(4, 8))
def test_a_value_fits_its_own_hint(rest: str, more: int, tail: int) -> None:
    value = f"sk-proj-{rest}"
    copy, record = parse(f"sk-proj-…{value[-4:]}"), parse(f"{value[: 8 + more]}...{value[-tail:]}")
    assert copy is not None
    assert record is not None
    assert same(copy, record)


def key(kind: str, name: str, hint: str, **facts: object) -> Record:
    return Record(kind, f"x://{kind}/{name}", {"name": name, "hint": hint, "holder": "project P", **facts})


def test_matches() -> None:
    inventory = Inventory(
        [
            Record("job.variable", "job://environment/variable/A", {"name": "A", "hint": "sk-proj-…Wxyz"}),
            Record("gitlab.variable", "gitlab://g/variable/B", {"name": "B", "hint": "sk-ant-api03-…igAA"}),
            Record("gitlab.variable", "gitlab://g/variable/C", {"name": "C"}),
            Record("job.variable", "job://environment/variable/D", {"name": "D", "hint": "sk-or-v1-…Wxyz"}),
            key("openai.key", "one", "sk-proj-a...Wxyz", last_used_at=None, created_at="2026-01-01T00:00:00Z"),
            key("openai.key", "two", "sk-proj-b...Wxyz"),
            key("openai.key", "gone", "sk-proj-c...Wxyz", active=False),
            key("anthropic.key", "three", "sk-ant-api03-R2D...igAA", owner="user_1"),
        ]
    )
    first, second = matches(inventory)
    assert [record.facts["name"] for record in first.records] == ["one", "two"]
    assert first.confidence == "low"
    assert ("certainty", "2 keys look alike; it is one of them") in first.evidence
    told = dict(first.evidence)["key one"]
    assert "created 2026-01-01T00:00:00Z" in told
    assert "last used never" in told
    assert second.copy.facts["name"] == "B"
    assert second.confidence == "high"
    assert "of user_1" in dict(second.evidence)["key three"]

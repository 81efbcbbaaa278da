"""Snapshots: what is written is read again, and nothing else."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keylease.audit.collectors.files import collect
from keylease.audit.literals import _PATTERNS, credentials_in, hidden
from keylease.audit.model import Inventory, Location, Problem, Record
from keylease.audit.policy import AuditPolicy
from keylease.audit.snapshot import Snapshot, SnapshotError, dumps, loads, merged
from keylease.audit.trees import yaml_trees
from keylease.pipelines.audit import judge
from keylease.registry import RULES
from tests.leaks import Seeded

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def test_what_is_written_is_read_again() -> None:
    records = [
        Record("github.secret", "github://acme/x/secret/A", {"name": "A", "list": [1, None, {"a": True}]}),
        Record("file.env", "file://.env", {"names": ["A"], "empty": []}, Location(".env", 1)),
    ]
    problems = [Problem("github.secret", "refused", "grant it"), Problem("", "x", "", Location("a.yml", 3))]
    inventory = Inventory(records, {"github.secret", "file.env"}, problems, NOW, ["not asked"])
    snapshot = loads(dumps(inventory, (2, 3)))
    assert snapshot.shard == (2, 3)
    assert sorted(snapshot.inventory.records, key=str) == sorted(records, key=str)
    assert (snapshot.inventory.kinds, snapshot.inventory.problems) == (inventory.kinds, problems)
    assert (snapshot.inventory.now, snapshot.inventory.failed) == (NOW, ["not asked"])


def test_files_are_judged_the_same_from_a_snapshot(tmp_path: Path) -> None:
    for number, name in enumerate(RULES):
        rule = RULES.load(name)
        if rule.sample.startswith(".github/workflows/"):
            for count, text in enumerate((*rule.bad, *rule.good)):
                path = tmp_path / f".github/workflows/{number}-{count}.yml"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    inventory = collect(tmp_path)
    rules = [RULES.load(name)() for name in RULES]
    before = judge(inventory, rules, AuditPolicy())
    after = judge(loads(dumps(inventory)).inventory, rules, AuditPolicy())
    assert before.findings
    assert after.findings == before.findings
    assert after.not_checked == before.not_checked


def test_credentials_in_files_are_useless_in_a_snapshot(tmp_path: Path, seeded: Seeded) -> None:
    secret = "ghp_" + "aZ3kQ9xLm2Rt7Yb5Nc8Vd4Wf6Hg1Jp0SqEuToI"[:36]
    seeded.add(secret)
    path = tmp_path / ".github/workflows/a.yml"
    path.parent.mkdir(parents=True)
    path.write_text(f"on: push\njobs: {{a: {{env: {{T: {secret}}}, steps: []}}}}\n", encoding="utf-8")
    seeded.allow_file(path)
    inventory = collect(tmp_path)
    text = dumps(inventory)
    assert secret not in text
    rule = RULES.load("workflow-clear-secret")()
    assert len(list(rule.check(loads(text).inventory))) == len(list(rule.check(inventory))) == 1


def test_credentials_are_useless_wherever_they_stand(seeded: Seeded) -> None:
    secret = "ghp_" + "aZ3kQ9xLm2Rt7Yb5Nc8Vd4Wf6Hg1Jp0SqEuToI"[:36]
    seeded.add(secret)
    tree = next(iter(yaml_trees(f"{secret}: a\nb: {{c: [{secret}]}}\n")))
    facts = {"tree": tree, "text": f"# {secret}", "document": {secret: [{"Sid": secret}]}}
    text = dumps(Inventory([Record("a.b", "a://b", facts)]))
    assert secret not in text
    made = loads(text).inventory.records[0].facts["tree"]
    assert [made.line(name) for name in made.data] == [1, 2]


def test_a_key_file_in_one_line_is_hidden_too() -> None:
    body = "\\n".join("aZ3kQ9xLm2Rt7Yb5Nc8Vd4Wf6Hg1Jp0SqEuToI"[n : n + 30] * 2 for n in range(8))
    text = '{"private_key": "-----BEGIN PRIVATE KEY-----\\n' + body + '\\n-----END PRIVATE KEY-----\\n"}'
    assert [found.what for found in credentials_in(text, "KEY")] == ["private key"]
    assert body[:40] not in hidden(text)
    assert json.loads(hidden(text))["private_key"].count("\n") == json.loads(text)["private_key"].count("\n")
    assert [found.what for found in credentials_in(hidden(text), "KEY")] == ["private key"]


FORMS = [(what, pattern.pattern) for what, pattern in _PATTERNS]


@pytest.mark.parametrize(("what", "pattern"), FORMS)
def test_a_hidden_credential_keeps_its_form(what: str, pattern: str) -> None:
    import re

    compiled = re.compile(pattern)

    @settings(max_examples=25)
    @given(st.from_regex(compiled, fullmatch=True, alphabet=st.characters(codec="ascii")))
    def hides(text: str) -> None:
        made = hidden(text)
        assert len(made) == len(text)
        if made != text:
            assert compiled.search(made)
            assert hidden(made) == made, "nothing of it depends on what stood there"

    hides()


def test_text_without_credentials_stays() -> None:
    for text in ("", "echo hello", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "sk-learn", "AKIAIOSFODNN7EXAMPLE"):
        assert hidden(text) == text


GOOD: dict[str, Any] = json.loads(
    dumps(Inventory([Record("a.b", "a://b", {})], {"a.b"}, [Problem("a.b", "x")], now=NOW))
)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 2},
        {"collected_at": "yesterday"},
        {"collected_at": None},
        {"shard": [0, 1]},
        {"shard": [2, 1]},
        {"shard": "1/1"},
        {"shard": [True, 1]},
        {"records": None},
        {"records": [{}]},
        {"records": [{"kind": 1, "subject": "a", "facts": {}}]},
        {"records": [{"kind": "a", "subject": "a", "facts": []}]},
        {"records": [{"kind": "a", "subject": "a", "facts": {}, "path": "x", "line": -1}]},
        {"records": [{"kind": "a", "subject": "a", "facts": {"t": {"$tree": {}, "lines": [["x"]]}}}]},
        {"failed": None},
        {"plan": None},
        {"failed": [1]},
        {"kinds": "a.b"},
        {"kinds": [1]},
        {"problems": [{"kind": "a"}]},
    ],
)
def test_what_is_no_snapshot(change: dict[str, Any]) -> None:
    with pytest.raises(SnapshotError):
        loads(json.dumps({**GOOD, **change}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"format": 1}', "[" * 100_000, b"\xff\xfe\x00"])
def test_what_is_nothing(text: str | bytes) -> None:
    with pytest.raises(SnapshotError):
        loads(text)


def test_cut_anywhere_it_is_none() -> None:
    text = dumps(Inventory([Record("a.b", "a://b", {"x": 1})], {"a.b"}, now=NOW))
    for end in range(len(text) - 1):
        if text[:end].rstrip() != text.rstrip():
            with pytest.raises(SnapshotError):
                loads(text[:end])


def part(number: int, of: int, *records: Record, day: int = 1) -> tuple[str, Snapshot]:
    inventory = Inventory(list(records), {"a.b"}, now=NOW + dt.timedelta(days=day))
    return f"{number}.json", Snapshot(inventory, (number, of))


def test_shards_become_one() -> None:
    old, new = Record("a.b", "a://1", {"age": "old"}), Record("a.b", "a://1", {"age": "new"})
    found = merged([part(1, 2, old, day=1), part(2, 2, new, Record("a.b", "a://2"), day=2)])
    assert {record.subject: record.facts for record in found.records} == {"a://1": {"age": "new"}, "a://2": {}}
    assert found.problems == []
    assert found.now == NOW + dt.timedelta(days=2)


def test_files_of_two_repositories_are_both_kept() -> None:
    one, other = (Record("a.b", "file://.env", {"names": [name]}, Location(".env", 1)) for name in ("A", "B"))
    job, other_job = (Record("a.b", "job://environment/variable/KEY", {"hint": hint}) for hint in ("…1", "…2"))
    found = merged([part(1, 1, one, job, day=1), part(1, 1, other, other_job, day=2)])
    assert sorted(str(record.facts) for record in found.records) == sorted(
        str(record.facts) for record in (one, other, job, other_job)
    )
    assert merged([part(1, 1, one, day=1), part(1, 1, one, day=2)]).records == [one]


def test_two_of_one_name_in_one_snapshot_are_both_kept() -> None:
    records = [Record("a.b", "a://1", {"n": 1}), Record("a.b", "a://1", {"n": 2})]
    assert merged([part(1, 1, *records)]).records == records


def test_parts_of_two_inventories_are_not_one() -> None:
    (first, one), (second, two) = part(1, 2), part(2, 2)
    one.plan, two.plan = "a", "b"
    assert [each.what for each in merged([(first, one), (second, two)]).problems] == [
        "of 2 shards of the inventory these lack: 2",
        "of 2 shards of the inventory these lack: 1",
    ]


def test_a_shard_that_lacks_is_told() -> None:
    (problem,) = merged([part(1, 4), part(3, 4)]).problems
    assert (problem.kind, problem.what) == ("", "of 4 shards of the inventory these lack: 2, 4")

"""Reports of other scanners: what is kept of them, and what never is. Rules: imported-leak."""

import json
from pathlib import Path
from typing import Any

import pytest

from keylease.audit.imports import KIND, imported
from keylease.audit.rules.imported_leak import ImportedLeak
from keylease.errors import UsageError
from tests.conftest import RunKeylease
from tests.leaks import Seeded


def gitleaks(value: str, **more: Any) -> dict[str, Any]:
    found = {"RuleID": "generic-api-key", "Description": "Generic", "StartLine": 3, "EndLine": 3, "StartColumn": 7}
    found |= {"EndColumn": 40, "Match": f"key = {value}", "Secret": value, "File": "src/app.py", "SymlinkFile": ""}
    found |= {
        "Commit": "a" * 40,
        "Entropy": 4.2,
        "Author": "A",
        "Email": "a@example.com",
        "Date": "2026-01-01T00:00:00Z",
    }
    found |= {"Message": f"add {value}", "Tags": [], "Fingerprint": f"{'a' * 40}:src/app.py:generic-api-key:3"}
    return {**found, **more}


def trufflehog(value: str, *, verified: bool, source: str = "Git", **more: Any) -> dict[str, Any]:
    data = {"commit": "b" * 40, "file": "deploy/keys", "email": "a", "timestamp": "2026-01-01", "line": 4, **more}
    return {
        "SourceMetadata": {"Data": {source: data}},
        "SourceID": 1,
        "SourceType": 16,
        "SourceName": "trufflehog - git",
        "DetectorType": 2,
        "DetectorName": "AWS",
        "DetectorDescription": "AWS keys",
        "DecoderName": "PLAIN",
        "Verified": verified,
        "Raw": value,
        "RawV2": f"{value}:more",
        "Redacted": value[:20],
        "ExtraData": {"account": "1"},
        "StructuredData": None,
    }


def kingfisher(value: str, status: str = "Active Credential", **more: Any) -> dict[str, Any]:
    finding: dict[str, Any] = {"snippet": value, "fingerprint": "14085685380484734428", "confidence": "medium"}
    finding |= {"entropy": "4.50"}
    finding |= {"validation": {"status": status, "response": f"hello {value}"}, "language": "Python", "line": 9}
    finding |= {"column_start": 3, "column_end": 30, "path": "app/settings.py"}
    finding |= {"validate_command": f"kingfisher validate --rule x '{value}'", **more}
    return {"rule": {"name": "AWS Secret Access Key", "id": "kingfisher.aws.2"}, "finding": finding}


def lines(*values: Any) -> str:
    return "".join(json.dumps(each) + "\n" for each in values)


def read(tmp_path: Path, seeded: Seeded, text: str, value: str) -> list[dict[str, Any]]:
    file = tmp_path / "report"
    file.write_text(text)
    seeded.allow_file(file, value)
    inventory = imported([str(file)])
    assert value not in repr(inventory)
    assert inventory.kinds == {KIND}
    findings = list(ImportedLeak().check(inventory))
    assert value not in repr(findings)
    assert len({each.fingerprint for each in findings}) == len(inventory.records)
    return [{**each.facts, "severity": found.severity} for each, found in zip(inventory.records, findings, strict=True)]


def test_gitleaks(tmp_path: Path, seeded: Seeded) -> None:
    value = seeded.new("key")
    text = json.dumps([gitleaks(value), gitleaks(value, StartLine=8), gitleaks(value, File=f"dir/{value}.txt")])
    found = read(tmp_path, seeded, text, value)
    assert [(each["tool"], each["name"], each["path"], each["line"]) for each in found] == [
        ("gitleaks", "generic-api-key", "src/app.py", 3),
        ("gitleaks", "generic-api-key", "src/app.py", 8),
        ("gitleaks", "generic-api-key", "dir/***.txt", 3),
    ]
    assert {(each["verified"], each["severity"], each["commit"]) for each in found} == {(False, "high", "a" * 40)}


def test_trufflehog(tmp_path: Path, seeded: Seeded) -> None:
    value = seeded.new("key")
    text = lines(
        trufflehog(value, verified=True),
        trufflehog(value, verified=False, source="Github"),
        trufflehog(value, verified=True, source="S3", file=None, commit=None, bucket="models", line=0),
    )
    found = read(tmp_path, seeded, text, value)
    # Two at one place that can't be told apart are one, and the verified one counts.
    assert [(each["severity"], each["verified"], each["path"], each["line"], each["place"]) for each in found] == [
        ("critical", True, "deploy/keys", 4, ""),
        ("critical", True, "", 0, "S3 models"),
    ]


@pytest.mark.parametrize("form", ["json", "jsonl", "pretty"])
def test_kingfisher(tmp_path: Path, seeded: Seeded, form: str) -> None:
    value = seeded.new("key")
    git = {"repository_url": "https://x", "commit": {"id": "c" * 40}, "file": {"path": "old.py", "url": "u"}}
    found = [
        kingfisher(value),
        kingfisher(value, "Inactive Credential", line=10),
        kingfisher(value, "Not Attempted", git_metadata=git),
    ]
    if form == "jsonl":
        text = lines(*found, {"access_map": []}, {"audit": {}})
    else:
        text = json.dumps({"findings": found, "metadata": {}}, indent=2 if form == "pretty" else None)
    kept = read(tmp_path, seeded, text, value)
    assert [each["severity"] for each in kept] == ["critical", "medium", "high"]
    assert (kept[2]["path"], kept[2]["commit"]) == ("old.py", "c" * 40)


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize("left", ["fetch_failed", "scan_partial", "scan_failed", "pending"])
def test_what_kingfisher_left_out_is_told(tmp_path: Path, form: str, left: str) -> None:
    audit = {"schema": "kingfisher.repository-audit.v1", "summary": {"discovered": 3, "scan_succeeded": 1, left: 2}}
    file = tmp_path / "report"
    file.write_text(json.dumps({"audit": audit, **({"findings": []} if form == "json" else {})}))
    (problem,) = imported([str(file)]).problems
    assert "2 of what was to be scanned" in problem.what


def test_a_second_part_of_a_key_is_hidden_too(tmp_path: Path, seeded: Seeded) -> None:
    value = seeded.new("second")
    found = kingfisher("AKIA", path=f"dir/{value}", dependent_captures={"AWS_SECRET_ACCESS_KEY": value})
    assert read(tmp_path, seeded, lines(found), value)[0]["path"] == "dir/***"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[{}]",
        "[1]",
        "null",
        '{"a": 1}',
        '{"rule": 1, "finding": 2}',
        "[" * 100000,
        "hello",
        '[{"RuleID": 3, "File": ""}]',
        '{"DetectorName": "AWS", "SourceMetadata": {}, "Verified": "yes"}',
        '{"findings": [3]}',
    ],
)
def test_other_files_are_refused_without_their_text(tmp_path: Path, text: str, seeded: Seeded) -> None:
    value = seeded.new("key")
    file = tmp_path / "report"
    file.write_text(f'{lines(trufflehog(value, verified=True))}{text} "{value}')
    seeded.allow_file(file, value)
    with pytest.raises(UsageError) as error:
        imported([str(file)])
    assert str(file) in error.value.summary
    file.write_text(text)
    with pytest.raises(UsageError):
        imported([str(file)])


def test_an_empty_file_is_not_clean(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("\n")
    inventory = imported([str(tmp_path / "a")])
    assert [each.kind for each in inventory.problems] == [KIND]
    (tmp_path / "b").write_text("[]")
    assert imported([str(tmp_path / "b")]).problems == []
    with pytest.raises(UsageError, match="can't read"):
        imported([str(tmp_path / "c")])


def test_a_location_where_there_is_such_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeded: Seeded) -> None:
    value = seeded.new("key")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "settings.py").write_text("")
    (tmp_path / "report").write_text(
        lines(kingfisher(value), kingfisher(value, path=str(tmp_path / "app/settings.py")))
    )
    seeded.allow_file(tmp_path / "report", value)
    (record,) = imported(["report"]).records
    assert str(record.location) == "app/settings.py:9"


def test_program(tmp_path: Path, keylease: RunKeylease, seeded: Seeded) -> None:
    value = seeded.new("key")
    file = tmp_path / "report.json"
    file.write_text(json.dumps([gitleaks(value)]))
    seeded.allow_file(file, value)
    for form in ("json", "table", "sarif", "gitlab", "junit", "markdown", "code-scanning"):
        done = keylease("audit", "--offline", "--import", str(file), "--format", form)
        assert done.returncode == 1, done.stderr
        assert "imported-leak" in done.stdout
    clean = keylease("audit", "--offline", "--format", "json", str(tmp_path))
    assert "imported-leak" in [each["rule"] for each in json.loads(clean.stdout)["not_checked"]]

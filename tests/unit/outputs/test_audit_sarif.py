"""SARIF: by the official schema, the rules of the standard that no schema can say, and code scanning's limits."""

import gzip
import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keylease.audit.model import Finding, Inventory, Location, NotChecked, Problem, Verdict
from keylease.audit.policy import AuditPolicy, Sorted
from keylease.outputs import audit_sarif
from keylease.outputs.audit_report import render
from keylease.outputs.audit_sarif import LEVELS, MAX_BYTES, MAX_RESULTS, SCORES, text, uri
from tests.unit.outputs.audit_samples import DATA, ENV_FILE, KNOWN, RULES, STALE, TRUST, WAIVED, AnyRepository, rendered

SCHEMA = json.loads((DATA / "sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft4Validator(SCHEMA, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)


def log(*findings: Finding, policy: AuditPolicy | None = None, **more: Any) -> dict[str, Any]:
    verdict = Verdict(list(findings), checked={"a": 1}, **more)
    found = Sorted(failing=list(findings))
    made: dict[str, Any] = json.loads(render("sarif", verdict, found, Inventory(), rules=RULES, policy=policy))
    return made


def run_of(whole: dict[str, Any]) -> dict[str, Any]:
    (run,) = whole["runs"]
    assert isinstance(run, dict)
    return run


@pytest.mark.parametrize("form", ["sarif", "code-scanning"])
def test_it_is_sarif(form: str) -> None:
    whole = json.loads(rendered(form))
    VALIDATOR.validate(whole)
    assert whole["$schema"] == SCHEMA["id"]


def test_the_schema_would_tell() -> None:
    whole = json.loads(rendered("sarif"))
    run_of(whole)["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(whole)


def test_what_code_scanning_wants_is_there() -> None:
    run = run_of(json.loads(rendered("code-scanning")))
    rules = run["tool"]["driver"]["rules"]
    for rule in rules:
        assert 0 < len(rule["name"]) <= 255
        assert 0 < len(rule["shortDescription"]["text"]) <= 1024
        assert 0 < len(rule["fullDescription"]["text"]) <= 1024
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
        assert rule["helpUri"].endswith(f"/docs/rules.md#{rule['id']}")
        assert rule["defaultConfiguration"]["level"] in ("note", "warning", "error")
        assert len(rule["properties"]["tags"]) <= 20
        assert rule["properties"]["precision"] in ("very-high", "high", "medium", "low")
    for note in run["tool"]["driver"]["notifications"]:  # by the rule GH2012 of Microsoft's validator
        assert note["shortDescription"]["text"]
        assert note["fullDescription"]["text"]
        assert note["help"]["text"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        (location,) = result["locations"]
        assert location["physicalLocation"]["region"]["startLine"] >= 1
        assert location["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"[0-9a-f]{32}:1", result["partialFingerprints"]["primaryLocationLineHash"])
        assert "codeFlows" not in result


def test_scores_are_of_the_severity() -> None:
    rules = {rule["id"]: rule for rule in run_of(log(TRUST))["tool"]["driver"]["rules"]}
    scores = {name: rule["properties"].get("security-severity") for name, rule in rules.items()}
    assert scores["aws-trust-any-repository"] == "9.5"
    assert scores["workflow-secrets-inherit"] == "5.5"
    assert scores["env-file-committed"] == "2.5"
    assert scores["stale-secret"] is None, "code scanning has no lower one than low"
    bands = {"critical": (9.0, 10.0), "high": (6.9, 8.9), "medium": (3.9, 6.9), "low": (0.0, 3.9)}
    assert all(bands[name][0] < float(score) <= bands[name][1] for name, score in SCORES.items())
    assert set(LEVELS) == {*SCORES, "info"}


def test_a_severity_of_the_policy_is_the_rules() -> None:
    run = run_of(log(TRUST, policy=AuditPolicy(severities={AnyRepository.id: "low"})))
    (rule,) = [each for each in run["tool"]["driver"]["rules"] if each["id"] == AnyRepository.id]
    assert rule["properties"]["security-severity"] == "2.5"
    assert rule["defaultConfiguration"] == {"level": "note"}


def test_what_is_set_aside_is_marked_for_those_who_know_the_marks() -> None:
    results = run_of(json.loads(rendered("sarif")))["results"]
    by_mark = {each["partialFingerprints"]["keylease/v1"]: each for each in results}
    assert by_mark[WAIVED.fingerprint]["suppressions"] == [
        {
            "kind": "external",
            "status": "accepted",
            "justification": "goes in October (until 2026-10-31; waiver of workflow-secrets-inherit for "
            "file://.github/workflows/old.yml)",
        }
    ]
    assert [mark for mark, each in by_mark.items() if each["baselineState"] == "unchanged"] == [KNOWN.fingerprint]
    assert all(each["baselineState"] in ("new", "unchanged") for each in results), "on all results, or on none"
    assert sum("suppressions" in each for each in results) == 1


def test_code_scanning_gets_nothing_that_was_set_aside() -> None:
    results = run_of(json.loads(rendered("code-scanning")))["results"]
    marks = {each["partialFingerprints"]["keylease/v1"] for each in results}
    assert TRUST.fingerprint in marks
    assert not marks & {WAIVED.fingerprint, KNOWN.fingerprint}


def test_without_a_baseline_there_is_no_state() -> None:
    assert "baselineState" not in run_of(log(TRUST))["results"][0]


def test_a_finding_moves_and_keeps_its_mark() -> None:
    moved = replace(TRUST, location=Location("iam/trust.json", 900), message="another")
    one, other = (run_of(log(each))["results"][0]["partialFingerprints"] for each in (TRUST, moved))
    assert one == other
    twice = run_of(log(TRUST, TRUST))["results"]
    assert {each["partialFingerprints"]["primaryLocationLineHash"][-2:] for each in twice} == {":1", ":2"}


def test_what_is_in_no_file_is_shown_at_the_policy() -> None:
    (result,) = run_of(log(STALE))["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "keylease.yml"
    assert result["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": STALE.subject}]
    assert result["message"]["text"].startswith("github://acme/trainer/secret/NPM_TOKEN: it was last")


def test_what_was_not_checked_is_a_notification() -> None:
    whole = log(
        not_checked=[NotChecked("stale-secret", "no token", "give it one"), NotChecked("other", "x")],
        problems=[Problem("k", "it is no YAML", "mend it", Location("a b.yml", 0))],
    )
    VALIDATOR.validate(whole)
    run = run_of(whole)
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is True
    first, second, third = invocation["toolExecutionNotifications"]
    assert first["message"]["text"] == "stale-secret was not checked: no token. Change: give it one"
    assert run["tool"]["driver"]["rules"][first["associatedRule"]["index"]]["id"] == "stale-secret"
    assert "index" not in second["associatedRule"]
    assert third["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b.yml"
    names = [each["id"] for each in run["tool"]["driver"]["notifications"]]
    assert all(names[each["descriptor"]["index"]] == each["descriptor"]["id"] for each in (first, second, third))


def test_where_nothing_was_judged_it_did_not_succeed() -> None:
    made = json.loads(render("sarif", Verdict(), Sorted(), Inventory()))
    VALIDATOR.validate(made)
    (invocation,) = run_of(made)["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["level"] == "error"


def test_notifications_end_somewhere() -> None:
    notes = run_of(log(not_checked=[NotChecked(f"r{n}", "x") for n in range(1500)]))["invocations"][0]
    assert len(notes["toolExecutionNotifications"]) == 1001
    assert notes["toolExecutionNotifications"][-1]["message"]["text"] == "… and 500 more"


# Limits.


def test_more_results_than_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_RESULTS == 25_000
    monkeypatch.setattr(audit_sarif, "MAX_RESULTS", 30)
    many = [replace(ENV_FILE, key=str(n)) for n in range(40)] + [TRUST]
    run = run_of(log(*many))
    assert len(run["results"]) == 30
    assert run["results"][0]["ruleId"] == TRUST.rule, "the worst stay"
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("11 results were left out")


def test_more_bytes_than_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_BYTES == 10_000_000
    monkeypatch.setattr(audit_sarif, "MAX_BYTES", 6000)
    many = [replace(ENV_FILE, key=str(n)) for n in range(400)]
    verdict = Verdict(many, checked={"a": 1})
    made = render("code-scanning", verdict, Sorted(failing=[*many, TRUST]), Inventory())
    assert len(gzip.compress(made.encode())) <= 6000
    run = run_of(json.loads(made))
    assert run["results"][0]["ruleId"] == TRUST.rule
    left = 401 - len(run["results"])
    assert left > 0
    assert run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"].startswith(f"{left} results")


# Texts and paths that mean something else there.


def test_a_message_has_no_links_and_no_placeholders() -> None:
    assert text("[x](https://evil.example) \\ {0} ${{ a }}") == "\\[x\\](https://evil.example) \\\\ { 0} ${{ a }}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".github/workflows/ci.yml", ".github/workflows/ci.yml"),
        ("a b#c?d%20e", "a%20b%23c%3Fd%2520e"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
        ("//evil.example/x", "evil.example/x"),
        ("C:\\x", "C%3A%5Cx"),
        ("ä\n", "%C3%A4%0A"),
        ("\udcff.yml", "%FF.yml"),
        ("\ud800", "%ED%A0%80"),
        ("", "."),
    ],
)
def test_a_path_is_a_relative_reference(path: str, expected: str) -> None:
    assert uri(path) == expected


@given(st.text(st.characters(), max_size=60))
def test_any_path_comes_back(path: str) -> None:
    made = uri(path)
    parts = urlsplit(made)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
    assert made.isascii()
    raw = path.encode("utf-8", "surrogatepass").lstrip(b"/")
    assert unquote_to_bytes(made) == (raw or b".")

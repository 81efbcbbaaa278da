"""Reports of audits: each form whole (golden files), JSON by its published schema, what people read."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from msgspec.structs import replace

from keylease.audit.model import Confidence, Finding, Inventory, Location, NotChecked, Persona, Severity, Verdict
from keylease.audit.policy import AuditPolicy, Sorted
from keylease.errors import UsageError
from keylease.outputs.audit_report import FORMS, MAX_BLOCK_LINES, NOTHING, change_of, render, sentence, where
from keylease.outputs.audit_text import MAX_ANNOTATIONS, MAX_MARKDOWN, annotations
from tests.unit.outputs import audit_samples
from tests.unit.outputs.audit_samples import HIDDEN, KNOWN, POLICY, RULES, TRUST, WAIVED, golden, rendered, sample
from tests.unit.outputs.test_sync_report import strict

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/audit-report.schema.json").read_text(encoding="utf-8"))


def finding(**more: Any) -> Finding:
    return replace(TRUST, **more)


def report(form: str, *findings: Finding, checked: int = 1, **more: Any) -> str:
    verdict = Verdict(list(findings), checked={"aws-trust-any-repository": checked})
    return render(form, verdict, Sorted(failing=list(findings)), Inventory(), rules=RULES, created=0, **more)


@pytest.mark.parametrize("form", FORMS)
def test_golden(form: str) -> None:
    expected = golden(form).read_text(encoding="utf-8")
    assert rendered(form) == expected, "if it is meant: python -m tests.unit.outputs.audit_samples"


def test_every_golden_file_is_of_a_form() -> None:
    assert {path.name for path in audit_samples.DATA.glob("report.*")} == {golden(form).name for form in FORMS}


def test_there_is_no_other_form() -> None:
    with pytest.raises(UsageError, match="yaml"):
        rendered("yaml")


# JSON.


def test_the_schema_is_one_and_describes_everything() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def bare(part: Any, at: str) -> list[str]:
        found = [at] if at and "description" not in part and at.rsplit(".", 1)[-1] != "[]" else []
        for name, inner in part.get("properties", {}).items():
            found += bare(inner, f"{at}.{name}")
        return found + (bare(part["items"], f"{at}.[]") if isinstance(part.get("items"), dict) else [])

    assert bare(SCHEMA, "") == []
    assert all("description" in each for each in SCHEMA["$defs"].values())


def closed(schema: Any) -> Any:
    """`strict`, but for what may be null, and for maps."""
    found = strict(schema)

    def mend(part: Any) -> Any:
        if isinstance(part, dict):
            if part.get("type") == ["object", "null"]:
                part["additionalProperties"] = False
            if part.get("type") == "object" and "properties" not in part:
                part["additionalProperties"] = {"type": "integer", "minimum": 0}
            for value in part.values():
                mend(value)
        return part

    return mend(found)


@pytest.mark.parametrize(
    "text",
    [rendered("json"), report("json"), report("json", TRUST, finding(location=None, evidence=()))],
    ids=["sample", "empty", "two"],
)
def test_a_report_is_as_the_schema_says(text: str) -> None:
    jsonschema.Draft202012Validator(closed(SCHEMA)).validate(json.loads(text))


@pytest.mark.parametrize("path", [(), ("summary",), ("findings", 0), ("not_checked", 0), ("problems", 0), ("rules", 0)])
def test_the_schema_misses_nothing(path: tuple[str | int, ...]) -> None:
    whole = json.loads(rendered("json"))
    part = whole
    for step in path:
        part = part[step]
    for key in list(part):
        value = part.pop(key)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(SCHEMA).validate(whole)
        part[key] = value


def test_the_words_are_those_of_the_model() -> None:
    for name, words in (("severity", Severity), ("confidence", Confidence), ("persona", Persona)):
        assert tuple(SCHEMA["$defs"][name]["enum"]) == words.__args__  # type: ignore[attr-defined]


def test_a_severity_of_the_policy_is_told() -> None:
    text = report("json", policy=AuditPolicy(severities={"stale-secret": "critical"}))
    severities = {each["id"]: each["severity"] for each in json.loads(text)["rules"]}
    assert severities["stale-secret"] == "critical"
    assert severities["env-file-committed"] == "low"


def test_what_is_hidden_is_counted_only() -> None:
    told = json.loads(rendered("json"))
    assert told["summary"] == {
        "failing": 2, "below": 3, "waived": 1, "baselined": 1, "hidden": 1,
        "severities": {"critical": 1, "high": 1, "medium": 1, "low": 2, "info": 0},
    }  # fmt: skip
    assert HIDDEN.message not in rendered("json")
    statuses = {each["fingerprint"]: each["status"] for each in told["findings"]}
    assert statuses[TRUST.fingerprint] == "failing"
    assert statuses[KNOWN.fingerprint] == "baselined"
    assert statuses[WAIVED.fingerprint] == "waived"


# "Nothing was judged" is said by each form; "clean" is not.


@pytest.mark.parametrize("form", ["table", "markdown", "sarif", "code-scanning", "junit", "gitlab", "html"])
def test_where_nothing_was_judged_it_is_said(form: str) -> None:
    assert NOTHING in report(form, checked=0)
    assert NOTHING not in report(form, checked=1)


def test_where_nothing_was_judged_it_is_said_to_programs() -> None:
    assert json.loads(report("json", checked=0))["performed"] is False
    assert json.loads(report("json", checked=1))["performed"] is True


@pytest.mark.parametrize("form", FORMS)
def test_what_was_not_checked_is_in_every_form(form: str) -> None:
    assert "vault-role-no-bound" in rendered(form)
    assert "iam/broken.json" in rendered(form)


# The table.


def test_the_worst_comes_first() -> None:
    text = rendered("table")
    told = [line.split()[0] for line in text.splitlines() if line and not line.startswith(" ")]
    assert told[:5] == ["critical", "high", "medium", "low", "low"]


def test_a_block_can_be_pasted() -> None:
    head, block = change_of(TRUST.change)
    assert head == "add to the statement's Condition:"
    lines = rendered("table").splitlines()
    start = lines.index("      " + block[0])
    assert [line.removeprefix("      ") for line in lines[start : start + 3]] == block
    assert lines[start - 1] == ""
    assert json.loads("{" + "\n".join(block) + "}"), "it is what was to be written"


def test_a_block_without_end_is_cut() -> None:
    head, block = change_of("x:\n\n" + "y\n" * 100_000)
    assert head == "x:"
    assert len(block) == MAX_BLOCK_LINES + 1
    assert block[-1] == "…"
    assert change_of("x:\r\n\r\na\r\n\r\nb\r\n") == ("x:", ["a", "", "b"])
    assert change_of("") == ("", [])


def test_colours_are_of_the_severity_alone() -> None:
    text = rendered("table", colour=True)
    assert text.startswith("\x1b[31;1mcritical\x1b[0m  aws-trust")
    assert text.count("\x1b") == 2 * 5
    assert "\x1b" not in rendered("table")


def test_the_summary_counts() -> None:
    assert rendered("table").splitlines()[-1] == (
        "5 findings: 1 critical, 1 high, 1 medium, 2 low; 2 at high or worse; 1 waived; 1 in the baseline; "
        "1 hidden (persona auditor shows all); 4 rules checked 5 things; 2 rules not checked, 1 more only in part; "
        "2 things not looked at"
    )
    assert report("table") == "0 findings\n"
    assert report("table", checked=0) == f"{NOTHING}\n0 findings\n"


def test_rules_checked_in_part_are_told_apart_from_those_not_checked() -> None:
    def told(*not_checked: str) -> str:
        verdict = Verdict([], [NotChecked(name, "x") for name in not_checked], {"a": 2, "b": 1}, judged=3)
        return render("table", verdict, Sorted(), Inventory()).splitlines()[-1]

    assert told() == "0 findings; 2 rules checked 3 things"
    assert told("c", "d") == "0 findings; 2 rules checked 3 things; 2 rules not checked"
    assert told("a") == "0 findings; 2 rules checked 3 things; 1 rule checked only in part"
    assert told("a", "b", "c") == "0 findings; 2 rules checked 3 things; 1 rule not checked, 2 more only in part"


def test_where_it_is() -> None:
    assert where(finding(subject="file://iam/trust.json")) == "iam/trust.json:7"
    assert where(finding()) == "iam/trust.json:7 (deployer)"
    assert where(finding(subject="aws://123/role/x")) == "iam/trust.json:7 (aws://123/role/x)"
    assert where(finding(subject="aws://123/role/x", location=None)) == "aws://123/role/x"
    assert where(finding(subject="file://a/b", location=None)) == "a/b"


def test_a_change_in_one_line() -> None:
    assert sentence("It is bad.", "") == "It is bad."
    assert sentence("It is bad.", "mend it") == "It is bad. Change: mend it"
    assert sentence("It is bad", "run:\n\nmake it") == "It is bad. Change: run: make it"
    assert sentence("It is bad", "write:\n\na\nb") == "It is bad. Change: write …"


def test_rules_of_one_reason_are_told_together() -> None:
    many = [NotChecked(f"rule-{number}", "no inventory of x", "collect it") for number in range(30)]
    verdict = Verdict([], many, {"a": 1})
    text = render("table", verdict, Sorted(), Inventory())
    assert text.count("no inventory of x") == 1
    assert "rule-0, rule-1" in text
    assert "30 rules not checked" in text


# Markdown.


def test_a_summary_is_never_too_long() -> None:
    many = [finding(message="é*" * 2000, change="x:\n\n" + "é\n" * 300, key=str(n)) for n in range(2000)]
    verdict = Verdict(many, [NotChecked(f"r{n}", "é" * 900 + str(n)) for n in range(5000)], {"a": 1})
    for limit in (MAX_MARKDOWN, 60_000):
        from keylease.outputs.audit_report import WAIVERS, Audit
        from keylease.outputs.audit_text import markdown

        about = {each.id: each for each in WAIVERS}
        audit = Audit(verdict, Sorted(failing=many), Inventory(), AuditPolicy(), about, "keylease.yml", 0)
        text = markdown(audit, limit=limit)
        assert len(text.encode()) <= limit
        assert len(text.encode()) > limit // 4
        assert text.count("\n| critical") >= 10
        assert f"… and {2000 - text.count(chr(10) + '| critical')} more" in text
        assert text.count("<details>") == text.count("</details>") == 1


# Annotations.


def test_annotations_mark_the_lines() -> None:
    verdict, found, _ = sample()
    assert verdict.findings
    lines = annotations(found)
    assert lines[0] == (
        "::error file=iam/trust.json,line=7,title=Keylease%3A aws-trust-any-repository::every repository on GitHub can "
        "take on the role deployer: the statement has no condition on sub. Change: add to the statement's Condition …"
    )
    assert lines[1].startswith("::error title=Keylease%3A stale-secret::github://acme/trainer/secret/NPM_TOKEN: it was")
    assert lines[3].startswith("::warning file=.env,title=")
    assert [line.split(" ")[0] for line in lines] == ["::error"] * 2 + ["::warning"] * 3


def test_no_more_annotations_than_are_shown() -> None:
    mild = [finding(severity="low", key=str(n)) for n in range(13)]
    bad = [finding(key=str(n)) for n in range(11)]
    lines = annotations(Sorted(failing=bad, below=mild))
    assert sum(line.startswith("::error") for line in lines) == MAX_ANNOTATIONS
    assert sum(line.startswith("::warning") for line in lines) == MAX_ANNOTATIONS
    assert lines[-1] == "… and 1 error, 3 warnings more, in the report"
    assert annotations(Sorted()) == []


def test_the_worst_are_annotated() -> None:
    many = [*(finding(severity="high", key=str(n)) for n in range(20)), finding(message="the worst of all")]
    assert "the worst of all" in annotations(Sorted(failing=many))[0]


def test_a_path_that_cannot_be_shown_marks_no_file() -> None:
    (line,) = annotations(Sorted(failing=[finding(location=Location("a\n::error::b\x1b[2J", 3))]))
    assert "file=" not in line
    assert "\n" not in line
    assert "\x1b" not in line


def test_the_policy_of_the_sample_is_used() -> None:
    assert POLICY.fail_on == "high"
    assert "at high or worse" in rendered("table")

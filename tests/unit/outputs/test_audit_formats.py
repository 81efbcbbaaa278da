"""JUnit's XML by Jenkins' schema, GitLab's Code Quality by its documentation."""

import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema  # type: ignore[import-untyped]
import pytest
from msgspec.structs import replace

from keylease.audit.model import Finding, Inventory, Location, NotChecked, Problem, Verdict
from keylease.audit.policy import AuditPolicy, Sorted
from keylease.outputs.audit_formats import MAX_CASE
from keylease.outputs.audit_report import render
from tests.unit.outputs.audit_samples import DATA, ENV_FILE, INHERIT, KNOWN, RULES, STALE, TRUST, WAIVED, rendered

XS = "{http://www.w3.org/2001/XMLSchema}"


class Xsd:
    """As much of XML Schema as junit-10.xsd uses of what we write: which attributes and children an element may have.

    It does not look at the order of children (there it is a choice without bounds) and at the form of times.
    """

    def __init__(self, text: str) -> None:
        self._elements = {each.get("name"): each for each in ET.fromstring(text).findall(f"{XS}element")}

    def problems(self, node: ET.Element) -> Iterator[str]:
        declared = self._elements.get(node.tag)
        if declared is None:
            yield f"no element {node.tag}"
            return
        attributes = {each.get("name"): each.get("use") for each in declared.iter(f"{XS}attribute")}
        children = {each.get("ref") for each in declared.iter(f"{XS}element")} - {None}
        yield from (f"{node.tag} has no attribute {name}" for name in node.attrib if name not in attributes)
        needed = (name for name, use in attributes.items() if use == "required")
        yield from (f"{node.tag} needs {name}" for name in needed if name not in node.attrib)
        mixed = declared.get("type") == "xs:string" or any(
            each.get("mixed") for each in declared.iter(f"{XS}complexType")
        )
        if not mixed and (node.text or "").strip():
            yield f"{node.tag} has no text"
        for child in node:
            if child.tag not in children:
                yield f"{node.tag} has no {child.tag}"
            yield from self.problems(child)


JENKINS = Xsd((DATA / "junit-10.xsd").read_text(encoding="utf-8"))


def parsed(text: str) -> ET.Element:
    root = ET.fromstring(text)
    assert list(JENKINS.problems(root)) == []
    return root


def report(
    form: str, *findings: Finding, below: tuple[Finding, ...] = (), policy: AuditPolicy | None = None, **more: Any
) -> str:
    verdict = Verdict([*findings, *below], checked=more.pop("checked", {"env-file-committed": 1}), **more)
    found = Sorted(failing=list(findings), below=list(below))
    return render(form, verdict, found, Inventory(), rules=RULES, policy=policy, created=0)


# JUnit.


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: root[0].set("nonsense", "1"), "testsuite has no attribute nonsense"),
        (lambda root: root[0].attrib.pop("tests"), "testsuite needs tests"),
        (lambda root: ET.SubElement(root[0][0], "testsuite"), "testcase has no testsuite"),
        (lambda root: ET.SubElement(root, "odd"), "no element odd"),
        (lambda root: setattr(root, "text", "x"), "testsuites has no text"),
    ],
)
def test_the_check_would_tell(spoil: Any, told: str) -> None:
    root = parsed(rendered("junit"))
    spoil(root)
    assert told in list(JENKINS.problems(root))


def test_each_rule_is_a_case() -> None:
    root = parsed(rendered("junit"))
    cases = {case.get("name", "").split(":")[0]: [child.tag for child in case] for case in root.iter("testcase")}
    assert cases == {
        "aws-trust-any-repository": ["failure", "system-out"],
        "env-file-committed": ["system-out"],
        "stale-secret": ["failure"],
        "vault-policy-sudo": ["skipped"],
        "vault-role-no-bound": ["skipped"],
        "waiver-unused": ["system-out"],
        "workflow-secrets-inherit": ["system-out"],
        "everything could be looked at": ["skipped"],
    }
    for node in (root, root[0]):
        assert (node.get("tests"), node.get("failures"), node.get("errors")) == ("8", "2", "0")
    assert root[0].get("skipped") == "3"


def test_all_findings_of_a_rule_are_in_its_one_failure() -> None:
    findings = [replace(ENV_FILE, key=str(n), message=f"no. {n}") for n in range(3)]
    root = parsed(report("junit", *findings, checked={"env-file-committed": 3, "stale-secret": 2}))
    (failure,) = root.iter("failure")
    assert failure.get("message") == "3 findings at high or worse"
    assert all(f"no. {n}" in (failure.text or "") for n in range(3))
    assert [len(case) for case in root.iter("testcase")] == [1, 0], "a case without children has passed"


def test_the_change_is_as_it_is_to_be_pasted() -> None:
    (failure,) = parsed(report("junit", INHERIT)).iter("failure")
    assert "\n    secrets:\n      NPM_TOKEN: ${{ secrets.NPM_TOKEN }}" in (failure.text or "")


@pytest.mark.parametrize(("strict", "tag"), [(False, "skipped"), (True, "error")])
def test_what_was_not_checked_has_not_passed(strict: bool, tag: str) -> None:
    text = report(
        "junit",
        policy=AuditPolicy(fail_unchecked=strict),
        checked={},
        not_checked=[NotChecked("stale-secret", "no token", "give it one")],
        problems=[Problem("k", "no YAML", "", Location("a.yml", 3))],
    )
    cases = list(parsed(text).iter("testcase"))
    assert [[child.tag for child in case] for case in cases] == [[tag]] * 3
    assert cases[0][0].get("message") == "not checked: no token. Change: give it one"
    assert cases[1][0].text == "a.yml:3: no YAML"
    assert cases[2][0].text == "No audit was performed: there was nothing to judge."


def test_a_case_ends_somewhere() -> None:
    many = [replace(ENV_FILE, key=str(n), message="m" * 1900) for n in range(200)]
    (failure,) = parsed(report("junit", *many)).iter("failure")
    assert len(failure.text or "") < MAX_CASE + 1000
    assert re.search(r"… and 1[45]\d more$", failure.text or "")


def test_xml_is_of_characters_that_it_has() -> None:
    odd = "a\x00\x01\x1b[31mb\ud800\ufffe\uffff\x85]]><![CDATA[<b>&\u202e\U0001f600"
    text = report("junit", replace(ENV_FILE, message=odd, change=f"x:\n\n{odd}"))
    (failure,) = parsed(text).iter("failure")
    assert "]]><![CDATA[<b>&\U0001f600" in (failure.text or "")
    assert "<![CDATA[" not in text
    text.encode("utf-8")


# GitLab.

GITLAB = {
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "additionalProperties": False,
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": r"^(?!\./|/)."},
                    "lines": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}
"""https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format, written down by hand: GitLab publishes
no schema of it."""


def quality(*findings: Finding, **more: Any) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(report("gitlab", *findings, **more))
    jsonschema.Draft202012Validator(GITLAB).validate(entries)
    return entries


def test_it_is_as_gitlab_says() -> None:
    jsonschema.Draft202012Validator(GITLAB).validate(json.loads(rendered("gitlab")))


def test_severities_of_gitlab() -> None:
    names = ("critical", "high", "medium", "low", "info")
    entries = quality(*(replace(TRUST, severity=name, key=name) for name in names))
    assert [each["severity"] for each in entries] == ["blocker", "critical", "major", "minor", "info"]


def test_an_entry() -> None:
    (entry,) = quality(TRUST)
    assert entry["location"] == {"path": "iam/trust.json", "lines": {"begin": 7}}
    assert entry["fingerprint"] == TRUST.fingerprint
    assert entry["check_name"] == TRUST.rule
    (entry,) = quality(STALE)
    assert entry["location"]["path"] == "keylease.yml"


def test_no_two_entries_have_one_fingerprint() -> None:
    entries = quality(TRUST, TRUST, TRUST)
    assert len({each["fingerprint"] for each in entries}) == 3
    assert entries == quality(TRUST, TRUST, TRUST)


def test_gitlab_gets_nothing_that_was_set_aside() -> None:
    marks = {each["fingerprint"] for each in json.loads(rendered("gitlab"))}
    assert TRUST.fingerprint in marks
    assert not marks & {KNOWN.fingerprint, WAIVED.fingerprint}


def test_gitlab_sees_what_was_not_checked() -> None:
    entries = quality(not_checked=[NotChecked("b", "x"), NotChecked("a", "x"), NotChecked("a", "y")])
    assert [(each["check_name"], each["description"]) for each in entries] == [
        ("not-checked", "2 rules not checked: a, b")
    ]
    assert quality() == []
    assert [each["check_name"] for each in quality(checked={})] == ["nothing-judged"]

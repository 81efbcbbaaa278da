"""Reports of an audit for test and quality views: JUnit's XML, GitLab's Code Quality."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from keylease.audit.model import Finding, Location, Severity
from keylease.outputs.audit_report import (
    NOTHING,
    Audit,
    change_of,
    count,
    dump,
    evidence_of,
    flat,
    plain,
    problem_text,
    sentence,
    utc,
    where,
)

MAX_CASE = 100_000
"""Characters of one test case's text."""

_NO_XML = re.compile("[^\\t\\n\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")

GITLAB: Mapping[Severity, str] = {
    "critical": "blocker",
    "high": "critical",
    "medium": "major",
    "low": "minor",
    "info": "info",
}


def junit(audit: Audit) -> str:
    """Each rule a test case (Jenkins' junit-10.xsd). Failed: it has findings that fail the build. Skipped: not checked.

    Where the policy fails for what was not checked, that is an error. All findings of a rule are in one ``failure``:
    readers take no second one. What does not fail the build is in ``system-out``.
    """
    unchecked: dict[str, list[str]] = {}
    unasked = {each.rule for each in audit.verdict.not_checked if not each.asked}
    for each in audit.verdict.not_checked:
        unchecked.setdefault(each.rule, []).append(f"not checked: {sentence(each.why, each.change)}")
    by_rule: dict[str, dict[str, list[str]]] = {}
    for finding, status, waiver in audit.all():
        told = _told(finding) + (f"\nwaived until {waiver.until}: {flat(waiver.reason, 500)}" if waiver else "")
        by_rule.setdefault(finding.rule, {}).setdefault(status, []).append(told)
    wanted = sorted({*audit.verdict.checked, *unchecked, *by_rule})
    cases = [
        _case(audit, rule, by_rule.get(rule, {}), unchecked.get(rule, []), asked=rule not in unasked) for rule in wanted
    ]
    if audit.verdict.problems:
        problems = [sentence(problem_text(problem), problem.change) for problem in audit.verdict.problems]
        cases.append(_undone(audit, "everything could be looked at", problems))
    if not audit.performed:
        cases.append(_undone(audit, "an audit was performed", [NOTHING]))
    counts = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
    }
    numbers = {name: str(number) for name, number in counts.items()}
    root = ET.Element("testsuites", {"name": "keylease audit", **numbers})
    skipped = str(sum(case.find("skipped") is not None for case in cases))
    suite = ET.SubElement(
        root,
        "testsuite",
        {"name": "keylease audit", **numbers, "skipped": skipped, "timestamp": utc(audit.created).rstrip("Z")},
    )
    suite.extend(cases)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _case(audit: Audit, rule: str, told: Mapping[str, list[str]], unchecked: list[str], *, asked: bool) -> ET.Element:
    title = audit.rules[rule].title if rule in audit.rules and audit.rules[rule].title != rule else ""
    case = ET.Element("testcase", {"classname": "keylease.audit", "name": _xml(f"{rule}: {title}" if title else rule)})
    if failing := told.get("failing"):
        message = f"{count(len(failing), 'finding')} at {audit.policy.fail_on} or worse"
        failure = ET.SubElement(case, "failure", {"type": _xml(rule), "message": message})
        failure.text = _xml("\n\n".join(_upto(failing)))
    elif unchecked:
        _not_checked(audit, case, unchecked, asked=asked)
    others = [
        "\n\n".join([f"{status}:", *_upto(told[status])])
        for status in ("below", "baselined", "waived")
        if status in told
    ]
    others += unchecked if failing else []
    if others:
        ET.SubElement(case, "system-out").text = _xml("\n\n".join(others))
    return case


def _undone(audit: Audit, name: str, why: list[str]) -> ET.Element:
    case = ET.Element("testcase", {"classname": "keylease.audit", "name": name})
    _not_checked(audit, case, why)
    return case


def _not_checked(audit: Audit, case: ET.Element, why: list[str], *, asked: bool = True) -> None:
    name = "error" if audit.policy.fail_unchecked and asked else "skipped"
    made = ET.SubElement(case, name, {"type": "not-checked", "message": _xml(flat(why[0], 1000))})
    made.text = _xml("\n".join(_upto(why)))


def _upto(texts: list[str]) -> Iterable[str]:
    room = MAX_CASE
    for number, text in enumerate(texts):
        room -= len(text)
        if room < 0:
            yield f"… and {len(texts) - number} more"
            return
        yield text


def _told(finding: Finding) -> str:
    head, block = change_of(finding.change)
    lines = [f"{finding.severity}: {flat(where(finding), 500)}", flat(finding.message, 2000)]
    lines += [f"  {line}" for line in evidence_of(finding, 20)]
    lines += [f"change: {head}"] if head else []
    lines += ["", *(f"    {line}" if line else "" for line in block)] if block else []
    return "\n".join(lines)


def _xml(text: str) -> str:
    """What XML 1.0 has no way to write is replaced; the writer escapes the rest."""
    return _NO_XML.sub("\ufffd", text)


def gitlab(audit: Audit) -> str:
    """GitLab's Code Quality report (https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format).

    It knows no suppressed findings, so what was set aside is not in it; what was not checked is one entry.
    """
    seen: Counter[str] = Counter()
    entries = [
        _entry(
            finding.rule,
            _description(finding),
            GITLAB[finding.severity],
            finding.location or Location(audit.source),
            finding.fingerprint,
            seen,
        )
        for finding in audit.shown()
    ]
    for problem in audit.verdict.problems:
        told = f"Could not be looked at: {sentence(problem_text(problem), problem.change)}"
        location = problem.location or Location(audit.source)
        mark = _hash("not-looked-at", problem.kind, location.path, problem.what)
        entries.append(_entry("not-looked-at", told, "minor", location, mark, seen))
    source = Location(audit.source)
    if not audit.performed:
        entries.append(_entry("nothing-judged", NOTHING, "minor", source, _hash("nothing-judged"), seen))
    if rules := sorted({each.rule for each in audit.verdict.not_checked if each.asked}):
        told = flat(f"{audit.unchecked_rules(asked=True)}: {', '.join(rules)}", 2000)
        entries.append(_entry("not-checked", told, "info", source, _hash("not-checked", *rules), seen))
    return dump(entries)


def _description(finding: Finding) -> str:
    place = "" if finding.location else f"{flat(where(finding), 500)}: "
    return (place + sentence(finding.message, finding.change)) or finding.rule


def _entry(check: str, told: str, severity: str, location: Location, mark: str, seen: Counter[str]) -> dict[str, Any]:
    seen[mark] += 1
    return {
        "description": told,
        "check_name": check,
        # GitLab shows the first of one fingerprint alone.
        "fingerprint": mark if seen[mark] == 1 else _hash(mark, str(seen[mark])),
        "severity": severity,
        "location": {"path": plain(location.path).lstrip("/") or ".", "lines": {"begin": max(location.line, 1)}},
    }


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]

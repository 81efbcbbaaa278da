"""Reports of an audit that people read: the table, Markdown for a job's summary, GitHub's annotations."""

import re
from collections.abc import Iterable, Sequence

from keylease.audit.model import Finding, Severity, sorted_findings
from keylease.audit.policy import Sorted
from keylease.outputs.audit_report import (
    NOTHING,
    RULES_PAGE,
    Audit,
    change_of,
    count,
    evidence_of,
    flat,
    problem_text,
    sentence,
    where,
)
from keylease.outputs.console import MAX_ANNOTATION, command, one_line
from keylease.outputs.report import escape

MAX_MARKDOWN = 1_000_000
"""Bytes. A job's summary holds 1 MiB, other steps' included; a comment on GitHub 65,536 characters."""

MAX_ROWS = 500
"""Rows of the Markdown's table, and findings that are told at length after it."""

MAX_EVIDENCE = 20
"""Lines of evidence of one finding."""

MAX_ANNOTATIONS = 10
"""Errors, and warnings, that the runner passes on of one step; it drops the rest (ExecutionContext.cs)."""

_COLOURS: dict[Severity, str] = {"critical": "31;1", "high": "31", "medium": "33", "low": "36", "info": "2"}
_RULE = re.compile(r"[a-z0-9-]+")


def table(audit: Audit, *, colour: bool) -> str:
    """The worst first: severity, rule, place; what is wrong; evidence; what to write, as it is to be pasted."""
    lines: list[str] = []
    for finding in audit.shown():
        severity = finding.severity
        told = f"\x1b[{_COLOURS[severity]}m{severity}\x1b[0m" if colour else severity
        lines += [f"{told}  {flat(finding.rule, 100)}  {flat(where(finding), 500)}", f"  {flat(finding.message, 2000)}"]
        lines += [f"    {line}" for line in evidence_of(finding, MAX_EVIDENCE)]
        head, block = change_of(finding.change)
        lines += [f"  change: {head}"] if head else []
        lines += ["", *_indented(block, 6)] if block else []
        lines.append("")
    lines += _notes(audit)
    if not audit.performed:
        lines.append(NOTHING)
    return "\n".join([*lines, audit.summary()]) + "\n"


def _notes(audit: Audit) -> Iterable[str]:
    if audit.verdict.not_checked:
        yield "Not checked (and so not passed):"
        told = {problem.change for problem in audit.verdict.problems}  # once is enough: they follow
        for why, change, rules in audit.unchecked():
            yield f"  {flat(', '.join(rules), 4000)}: {flat(why, 1000)}"
            yield from _changed("" if change in told else change)
        if audit.unasked:
            yield f"  {audit.unasked}"
        yield ""
    if audit.verdict.problems:
        yield "Could not be looked at (and so not passed):"
        for problem in audit.verdict.problems:
            yield f"  {flat(problem_text(problem), 1000)}"
            yield from _changed(problem.change)
        yield ""


def _changed(change: str) -> Iterable[str]:
    head, block = change_of(change)
    if head:
        yield f"    change: {head}"
    if block:
        yield from ["", *_indented(block, 8)]


def _indented(block: Sequence[str], width: int) -> list[str]:
    return [" " * width + line if line else "" for line in block]


def markdown(audit: Audit, *, title: str = "Keylease audit", limit: int = MAX_MARKDOWN) -> str:
    """For a job's summary or a comment: all that is not ours is text there, whatever is in it. limit: bytes."""
    findings = audit.shown()
    lines = [f"### {escape(title)}", ""]
    lines += [f"**{NOTHING}**", ""] if not audit.performed else []
    lines += [escape(audit.summary()), ""]
    notes = _fitting(_markdown_notes(audit), limit // 5)
    room = limit - _size(lines) - _size(notes) - 500
    rows = [
        f"| {finding.severity} | {_linked(finding.rule)} | {escape(where(finding))} | {escape(finding.message)} |"
        for finding in findings[:MAX_ROWS]
    ]
    rows = _fitting(rows, room // 2)
    if rows:
        lines += ["| Severity | Rule | Where | What |", "| --- | --- | --- | --- |", *rows]
        lines += ["", f"… and {len(findings) - len(rows)} more"] if len(rows) < len(findings) else []
        lines.append("")
    told = _fitting(["\n".join(_markdown_change(finding)) for finding in findings[: len(rows)]], room // 2)
    if any(told):
        lines += ["<details><summary>What to change</summary>", "", *(each for each in told if each), "</details>", ""]
    return "\n".join([*lines, *notes]).rstrip("\n") + "\n"


def _markdown_change(finding: Finding) -> Iterable[str]:
    head, block = change_of(finding.change)
    if not head and not block:
        return
    yield f"**{finding.severity}** {_linked(finding.rule)}: {escape(where(finding))}"
    yield ""
    for line in evidence_of(finding, MAX_EVIDENCE):
        yield f"- {escape(line)}"
    if finding.evidence:
        yield ""
    yield f"Change: {escape(head)}"
    yield ""
    # An indented code block: no line of it can end it, and nothing in it is markup.
    if block:
        yield from [*_indented(block, 4), ""]


def _markdown_notes(audit: Audit) -> list[str]:
    lines: list[str] = []
    if audit.verdict.not_checked:
        lines += [f"**{audit.unchecked_rules()}**", ""]
        for why, change, rules in audit.unchecked():
            named = ", ".join(map(_linked, rules[:50])) + (f" and {len(rules) - 50} more" if len(rules) > 50 else "")
            lines.append(f"- {named}: {escape(sentence(why, change))}")
        lines += [f"- {escape(audit.unasked)}"] if audit.unasked else []
        lines.append("")
    if audit.verdict.problems:
        lines += [f"**Could not be looked at: {len(audit.verdict.problems)}**", ""]
        lines += [
            f"- {escape(sentence(problem_text(each), each.change))}" for each in audit.verdict.problems[:MAX_ROWS]
        ]
        more = len(audit.verdict.problems) - MAX_ROWS
        lines += [f"- … and {more} more"] if more > 0 else []
    return lines


def _linked(rule: str) -> str:
    return f"[{rule}]({RULES_PAGE}#{rule})" if _RULE.fullmatch(rule) else escape(rule)


def _size(lines: Iterable[str]) -> int:
    return sum(len(line.encode("utf-8", "replace")) + 1 for line in lines)


def _fitting(lines: Iterable[str], most: int) -> list[str]:
    kept: list[str] = []
    for line in lines:
        most -= _size([line])
        if most < 0:
            return [*kept, "…"] if kept and not kept[-1].startswith("|") else kept
        kept.append(line)
    return kept


def annotations(found: Sorted, *, most: int = MAX_ANNOTATIONS) -> list[str]:
    """Workflow commands that mark the lines in a pull request: what fails as errors, the rest as warnings.

    The worst `most` of each; one line of log says how many there were beside them.
    """
    lines: list[str] = []
    left: list[str] = []
    for name, findings in (("error", found.failing), ("warning", found.below)):
        lines += [_annotation(name, finding) for finding in sorted_findings(findings)[:most]]
        more = len(findings) - most
        left += [count(more, name)] if more > 0 else []
    return [*lines, *([f"… and {', '.join(left)} more, in the report"] if left else [])]


def _annotation(name: str, finding: Finding) -> str:
    text = sentence(finding.message, finding.change, 2000)
    properties = {"title": f"Keylease: {flat(finding.rule, 100)}"}
    location = finding.location
    # A path that can't be shown as it is would mark another file, or none.
    if location is not None and one_line(location.path) == location.path:
        properties = {"file": location.path, "line": str(location.line or ""), **properties}
    else:
        text = f"{flat(where(finding), 500)}: {text}"
    return command(name, text[:MAX_ANNOTATION], properties)

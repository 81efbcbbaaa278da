"""SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html), within the limits of GitHub's code
scanning (https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning).
"""

import gzip
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from keylease import __version__
from keylease.audit.model import Confidence, Finding, Location, Severity
from keylease.audit.policy import Waiver
from keylease.outputs.audit_report import (
    NOTHING,
    RULES_PAGE,
    About,
    Audit,
    change_of,
    dump,
    evidence_of,
    flat,
    plain,
    problem_text,
    sentence,
    utc,
    where,
)

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

MAX_RESULTS = 25_000
"""Of a run; code scanning refuses more, and shows the 5,000 worst."""

MAX_BYTES = 10_000_000
"""Of the file, compressed by gzip; code scanning refuses more."""

MAX_TAGS = 10
"""Of a rule; code scanning refuses more than 20, and shows 10."""

MAX_DESCRIPTION = 1024
"""Characters that code scanning takes of a rule's descriptions."""

MAX_NOTIFICATIONS = 1000

LEVELS: Mapping[Severity, str] = {
    "critical": "error",
    "high": "error",
    "medium": "warning",
    "low": "note",
    "info": "note",
}
SCORES: Mapping[Severity, str] = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.5"}
"""security-severity: over 9.0 is critical, from 7.0 high, from 4.0 medium, from 0.1 low. info has none."""

PRECISIONS: Mapping[Confidence, str] = {"high": "high", "medium": "medium", "low": "low"}

_ROOT = "%SRCROOT%"
_PLACEHOLDER = re.compile(r"\{(?=\d+\})")
_TEXTS = ("shortDescription", "fullDescription", "help")  # code scanning's rules want all three of notifications too
_NOTES = {
    "nothing-judged": "Nothing was judged.",
    "not-checked": "A rule could not judge all that it is for.",
    "not-looked-at": "Something could not be looked at.",
    "left-out": "Results were left out: there were too many.",
}


def sarif(audit: Audit, *, set_aside: bool = True) -> str:
    """The log as JSON. set_aside: with what is waived (suppressed) and in the baseline (unchanged).

    Where it is larger than code scanning takes, the least severe results are left out, and a notification says so.
    """
    results = [each for each in audit.all() if set_aside or each[1] in ("failing", "below")]
    kept = len(results[:MAX_RESULTS])
    while True:
        text = dump(_log(audit, results[:kept], len(results) - kept))
        if kept == 0 or len(text) <= MAX_BYTES or len(gzip.compress(text.encode("ascii"), 6)) <= MAX_BYTES:
            return text
        kept //= 2


def _log(audit: Audit, results: list[tuple[Finding, str, Waiver | None]], left_out: int) -> dict[str, Any]:
    rules = [about for _, about in sorted(audit.rules.items())]
    indexes = {about.id: index for index, about in enumerate(rules)}
    compared = bool(audit.policy.baseline)
    seen: Counter[str] = Counter()
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "Keylease",
                        "organization": "Keylease",
                        "informationUri": "https://github.com/keylease/keylease",
                        "version": __version__,
                        "rules": [_rule(about) for about in rules],
                        "notifications": [
                            {"id": name, **{key: {"text": text} for key in _TEXTS}} for name, text in _NOTES.items()
                        ],
                    }
                },
                "originalUriBaseIds": {_ROOT: {"description": {"text": "The root that was looked through."}}},
                "invocations": [
                    {
                        "executionSuccessful": audit.performed,
                        "endTimeUtc": utc(audit.created),
                        "toolExecutionNotifications": _notifications(audit, indexes, left_out),
                    }
                ],
                "results": [
                    _result(audit, finding, waiver, indexes[finding.rule], seen, compared=compared)
                    for finding, _, waiver in results
                ],
            }
        ],
    }


def _rule(about: About) -> dict[str, Any]:
    links = "".join(f"\n- <{link}>" for link in about.links)
    why, fix = about.why or about.title, about.fix
    properties: dict[str, Any] = {
        "precision": PRECISIONS[about.confidence],
        "tags": ["security", *about.tags][:MAX_TAGS],
        "problem.severity": {"error": "error", "warning": "warning", "note": "recommendation"}[LEVELS[about.severity]],
    }
    if about.severity in SCORES:
        properties["security-severity"] = SCORES[about.severity]
    return {
        "id": about.id,
        "name": "".join(part.capitalize() for part in about.id.split("-"))[:255],
        "shortDescription": {"text": about.title[:MAX_DESCRIPTION]},
        "fullDescription": {"text": why[:MAX_DESCRIPTION]},
        "help": {
            "text": "\n\n".join(filter(None, (why, fix, " ".join(about.links)))),
            "markdown": why + (f"\n\n**How to mend it.** {fix}" if fix else "") + (f"\n{links}" if links else ""),
        },
        "helpUri": f"{RULES_PAGE}#{about.id}",
        "defaultConfiguration": {"level": LEVELS[about.severity]},
        "properties": properties,
    }


def _result(
    audit: Audit,
    finding: Finding,
    waiver: Waiver | None,
    index: int,
    seen: Counter[str],
    *,
    compared: bool,
) -> dict[str, Any]:
    mark = finding.fingerprint
    seen[mark] += 1
    place = _place(finding.location or Location(audit.source))
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": LEVELS[finding.severity],
        "message": {"text": _message(finding)},
        "locations": [{**place, "logicalLocations": [{"fullyQualifiedName": plain(finding.subject)}]}],
        # Code scanning compares primaryLocationLineHash alone, and has it made from the line where it lacks.
        "partialFingerprints": {"keylease/v1": mark, "primaryLocationLineHash": f"{mark}:{seen[mark]}"},
        "properties": {
            "severity": finding.severity,
            "confidence": finding.confidence,
            "persona": finding.persona,
            "subject": plain(finding.subject),
        },
    }
    if compared:  # all results have it, or none
        known = audit.policy.is_known(finding)
        result["baselineState"] = "unchanged" if known else "updated" if mark in audit.policy.baseline else "new"
    if waiver is not None:
        about = f"{waiver.reason} (until {waiver.until}; waiver of {waiver.rule} for {waiver.subject})"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": flat(about, 1000)}]
    return result


def _message(finding: Finding) -> str:
    """What is wrong as the first paragraph (some viewers show that alone), then evidence, then what to change."""
    head, block = change_of(finding.change)
    parts = [
        flat(finding.message, 1000)
        if finding.location
        else f"{flat(where(finding), 500)}: {flat(finding.message, 1000)}",
        "\n".join(evidence_of(finding, 10, 300)),
        f"Change: {head}" if head else "",
        "\n".join(block)[:4000],
    ]
    return text("\n\n".join(filter(None, parts))) or finding.rule


def text(foreign: str) -> str:
    """Plain text of a message: no links of its own (§3.11.6), no placeholders (§3.11.5).

    Braces stay single, though the standard has them doubled: no viewer known to us undoes that.
    """
    escaped = foreign.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return plain(_PLACEHOLDER.sub("{ ", escaped))


def _place(location: Location) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": uri(location.path), "uriBaseId": _ROOT},
            "region": {"startLine": max(location.line, 1)},
        }
    }


def uri(path: str) -> str:
    """A relative reference (RFC 3986) for a path, whatever bytes are in it: no scheme, no host, no query of its own."""
    try:
        raw = path.encode("utf-8", "surrogateescape")  # the bytes of a name that is no UTF-8
    except UnicodeEncodeError:
        raw = path.encode("utf-8", "surrogatepass")
    return quote(raw[:8192].lstrip(b"/"), safe="/") or "."


def _notifications(audit: Audit, indexes: Mapping[str, int], left_out: int) -> list[dict[str, Any]]:
    made = list(_noted(audit, indexes, left_out))
    more = len(made) - MAX_NOTIFICATIONS
    return made if more <= 0 else [*made[:MAX_NOTIFICATIONS], _note("left-out", "warning", f"… and {more} more")]


def _noted(audit: Audit, indexes: Mapping[str, int], left_out: int) -> Iterable[dict[str, Any]]:
    if not audit.performed:
        yield _note("nothing-judged", "error", NOTHING)
    if left_out:
        yield _note(
            "left-out", "warning", f"{left_out} results were left out: there are more than code scanning takes."
        )
    for each in audit.verdict.not_checked:
        if not each.asked:
            continue
        told = f"{each.rule} was not checked: {sentence(each.why, each.change)}"
        about: dict[str, Any] = {"id": each.rule}
        if each.rule in indexes:
            about["index"] = indexes[each.rule]
        yield {**_note("not-checked", "warning", told), "associatedRule": about}
    if audit.unasked:
        yield _note("not-checked", "note", audit.unasked)
    for problem in audit.verdict.problems:
        told = sentence(problem_text(problem), problem.change)
        place = {"locations": [_place(problem.location)]} if problem.location else {}
        yield {**_note("not-looked-at", "warning", told), **place}


def _note(name: str, level: str, told: str) -> dict[str, Any]:
    index = list(_NOTES).index(name)
    return {"descriptor": {"id": name, "index": index}, "level": level, "message": {"text": text(told)}}

"""What an audit found, in every form: for people, for machines, and for the platforms that show it. Never a value."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from keylease import __version__
from keylease.audit.model import (
    SEVERITIES,
    Confidence,
    Finding,
    Inventory,
    Location,
    Persona,
    Problem,
    Severity,
    Verdict,
    sorted_findings,
)
from keylease.audit.policy import WAIVER_ENDED, WAIVER_UNUSED, AuditPolicy, Sorted, Waiver
from keylease.audit.rule import Rule
from keylease.errors import DOCS, UsageError
from keylease.outputs.console import one_line, sanitize

FORMAT = 1
"""Of the JSON. Fields may be added; none is removed or changes its meaning without a new number."""

FORMS: Sequence[str] = ("table", "json", "markdown", "sarif", "code-scanning", "junit", "gitlab", "html")
"""code-scanning: SARIF for GitHub, without what was set aside: it shows suppressed results as open alerts
(https://github.com/github/codeql-action/issues/1230)."""

TEXTS: Sequence[str] = ("table", "markdown")
"""Those that tell nothing of rules without findings."""

NOTHING = "No audit was performed: there was nothing to judge."

RULES_PAGE = f"{DOCS}/rules.md"

MAX_TEXT = 65_536
"""Characters of one text in the JSON."""

MAX_BLOCK, MAX_BLOCK_LINES = 20_000, 400
"""Characters and lines of a block to paste."""


class About(Struct, frozen=True):
    """A rule as reports describe it. severity: with what the policy makes of it. tags: kinds of its records."""

    id: str
    title: str
    severity: Severity
    confidence: Confidence = "high"
    persona: Persona = "regular"
    why: str = ""
    fix: str = ""
    links: Sequence[str] = ()
    tags: Sequence[str] = ()


WAIVERS: Sequence[About] = (
    About(
        WAIVER_ENDED,
        "A waiver has ended",
        "low",
        why="A waiver holds until its last day. What it covered counts again.",
        fix="Mend what it covered and remove the waiver, or give it a new reason and date.",
        tags=("policy",),
    ),
    About(
        WAIVER_UNUSED,
        "A waiver covers nothing",
        "low",
        why="A waiver that covers nothing would silently cover what comes later.",
        fix="Remove it.",
        tags=("policy",),
    ),
)


class Audit(Struct, frozen=True):
    """All that a report is made of. source: the file of the policy. created: Unix time."""

    verdict: Verdict
    found: Sorted
    inventory: Inventory
    policy: AuditPolicy
    rules: Mapping[str, About]
    source: str
    created: float

    @property
    def performed(self) -> bool:
        """Whether anything was judged at all."""
        return any(self.verdict.checked.values())

    def shown(self) -> list[Finding]:
        """What is not set aside, the worst first."""
        return sorted_findings([*self.found.failing, *self.found.below])

    def severities(self) -> dict[Severity, int]:
        """{severity: number of findings shown}, the worst first, all of them."""
        counts = Counter(finding.severity for finding in self.shown())
        return {severity: counts[severity] for severity in reversed(SEVERITIES)}

    def unchecked(self) -> list[tuple[str, str, list[str]]]:
        """(why, change, rules) of what was not checked though it was asked for: rules of one reason together."""
        groups: dict[tuple[str, str], list[str]] = {}
        for each in filter(lambda each: each.asked, self.verdict.not_checked):
            groups.setdefault((each.why, each.change), []).append(each.rule)
        return [(why, change, rules) for (why, change), rules in groups.items()]

    def unchecked_rules(self, *, asked: bool = False) -> str:
        """``4 rules not checked, 2 more only in part``; empty for none. asked: those alone that were asked for."""
        rules = {each.rule for each in self.verdict.not_checked if each.asked or not asked}
        partly = sum(1 for rule in rules if self.verdict.checked.get(rule))
        if partly == len(rules):
            return f"{count(partly, 'rule')} checked only in part" if partly else ""
        more = f", {partly} more only in part" if partly else ""
        return f"{count(len(rules) - partly, 'rule')} not checked{more}"

    @property
    def unasked(self) -> str:
        """What was not checked for want of an inventory that nobody asked for, as one line; empty for none."""
        rules = [each.rule for each in self.verdict.not_checked if not each.asked]
        if not rules:
            return ""
        families = Counter(rule.partition("-")[0] for rule in rules)
        named = ", ".join(f"{family}-* {number}" for family, number in sorted(families.items()))
        told = "that judge what was not collected"
        return f"{count(len(rules), 'rule')} {told}: {named}; `collect:` of `audit:` says what is: {DOCS}/audit.md"

    def summary(self) -> str:
        """``3 findings: 1 critical, 2 low; 1 at high or worse; 2 waived; 5 rules checked 23 things; …``."""
        shown = len(self.found.failing) + len(self.found.below)
        counts = ", ".join(f"{number} {severity}" for severity, number in self.severities().items() if number)
        parts = [f"{count(shown, 'finding')}{f': {counts}' if counts else ''}"]
        if shown:
            parts.append(f"{len(self.found.failing)} at {self.policy.fail_on} or worse")
        rules = sum(1 for number in self.verdict.checked.values() if number)
        things = count(self.verdict.judged, "thing")
        for number, text in (
            (len(self.found.waived), f"{len(self.found.waived)} waived"),
            (len(self.found.baselined), f"{len(self.found.baselined)} in the baseline"),
            (self.found.hidden, f"{self.found.hidden} hidden (persona auditor shows all)"),
            (self.verdict.judged, f"{count(rules, 'rule')} checked {things}"),
            (len(self.verdict.not_checked), self.unchecked_rules()),
            (len(self.verdict.problems), f"{count(len(self.verdict.problems), 'thing')} not looked at"),
        ):
            parts += [text] if number else []
        return "; ".join(parts)

    def all(self) -> list[tuple[Finding, str, Waiver | None]]:
        """(finding, status, its waiver), what is shown first; hidden ones are counted only."""
        failing = {id(finding) for finding in self.found.failing}
        return [
            *((each, "failing" if id(each) in failing else "below", None) for each in self.shown()),
            *((each, "baselined", None) for each in self.found.baselined),
            *((each, "waived", waiver) for each, waiver in self.found.waived),
        ]


def render(
    form: str,
    verdict: Verdict,
    found: Sorted,
    inventory: Inventory,
    *,
    rules: Iterable[Rule | type[Rule]] = (),
    policy: AuditPolicy | None = None,
    source: str = "keylease.yml",
    colour: bool = False,
    created: float | None = None,
) -> str:
    """The report in one of :data:`FORMS`, with a newline at its end.

    rules: those that the policy wanted. source: the file that the policy is in, relative to the root; findings that are
    about no file are shown there. colour: of the table. created: Unix time; now if not given.

    Raises :class:`UsageError` for a form that there is none of.
    """
    policy = policy or AuditPolicy()
    moment = time.time() if created is None else created
    about = {each.id: each for each in (*(describe(rule, policy) for rule in rules), *WAIVERS)}
    for finding in (*found.failing, *found.below, *found.baselined, *(each for each, _ in found.waived)):
        about.setdefault(finding.rule, About(finding.rule, finding.rule, finding.severity, finding.confidence))
    audit = Audit(verdict, found, inventory, policy, about, source.removeprefix("./"), moment)
    if form == "json":
        return dump(as_json(audit))
    if form in ("table", "markdown"):
        from keylease.outputs import audit_text

        return audit_text.table(audit, colour=colour) if form == "table" else audit_text.markdown(audit)
    if form in ("sarif", "code-scanning"):
        from keylease.outputs.audit_sarif import sarif

        return sarif(audit, set_aside=form == "sarif")
    if form == "html":
        from keylease.outputs.audit_html import html

        return html(audit)
    from keylease.outputs import audit_formats

    if form == "junit":
        return audit_formats.junit(audit)
    if form == "gitlab":
        return audit_formats.gitlab(audit)
    raise UsageError(f"there is no report of the form {one_line(form, 40)!r}", change=f"use one of: {', '.join(FORMS)}")


def describe(rule: Rule | type[Rule], policy: AuditPolicy) -> About:
    """What reports say of a rule."""
    return About(
        rule.id,
        rule.title,
        policy.severities.get(rule.id, rule.severity),
        rule.confidence,
        rule.persona,
        rule.why,
        rule.fix,
        rule.links,
        tuple(dict.fromkeys(kind.split(".")[0] for kind in rule.needs)),
    )


def as_json(audit: Audit) -> dict[str, Any]:
    """docs/audit-report.schema.json describes it."""
    verdict, found = audit.verdict, audit.found
    kinds = Counter(record.kind for record in audit.inventory.records)
    return {
        "format": FORMAT,
        "keylease": __version__,
        "created": utc(audit.created),
        "performed": audit.performed,
        "fail_on": audit.policy.fail_on,
        "summary": {
            "failing": len(found.failing),
            "below": len(found.below),
            "waived": len(found.waived),
            "baselined": len(found.baselined),
            "hidden": found.hidden,
            "severities": audit.severities(),
        },
        "findings": [
            {
                "rule": finding.rule,
                "status": status,
                "severity": finding.severity,
                "confidence": finding.confidence,
                "persona": finding.persona,
                "subject": plain(finding.subject),
                "location": _location(finding.location),
                "message": plain(finding.message),
                "evidence": [{"what": plain(what), "value": plain(value)} for what, value in finding.evidence],
                "change": plain(finding.change),
                "fingerprint": finding.fingerprint,
                "waiver": None
                if waiver is None
                else {
                    "rule": plain(waiver.rule),
                    "subject": plain(waiver.subject),
                    "reason": plain(waiver.reason),
                    "until": str(waiver.until),
                },
            }
            for finding, status, waiver in audit.all()
        ],
        "not_checked": [
            {"rule": each.rule, "why": plain(each.why), "change": plain(each.change), "asked": each.asked}
            for each in verdict.not_checked
        ],
        "problems": [
            {
                "kind": each.kind,
                "what": plain(each.what),
                "change": plain(each.change),
                "location": _location(each.location),
            }
            for each in verdict.problems
        ],
        "checked": dict(sorted(verdict.checked.items())),
        "inventory": {kind: kinds[kind] for kind in sorted({*kinds, *audit.inventory.kinds})},
        "rules": [
            {
                "id": each.id,
                "title": each.title,
                "severity": each.severity,
                "confidence": each.confidence,
                "persona": each.persona,
            }
            for _, each in sorted(audit.rules.items())
        ],
    }


def _location(location: Location | None) -> dict[str, Any] | None:
    return None if location is None else {"path": plain(location.path), "line": location.line or None}


def dump(data: Any) -> str:
    """JSON in ASCII, in which no terminal and no log finds a command: Azure DevOps looks for ``##vso[`` anywhere."""
    return json.dumps(data, indent=1).replace("##", "#\\u0023") + "\n"


def plain(text: str) -> str:
    """`text` without lone surrogates, which many readers of JSON refuse, cut to :data:`MAX_TEXT` characters."""
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT - 1] + "…"
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def flat(text: str, limit: int) -> str:
    """`text` safe to show, on one line of at most `limit` characters."""
    return one_line(text[: limit * 4], limit)


def where(finding: Finding) -> str:
    """The place and, if that says more, the subject: ``trust.json:5 (deployer)``."""
    location = finding.location
    if location is None:
        return finding.subject.removeprefix("file://")
    file = f"file://{location.path}"
    if finding.subject == file:
        return str(location)
    rest = finding.subject.removeprefix(f"{file}#") if finding.subject.startswith(f"{file}#") else finding.subject
    return f"{location} ({rest})"


def change_of(change: str) -> tuple[str, list[str]]:
    """A change as one line, and the lines of the block to paste."""
    head, _, block = change[: MAX_BLOCK * 2].replace("\r\n", "\n").lstrip("\n").partition("\n")
    text = sanitize(block).strip("\n")
    lines = [line.rstrip() for line in text[:MAX_BLOCK].split("\n")] if text else []
    cut = len(text) > MAX_BLOCK or len(lines) > MAX_BLOCK_LINES or len(change) > MAX_BLOCK * 2
    return flat(head, 2000), [*lines[:MAX_BLOCK_LINES], *(["…"] if cut else [])]


def evidence_of(finding: Finding, most: int, limit: int = 500) -> list[str]:
    """``what: value``, a line each. Made safe as a whole: ``:`` and ``: x`` are a command together."""
    lines = [flat(f"{flat(what, 100)}: {value[: limit * 4]}", limit) for what, value in finding.evidence[:most]]
    more = len(finding.evidence) - most
    return [*lines, f"… and {more} more"] if more > 0 else lines


def sentence(text: str, change: str, limit: int = 1000) -> str:
    """``it is no JSON. Change: mend it``: for places that show one line."""
    told = flat(text, limit)
    head, block = change_of(change)
    if not head:
        return told
    if head.endswith(":") and block:
        head = f"{head} {block[0].strip()}" if len(block) == 1 else f"{head[:-1]} …"
    return f"{told.rstrip('.')}. Change: {head}"


def problem_text(problem: Problem) -> str:
    """``trust.json:5: it is no JSON``."""
    return f"{problem.location}: {problem.what}" if problem.location else problem.what


def count(number: int, noun: str) -> str:
    """``1 rule``, ``2 rules``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def utc(moment: float) -> str:
    """RFC 3339, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))

"""The audit's report as one page for a browser: nothing is loaded, and nothing runs but its own script, by its hash.

It works without JavaScript too, which only sorts, filters, and copies. All text that is not ours goes through
:func:`_text`. The page is a list of small functions that each make a part of it: no template engine is needed.
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from html import escape

from keylease import __version__
from keylease.audit.model import SEVERITIES, Finding
from keylease.audit.policy import Waiver
from keylease.outputs.audit_html_assets import SCRIPT, STYLE
from keylease.outputs.audit_html_charts import charts, numbers
from keylease.outputs.audit_report import (
    NOTHING,
    RULES_PAGE,
    About,
    Audit,
    change_of,
    count,
    evidence_of,
    flat,
    problem_text,
    utc,
    where,
)

MAX_PAGE = 12_000_000
"""Characters of all findings together: browsers take long over more. The rest is counted, and in the JSON."""

MAX_FINDINGS = 10_000

STEP = 500
"""Rows that are shown at once; the script has the same number."""

_RULE = re.compile(r"[a-z0-9-]{1,100}")
_STATUS = {"failing": "fails", "below": "below the limit", "baselined": "in the baseline", "waived": "waived"}


def html(audit: Audit) -> str:
    """The page. All of it is UTF-8, and says so."""
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash(STYLE)}",
            f"script-src {_hash(SCRIPT)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    drawn = charts(audit.inventory, audit.policy)
    sections = [
        ("findings", "Findings", _findings(audit)),
        ("unchecked", "Not checked", _unchecked(audit)),
        ("problems", "Could not be looked at", _problems(audit)),
        ("credentials", "Credentials", drawn),
        ("inventory", "Inventory", _inventory(audit)),
        ("rules", "Rules with findings", _rules(audit)),
    ]
    kept = [each for each in sections if each[2]]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in kept)
    parts = "".join(
        f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{title}</h2>{told}</section>\n'
        for name, title, told in kept
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="robots" content="noindex">\n'
        f"<title>Keylease audit</title>\n<style>{STYLE}</style>\n<script>{SCRIPT}</script>\n</head>\n<body>\n<main>\n"
        f'{_head(audit)}<nav aria-label="Parts of the page">{links}</nav>\n{parts}</main>\n</body>\n</html>\n'
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(text: str, limit: int = 1000) -> str:
    return escape(flat(text, limit))


def _head(audit: Audit) -> str:
    tiles = "".join(
        f'<li class="{severity}"><b>{number}</b>{severity}</li>' for severity, number in audit.severities().items()
    )
    nothing = f'<p class="loud">{escape(NOTHING)}</p>' if not audit.performed else ""
    return (
        f'<h1>Keylease audit</h1>\n<p class="soft">{utc(audit.created)}, keylease {escape(__version__)}, '
        f"policy of {_text(audit.source, 300)}</p>\n{nothing}<p>{_text(audit.summary())}</p>\n"
        f'<ul class="tiles" aria-label="Findings by severity">{tiles}</ul>\n'
    )


def _findings(audit: Audit) -> str:
    findings = audit.all()
    if not findings:
        return "<p>None.</p>" if audit.performed else ""
    rows: list[str] = []
    room = MAX_PAGE
    for finding, status, waiver in findings[:MAX_FINDINGS]:
        row = _row(finding, status, waiver, far=len(rows) >= STEP)
        room -= len(row)
        if room < 0:
            break
        rows.append(row)
    left = len(findings) - len(rows)
    more = f'<p class="loud">… and {left} more, which are in the JSON (--format json)</p>' if left else ""
    heads = "".join(f'<th scope="col">{each}</th>' for each in ("Severity", "Rule", "Where", "What", "Status"))
    return (
        f'{_filter(findings)}<p id="told" role="status">{count(len(findings), "finding")}</p>{more}'
        f'<table class="findings"><thead><tr>{heads}</tr></thead>\n<tbody>{"".join(rows)}</tbody></table>\n'
        '<button type="button" id="more" hidden>Show more</button>'
    )


def _filter(findings: Iterable[tuple[Finding, str, Waiver | None]]) -> str:
    rules = Counter(finding.rule for finding, _, _ in findings)
    statuses = Counter(status for _, status, _ in findings)
    severities = "".join(
        f'<option value="{at}">{severity}{" or worse" if severity != "critical" else ""}</option>'
        for at, severity in reversed(list(enumerate(SEVERITIES)))
    )
    states = "".join(
        f'<option value="{status}">{told} ({statuses[status]})</option>'
        for status, told in _STATUS.items()
        if statuses[status]
    )
    named = "".join(
        f'<option value="{_text(rule, 100)}">{_text(rule, 100)} ({number})</option>'
        for rule, number in sorted(rules.items())
    )
    return (
        '<form id="filter" aria-label="Filter the findings">'
        '<label class="grow">Search<input name="search" type="search" autocomplete="off" '
        'placeholder="a name, a place, a word"></label>'
        f'<label>Severity<select name="severity"><option value="">all</option>{severities}</select></label>'
        f'<label>Status<select name="status"><option value="">all</option>{states}</select></label>'
        f'<label>Rule<select name="rule"><option value="">all</option>{named}</select></label>'
        '<button type="reset">Clear</button></form>'
    )


def _row(finding: Finding, status: str, waiver: Waiver | None, *, far: bool) -> str:
    rule = _text(finding.rule, 100)
    place = where(finding)
    evidence = "".join(f"<li>{escape(line)}</li>" for line in evidence_of(finding, 20))
    waived = f"<p>Waived until {waiver.until}: {_text(waiver.reason, 500)}</p>" if waiver else ""
    return (
        f'<tr data-s="{SEVERITIES.index(finding.severity)}" data-t="{status}" data-r="{rule}"'
        f'{" class=far" if far else ""}><td><b class="{finding.severity}">{finding.severity}</b></td>'
        f"<td>{_rule(finding.rule)}</td><td>{_text(place, 500)}</td>"
        f"<td><details><summary>{_text(finding.message, 2000) or 'no message'}</summary>"
        f"{f'<ul>{evidence}</ul>' if evidence else ''}{_change(finding.change)}{waived}"
        f'<p class="soft">Subject: {_text(finding.subject, 500)}. Confidence: {finding.confidence}. '
        f'Fingerprint: {finding.fingerprint}</p><div class="rule"></div></details></td>'
        f"<td>{_STATUS[status]}</td></tr>\n"
    )


def _rule(rule: str) -> str:
    """Its name, linked to what the page says of it."""
    return f'<a href="#rule-{rule}">{rule}</a>' if _RULE.fullmatch(rule) else _text(rule, 100)


def _change(change: str) -> str:
    head, block = change_of(change)
    told = f"<p>Change: {escape(head)}</p>" if head else ""
    if not block:
        return told
    return (
        f"{told}<div><pre>{escape(chr(10).join(block))}</pre>"
        '<button type="button" class="copy">Copy</button> <span role="status"></span></div>'
    )


def _unchecked(audit: Audit) -> str:
    if not audit.verdict.not_checked:
        return ""
    told = "".join(
        f'<h3>{_text(why)}</h3>{_change(change)}<p class="soft">{count(len(rules), "rule")}: '
        f"{_text(', '.join(rules), 4000)}</p>"
        for why, change, rules in audit.unchecked()
    )
    return (
        f"<p>What was not checked is not passed.</p>{told}{f'<p>{_text(audit.unasked)}</p>' if audit.unasked else ''}"
    )


def _problems(audit: Audit) -> str:
    problems = audit.verdict.problems
    if not problems:
        return ""
    groups: dict[tuple[str, str], list[str]] = {}
    for each in problems:
        groups.setdefault((each.kind, each.change), []).append(problem_text(each))
    told = []
    for (kind, change), texts in groups.items():
        listed = "".join(f"<li>{_text(text)}</li>" for text in texts[:STEP])
        more = f"<li>… and {len(texts) - STEP} more</li>" if len(texts) > STEP else ""
        told.append(f"<h3>{_text(kind, 100) or 'Anything'}</h3><ul>{listed}{more}</ul>{_change(change)}")
    return "".join(told)


def _inventory(audit: Audit) -> str:
    kinds = Counter(record.kind for record in audit.inventory.records)
    whole = audit.inventory.kinds
    names = sorted({*kinds, *whole})
    if not names:
        return ""
    rows = [[flat(kind, 100), str(kinds[kind]), "yes" if kind in whole else "no"] for kind in names]
    return (
        f"<p>{count(len(audit.inventory.records), 'record')}, collected {audit.inventory.now:%Y-%m-%d %H:%M} UTC.</p>"
        '<div class="scroll" tabindex="0" role="group" aria-label="Records by kind">'
        f"{numbers(['Kind', 'Records', 'Looked at as a whole'], rows)}</div>"
    )


def _rules(audit: Audit) -> str:
    wanted = {finding.rule for finding, _, _ in audit.all()}
    return "".join(_about(each) for name, each in sorted(audit.rules.items()) if name in wanted)


def _about(rule: About) -> str:
    named = f' id="rule-{rule.id}"' if _RULE.fullmatch(rule.id) else ""
    page = (
        f'<p class="told"><a href="{RULES_PAGE}#{rule.id}" rel="noreferrer">All about {rule.id}</a></p>'
        if named
        else ""
    )
    title = f": {_text(rule.title, 300)}" if rule.title != rule.id else ""
    return (
        f"<details{named}><summary>{_text(rule.id, 100)}{title}</summary>"
        f"{_told('Why', rule.why)}{_told('Fix', rule.fix)}{page}</details>"
    )


def _told(name: str, text: str) -> str:
    return f'<p class="told"><b>{name}:</b> {_text(text, 4000)}</p>' if text else ""

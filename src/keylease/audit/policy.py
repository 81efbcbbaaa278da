"""What of an audit's findings counts: severities, personas, waivers, a baseline."""

import datetime as dt
import fnmatch
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from keylease.audit.model import PERSONAS, SEVERITIES, Finding, Persona, Severity, at_least


class Waiver(Struct, frozen=True):
    """An exception with a reason and an end. rule, subject: globs. until: the last day that it holds."""

    rule: str
    subject: str
    reason: str
    until: dt.date

    def covers(self, finding: Finding) -> bool:
        """Whether it is about `finding`, ended or not."""
        return fnmatch.fnmatchcase(finding.rule, self.rule) and fnmatch.fnmatchcase(finding.subject, self.subject)


class AuditPolicy(Struct, frozen=True):
    """fail_on: the least severity that fails the build. persona: the last of those whose findings are shown.

    off: rules that are not run. severities: rule → another severity. settings: rule → its own settings.
    baseline: fingerprints of findings that were there when the audit was adopted; they are counted, and don't fail.
    noted: how bad they were then, where that is known: one that is worse now is as good as new.
    """

    fail_on: Severity = "high"
    persona: Persona = "regular"
    off: Collection[str] = frozenset()
    severities: Mapping[str, Severity] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    waivers: Sequence[Waiver] = ()
    baseline: Collection[str] = frozenset()
    noted: Mapping[str, Severity] = field(default_factory=dict)
    fail_unchecked: bool = False

    def is_known(self, finding: Finding) -> bool:
        """Whether it is in the baseline, and no worse than there."""
        mark = finding.fingerprint
        return mark in self.baseline and at_least(self.noted.get(mark, finding.severity), finding.severity)


class Sorted(Struct):
    """failing: at `fail_on` or worse. below: the rest that is shown. waived, baselined, hidden: set aside, and why."""

    failing: list[Finding] = field(default_factory=list)
    below: list[Finding] = field(default_factory=list)
    waived: list[tuple[Finding, Waiver]] = field(default_factory=list)
    baselined: list[Finding] = field(default_factory=list)
    hidden: int = 0


WAIVER_ENDED, WAIVER_UNUSED = "waiver-ended", "waiver-unused"


def sort(
    findings: Sequence[Finding],
    policy: AuditPolicy,
    today: dt.date,
    source: str = "keylease.yml",
    not_checked: Collection[str] = (),
) -> Sorted:
    """`findings` by what the policy makes of them. A waiver that has ended or covers nothing is a finding itself.

    not_checked: rules that have not judged all there is: nobody knows whether a waiver of one covers something.
    """
    found = Sorted()
    used: set[int] = set()
    extra: list[Finding] = []
    for finding in findings:
        covering = [number for number, waiver in enumerate(policy.waivers) if waiver.covers(finding)]
        used.update(covering)
        valid = [policy.waivers[number] for number in covering if policy.waivers[number].until >= today]
        if PERSONAS.index(finding.persona) > PERSONAS.index(policy.persona):
            found.hidden += 1
        elif valid:
            found.waived.append((finding, valid[0]))
        elif policy.is_known(finding):
            found.baselined.append(finding)
        else:
            _put(found, finding, policy)
    for number, waiver in enumerate(policy.waivers):
        what = f"the waiver of {waiver.rule} for {waiver.subject}"
        if waiver.until < today and number in used:
            extra.append(_about(waiver, source, WAIVER_ENDED, f"{what} ended on {waiver.until}"))
        elif number not in used and not any(fnmatch.fnmatchcase(rule, waiver.rule) for rule in not_checked):
            extra.append(_about(waiver, source, WAIVER_UNUSED, f"{what} covers nothing any more"))
    for finding in extra:
        _put(found, finding, policy)
    return found


def _put(found: Sorted, finding: Finding, policy: AuditPolicy) -> None:
    (found.failing if at_least(finding.severity, policy.fail_on) else found.below).append(finding)


def _about(waiver: Waiver, source: str, rule: str, message: str) -> Finding:
    return Finding(
        rule=rule,
        severity=SEVERITIES[1],
        confidence="high",
        persona="regular",
        subject=f"file://{source}",
        message=message,
        evidence=(("reason", waiver.reason), ("until", str(waiver.until))),
        change="remove it, or give it a new reason and date",
        key=f"{waiver.rule} {waiver.subject}",
    )

"""The nouns of an audit. Plain data: no I/O."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

Severity = Literal["info", "low", "medium", "high", "critical"]
"""How bad it is if the finding is true."""

Confidence = Literal["low", "medium", "high"]
"""How sure the rule is that it is true."""

Persona = Literal["regular", "pedantic", "auditor"]
"""Who wants to hear of it: everybody; who likes order; who looks at everything and judges himself."""

SEVERITIES: Sequence[Severity] = ("info", "low", "medium", "high", "critical")
PERSONAS: Sequence[Persona] = ("regular", "pedantic", "auditor")


class Location(Struct, frozen=True, order=True):
    """A place in a file. path: relative to the root that was looked through, with ``/``. line: from 1; 0: the file."""

    path: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


class Record(Struct, frozen=True):
    """One thing of the inventory.

    kind: what it is: ``file.workflow``, ``aws.trust_policy``, ``vault.jwt_role`` …
    subject: what stands for it everywhere, stable between runs: ``file://.github/workflows/ci.yml``,
        ``github://acme/trainer/secret/NPM_TOKEN``.
    facts: what is known of it; JSON, never a value. location: where it is written, if it is.
    """

    kind: str
    subject: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    location: Location | None = None


class Problem(Struct, frozen=True):
    """Something that could not be looked at: it is never taken for clean.

    kind: the inventory that is not whole for it; empty: all that could have come of it. what: why, one line.
    change: what would let it be looked at (a permission, a mended file).
    """

    kind: str
    what: str
    change: str = ""
    location: Location | None = None


class Inventory(Struct):
    """What was collected. kinds: those that were looked for as a whole; one that is not among them is unknown.

    now: when it was collected: ages are counted up to then. failed: what could not be asked at all, a line each.
    """

    records: list[Record] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    failed: list[str] = field(default_factory=list)
    _sorted: dict[str, list[Record]] = field(default_factory=dict)
    _count: int = 0

    def of(self, kind: str) -> list[Record]:
        """All of one kind, in the order they were collected."""
        if self._count != len(self.records):
            self._sorted = {}
            for record in self.records:
                self._sorted.setdefault(record.kind, []).append(record)
            self._count = len(self.records)
        return self._sorted.get(kind, [])

    def add(self, other: "Inventory") -> None:
        """Take in what another collector, or another shard, found."""
        self.records += other.records
        self.kinds |= other.kinds
        self.problems += other.problems
        self.failed += other.failed


class Finding(Struct, frozen=True):
    """A violated rule.

    message: what is wrong here, one line. evidence: (what, value) as it was found, in the order to be read; no secret.
    change: the exact thing to write or run; what follows its first blank line is a block to paste.
    key: what tells findings of one rule at one subject apart, stable when lines move; part of the fingerprint.
    """

    rule: str
    severity: Severity
    confidence: Confidence
    persona: Persona
    subject: str
    message: str
    evidence: Sequence[tuple[str, str]] = ()
    change: str = ""
    location: Location | None = None
    key: str = ""

    @property
    def fingerprint(self) -> str:
        """Stable between runs: the same rule at the same subject and key has the same one wherever lines move."""
        text = json.dumps([1, self.rule, self.subject, self.key])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class NotChecked(Struct, frozen=True):
    """A rule that could not judge (all of) what it is for: never "passed". why: one line; change: what would let it.

    asked: whether its inventory was asked for; what `collect:` does not name was not, and that is nobody's failure.
    """

    rule: str
    why: str
    change: str = ""
    asked: bool = True


class Verdict(Struct):
    """What came of an audit. checked: rule → how many records it judged. judged: how many any rule judged."""

    findings: list[Finding] = field(default_factory=list)
    not_checked: list[NotChecked] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    judged: int = 0


def at_least(severity: Severity, least: Severity) -> bool:
    """Whether `severity` is `least` or worse."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first, then by where they are."""
    return sorted(
        findings,
        key=lambda each: (
            -SEVERITIES.index(each.severity),
            each.rule,
            each.location or Location("", 0),
            each.subject,
            each.key,
        ),
    )

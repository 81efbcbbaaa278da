"""The contract of a rule."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from keylease.audit.model import Confidence, Finding, Inventory, Persona, Record, Severity


class NoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing to set."""


class Needs(msgspec.Struct, frozen=True):
    """What is known of a rule without importing it, as it says itself: see :class:`Rule`."""

    id: str
    needs: tuple[str, ...]
    alternatives: bool = False
    also: tuple[str, ...] = ()


class Rule(ABC):
    """Judges records of the inventory, one by one or together.

    id: kebab-case, for ever. title: what is wrong, in few words. why: what an attacker gains, or what it costs; a
    paragraph. fix: how to mend it, a paragraph; the exact text is each finding's `change`. links: sources.
    needs: kinds of records; where one was not collected the rule is *not checked*.
    alternatives: it judges each kind by itself: those of `needs` that were collected will do.
    also: kinds that it looks at besides, if they are there. With no record of `needs` a rule finds nothing: it is then
        not even imported (needs.py, made by `make docs`).
    covers: rules that tell no more of a record than this one does: see :func:`keylease.pipelines.audit.judge`.
    severity, confidence, persona: by default; a finding may say otherwise.
    good, bad: samples for the docs and the tests: texts of `sample` (a path that tells which file it would be).
    """

    id: ClassVar[str]
    title: ClassVar[str]
    severity: ClassVar[Severity]
    confidence: ClassVar[Confidence] = "high"
    persona: ClassVar[Persona] = "regular"
    needs: ClassVar[tuple[str, ...]]
    alternatives: ClassVar[bool] = False
    also: ClassVar[tuple[str, ...]] = ()
    covers: ClassVar[tuple[str, ...]] = ()
    why: ClassVar[str]
    fix: ClassVar[str]
    links: ClassVar[tuple[str, ...]] = ()
    sample: ClassVar[str] = ""
    bad: ClassVar[tuple[str, ...]] = ()
    good: ClassVar[tuple[str, ...]] = ()
    Settings: ClassVar[Any] = NoSettings

    def __init__(self, settings: Any = None) -> None:
        self.settings = self.Settings() if settings is None else settings

    @abstractmethod
    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """All findings. Must not raise for odd records: a file holds what anybody wrote."""

    def lacks(self, inventory: Inventory) -> tuple[str, str] | None:  # noqa: ARG002 - for those that override it
        """Why it can't judge this inventory here, and what would let it: it is then *not checked*."""
        return None

    def finding(self, record: Record, message: str, **more: Any) -> Finding:
        """A finding about `record`, with this rule's defaults."""
        given: dict[str, Any] = {
            "severity": self.severity,
            "confidence": self.confidence,
            "persona": self.persona,
            "location": record.location,
        }
        return Finding(rule=self.id, subject=record.subject, message=message, **{**given, **more})

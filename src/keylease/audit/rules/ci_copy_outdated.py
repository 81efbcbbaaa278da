"""A copy in CI that is older than the value it was made of."""

import datetime as dt
from collections.abc import Iterator
from fnmatch import fnmatchcase

import msgspec

from keylease.audit.ai_keys import called, place
from keylease.audit.credentials import is_active, moment, written
from keylease.audit.hints import COPIES, matches
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.samples import these
from keylease.audit.workflows import shown

_STORES = ("github.secret", "github.variable", "gitlab.variable", "jenkins.credential")
_SOURCES = (
    "vault.secret",
    "aws.secret",
    "openai.key",
    "anthropic.key",
    "aws.access_key",
    "gcp.key",
    "azure.credential",
)
_SLACK = dt.timedelta(minutes=1)  # clocks of two services


class Pair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which copy is of which value. copy, source: globs of subjects, as ``github://acme/*/secret/OPENAI_API_KEY``."""

    copy: str
    source: str


class CopySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """pairs: copies whose source is known. Names alone tell nothing: NPM_TOKEN may be anybody's."""

    pairs: tuple[Pair, ...] = ()


_OLD = {"holder": "project Research", "name": "ci", "project": "Research", "owner": "ci", "active": True}


class CiCopyOutdated(Rule):
    """By `pairs` of the settings, and by the vendor's own records where a copy's hint is that of an older key."""

    id = "ci-copy-outdated"
    title = "a copy in CI that is older than its source"
    severity = "medium"
    needs = ("github.secret", *COPIES)
    alternatives = True
    also = ("jenkins.credential", *_SOURCES)
    why = (
        "The value was changed where it comes from, and CI still has the one before: jobs fail when the old one is "
        "switched off, so nobody dares to, and what was to be replaced lives on."
    )
    fix = "Copy the new value (`keylease sync apply`), or read it in the job; then revoke the old one."
    links = ("https://docs.github.com/rest/actions/secrets",)
    sample = "inventory.json"
    Settings = CopySettings
    bad = (
        these(
            (
                "job.variable",
                "job://environment/variable/OPENAI_API_KEY",
                {"name": "OPENAI_API_KEY", "sort": "openai", "hint": "sk-svcacct-…Wxyz"},
            ),
            (
                "openai.key",
                "openai://proj_1/key/key_1",
                {**_OLD, "hint": "sk-svcacct-a...Wxyz", "created_at": "2025-01-01T00:00:00Z"},
            ),
            (
                "openai.key",
                "openai://proj_1/key/key_2",
                {**_OLD, "hint": "sk-svcacct-b...1234", "created_at": "2026-01-01T00:00:00Z"},
            ),
        ),
    )
    good = (
        these(
            (
                "job.variable",
                "job://environment/variable/OPENAI_API_KEY",
                {"name": "OPENAI_API_KEY", "sort": "openai", "hint": "sk-svcacct-…1234"},
            ),
            (
                "openai.key",
                "openai://proj_1/key/key_1",
                {**_OLD, "hint": "sk-svcacct-a...Wxyz", "created_at": "2025-01-01T00:00:00Z"},
            ),
            (
                "openai.key",
                "openai://proj_1/key/key_2",
                {**_OLD, "hint": "sk-svcacct-b...1234", "created_at": "2026-01-01T00:00:00Z"},
            ),
            (
                "openai.key",
                "openai://proj_1/key/key_3",
                {**_OLD, "name": "other", "hint": "sk-svcacct-c...5678", "created_at": "2026-06-01T00:00:00Z"},
            ),
        ),
    )

    settings: CopySettings

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a copy and source."""
        yield from self._by_pairs(inventory)
        yield from self._by_hints(inventory)

    def _by_pairs(self, inventory: Inventory) -> Iterator[Finding]:
        for pair in self.settings.pairs:
            sources = [
                (when, record)
                for kind in _SOURCES
                for record in inventory.of(kind)
                if is_active(record) and fnmatchcase(record.subject, pair.source) and (when := _changed(record))
            ]
            if not sources:
                continue
            newest, source = max(sources, key=lambda each: each[0])
            for kind in _STORES:
                for record in inventory.of(kind):
                    copied = _changed(record) if fnmatchcase(record.subject, pair.copy) else None
                    if copied is not None and newest - copied > _SLACK:
                        yield self.finding(
                            record,
                            f"{place(record)} was last written before {shown(source.subject, 120)} changed",
                            evidence=(("copy written", written(copied)), ("source changed", written(newest))),
                            change="copy the new value (keylease sync apply, or by hand), then revoke the old one",
                            key=f"{source.subject}",
                        )

    def _by_hints(self, inventory: Inventory) -> Iterator[Finding]:
        newer: dict[tuple[str, ...], tuple[dt.datetime, Record]] = {}
        for kind in ("openai.key", "anthropic.key"):
            for record in inventory.of(kind):
                when = moment(record.facts.get("created_at"))
                if when is not None and is_active(record):
                    key = _same(record)
                    if key not in newer or newer[key][0] < when:
                        newer[key] = (when, record)
        for match in matches(inventory):
            if len(match.records) != 1:
                continue
            mine = match.records[0]
            made = moment(mine.facts.get("created_at"))
            found = newer.get(_same(mine))
            if made is None or found is None or found[0] - made <= _SLACK:
                continue
            yield self.finding(
                match.copy,
                f"{place(match.copy)} is a key that has a newer one of the same name, {called(found[1])}",
                confidence="medium",
                evidence=(*match.evidence, ("newer one created", written(found[0]))),
                change="put the newer key in its place (keylease sync apply), then delete the older one at the vendor",
                key=found[1].subject,
            )


def _same(record: Record) -> tuple[str, ...]:
    """Keys alike in all of these are versions of one."""
    return (record.kind, *(str(record.facts.get(name)) for name in ("holder", "name", "owner", "owner_sort")))


def _changed(record: Record) -> dt.datetime | None:
    return moment(record.facts.get("updated_at")) or moment(record.facts.get("created_at"))

"""Which vendor's record a CI copy is of, told by what both show of the value: its beginning and its last signs.

So no key has to be sent anywhere. ``sk-proj-…abcd`` in CI, ``sk-proj-Ab***...***abcd`` at OpenAI (`redacted_value`),
``sk-ant-api03-R2D...igAA`` at Anthropic (`partial_key_hint`).
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from keylease.audit.credentials import is_active
from keylease.audit.model import Confidence, Inventory, Record

TAIL = 4
"""Signs at the end that both must show: of 1,000 keys, one in 14,000 pairs is alike by chance with four."""

_GAP = re.compile(r"[.*…•]{2,}|…")
_HEADS = re.compile(
    r"sk-ant-(?:api\d\d-|admin\d\d-|oat\d\d-)?|sk-(?:proj|svcacct|admin)-|sk-|hf_|pcsk_|dapi|AKIA|ghp_|github_pat_|gl[a-z]+-"
)

COPIES = ("job.variable", "gitlab.variable", "github.variable")
"""Kinds of copies of which something is shown."""

RECORDS: Mapping[str, tuple[str, ...]] = {
    "sk-ant-": ("anthropic.key",),
    "sk-or-": (),
    "sk-": ("openai.key",),
    "hf_": ("huggingface.token",),
    "AKIA": ("aws.access_key",),
}
"""Beginning → kinds of records whose vendor shows a hint. The first that fits."""


class Hint(Struct, frozen=True):
    """What is shown of a value."""

    head: str
    tail: str


def parse(text: object) -> Hint | None:
    """A redacted value as its two ends; None for what is none, or shows too little to tell keys apart."""
    if not isinstance(text, str) or len(text) > 200:
        return None
    gaps = list(_GAP.finditer(text))
    if not gaps:
        return None
    head, tail = text[: gaps[0].start()], text[gaps[-1].end() :]
    if len(tail) < TAIL or not _HEADS.match(head):
        return None
    return Hint(head, tail)


def same(one: Hint, other: Hint) -> bool:
    """Whether both can be of one value: neither shows a sign that the other contradicts."""
    head = min(len(one.head), len(other.head))
    tail = min(len(one.tail), len(other.tail))
    if one.head[:head] != other.head[:head] or one.tail[-tail:] != other.tail[-tail:]:
        return False
    # A key of another sort may share the beginning of a sort's name: sk- and sk-proj-.
    shorter = one.head[:head]
    return _HEADS.match(shorter) is not None


class Match(Struct, frozen=True):
    """A copy in CI and what it can be of. records: one, if it is certain."""

    copy: Record
    records: tuple[Record, ...]

    @property
    def confidence(self) -> Confidence:
        """How sure it is that the first record is the copy's."""
        return "high" if len(self.records) == 1 else "low"

    @property
    def evidence(self) -> tuple[tuple[str, str], ...]:
        """What the vendor knows of it, for a finding."""
        from keylease.audit.workflows import shown

        rows = [("shown in CI", shown(self.copy.facts.get("hint")))]
        for record in self.records[:3]:
            facts = record.facts
            told = [f"shown {shown(facts.get('hint'))}", f"in {shown(facts.get('holder'))}"]
            told += [f"of {shown(facts['owner'])}"] if facts.get("owner") else []
            told += [f"created {facts['created_at']}"] if facts.get("created_at") else []
            if "last_used_at" in facts:
                told.append(f"last used {facts['last_used_at'] or 'never'}")
            rows.append((f"key {shown(facts.get('name'))}", ", ".join(told)))
        if len(self.records) > 1:
            rows.append(("certainty", f"{len(self.records)} keys look alike; it is one of them"))
        return tuple(rows)


def matches(inventory: Inventory) -> Iterator[Match]:
    """All copies that some vendor's record fits."""
    shown: dict[str, dict[str, list[tuple[Hint, Record]]]] = {}
    for copy in copies(inventory):
        mine = parse(copy.facts.get("hint"))
        if mine is None:
            continue
        kinds = next((kinds for head, kinds in RECORDS.items() if mine.head.startswith(head)), ())
        found = []
        for kind in kinds:
            if kind not in shown:
                shown[kind] = _by_tail(inventory, kind)
            found += [record for hint, record in shown[kind].get(mine.tail[-TAIL:], ()) if same(mine, hint)]
        if found:
            yield Match(copy, tuple(found))


def _by_tail(inventory: Inventory, kind: str) -> dict[str, list[tuple[Hint, Record]]]:
    found: dict[str, list[tuple[Hint, Record]]] = {}
    for record in inventory.of(kind):
        hint = parse(record.facts.get("hint")) if is_active(record) else None
        if hint is not None:
            found.setdefault(hint.tail[-TAIL:], []).append((hint, record))
    return found


def copies(inventory: Inventory) -> Iterator[Record]:
    """All copies in CI of which a hint is known."""
    for kind in COPIES:
        for record in inventory.of(kind):
            if isinstance(record.facts.get("hint"), str):
                yield record

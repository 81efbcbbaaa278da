"""What a sync owns at a place, and how it tells a changed value: values can't be read back from most platforms.

A ledger is kept where everybody who may read the place's variables can see it, and somebody may change it: so each part
is authenticated, names the place and the sync that it belongs to, and holds no value. What can't be verified is
*unknown*: nothing of it is believed, and so nothing is deleted.

A part stands for itself, so that a run that ends between two of them leaves both true. An entry stays in its part; new
ones go to the last part with room.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping

from msgspec import Struct, field

from keylease.errors import UsageError
from keylease.secret import Secret
from keylease.sync.model import Entry, Slot

FORMAT = 1
LEAST_KEY = 16
"""Bytes of the key: 128 bits (RFC 2104 §3 asks for the hash's length; shorter ones than this can be searched)."""


SYNC_NAME = re.compile(r"(?=.{1,48}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")
"""Of a sync: it is part of its ledger's name, for which the platforms have 255 characters at the least."""

_VARIABLE = re.compile(r"KEYLEASE_LEDGER_([A-Z0-9]+(?:_[A-Z0-9]+)*)__([1-9][0-9]{0,3})")


def variable_of(sync: str, number: int) -> str:
    """The name of the variable that holds a part of a sync's ledger, where the platform has variables."""
    return f"KEYLEASE_LEDGER_{sync.upper().replace('-', '_')}__{number}"


def part_of(variable: str) -> tuple[str, int] | None:
    """(sync, number) of the part that a variable of this name holds; None if it is another variable."""
    found = _VARIABLE.fullmatch(variable)
    return (found[1].lower().replace("_", "-"), int(found[2])) if found else None


class Keys(Struct, frozen=True):
    """Keys derived from the one that the manager keeps: one for values, one for the ledger itself."""

    values: bytes
    record: bytes

    @classmethod
    def of(cls, key: Secret, label: str) -> "Keys":
        """Derived with HMAC-SHA256 as in HKDF's expand step (RFC 5869 §2.3). Raises :class:`UsageError`: too short."""
        data = key.reveal_bytes().strip()
        if len(data) < LEAST_KEY:
            raise UsageError(
                f"sync: the ledger's key {label} is shorter than {LEAST_KEY} bytes",
                cause="values could be guessed from what the ledger says of them",
                change="store a random one: openssl rand -base64 32",
                docs="sync-key",
            )
        return cls(
            hmac.digest(data, b"keylease sync value\x01", "sha256"),
            hmac.digest(data, b"keylease sync ledger\x01", "sha256"),
        )

    def mac(self, place: str, slot: Slot, value: Secret) -> str:
        """What stands for `value` in the ledger of `place`: equal values elsewhere look different."""
        at = json.dumps([place, slot.kind, slot.name, slot.scope]).encode()
        inner = hmac.digest(self.values, hashlib.sha256(at).digest() + value.reveal_bytes(), "sha256")
        return base64.b64encode(inner[:18]).decode("ascii")


class Ledger(Struct):
    """The entries of one sync at one place.

    parts: number of the part → slot → entry. unknown: number of the part → why it was not believed.
    """

    place: str
    sync: str
    parts: dict[int, dict[Slot, Entry]] = field(default_factory=dict)
    unknown: dict[int, str] = field(default_factory=dict)

    def get(self, slot: Slot) -> Entry | None:
        """The entry of `slot`."""
        home = self._home_of(slot)
        return None if home is None else self.parts[home][slot]

    def slots(self) -> list[Slot]:
        """All slots that are ours, sorted."""
        return sorted({slot for part in self.parts.values() for slot in part})

    def put(self, entry: Entry) -> None:
        """Record `entry`, in the part that has its slot, else in the last one (see :meth:`texts`)."""
        self.drop(entry.slot, but=(home := self._home(entry.slot)))
        self.parts.setdefault(home, {})[entry.slot] = entry

    def drop(self, slot: Slot, but: int | None = None) -> None:
        """Forget `slot`, except in the part `but`."""
        for number, part in self.parts.items():
            if number != but:
                part.pop(slot, None)

    def _home_of(self, slot: Slot) -> int | None:
        return max((number for number, part in self.parts.items() if slot in part), default=None)

    def _home(self, slot: Slot) -> int:
        found = self._home_of(slot)
        return self._last() if found is None else found

    def _last(self) -> int:
        # A part that is not believed may be somebody else's: it is not written over.
        return max(self.parts) if self.parts else max(self.unknown, default=0) + 1

    def texts(self, keys: Keys, most: int) -> dict[int, str]:
        """Number → text of every part, each of at most `most` bytes; entries that don't fit move to a new last part.

        Empty for a part that has no entries any more: it can be deleted. The last part comes first, and must be written
        first: an entry that moves is then in both for a moment, not in neither.
        """
        found: dict[int, str] = {}
        queue = sorted(self.parts)
        while queue:
            number = queue.pop(0)
            text = self._text(number, keys)
            while len(text) > most and len(self.parts[number]) > 1:
                last = max(self.parts)
                target = last if last > number else max(last, *self.unknown, 0) + 1
                if target not in self.parts:
                    self.parts[target] = {}
                    queue.append(target)
                share = max(1, len(self.parts[number]) * (len(text) - most) // len(text))
                for slot in sorted(self.parts[number])[-share:]:
                    self.parts[target][slot] = self.parts[number].pop(slot)
                text = self._text(number, keys)
            found[number] = text if self.parts[number] else ""
        return dict(sorted(found.items(), reverse=True))

    def _text(self, number: int, keys: Keys) -> str:
        entries = [_compact(entry) for _, entry in sorted(self.parts[number].items())]
        body = json.dumps(entries, separators=(",", ":"), ensure_ascii=True)
        head = {"keylease": FORMAT, "sync": self.sync, "mac": _authenticator(keys, self.place, self.sync, number, body)}
        return json.dumps(head, separators=(",", ":"), ensure_ascii=True)[:-1] + ',"entries":' + body + "}"


def read(place: str, sync: str, records: Mapping[int, str], keys: Keys) -> Ledger:
    """The ledger that `records` make up; parts that are not ours, broken or changed are in `unknown`."""
    ledger = Ledger(place, sync)
    for number, text in sorted(records.items()):
        try:
            ledger.parts[number] = _parsed(place, sync, number, text, keys)
        except _UnbelievedError as error:
            ledger.unknown[number] = str(error)
    seen: set[Slot] = set()
    for number in sorted(ledger.parts, reverse=True):
        # A run that ended while entries moved left them in two parts. They move to later ones: those are newer.
        ledger.parts[number] = {slot: entry for slot, entry in ledger.parts[number].items() if slot not in seen}
        seen |= set(ledger.parts[number])
    return ledger


def claimed(records: Mapping[int, str]) -> set[Slot]:
    """What another sync's ledger says is its own. Not verified (its key may be another): good for keeping off, only."""
    found = set()
    for text in records.values():
        try:
            rows = json.loads(text)["entries"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        for row in rows if isinstance(rows, list) else []:
            named = row[:3] if isinstance(row, list) else []
            if len(named) == len(Slot.__struct_fields__) and all(isinstance(part, str) for part in named):
                found.add(Slot(*named))
    return found


class _UnbelievedError(ValueError):
    pass


def _parsed(place: str, sync: str, number: int, text: str, keys: Keys) -> dict[Slot, Entry]:
    try:
        data = json.loads(text)
        form, entries, mac = data["keylease"], data["entries"], data["mac"]
        body = json.dumps(entries, separators=(",", ":"), ensure_ascii=True)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _UnbelievedError("it is no ledger") from None
    if form != FORMAT:
        raise _UnbelievedError("it was written by another version of Keylease")
    expected = _authenticator(keys, place, sync, number, body)
    # Not encoded: what was tampered with may be no text at all (a lone surrogate).
    if not isinstance(mac, str) or not mac.isascii() or not hmac.compare_digest(mac, expected):
        raise _UnbelievedError("it was changed, belongs to another sync or place, or was written with another key")
    return {entry.slot: entry for entry in map(_entry, entries)}


def _authenticator(keys: Keys, place: str, sync: str, number: int, body: str) -> str:
    said = json.dumps([FORMAT, place, sync, number]).encode() + b"\0" + body.encode()
    return base64.b64encode(hmac.digest(keys.record, said, "sha256")[:24]).decode("ascii")


def _compact(entry: Entry) -> list[str | int]:
    slot = entry.slot
    return [
        *(slot.kind, slot.name, slot.scope),
        *(entry.source, entry.pattern, entry.version, entry.mac, entry.updated_at, int(entry.pending)),
    ]


def _entry(row: list[str | int]) -> Entry:
    # What is authenticated was written by us: its shape needs no second look.
    kind, name, scope, source, pattern, version, mac, updated_at, pending = map(str, row)
    return Entry(Slot(kind, name, scope), source, pattern, mac, version, updated_at, pending == "1")

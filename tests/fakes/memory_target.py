"""A CI platform in memory, for what a sync does whatever the platform: it can fail, or end the run, at any call.

It shows no platform's rules: those are for each target's own fake.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from keylease.context import Context
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Env
from keylease.secret import Secret
from keylease.sync.ledger import part_of, variable_of
from keylease.sync.model import Limit, Listing, Remote, Slot, Wanted
from keylease.targets.base import Place, Target


class Stop(BaseException):  # as a signal or kill -9 ends a run: nothing catches it
    """The run ends here."""


class Stored(msgspec.Struct):
    """A value and when it was written."""

    value: bytes
    updated_at: str
    options: dict[str, Any] = {}


class Site:
    """The platform: place → slot → value, and place → variable → text. `before` is called before each write."""

    def __init__(self) -> None:
        self.values: dict[str, dict[Slot, Stored]] = {}
        self.variables: dict[str, dict[str, str]] = {}
        self.before: Callable[[str], None] = lambda _: None
        self.writes: list[str] = []
        self.clock = 0

    def now(self) -> str:
        self.clock += 1
        return f"2026-11-24T00:00:{self.clock:06d}Z"

    def put(self, address: str, slot: Slot, value: bytes, **options: Any) -> None:
        self.values.setdefault(address, {})[slot] = Stored(value, self.now(), options)


class To(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place by its address."""

    address: str
    kind: str = "secret"


class MemoryTarget(Target):
    kind = "memory"
    Settings = To
    To = To
    record_size = 600

    def __init__(self, site: Site, *, readable: bool = False, limits: Sequence[Limit] = ()) -> None:
        super().__init__("memory", None, Context({}, Masker(), Deadline(60)))
        self.site, self.readable, self.limits = site, readable, limits
        self.refuse: Callable[[Wanted], str] = lambda _: ""

    @classmethod
    def complete(cls, settings: Any, env: Env) -> Any:
        return settings

    @classmethod
    def checked(cls, to: Any) -> Any:
        return to

    @classmethod
    def parse(cls, address: str) -> Any:
        return To(address=address)

    def permissions(self, tos: Sequence[Any]) -> Sequence[str]:
        return ()

    def places(self, to: Any) -> list[Place]:
        return [Place(to.address, to.kind, {})]

    def slot(self, place: Place, name: str) -> Slot:
        return Slot(place.kind, name)

    def list(self, place: Place) -> Listing:
        stored = self.site.values.get(place.address, {})
        remotes = {
            slot: Remote(slot, each.updated_at, Secret(each.value) if self.readable else None, each.options)
            for slot, each in stored.items()
        }
        ledgers: dict[str, dict[int, str]] = {}
        for name, text in self.site.variables.get(place.address, {}).items():
            part = part_of(name)
            if part:
                ledgers.setdefault(part[0], {})[part[1]] = text
        return Listing(remotes, ledgers, self.limits)

    def check(self, place: Place, wanted: Wanted) -> str:
        return self.refuse(wanted)

    def _write(self, what: str) -> None:
        self.site.before(what)
        self.site.writes.append(what)

    def put(self, place: Place, wanted: Wanted, *, exists: bool) -> None:
        assert exists == (wanted.slot in self.site.values.get(place.address, {}))
        self._write(f"put {wanted.slot}")
        self.site.put(place.address, wanted.slot, wanted.value.reveal_bytes(), **wanted.options)

    def delete(self, place: Place, slot: Slot) -> None:
        self._write(f"delete {slot}")
        self.site.values.get(place.address, {}).pop(slot, None)

    def record(self, place: Place, sync: str, texts: Mapping[int, str], there: Mapping[int, str]) -> None:
        variables = self.site.variables.setdefault(place.address, {})
        for number, text in texts.items():
            if text == there.get(number, ""):
                continue
            assert len(text) <= self.record_size
            self._write(f"record {number}")
            if text:
                variables[variable_of(sync, number)] = text
            else:
                variables.pop(variable_of(sync, number), None)

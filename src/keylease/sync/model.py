"""The nouns of a sync. Plain data: no I/O, no platform's name."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from keylease.model import Origin
from keylease.secret import Secret

Option = str | bool | int | tuple[str, ...]
"""A property of a value at its target: visibility, masked, description … (a tuple: a set, sorted)."""

Action = Literal["add", "update", "unchanged", "adopt", "orphan", "drifted", "blocked"]
"""What was found. add: not there. update: ours, and the value or an option is another. unchanged: ours, and the same.
adopt: there, not ours, and taken over. orphan: ours, and no longer wanted. drifted: ours, and changed there by somebody
else. blocked: can't or must not be written; the reason says why.
"""

Effect = Literal["write", "delete", "record", "forget", "none"]
"""What `apply` does about it. record: into the ledger alone. forget: out of the ledger alone."""


ABSENT = "-"
"""In the place of a time, of a write that was begun: there was nothing before."""


class Slot(Struct, frozen=True, order=True):
    """Where one value lives within a place.

    kind: the platform's kind of store: ``secret``, ``variable``, ``dependabot`` …
    scope: what tells values of one name apart (GitLab's environment scope); else empty.
    """

    kind: str
    name: str
    scope: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" ({self.scope})" if self.scope else "")


class Wanted(Struct, frozen=True):
    """A value that shall be in a slot.

    source: the reference it is read from, with the field. version: of the source, if its manager tells.
    pattern: the `from` of the configuration that it came by.
    options: how it shall be stored; what is not named keeps the platform's default, or what is there.
    """

    slot: Slot
    value: Secret
    source: str
    pattern: str
    version: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)


class Remote(Struct, frozen=True):
    """What a target tells of a slot.

    updated_at: when it was last changed, in the platform's own words; compared, never parsed. Empty: not told.
    value: of a readable kind, sealed; None where it can't be read back.
    options: those that the platform shows.
    """

    slot: Slot
    updated_at: str = ""
    value: Secret | None = None
    options: Mapping[str, Option] = field(default_factory=dict)


class Entry(Struct, frozen=True):
    """The ledger's record of one slot that is ours.

    mac: HMAC of the value (see :mod:`keylease.sync.ledger`). updated_at: `Remote.updated_at` after our write.
    pending: a write was begun and its end is not recorded; `updated_at` is then that of before, or :data:`ABSENT`.
    """

    slot: Slot
    source: str
    pattern: str
    mac: str
    version: str = ""
    updated_at: str = ""
    pending: bool = False


class Policy(Struct, frozen=True):
    """What a sync may do.

    adopt: slots that are there and not ours may be taken over: all, or those of these names.
    prune: orphans are deleted; but of a place's values not most at once, unless it is ``all``.
    on_drift: what becomes of a value that somebody else changed.
    """

    adopt: bool | frozenset[str] = False
    prune: bool | Literal["all"] = False
    on_drift: Literal["overwrite", "keep"] = "overwrite"

    def adopts(self, name: str) -> bool:
        """Whether a slot of this name may be taken over."""
        return self.adopt if isinstance(self.adopt, bool) else name in self.adopt


class Change(Struct, frozen=True):
    """One line of a plan.

    reason: why, for people. source, version: as in :class:`Wanted`; those of the ledger for an orphan.
    """

    slot: Slot
    action: Action
    effect: Effect
    reason: str
    source: str = ""
    version: str = ""


class Limit(Struct, frozen=True):
    """How many of some kinds a place may hold, in the platform's words (``100 secrets per repository``)."""

    kinds: frozenset[str]
    most: int
    text: str


class Listing(Struct):
    """What a place holds now, of all kinds that a sync may write.

    ledgers: sync → number of the part → text, of all syncs. limits: of the place.
    """

    remotes: Mapping[Slot, Remote]
    ledgers: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    limits: Sequence[Limit] = ()

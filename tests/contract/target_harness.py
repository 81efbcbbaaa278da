"""What the contract battery of targets needs to know of an implementation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from keylease.model import Seal
from keylease.sync.model import Slot
from keylease.targets.base import Place, Target
from tests.fakes.misbehaving import Proxy


class TargetHarness(ABC):
    """A platform with containers for values; a test has it for itself.

    seal: of the context that `target()` is made with.
    kinds: kinds of store that values can be written to; the battery runs once for each.
    largest: bytes of the largest value that is taken; 0 if there is no limit.
    good_names, bad_names: that the platform takes and does not take (`check` says so).
    addresses: short forms (`parse`) of existing places, written in more than one way: each list is of one place.
    bad_addresses: short forms that can't be.
    many: more than fit on one page of the platform's lists.
    odd_values: texts that the platform takes, though they need care somewhere.
    """

    seal: Seal
    kinds: Sequence[str]
    largest: int = 0
    good_names: Sequence[str] = ("A", "DB_PASSWORD_2")
    bad_names: Sequence[str] = ()
    addresses: Sequence[Sequence[str]] = ()
    bad_addresses: Sequence[str] = ()
    many: int = 120
    odd_values: Sequence[str] = ("\"'$(x)`%0A", "ü\u4e2d", "line\r\nline\n", " spaced ", "x")

    @abstractmethod
    def target(self) -> Target:
        """With a credential that may do all that is needed. Each call makes one of its own, as another run would."""

    @abstractmethod
    def place(self, kind: str, number: int = 1) -> Place:
        """A container that exists (another one per `number`), for values of `kind`; as `target().places()` gives it."""

    @abstractmethod
    def plant(self, place: Place, slot: Slot, value: str) -> None:
        """Somebody else writes a value."""

    @abstractmethod
    def stored(self, place: Place, slot: Slot) -> bytes | None:
        """What is really there (decrypted, if it must be); None if there is nothing."""

    def tick(self) -> None:  # noqa: B027  # most need nothing
        """Let the platform's clock show another time than before."""

    def many_of(self, kind: str) -> int:
        """`many`, where it depends on the kind."""
        return self.many

    def others(self, place: Place) -> Sequence[Slot]:
        """Slots of further kinds at the same container, where the platform has them."""
        return ()


class WireHarness(TargetHarness):
    """A platform behind a proxy that can misbehave.

    list_pattern, write_pattern: paths of the requests that list, and that write values (fnmatch, for the proxy).
    list_permission, write_permission, ledger_permission: a regular expression for how the errors name what lacks.
    """

    proxy: Proxy
    list_pattern: str = "*"
    write_pattern: str = "*"
    write_method: str = "PUT"
    list_permission: str
    write_permission: str
    ledger_permission: str

    @abstractmethod
    def missing(self, kind: str) -> Place:
        """A container that does not exist."""

    @abstractmethod
    def without(self, what: str) -> Target:
        """With a credential that may not ``list``, not ``write`` values, or not write the ``ledger``."""

    def writes(self) -> int:
        """How many requests that change something have arrived."""
        return sum(request.method not in ("GET", "HEAD") for request in self.proxy.requests)

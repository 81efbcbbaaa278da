"""The contract of a target: a CI platform that holds secrets and variables."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct

from keylease.context import Context
from keylease.model import Env
from keylease.secret import Secret
from keylease.sync.model import Listing, Option, Slot, Wanted


class Place(Struct, frozen=True):
    """What holds one set of values and one ledger: a repository, an environment, an organisation, a group …

    address: canonical and stable: ``github://acme/trainer?environment=prod``. Part of the ledger's authentication.
    kind: the kind of store that values go to. options: what is declared for them.
    """

    address: str
    kind: str
    options: Mapping[str, Option]

    def __str__(self) -> str:
        return self.address


class Target(ABC):
    """Lists and writes. Never reads a value for its own sake, and never writes what `check` refuses.

    Settings: the platform's address and credential, a msgspec Struct as an exchanger's (``forbid_unknown_fields``);
        values of secrets come from variables (``token_env``) or other providers.
    To: what `to:` of a sync may say of it; a msgspec Struct.
    writes_at_once: how many writes may be under way at one host.
    record_size: bytes of the ledger that one of its variables holds.
    """

    kind: ClassVar[str]
    Settings: ClassVar[Any]
    To: ClassVar[Any]
    record_size: ClassVar[int]

    def __init__(self, name: str, settings: Any, context: Context) -> None:
        self.name = name
        self.settings = settings
        self.context = context

    @classmethod
    @abstractmethod
    def complete(cls, settings: Any, env: Env) -> Any:
        """Settings with the platform's own environment fallbacks filled in and checked. Raises UsageError."""

    @classmethod
    def with_needs(cls, settings: Any, values: Mapping[str, Secret]) -> Any:
        """Settings with the values that were read for them with a provider's lease."""
        import msgspec

        return msgspec.structs.replace(settings, **values)

    @classmethod
    @abstractmethod
    def checked(cls, to: Any) -> Any:
        """What `to:` says, checked, before anything is asked of anybody. Raises UsageError naming the key."""

    @classmethod
    @abstractmethod
    def parse(cls, address: str) -> Any:
        """A `To` from its short form, ``github://acme/trainer?environment=prod``. Raises UsageError."""

    @abstractmethod
    def permissions(self, tos: Sequence[Any]) -> Sequence[str]:
        """The least that the credential must be allowed, in the platform's words, for people."""

    @abstractmethod
    def places(self, to: Any) -> list[Place]:
        """The places that `to` selects; asks the platform where it selects by name, topic or property.

        Raises NotFoundError, RefusedError (naming the permission that lacks), UnreachableError.
        """

    @abstractmethod
    def slot(self, place: Place, name: str) -> Slot:
        """Where a value called `name` goes."""

    @abstractmethod
    def list(self, place: Place) -> Listing:
        """What is there, of all kinds that a sync may write, and all ledgers; from list calls only."""

    def written(self, place: Place, slots: Collection[Slot]) -> Mapping[Slot, str]:
        """``updated_at`` of those of `slots` that are there, now that they were written; from list calls only."""
        return {slot: remote.updated_at for slot, remote in self.list(place).remotes.items() if slot in slots}

    @abstractmethod
    def check(self, place: Place, wanted: Wanted) -> str:
        """Why the platform would not take this value as it is (name, size, mask rules); empty if it would."""

    @abstractmethod
    def put(self, place: Place, wanted: Wanted, *, exists: bool) -> None:
        """Create or replace, in place. Raises KeyleaseError; with a RefusedError it is certain: nothing was written."""

    @abstractmethod
    def delete(self, place: Place, slot: Slot) -> None:
        """Delete; what is gone already is no error."""

    @abstractmethod
    def record(self, place: Place, sync: str, texts: Mapping[int, str], there: Mapping[int, str]) -> None:
        """Write the parts of the ledger that differ from those `there`, in the order given; delete empty ones."""

    def close(self) -> None:  # noqa: B027  # most have nothing to give back
        """Give back what was taken to write with. Raises nothing: what can't be given back is a warning."""

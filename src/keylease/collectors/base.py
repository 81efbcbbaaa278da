"""The contract of a collector: it lists what one platform, cloud or service knows of its credentials."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, TypeVar

from msgspec import Struct

from keylease.audit.model import Inventory, Problem, Record
from keylease.context import Context
from keylease.errors import KeyleaseError, NoListError, RefusedError
from keylease.model import Env, Lease
from keylease.secret import Secret
from keylease.targets.base import Target

T = TypeVar("T")


class Access(Struct, frozen=True):
    """What a collector asks with. lease: of the provider it names; target: the target it names; else None."""

    lease: Lease | None = None
    target: Target | None = None


class Collector(ABC):
    """Read-only, metadata only: no value of a secret is in what it returns, and none is kept.

    type: as in ``collect:`` of keylease.yml, and the first word of its kinds of record.
    kinds: all kinds that it can make. permissions: the least its credential needs, in the vendor's words, for people.
    via: whether it asks with the lease of a provider (``provider: NAME``) or with a target's credential (``target:
        NAME``), of one of via_types; optional: it can do without, by its own settings (``…_env``).
    server: which of several such platforms, servers or accounts it asks, once it knows: a fact of each record, by which
        rules keep apart what has the same name in two of them. Empty where names are unique all over.
    sharded: it asks of many places, and takes those of its `shard` (which, of how many, from 1).
    Settings: what else may be said, a msgspec Struct as an exchanger's (``forbid_unknown_fields``); fields of type
        Secret can be given as ``NAME_env: VARIABLE``, or as ``NAME: {secret: SCHEME://path#field}``.
    """

    type: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    permissions: ClassVar[tuple[str, ...]] = ()
    via: ClassVar[Literal["", "provider", "target"]] = ""
    via_types: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[bool] = False
    sharded: ClassVar[bool] = False
    Settings: ClassVar[Any]

    def __init__(self, settings: Any, context: Context, access: Access) -> None:
        self.settings = settings
        self.context = context
        self.access = access
        self.inventory = Inventory()
        self.shard = (1, 1)
        self.server = ""

    @classmethod
    def complete(cls, settings: Any, env: Env) -> Any:
        """Settings with fallbacks from the environment filled in and checked. Raises UsageError."""
        del env
        return settings

    @classmethod
    def alone(cls, settings: Any, env: Env) -> None:
        """Whether it can ask without a provider (`optional`). Raises UsageError saying what to give."""
        del settings, env

    @classmethod
    def with_needs(cls, settings: Any, values: Mapping[str, Secret]) -> Any:
        """Settings with the values that were read for them."""
        import msgspec

        return msgspec.structs.replace(settings, **values)

    @abstractmethod
    def collect(self) -> Inventory:
        """All of it. What can't be had is a :class:`Problem` of the kind that lacks, with the permission to grant.

        Raises KeyleaseError only for what makes all of it impossible (no connection, a credential that is refused).
        """

    def record(self, kind: str, subject: str, /, **facts: Any) -> None:
        """Add one record. subject: ``github://acme/trainer/secret/NAME``. facts: JSON; see audit/credentials.py."""
        own = {"server": self.server} if self.server else {}
        self.inventory.records.append(Record(kind, subject, {**facts, **own}))

    def whole(self, *kinds: str) -> None:
        """Say that these kinds were looked for; problems say what of them lacks."""
        self.inventory.kinds.update(kinds)

    def attempt(self, kinds: Iterable[str], ask: Callable[[], T], change: str = "") -> T | None:
        """What `ask` returns; None, and a problem of each of `kinds`, for what is refused or no list.

        Raises what makes all of it impossible: no connection, a credential that nobody knows (401).
        """
        try:
            return ask()
        except (RefusedError, NoListError) as error:
            if error.detail.get("status") == 401:
                raise
            for kind in kinds:
                self.problem(kind, error, change)
            return None

    def problem(self, kind: str, error: KeyleaseError | str, change: str = "") -> None:
        """Say that something of a kind could not be looked at."""
        if isinstance(error, KeyleaseError):
            self.inventory.problems.append(Problem(kind, error.summary, change or error.change))
        else:
            self.inventory.problems.append(Problem(kind, error, change))

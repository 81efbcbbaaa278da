"""The contract of a secrets manager (reading; writing comes with sync)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from keylease.context import Context
from keylease.errors import KeyleaseError, UnreachableError, UsageError
from keylease.model import Document, Lease, Read

MOST_FOUND = 10_000
"""Secrets of one pattern: more than the platforms take."""

_MOST_PAGES = 2_000


class Manager(ABC):
    """Reads secrets with a lease of the same vendor."""

    scheme: ClassVar[str]
    provider: ClassVar[str]
    """The exchanger type whose leases it can use."""
    options: ClassVar[Sequence[str]] = ()
    """The names of `Read.options` that it knows."""

    def __init__(self, lease: Lease, context: Context) -> None:
        self.lease = lease
        self.context = context

    @classmethod
    @abstractmethod
    def check(cls, read: Read) -> None:
        """Whether the reference, its options and parameters make sense, before anything is sent.

        Raises :class:`keylease.errors.UsageError`.
        """

    @abstractmethod
    def read(self, read: Read) -> Document:
        """One request, one document. Called from several threads at once.

        A dynamic secret's lease is added to the lease's revocation before this returns. Raises NotFoundError,
        RefusedError (naming the path, the policies the token has and the policy that would allow it),
        UnreachableError.
        """

    def find(self, read: Read, parent: str, prefix: str, *, deep: bool) -> list[str]:
        """Paths of the secrets below `parent` whose next segment begins with `prefix`; names only, no values.

        read: for its options. deep: at any depth, else directly below. More than was asked for does no harm.
        Raises RefusedError naming the permission that lacks, UnreachableError; an empty answer means: there are none.
        """
        del parent, prefix, deep
        raise UsageError(f"{read}: this manager can't list", change="name each secret", docs="sync-pattern")

    def grouped(self, reads: Sequence[Read]) -> list[list[Read]]:
        """`reads` in groups that one request can answer each. Alone, unless the vendor's API reads several at once."""
        return [[read] for read in reads]

    def read_many(self, reads: Sequence[Read]) -> list[Document | KeyleaseError]:
        """The documents of one group, in its order; in the place of one that can't be had, why."""
        found: list[Document | KeyleaseError] = []
        for read in reads:
            try:
                found.append(self.read(read))
            except KeyleaseError as error:
                found.append(error)
        return found


def paged(page: Callable[[str], tuple[Sequence[str], str]], read: Read, vendor: str) -> list[str]:
    """All names of a list that comes in pages. page: of a token (first: empty), to names and the next page's token.

    Raises :class:`UnreachableError` for a list that does not end, :class:`UsageError` for one that is too long.
    """
    found: list[str] = []
    token, seen = "", {""}
    for _ in range(_MOST_PAGES):
        names, token = page(token)
        found += names
        if len(found) > MOST_FOUND:
            raise UsageError(
                f"{vendor}: {read}: there are more than {MOST_FOUND} secrets to choose from",
                change="begin the pattern with more of the names, or name each secret",
                docs="sync-pattern",
            )
        if not token:
            return found
        if token in seen:
            break
        seen.add(token)
    raise UnreachableError(
        f"{vendor}: {read}: the list of secrets does not end",
        cause="something in between answers with the same page again and again",
        change="check the proxy; without one, report it",
        docs="garbage",
    )


def check_common(
    read: Read, manager: type[Manager], vendor: str, example: str, docs: str, rooted: bool = False
) -> None:
    """Refuse what no manager but Vault's has a meaning for: foreign options, `with`, paths with odd segments.

    vendor, example, docs: for the error. rooted: a path may begin with a slash that belongs to its name.
    Raises :class:`UsageError`.
    """

    def bad(what: str, change: str) -> UsageError:
        return UsageError(f"{vendor}: {read}: {what}", change=change, docs=docs)

    unknown = [name for name, _ in read.options if name not in manager.options]
    if unknown:
        known = ", ".join(f"`{name}`" for name in manager.options)
        raise bad(f"there is no option `{unknown[0]}`", f"leave it out; {known or 'none'} can be given")
    if read.parameters is not None:
        raise bad("`with` is for engines that issue something", "leave it out")
    if not read.path.isprintable():
        raise bad("the path holds control characters", example)
    parts = (read.path.removeprefix("/") if rooted else read.path).split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise bad("the path has an empty, `.` or `..` segment", example)

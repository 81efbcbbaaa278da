"""The contract of a secrets manager (reading; writing comes with sync)."""

from abc import ABC, abstractmethod
from typing import ClassVar

from keylease.context import Context
from keylease.model import Document, Lease, Read


class Manager(ABC):
    """Reads secrets with a lease of the same vendor."""

    scheme: ClassVar[str]
    provider: ClassVar[str]
    """The exchanger type whose leases it can use."""

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

"""The contract of an identity source."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from keylease.context import Context
from keylease.model import IdentityToken


class Identity(ABC):
    """One CI platform's way to hand out identity tokens.

    variables: names of variables to look at first (GitLab's `id_tokens:`), from the configuration.
    """

    name: ClassVar[str]

    def __init__(self, context: Context, variables: Sequence[str] = ()) -> None:
        self.context = context
        self.env = context.env
        self.variables = variables

    @abstractmethod
    def detect(self) -> bool:
        """Whether this process runs in a job of this platform. Looks at variables only."""

    @abstractmethod
    def token(self, audience: str) -> IdentityToken | None:
        """A checked token for `audience`; None when this is not our environment.

        Raises :class:`keylease.errors.IdentityError` when it is, but no usable token can be had, with the change
        that mends it; :class:`keylease.errors.UnreachableError` when the token endpoint does not answer.
        """

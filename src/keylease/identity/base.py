"""The contract of an identity source."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from keylease.context import Context
from keylease.identity import claims as tokens
from keylease.model import IdentityToken

STANDARD = {
    "iss": "issuer: who signed it",
    "sub": "subject: what a provider's trust should be bound to",
    "aud": "audience: whom it is for",
    "iat": "issued at",
    "nbf": "not valid before",
    "exp": "expires",
    "jti": "the token's own id",
}
"""Claims of every ID token (RFC 7519 §4.1)."""


class Identity(ABC):
    """One CI platform's way to hand out identity tokens.

    variables: names of variables to look at first (GitLab's `id_tokens:`), from the configuration.
    name: in the registry. title: for people; starts every message.
    fetches: whether a token costs a request or a process, and so is worth keeping.
    meanings: what the platform's own claims say, by name.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    fetches: ClassVar[bool] = False
    meanings: ClassVar[Mapping[str, str]] = {}

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

        audience: the wanted `aud`; empty: the platform's default, whatever that is.
        Raises :class:`keylease.errors.IdentityError` when it is, but no usable token can be had, with the change
        that mends it; :class:`keylease.errors.UnreachableError` when the token endpoint does not answer.
        """

    @classmethod
    def recognises(cls, claims: Mapping[str, Any]) -> bool:  # noqa: ARG003  # for those that override it
        """Whether a token with these claims was made by this platform, whichever way it came here."""
        return False

    @classmethod
    def explain(cls, claims: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """(claim, value, meaning) in the token's order, for people. Values are one printable line each."""
        known = {**STANDARD, **cls.meanings}
        rows = []
        for name, value in claims.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            meaning = known.get(name, "")
            if name in ("iat", "nbf", "exp"):
                meaning += f": {tokens.utc(value)}"
            rows.append((tokens.show(name)[1:-1], tokens.show(text)[1:-1], meaning))
        return rows

    def value(self, name: str) -> str:
        """The variable `name` without surrounding white space; empty when it is not set.

        A variable that is set to nothing counts as not set: CI systems pass on what they don't have that way.
        """
        return self.env.get(name, "").strip()

    def checked(
        self, text: str, audience: str, source: str, *, audience_change: str = "", renew_change: str = ""
    ) -> IdentityToken:
        """:func:`keylease.identity.claims.check` in this platform's name."""
        return tokens.check(
            text,
            audience,
            self.name,
            source,
            self.context,
            title=self.title,
            fresh=self.fetches,
            audience_change=audience_change,
            renew_change=renew_change,
        )

"""What the contract battery of secrets managers needs to know of an implementation."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from keylease.managers.base import Manager
from keylease.model import Read, Seal
from tests.fakes.misbehaving import Proxy


class ManagerHarness(ABC):
    """A store with secrets in it, behind a proxy that can misbehave.

    path_pattern: of the reading requests, for the proxy's faults.
    whole_text: a secret is one text (of JSON, where it has fields); False: it has fields of its own.
    odd_names: names that this store takes, though they need quoting somewhere.
    bad_paths: paths that are refused besides those that no manager takes.
    flat: names have no segments. list_pattern: of the listing requests. page: a number of secrets that fills one.
    bad_patterns: patterns that can't be listed, and are refused before anything is sent.
    endless: a list's answer that promises a further page; None where lists have no pages.
    unlisted: what the refusal of a list says is missing.
    """

    proxy: Proxy
    seal: Seal
    path_pattern: str = "*"
    whole_text = True
    odd_names: Sequence[str] = ()
    bad_paths: Sequence[str] = ()
    flat = False
    list_pattern: str = "*"
    page = 3
    bad_patterns: Sequence[str] = ()
    endless: ClassVar[object] = None
    unlisted: str = ""

    @abstractmethod
    def manager(self) -> Manager:
        """With a lease that may read what `put` writes; its requests go through `proxy`."""

    @abstractmethod
    def put(self, name: str, fields: Mapping[str, object]) -> Read:
        """Store a secret with these fields (as JSON where a secret is one text); returns the request that reads it."""

    def put_text(self, name: str, text: str) -> Read:
        """Store a secret that is one text."""
        raise NotImplementedError

    @abstractmethod
    def missing(self) -> Read:
        """A request for what was never stored."""

    @abstractmethod
    def forbidden(self) -> Read:
        """A request that the lease may not make."""

    @abstractmethod
    def reads(self) -> int:
        """How often the store was asked for secrets."""

    @abstractmethod
    def pattern(self, text: str) -> Read:
        """A request whose path is a pattern, of what `put` stores: ``*`` for all of it."""

    @abstractmethod
    def close_lists(self) -> None:
        """From now on the lease may not list."""

"""A provider and a manager that live in this process, for tests of the pipelines' own logic.

What it can't show: anything about a real provider. Every behaviour that matters to users is also tested against
real OpenBao (tests/integration, tests/e2e).
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from keylease.context import Context
from keylease.exchange.base import Exchanger
from keylease.managers.base import Manager
from keylease.model import Document, Env, IdentityToken, Lease, LeaseFile, Read, Renewal, Revocation, Trust
from keylease.secret import Secret


class World:
    """What the memory provider's server knows; one per test."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.documents: dict[str, Mapping[str, Any]] = {}
        self.faults: dict[str, list[Exception]] = {}
        self.delays: dict[str, float] = {}
        self.revoked: list[str] = []
        self.dynamic: set[str] = set()
        self._lock = threading.Lock()

    def call(self, what: str) -> None:
        """Record a call, then fail or wait as told."""
        with self._lock:
            self.calls.append(what)
            fault = self.faults.get(what, [])
            error = fault.pop(0) if fault else None
        time.sleep(self.delays.get(what, 0))
        if error:
            raise error


WORLD = World()


class MemorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """audience: what to ask for; None = no identity token. secret_id: filled by another provider."""

    wanted: str | None = "memory"
    secret_id: Any = None
    files: Sequence[LeaseFile] = ()


class MemoryExchanger(Exchanger):
    """Logs in to WORLD."""

    kind = "memory"
    Settings = MemorySettings

    @classmethod
    def complete(cls, settings: Any, env: Env) -> Any:
        return settings

    def audience(self) -> str | None:
        wanted: str | None = self.settings.wanted
        return wanted

    def exchange(self, token: IdentityToken | None) -> Lease:
        WORLD.call(f"login {self.name}")
        if self.settings.secret_id is not None:
            WORLD.call(f"secret_id {self.settings.secret_id.reveal()}")
        issued = self.context.seal(f"issued-token-{self.name}", self.name)
        return Lease(
            self.name,
            self.kind,
            {"MEMORY_TOKEN": issued},
            session=self.name,
            plain={"MEMORY_ADDR": "memory://here"},
            files=self.settings.files,
            expires_at=time.time() + 60,
            revocation=Revocation("memory", self.name, {"name": self.name}, issued, expires_at=time.time() + 60),
        )

    @classmethod
    def revoke(cls, revocation: Revocation, context: Context) -> None:
        WORLD.call(f"revoke {revocation.label}")
        WORLD.revoked.append(revocation.label)

    def trust(self, claims: Mapping[str, Any]) -> Trust:
        return Trust("memory rule", f"allow {claims['sub']}")


class MemoryManager(Manager):
    """Reads WORLD.documents."""

    scheme = "memory"
    provider = "memory"
    renew: Callable[[], float] = staticmethod(lambda: 60.0)

    @classmethod
    def check(cls, read: Read) -> None:
        return

    def read(self, read: Read) -> Document:
        WORLD.call(f"read {read.path}")
        renewal = None
        if read.path in WORLD.dynamic:
            assert self.lease.revocation is not None
            self.lease.revocation.add_child(read.path)
            renewal = Renewal(str(read), 60, time.time() + 60, self.renew)
        return Document(str(read), WORLD.documents[read.path], renewal=renewal)


class MemoryTokens:
    """A token source that counts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []

    def token(self, audience: str, *, fresh: bool = False) -> IdentityToken:
        """A token with a subject."""
        self.asked.append((audience, fresh))
        return IdentityToken(
            Secret("a.b.c"), {"sub": "repo:acme/trainer", "exp": time.time() + 300}, "test", "test", audience
        )

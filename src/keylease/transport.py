"""Connections that can be cut from outside: what urllib3 and requests need so that an attempt can end in time."""

import contextlib
import socket
import threading
import time
from typing import Any

from keylease.lean import lean_imports

with lean_imports():
    import requests.adapters
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class AttemptTimeoutError(OSError):
    """One attempt took longer than it may."""


class Watchdog:
    """Cuts the connection of an attempt that outlives its time.

    Socket timeouts restart with every byte: a server that drips one byte a second would hold us for ever.
    One daemon thread serves all attempts of the process.
    """

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._attempts: dict[object, tuple[float, Attempt]] = {}
        self._running = False

    def add(self, attempt: "Attempt", until: float) -> None:
        with self._wake:
            idle = not self._attempts or until < min(at for at, _ in self._attempts.values())
            self._attempts[attempt] = (until, attempt)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="keylease-http-watchdog", daemon=True).start()
            elif idle:
                self._wake.notify()

    def discard(self, attempt: "Attempt") -> None:
        with self._wake:
            self._attempts.pop(attempt, None)

    def _run(self) -> None:
        while True:
            with self._wake:
                now = time.monotonic()
                for key in [key for key, (at, _) in self._attempts.items() if at <= now]:
                    self._attempts.pop(key)[1].cut()
                nearest = min((at for at, _ in self._attempts.values()), default=None)
                self._wake.wait(None if nearest is None else max(0.0, nearest - now))


watchdog = Watchdog()
current = threading.local()


class Attempt:
    """One request on the wire, and the connection that carries it."""

    def __init__(self) -> None:
        self.connection: HTTPConnection | None = None
        self.timed_out = False

    def cut(self) -> None:
        self.timed_out = True
        sock = getattr(self.connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    def connect(self) -> None:
        _claim(self)
        super().connect()

    def request(self, *args: Any, **kwargs: Any) -> None:
        _claim(self)
        super().request(*args, **kwargs)


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        _claim(self)
        super().connect()

    def request(self, *args: Any, **kwargs: Any) -> None:
        _claim(self)
        super().request(*args, **kwargs)


def _claim(connection: HTTPConnection) -> None:
    attempt: Attempt | None = getattr(current, "attempt", None)
    if attempt is not None:
        attempt.connection = connection


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class Adapter(requests.adapters.HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

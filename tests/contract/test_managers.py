"""What every secrets manager keeps to. One harness per implementation; the battery runs on each."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from urllib.parse import quote

import pytest

from keylease.errors import NotFoundError, RefusedError, UsageError
from keylease.managers.base import Manager
from keylease.model import Document, Read, Seal
from keylease.registry import MANAGERS
from tests.fakes.misbehaving import Proxy, drop, status
from tests.integration.vault_job import Job, read_of
from tests.leaks import Seeded
from tests.servers.trust import Trust


class Harness(ABC):
    """A real store with one secret in it, behind a proxy that can misbehave."""

    proxy: Proxy
    seal: Seal

    @abstractmethod
    def manager(self) -> Manager:
        """With a lease that may read what `put` writes."""

    @abstractmethod
    def put(self, name: str, fields: Mapping[str, object]) -> Read:
        """Store a secret; returns the request that reads it."""

    @abstractmethod
    def missing(self) -> Read:
        """A request for what was never stored."""

    @abstractmethod
    def forbidden(self) -> Read:
        """A request that the lease may not make."""

    @abstractmethod
    def reads(self) -> int:
        """How often the store was asked for a secret."""

    @abstractmethod
    def path_pattern(self) -> str:
        """Of the reading requests, for the proxy's faults."""


class VaultHarness(Harness):
    def __init__(self, trust: Trust, proxy: Proxy) -> None:
        self.proxy = proxy
        self._job = Job(trust, url=proxy.url)
        self._kv = trust.kv
        self.seal = self._job.context.seal

    def manager(self) -> Manager:
        return self._job.manager()

    def put(self, name: str, fields: Mapping[str, object]) -> Read:
        self._kv.put(quote(name), fields)
        return read_of(f"{self._kv.mount}/{name}")

    def missing(self) -> Read:
        return read_of(f"{self._kv.mount}/never/written")

    def forbidden(self) -> Read:
        return read_of("secret/of/somebody/else")

    def reads(self) -> int:
        return sum(count for path, count in self.proxy.counts.items() if path.startswith(f"/v1/{self._kv.mount}/"))

    def path_pattern(self) -> str:
        return f"/v1/{self._kv.mount}/*"


@pytest.fixture(params=["vault"])
def harness(request: pytest.FixtureRequest, proxy: Proxy) -> Harness:
    """Each implementation in turn."""
    make: Mapping[str, Callable[[], Harness]] = {
        "vault": lambda: VaultHarness(request.getfixturevalue("trust"), proxy),
    }
    return make[request.param]()


def test_every_registered_manager_is_in_this_battery() -> None:
    params = harness._fixture_function_marker.params
    assert set(params or ()) == set(MANAGERS)


def test_values_come_back_as_they_were_stored(harness: Harness, seeded: Seeded) -> None:
    fields: dict[str, object] = {
        "plain": seeded.new("plain"),
        "lines": f"{seeded.new('first')}\r\n{seeded.new('second')}\n",
        "odd": seeded.new("odd") + "\"'$(x)%0A\u00e9\u4e2d\t",
        "empty": "",
        "a.b/c d": seeded.new("dots"),
        "nested": {"list": [{"deep": seeded.new("deep")}]},
    }
    document = harness.manager().read(harness.put("ci", fields))
    assert set(document.names()) == set(fields)
    for name in ("plain", "lines", "odd", "empty", "a.b/c d"):
        assert document.value([name], harness.seal).reveal() == fields[name]
    assert document.value(["nested", "list", "0", "deep"], harness.seal).reveal().startswith("deep")


def test_a_document_does_not_show_its_values(harness: Harness, seeded: Seeded) -> None:
    value = seeded.new("hidden")
    document = harness.manager().read(harness.put("ci", {"password": value}))
    assert value not in repr(document)
    assert value not in str(document)


def test_one_request_for_a_secret(harness: Harness) -> None:
    read = harness.put("many", {f"field{n}": f"value-{n}" for n in range(20)})
    document = harness.manager().read(read)
    assert len([document.value([name], harness.seal) for name in document.names()]) == 20
    assert harness.reads() == 1


@pytest.mark.parametrize("name", ["a b", "ü/中文", "q?x=1#y", "100%", "a+b&c;d", "dots.and-dashes_"])
def test_odd_names(harness: Harness, name: str) -> None:
    harness.put("one/q", {"wrong": "value-0"})
    read = harness.put(f"one/{name}", {"k": "value-1"})
    assert harness.manager().read(read).names() == ["k"]


def test_what_is_missing_is_not_found(harness: Harness) -> None:
    started = time.monotonic()
    with pytest.raises(NotFoundError) as caught:
        harness.manager().read(harness.missing())
    assert time.monotonic() - started < 0.5
    assert harness.reads() == 1, "permanent: asked once"
    assert str(harness.missing()) in caught.value.summary


def test_a_missing_field_names_those_there_are(harness: Harness) -> None:
    document = harness.manager().read(harness.put("ci", {"user": "value-u", "password": "value-p"}))
    with pytest.raises(NotFoundError) as caught:
        document.value(["passwort"], harness.seal)
    assert "user, password" in caught.value.cause or "password, user" in caught.value.cause
    assert "value-" not in caught.value.diagnostics(debug=True)


def test_what_is_forbidden_says_what_would_allow_it(harness: Harness) -> None:
    read = harness.forbidden()
    started = time.monotonic()
    with pytest.raises(RefusedError) as caught:
        harness.manager().read(read)
    assert time.monotonic() - started < 0.5
    assert not isinstance(caught.value, NotFoundError)
    assert str(read) in caught.value.summary
    assert caught.value.cause
    assert caught.value.change


@pytest.mark.parametrize("path", ["kv/../sys", "kv/./x", "kv//x", "kv/a\nb", "kv/a\0b", "..", ""])
def test_dangerous_paths_are_refused_before_anything_is_sent(harness: Harness, path: str) -> None:
    read = harness.missing()
    bad = Read(read.provider, read.scheme, path)
    with pytest.raises(UsageError):
        type(harness.manager()).check(bad)
    sent = len(harness.proxy.requests)
    with pytest.raises(UsageError):
        harness.manager().read(bad)
    assert len(harness.proxy.requests) == sent


def test_unknown_options_are_refused(harness: Harness) -> None:
    read = harness.missing()
    with pytest.raises(UsageError, match="nosuch"):
        type(harness.manager()).check(Read(read.provider, read.scheme, read.path, (("nosuch", "1"),)))


@pytest.mark.parametrize("fault", [status(503), drop()], ids=["503", "drop"])
def test_one_fault_is_survived(harness: Harness, fault: object) -> None:
    read = harness.put("ci", {"k": "value-1"})
    harness.proxy.fail(harness.path_pattern(), fault)  # type: ignore[arg-type]
    assert harness.manager().read(read).names() == ["k"]
    assert harness.reads() == 2


def test_many_threads_at_once(harness: Harness) -> None:
    reads = [harness.put(f"n{n}", {"k": f"value-{n}"}) for n in range(16)]
    manager = harness.manager()
    found: dict[int, Document] = {}

    def run(n: int) -> None:
        found[n] = manager.read(reads[n])

    threads = [threading.Thread(target=run, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n].value(["k"], harness.seal).reveal() for n in range(16)] == [f"value-{n}" for n in range(16)]
    assert harness.reads() == 16

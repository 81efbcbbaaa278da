"""What every secrets manager keeps to. One harness per implementation; the battery runs on each."""

import importlib
import threading
import time
from fnmatch import fnmatchcase

import pytest

from keylease.errors import NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.model import Document, Read
from keylease.registry import EXCHANGERS, MANAGERS
from keylease.sync.naming import Pattern
from tests.contract.manager_harness import ManagerHarness
from tests.fakes.misbehaving import drop, reply, status
from tests.leaks import Seeded


@pytest.fixture(params=list(MANAGERS))
def harness(request: pytest.FixtureRequest) -> ManagerHarness:
    """Each registered implementation in turn: `make` of tests/contract/manager_<scheme>.py."""
    module = importlib.import_module(f"tests.contract.manager_{request.param.replace('-', '_')}")
    made: ManagerHarness = module.make(request)
    return made


@pytest.mark.parametrize("scheme", list(MANAGERS))
def test_a_manager_belongs_to_a_provider(scheme: str) -> None:
    manager = MANAGERS.load(scheme)
    assert manager.scheme == scheme
    assert manager.provider in EXCHANGERS


def test_values_come_back_as_they_were_stored(harness: ManagerHarness, seeded: Seeded) -> None:
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


def test_a_document_does_not_show_its_values(harness: ManagerHarness, seeded: Seeded) -> None:
    value = seeded.new("hidden")
    document = harness.manager().read(harness.put("ci", {"password": value}))
    assert value not in repr(document)
    assert value not in str(document)


def test_one_request_for_a_secret(harness: ManagerHarness) -> None:
    read = harness.put("many", {f"field{n}": f"value-{n}" for n in range(20)})
    document = harness.manager().read(read)
    assert len([document.value([name], harness.seal) for name in document.names()]) == 20
    assert harness.reads() == 1


def test_odd_names(harness: ManagerHarness) -> None:
    harness.put("q", {"wrong": "value-0"})
    for name in harness.odd_names:
        read = harness.put(name, {"k": "value-1"})
        assert harness.manager().read(read).names() == ["k"], name


def test_a_secret_that_is_one_text(harness: ManagerHarness, seeded: Seeded) -> None:
    manager = harness.manager()
    if not harness.whole_text:
        with pytest.raises(UsageError, match="say which"):
            manager.read(harness.put("ci", {"a": "1", "b": "2"})).value(None, harness.seal)
        return
    text = f"{seeded.new('line')}\n{seeded.new('second')}\u00e9\n"
    document = manager.read(harness.put_text("one-text", text))
    assert document.value(None, harness.seal).reveal() == text
    with pytest.raises(UsageError, match="no fields"):
        document.names()
    with pytest.raises(NotFoundError):
        document.value(["password"], harness.seal)


def test_what_is_missing_is_not_found(harness: ManagerHarness) -> None:
    started = time.monotonic()
    with pytest.raises(NotFoundError) as caught:
        harness.manager().read(harness.missing())
    assert time.monotonic() - started < 0.5
    assert harness.reads() == 1, "permanent: asked once"
    assert str(harness.missing()) in caught.value.summary


def test_a_missing_field_names_those_there_are(harness: ManagerHarness) -> None:
    document = harness.manager().read(harness.put("ci", {"user": "value-u", "password": "value-p"}))
    with pytest.raises(NotFoundError) as caught:
        document.value(["passwort"], harness.seal)
    assert "user, password" in caught.value.cause or "password, user" in caught.value.cause
    assert "value-" not in caught.value.diagnostics(debug=True)


def test_what_is_forbidden_says_what_would_allow_it(harness: ManagerHarness) -> None:
    read = harness.forbidden()
    started = time.monotonic()
    with pytest.raises(RefusedError) as caught:
        harness.manager().read(read)
    assert time.monotonic() - started < 0.5
    assert not isinstance(caught.value, NotFoundError)
    assert str(read) in caught.value.summary
    assert caught.value.cause
    assert caught.value.change


@pytest.mark.parametrize("path", ["a/../b", "a/./b", "a//b", "a/b\nc", "a/b\0c", "..", ""])
def test_dangerous_paths_are_refused_before_anything_is_sent(harness: ManagerHarness, path: str) -> None:
    _refused_unsent(harness, path)


def test_paths_that_this_manager_refuses(harness: ManagerHarness) -> None:
    for path in harness.bad_paths:
        _refused_unsent(harness, path)


def _refused_unsent(harness: ManagerHarness, path: str) -> None:
    read = harness.missing()
    manager = harness.manager()
    bad = Read(read.provider, read.scheme, path)
    with pytest.raises(UsageError):
        type(manager).check(bad)
    sent = len(harness.proxy.requests)
    with pytest.raises(UsageError):
        manager.read(bad)
    assert len(harness.proxy.requests) == sent, path


def test_unknown_options_are_refused(harness: ManagerHarness) -> None:
    read = harness.missing()
    with pytest.raises(UsageError, match="nosuch"):
        type(harness.manager()).check(Read(read.provider, read.scheme, read.path, (("nosuch", "1"),)))


@pytest.mark.parametrize("fault", [status(503), drop()], ids=["503", "drop"])
def test_one_fault_is_survived(harness: ManagerHarness, fault: object) -> None:
    read = harness.put("ci", {"k": "value-1"})
    harness.proxy.fail(harness.path_pattern, fault)  # type: ignore[arg-type]
    assert harness.manager().read(read).names() == ["k"]
    assert harness.reads() == 2


def test_many_threads_at_once(harness: ManagerHarness) -> None:
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


@pytest.mark.parametrize(
    "answer",
    [
        reply(body=b"<html>login</html>", content_type="text/html"),
        reply(body=b"{"),
        reply(json=[]),
        reply(json={}),
        reply(json={"data": 1, "value": 1, "payload": [], "SecretString": {}, "Parameters": 1}),
    ],
    ids=["html", "cut", "list", "empty", "types"],
)
def test_garbage_is_never_a_secret(harness: ManagerHarness, answer: object) -> None:
    read = harness.put("ci", {"k": "value-1"})
    manager = harness.manager()
    harness.proxy.fail(harness.path_pattern, *[answer] * 8)  # type: ignore[arg-type]
    with pytest.raises((UnreachableError, NotFoundError)):
        manager.read(read)


def test_many_at_once_keep_their_order_and_their_faults(harness: ManagerHarness) -> None:
    reads = [harness.put(f"m{n}", {"k": f"value-{n}"}) for n in range(12)]
    wanted = [*reads[:5], harness.missing(), *reads[5:]]
    manager = harness.manager()
    groups = manager.grouped(wanted)
    assert sorted(map(str, (read for group in groups for read in group))) == sorted(map(str, wanted))
    found = {read: one for group in groups for read, one in zip(group, manager.read_many(group), strict=True)}
    for n, read in enumerate(reads):
        document = found[read]
        assert isinstance(document, Document)
        assert document.value(["k"], harness.seal).reveal() == f"value-{n}"
    assert isinstance(found[harness.missing()], NotFoundError)


# Patterns.


def found(harness: ManagerHarness, text: str) -> list[str]:
    """As a sync asks for a pattern."""
    read = harness.pattern(text)
    pattern = Pattern(read.path)
    paths = harness.manager().find(read, pattern.parent, pattern.prefix, deep=pattern.deep)
    assert len(set(paths)) == len(paths)
    return sorted(path for path in paths if pattern.matches(path))


def test_a_pattern_finds_what_is_there_and_can_be_read(harness: ManagerHarness) -> None:
    stored = [harness.put(f"a{n}", {"k": f"value-{n}"}) for n in range(harness.page + 2)]
    harness.put("b0", {"k": "value-b"})
    harness.put("A-upper", {"k": "value-upper"})
    assert found(harness, "a*") == sorted(read.path for read in stored)
    assert found(harness, "a?") == sorted(read.path for read in stored[:10])
    assert found(harness, "[bx]*") == [harness.pattern("b0").path]
    first = found(harness, "a*")[0]
    read = stored[0]
    assert harness.manager().read(Read(read.provider, read.scheme, first, read.options)).names() == ["k"]


def test_a_pattern_that_nothing_matches(harness: ManagerHarness) -> None:
    harness.put("a0", {"k": "value-a"})
    assert found(harness, "zz*") == []


def test_a_pattern_of_any_depth(harness: ManagerHarness) -> None:
    if harness.flat:
        return  # test_a_pattern_finds_what_is_there: there are no segments
    for name in ("top", "x/one", "x/y/two", "xy/three"):
        harness.put(name, {"k": "value"})

    def all_of(*names: str) -> list[str]:
        return sorted(harness.pattern(name).path for name in names)

    assert found(harness, "*") == all_of("top")
    assert found(harness, "x/*") == all_of("x/one")
    assert found(harness, "x/**") == all_of("x/one", "x/y/two")
    assert found(harness, "**") == all_of("top", "x/one", "x/y/two", "xy/three")
    assert found(harness, "**/t*") == all_of("top", "x/y/two", "xy/three")
    assert found(harness, "x*/*") == all_of("x/one", "xy/three")


def test_a_list_that_is_refused_is_not_taken_for_an_empty_one(harness: ManagerHarness) -> None:
    harness.put("a0", {"k": "value-a"})
    manager = harness.manager()
    harness.close_lists()
    read = harness.pattern("a*")
    pattern = Pattern(read.path)
    harness.proxy.counts.clear()
    with pytest.raises(RefusedError) as caught:
        manager.find(read, pattern.parent, pattern.prefix, deep=False)
    asked = sum(n for path, n in harness.proxy.counts.items() if fnmatchcase(path, harness.list_pattern))
    assert asked == 1, "permanent: the list is asked for once"
    assert str(read) in caught.value.summary
    assert harness.unlisted in f"{caught.value.summary} {caught.value.cause} {caught.value.change}"


def test_patterns_that_can_not_be_listed(harness: ManagerHarness) -> None:
    manager = harness.manager()
    for text in harness.bad_patterns:
        read = harness.pattern(text)
        pattern = Pattern(read.path)
        sent = len(harness.proxy.requests)
        with pytest.raises(UsageError):
            manager.find(read, pattern.parent, pattern.prefix, deep=pattern.deep)
        assert len(harness.proxy.requests) == sent, text


@pytest.mark.parametrize("fault", [status(503), drop()], ids=["503", "drop"])
def test_one_fault_of_a_list_is_survived(harness: ManagerHarness, fault: object) -> None:
    stored = harness.put("a0", {"k": "value-1"})
    manager = harness.manager()
    harness.proxy.fail(harness.list_pattern, fault)  # type: ignore[arg-type]
    read = harness.pattern("a*")
    assert stored.path in manager.find(read, Pattern(read.path).parent, "a", deep=False)


@pytest.mark.parametrize(
    "answer",
    [
        reply(body=b"<html>login</html>", content_type="text/html"),
        reply(body=b"{"),
        reply(json=[1]),
        reply(json={"data": 1, "value": 1, "secrets": 1, "SecretList": {}, "Parameters": 1}),
        reply(json={"data": {"keys": [1]}, "value": [{}], "SecretList": [{}], "Parameters": ["x"]}),
    ],
    ids=["html", "cut", "list", "types", "items"],
)
def test_garbage_is_never_a_list(harness: ManagerHarness, answer: object) -> None:
    harness.put("a0", {"k": "value-1"})
    manager = harness.manager()
    read = harness.pattern("a*")
    harness.proxy.fail(harness.list_pattern, *[answer] * 8)  # type: ignore[arg-type]
    with pytest.raises(UnreachableError):
        manager.find(read, Pattern(read.path).parent, "a", deep=False)


def test_a_list_ends(harness: ManagerHarness) -> None:
    if harness.endless is None:
        return  # its lists have no pages
    manager = harness.manager()
    read = harness.pattern("x*")
    harness.proxy.always(harness.list_pattern, reply(json=harness.endless))
    before = len(harness.proxy.requests)
    with pytest.raises(UnreachableError, match="does not end"):
        manager.find(read, Pattern(read.path).parent, "x", deep=False)
    assert len(harness.proxy.requests) - before < 10

"""The lease pipeline's own logic: order, one request per document, all or nothing."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from keylease.context import Context
from keylease.errors import DeadlineError, NotFoundError, RefusedError, UsageError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Deliver, LeaseFile, Origin, Plan, Provider, Read, Revocation, Use, normalised
from keylease.pipelines.lease import LeaseRun, Taken
from keylease.secret import Secret
from tests.fakes.memory import MemorySettings, MemoryTokens, World


def provider(name: str = "main", **more: Any) -> Provider:
    needs = more.pop("needs", {})
    return Provider(name, "memory", MemorySettings(**more), needs=needs)


def deliver(path: str, selector: Any, name: str, **more: Any) -> Deliver:
    return Deliver(Read(more.pop("provider", "main"), "memory", path), selector, name, **more)


def plan(*deliveries: Deliver, providers: Sequence[Provider] = (), **more: Any) -> Plan:
    chosen = providers or [provider()]
    return Plan({p.name: p for p in chosen}, deliveries=deliveries, **more)


def take(chosen: Plan, context: Context, **more: Any) -> Taken:
    return LeaseRun(chosen, context, more.pop("tokens", MemoryTokens()), **more).take()


def test_exports_come_in_the_order_asked_with_one_request_per_path(world: World, context: Context) -> None:
    world.documents = {"a": {"x": "value-ax", "y": "value-ay"}, "b": {"x": "value-bx"}}
    world.delays = {"read a": 0.1}
    taken = take(plan(deliver("a", ["x"], "AX"), deliver("b", None, "B"), deliver("a", ["y"], "AY")), context)
    assert [(e.name, e.value.reveal()) for e in taken.exports] == [
        ("AX", "value-ax"),
        ("B", "value-bx"),
        ("AY", "value-ay"),
    ]
    assert sorted(world.calls) == ["login main", "read a", "read b"]


def test_independent_reads_go_side_by_side(world: World, context: Context) -> None:
    names = [f"p{n}" for n in range(8)]
    world.documents = {name: {"x": name} for name in names}
    world.delays = {f"read {name}": 0.2 for name in names}
    start = time.monotonic()
    take(plan(*(deliver(name, ["x"], name) for name in names)), context)
    assert time.monotonic() - start < 1.0


def test_wildcards(world: World, context: Context) -> None:
    world.documents = {"a": {"db.user-name": "value-1", "Plain": "value-2"}}
    keep = take(plan(deliver("a", "**", "pre_")), context)
    assert [(e.name, e.output_name) for e in keep.exports] == [
        ("pre_db__username", "pre_db__username"),
        ("pre_Plain", "pre_Plain"),
    ]
    upper = take(plan(deliver("a", "*", "")), context)
    assert [(e.name, e.output_name) for e in upper.exports] == [("DB__USERNAME", "db__username"), ("PLAIN", "Plain")]


@pytest.mark.parametrize(("name", "expected"), [("a.b", "a__b"), ("a-b", "ab"), ("a b$c", "abc"), ("é_1", "é_1")])
def test_names_are_made_as_vault_action_makes_them(name: str, expected: str) -> None:
    assert normalised(name) == expected


def test_use_exports_what_the_provider_offers_under_the_names_wanted(world: World, context: Context) -> None:
    taken = take(Plan({"main": provider()}, uses=[Use("main", {"MEMORY_TOKEN": "MY_TOKEN"})]), context)
    assert [(e.name, e.value.reveal()) for e in taken.exports] == [
        ("MY_TOKEN", "issued-token-main"),
        ("MEMORY_ADDR", "memory://here"),
    ]
    assert b"memory://here" not in list(context.masker.patterns())


def test_files_of_a_lease_become_exports_and_follow_renamed_variables(world: World, context: Context) -> None:
    files = [
        LeaseFile("TOKEN_FILE", "token", Secret("t"), fresh=lambda token: token.jwt),
        LeaseFile("CREDENTIALS", "c.json", render=lambda paths: Secret(f"@{paths['TOKEN_FILE']}"), also=["SAME"]),
    ]
    use = Use("main", {"TOKEN_FILE": "MY_FILE", "SAME": "MINE_TOO"})
    taken = take(Plan({"main": provider(files=files)}, uses=[use]), context)
    token, credentials, same = taken.exports[-3:]
    assert (token.name, token.file, token.value.reveal()) == ("MY_FILE", "main-token", "t")
    assert (credentials.name, credentials.file) == ("CREDENTIALS", "main-c.json")
    assert credentials.render is not None
    assert credentials.render({"MY_FILE": "/tmp/t"}).reveal() == "@/tmp/t"
    assert (same.name, same.path_of, same.file) == ("MINE_TOO", "CREDENTIALS", None)
    (kept,) = taken.kept
    assert (kept.name, kept.audience) == ("MY_FILE", "memory")


def test_a_provider_nobody_uses_is_not_logged_in_to(world: World, context: Context) -> None:
    world.documents = {"a": {"x": "value-x"}}
    take(plan(deliver("a", ["x"], "X"), providers=[provider(), provider("idle")]), context)
    assert "login idle" not in world.calls


def test_no_identity_token_is_asked_for_where_none_is_needed(world: World, context: Context) -> None:
    tokens = MemoryTokens()
    take(Plan({"main": provider(wanted=None)}, uses=[Use("main")]), context, tokens=tokens)
    assert tokens.asked == []


def test_a_setting_read_with_another_lease(world: World, context: Context) -> None:
    world.documents = {"boot": {"id": "the-secret-id"}}
    needs = {"secret_id": deliver("boot", ["id"], "secret_id", provider="first")}
    take(Plan({"second": provider("second", needs=needs), "first": provider("first")}, uses=[Use("second")]), context)
    assert world.calls == ["login first", "read boot", "login second", "secret_id the-secret-id"]


def test_all_or_nothing_what_was_leased_is_given_back(world: World, context: Context) -> None:
    world.documents = {"a": {"x": "value-x"}}
    world.faults = {"read b": [RefusedError("memory: b: 403")]}
    with pytest.raises(RefusedError, match="403"):
        take(plan(deliver("a", ["x"], "X"), deliver("b", ["x"], "Y")), context)
    assert world.revoked == ["main"]


def test_one_login_refused_gives_back_the_others(world: World, context: Context) -> None:
    world.faults = {"login two": [RefusedError("memory: two: refused")]}
    world.delays = {"login one": 0.1}
    with pytest.raises(RefusedError):
        take(Plan({"one": provider("one"), "two": provider("two")}, uses=[Use("one"), Use("two")]), context)
    assert world.revoked == ["one"]


def test_all_failures_are_told_the_first_one_leads(world: World, context: Context) -> None:
    world.documents = {"a": {"x": "value-x"}}
    world.faults = {"read b": [RefusedError("b")], "read c": [NotFoundError("c")]}
    with pytest.raises(RefusedError, match=r"^b$") as caught:
        take(plan(deliver("b", ["x"], "B"), deliver("a", ["x"], "A"), deliver("c", ["x"], "C")), context)
    assert [str(error) for error in caught.value.also] == ["c"]


def test_missing_fields_are_told_together(world: World, context: Context) -> None:
    world.documents = {"a": {"x": "value-x"}}
    with pytest.raises(NotFoundError, match="'y'") as caught:
        take(plan(deliver("a", ["y"], "Y"), deliver("a", ["z"], "Z")), context)
    assert "'z'" in str(caught.value.also[0])
    assert world.revoked == ["main"]


def test_what_is_not_required_may_be_missing_with_a_warning(world: World, context: Context) -> None:
    world.documents = {"a": {"x": "value-x"}}
    world.faults = {"read gone": [NotFoundError("memory://gone: there is nothing")]}
    chosen = plan(
        deliver("gone", ["x"], "GONE", required=False),
        deliver("a", ["nope"], "NOPE", required=False),
        deliver("a", ["x"], "X"),
    )
    taken = take(chosen, context)
    assert [e.name for e in taken.exports] == ["X"]
    assert [w.split(":")[0] for w in taken.warnings] == ["memory", "memory"]


def test_not_required_never_hides_a_refusal(world: World, context: Context) -> None:
    world.faults = {"read a": [RefusedError("403")]}
    with pytest.raises(RefusedError):
        take(plan(deliver("a", ["x"], "X", required=False)), context)


def test_an_identity_token_that_expired_on_the_way_is_fetched_anew_once(world: World, context: Context) -> None:
    expired = RefusedError("memory: token is expired")
    expired.retry_with_new_token = True
    world.faults = {"login main": [expired]}
    tokens = MemoryTokens()
    take(Plan({"main": provider()}, uses=[Use("main")]), context, tokens=tokens)
    assert tokens.asked == [("memory", False), ("memory", True)]
    world.faults = {"login main": [expired, expired]}
    with pytest.raises(RefusedError):
        take(Plan({"main": provider()}, uses=[Use("main")]), context)


def test_a_refusal_is_not_tried_again(world: World, context: Context) -> None:
    world.faults = {"login main": [RefusedError("no")]}
    with pytest.raises(RefusedError):
        take(Plan({"main": provider()}, uses=[Use("main")]), context)
    assert world.calls == ["login main"]


def test_revocations_are_remembered_before_anything_is_read_and_again_when_they_grew(
    world: World, context: Context
) -> None:
    world.documents = {"creds": {"password": "value-p"}}
    world.dynamic = {"creds"}
    seen: list[tuple[list[str], list[str]]] = []

    def remember(revocations: Sequence[Revocation]) -> None:
        seen.append(([child for r in revocations for child in r.children], list(world.calls)))

    taken = take(plan(deliver("creds", ["password"], "P")), context, remember=remember)
    assert seen[0] == ([], ["login main"])
    assert seen[-1][0] == ["creds"]
    assert len(taken.renewals) == 1


@pytest.mark.parametrize(
    ("decode", "stored", "expected"),
    [
        ("base64", "aGVsbG8gd29ybGQ=", b"hello world"),
        ("base64", "aGVsbG8g\nd29ybGQ=\n", b"hello world"),
        ("base64", "//4AAQ==", b"\xff\xfe\x00\x01"),
        ("base64url", "__4AAQ", b"\xff\xfe\x00\x01"),
        ("hex", "FFfe0001", b"\xff\xfe\x00\x01"),
    ],
)
def test_decoding(world: World, context: Context, decode: Any, stored: str, expected: bytes) -> None:
    world.documents = {"a": {"x": stored}}
    taken = take(plan(deliver("a", ["x"], "X", decode=decode)), context)
    assert taken.exports[0].value.reveal_bytes() == expected
    assert expected in list(context.masker.patterns())


@pytest.mark.parametrize(("decode", "stored"), [("base64", "not base64!"), ("hex", "xyz"), ("base64url", "Zq9!x")])
def test_what_can_not_be_decoded_is_told_without_the_value(
    world: World, context: Context, decode: Any, stored: str
) -> None:
    world.documents = {"a": {"x": stored}}
    origin = Origin("keylease.yml", 7, "leases[0].decode")
    with pytest.raises(UsageError, match=rf"^keylease\.yml:7: leases\[0\]\.decode: .* is not {decode}$") as caught:
        take(plan(deliver("a", ["x"], "X", decode=decode, origin=origin)), context)
    assert stored not in caught.value.diagnostics(debug=True)
    assert caught.value.__cause__ is None


def test_a_provider_of_another_type_can_not_read(world: World, context: Context) -> None:
    chosen = Plan({"main": Provider("main", "vault", None)}, deliveries=[deliver("a", ["x"], "X")])
    with pytest.raises(UsageError, match="provider 'main' can't read memory://a"):
        take(chosen, context)
    assert world.calls == []


def test_the_deadline_ends_it_and_what_was_taken_is_given_back(world: World) -> None:
    world.documents = {"a": {"x": "value-x"}}
    world.delays = {"read a": 5}
    start = time.monotonic()
    with pytest.raises(DeadlineError, match="reading secrets"):
        take(plan(deliver("a", ["x"], "X")), Context({}, Masker(), Deadline(2.0, reserve=1.5)))
    assert time.monotonic() - start < 4
    assert world.revoked == ["main"]


def test_a_login_that_ends_after_the_run_was_given_up_is_revoked_at_once(world: World) -> None:
    world.delays = {"login main": 0.8}
    with pytest.raises(DeadlineError, match="logging in"):
        take(Plan({"main": provider()}, uses=[Use("main")]), Context({}, Masker(), Deadline(0.3)))
    until = time.monotonic() + 3
    while not world.revoked and time.monotonic() < until:
        time.sleep(0.02)
    assert world.revoked == ["main"]


def test_failing_to_give_back_warns_with_the_expiry_and_keeps_the_first_error(
    world: World, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    world.faults = {"read a": [RefusedError("403 on a")], "revoke main": [RefusedError("can't revoke")]}
    with caplog.at_level(logging.WARNING, "keylease"), pytest.raises(RefusedError, match="403 on a"):
        take(plan(deliver("a", ["x"], "X")), context)
    assert "main is not revoked and lives until 20" in caplog.text


def test_an_interrupt_gives_back_what_was_taken(world: World, context: Context) -> None:
    world.documents = {"a": {"x": "value-x"}}
    world.dynamic = {"a"}
    run = LeaseRun(plan(deliver("a", ["x"], "X")), context, MemoryTokens(), _interrupting)
    with pytest.raises(KeyboardInterrupt):
        run.take()
    assert world.revoked == ["main"]


def _interrupting(_: Sequence[Revocation]) -> None:
    if threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt

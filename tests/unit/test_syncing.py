"""The command around a sync: what it takes as a plan, and the exit codes."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease import syncing
from keylease.config.values import shard_of
from keylease.errors import ExitCode, OutdatedError, PartialError, RefusedError, UsageError
from keylease.outputs.progress import ProgressLine
from keylease.outputs.sync_report import Report, Section, as_json
from keylease.pipelines.sync import PlacePlan, Planned
from keylease.pipelines.sync_apply import Applied, Failed
from keylease.sync.model import Action, Change, Effect, Slot
from keylease.syncing import Outcome, Request, verdict

LOG = logging.getLogger("test-syncing")
FINE = "f" * 64


def plan_of(fingerprint: str = FINE, address: str = "a", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        json.dumps(as_json(Report([Section("one", address, [], "", fingerprint)], **more)))
    )
    return found


def read(tmp_path: Path, content: bytes) -> Mapping[str, Any]:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    return syncing._read_plan(str(path), "--")


# Plans in files.


def test_a_plan_of_ours_is_taken(tmp_path: Path) -> None:
    wanted = plan_of(shard=(2, 4), adopt=["X"], only=["one"])
    assert read(tmp_path, json.dumps(wanted).encode()) == wanted


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"format": "1"}, {"format": None}, {"shard": [1]}, {"shard": [0, 1]}, {"shard": [3, 2]},
        {"shard": ["1", "1"]}, {"shard": 1}, {"shard": {}}, {"adopt": [1]}, {"adopt": 1}, {"adopt": None},
        {"only": [1]}, {"only": None}, {"places": 1}, {"places": [1]}, {"places": [{}]}, {"places": None},
        {"places": [{"sync": "one", "address": "a", "fingerprint": None}]},
        {"places": [{"sync": ["one"], "address": "a", "fingerprint": ""}]},
    ],
)  # fmt: skip
def test_what_is_no_plan_says_how_to_make_one(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is no plan") as caught:
        read(tmp_path, json.dumps({**plan_of(), **change}).encode())
    assert "sync plan --format json" in caught.value.change


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"9" * 9999])
def test_what_is_no_json(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UsageError, match="is no plan"):
        read(tmp_path, content)


def test_a_missing_field(tmp_path: Path) -> None:
    for key in ("format", "shard", "adopt", "only", "places"):
        found = plan_of()
        del found[key]
        with pytest.raises(UsageError, match="is no plan"):
            read(tmp_path, json.dumps(found).encode())


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3)
       | st.dictionaries(st.sampled_from(["sync", "address", "fingerprint", "x"]), inner, max_size=4), max_leaves=8),
       st.sampled_from(["shard", "adopt", "only", "places"]))  # fmt: skip
def test_any_json_is_a_plan_or_none(tmp_path_factory: pytest.TempPathFactory, value: Any, key: str) -> None:
    directory = tmp_path_factory.mktemp("plan")
    try:
        found = read(directory, json.dumps({**plan_of(), key: value}).encode())
    except UsageError:
        return
    syncing._must_hold(found, Report([])) if not found["places"] else None


def test_another_plan_is_out_of_date() -> None:
    now = Report([Section("one", "a", [], "", FINE), Section("two", "b", [], "", FINE)])
    syncing._must_hold(as_json(now), now)
    for then, count in (
        (Report([Section("one", "a", [], "", FINE)]), 1),
        (Report([]), 2),
        (Report([*now.sections, Section("two", "c", [], "", FINE)]), 1),
        (Report([Section("one", "a", [], "", "e" * 64), now.sections[1]]), 1),
        (Report([Section("one", "a", [], "it could not be listed", ""), now.sections[1]]), 1),
        (Report([Section("three", "a", [], "", FINE), now.sections[1]]), 2),
    ):
        with pytest.raises(OutdatedError, match=f"at {count} place") as caught:
            syncing._must_hold(as_json(then), now)
        assert "nothing has been written" in caught.value.change


# Exit codes.


def outcome(*actions: Action, applied: Applied | None = None, effect: Effect = "none", **more: Any) -> Outcome:
    changes = [Change(Slot("secret", f"N{n}"), action, effect, "why") for n, action in enumerate(actions)]
    place = PlacePlan("one", "a", "memory", changes=changes, error=more.pop("error", None))
    return Outcome(Report([]), Planned([place], **more), applied)


def code(made: Outcome, command: str = "plan", check: bool = False) -> int:
    try:
        return verdict(made, Request(command, check=check), LOG)
    except PartialError as error:
        return error.exit_code


@pytest.mark.parametrize(
    ("actions", "check", "expected"),
    [
        ((), True, ExitCode.OK),
        (("unchanged", "unchanged"), True, ExitCode.OK),
        (("add",), False, ExitCode.OK),
        (("blocked",), False, ExitCode.OK),
        *((("unchanged", action), True, ExitCode.FINDINGS) for action in ("add", "update", "adopt", "orphan")),
        *((("unchanged", action), True, ExitCode.FINDINGS) for action in ("drifted", "blocked")),
    ],
)  # fmt: skip
def test_the_code_of_a_plan(actions: tuple[Action, ...], check: bool, expected: int) -> None:
    assert code(outcome(*actions), check=check) == expected


def test_what_could_not_be_read_is_partial_whatever_was_asked() -> None:
    for check in (False, True):
        assert code(outcome("unchanged", failures=[RefusedError("no")]), check=check) == ExitCode.PARTIAL
        assert code(outcome(error=RefusedError("no")), check=check) == ExitCode.PARTIAL


def test_the_code_of_an_apply() -> None:
    place = outcome("add").planned.places[0]
    assert code(outcome("add", applied=Applied([(place, place.changes[0])])), "apply") == ExitCode.OK
    assert code(outcome("blocked", applied=Applied()), "apply") == ExitCode.PARTIAL
    assert code(outcome("drifted", applied=Applied()), "apply") == ExitCode.OK
    failed = Applied(failed=[Failed(place, place.changes[0], RefusedError("no"))])
    assert code(outcome("add", applied=failed), "apply") == ExitCode.PARTIAL
    assert code(outcome("add", applied=Applied(), failures=[RefusedError("no")]), "apply") == ExitCode.PARTIAL


def test_every_failure_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    made = outcome(
        "add", "blocked", failures=[RefusedError("source")], permissions={"hub": ["read this", "write that"]}
    )
    place = made.planned.places[0]
    made.applied = Applied(
        failed=[Failed(place, place.changes[0], RefusedError("put")), Failed(place, None, RefusedError("ledger"))]
    )
    with caplog.at_level(logging.INFO, LOG.name):
        assert code(made, "apply") == ExitCode.PARTIAL
    for text in (
        "a: secret N0: put",
        "a: ledger",
        "source",
        "target hub:",
        "read this; write that",
        "a: secret N1: why",
    ):
        assert any(text in line for line in caplog.messages), text


def test_one_reason_and_one_cause_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    blocked: tuple[Action, ...] = ("blocked",) * 25
    made = outcome(*blocked)
    place = made.planned.places[0]
    made.planned.failures = [RefusedError(f"source {n}", cause="the role", change="mend it") for n in range(3)]
    made.planned.failures.append(RefusedError("other", cause="the role", change="mend that"))
    made.applied = Applied(failed=[Failed(place, place.changes[0], RefusedError("hub: a: writing N0: HTTP 403"))])
    with pytest.raises(PartialError, match=r"^sync: 30 items failed"):
        verdict(made, Request("apply"), LOG)
    assert caplog.messages[0] == "hub: a: writing N0: HTTP 403", "the place is named already"
    assert "change         mend it" in caplog.messages[1]
    assert caplog.messages[2:4] == [f"source {n} (cause and change: as above)" for n in (1, 2)]
    assert "change         mend that" in caplog.messages[4]
    names = caplog.messages[5]
    assert names.startswith("a: secret N0, secret N1, ")
    assert names.endswith(", secret N19 and 5 more: why")


def test_a_plan_that_could_not_read_all_speaks_of_no_run() -> None:
    with pytest.raises(PartialError) as caught:
        verdict(outcome(failures=[RefusedError("no")]), Request("plan"), LOG)
    assert caught.value.change == "mend them and plan again"


def test_without_a_terminal_progress_is_a_line_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("keylease.outputs.progress.time.monotonic", lambda: now)
    progress = ProgressLine({}, LOG, quiet=False)
    with caplog.at_level(logging.INFO, LOG.name):
        for step in range(1, 200):
            now += 1
            progress("writing", step, 200)
    assert caplog.messages == ["writing: 60 of 200", "writing: 120 of 200", "writing: 180 of 200"]


@pytest.mark.parametrize("text", ["1/1", "3/4", "99999/99999"])
def test_shards(text: str) -> None:
    assert "/".join(map(str, shard_of(text, "--", "sync-shard"))) == text


@pytest.mark.parametrize(
    "text", ["0/1", "2/1", "1", "/", "1/", "/1", "-1/2", "a/b", "1/2/3", "\u00b2/4", "1/9999999999"]
)
def test_no_shards(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        shard_of(text, "--", "sync-shard")

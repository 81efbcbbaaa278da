"""A sync whose time runs out: what was written is noted, the rest is counted, and the next run carries on there."""

import logging
import threading
import time
from collections.abc import Callable

import pytest

from keylease.context import Context
from keylease.errors import DeadlineError, ExitCode, PartialError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.outputs.sync_report import Report
from keylease.pipelines.signals import Interrupted
from keylease.pipelines.sync import PlacePlan, Planned
from keylease.pipelines.sync_apply import Applied, apply
from keylease.secret import Secret
from keylease.sync import ledger as ledgers
from keylease.sync.ledger import Keys
from keylease.sync.model import Policy, Slot, Wanted
from keylease.sync.planner import Case, plan_place
from keylease.syncing import Outcome, Request, verdict
from keylease.targets.base import Place
from tests.fakes.memory_target import MemoryTarget, Site

KEYS = Keys.of(Secret("k" * 32), "a test")
LOG = logging.getLogger("test-sync-deadline")


def planned(target: MemoryTarget, places: int, values: int) -> Planned:
    found = Planned()
    for number in range(places):
        at = Place(f"memory://{number}", "secret", {})
        listing = target.list(at)
        ledger = ledgers.read(at.address, "one", listing.ledgers.get("one", {}), KEYS)
        wanted = [
            Wanted(Slot("secret", f"N{n}"), Secret(f"value-{n}"), f"vault://kv/a#{n}", "vault://kv/*")
            for n in range(values)
        ]
        changes = plan_place(Case(wanted, listing, ledger, KEYS, Policy(), {"vault://kv/*"}), lambda _: "")
        found.places.append(PlacePlan("one", at.address, "memory", {"secret": at}, wanted, listing, ledger, changes))
    return found


def run(target: MemoryTarget, plan: Planned, seconds: float) -> Applied:
    return apply(plan, {"memory": target}, KEYS, Context({}, Masker(), Deadline(seconds)))


def secrets_written(site: Site) -> int:
    return sum(len(values) for values in site.values.values())


def test_what_is_left_is_counted_and_nothing_is_written_twice() -> None:
    site = Site()
    target = MemoryTarget(site)
    site.before = lambda _: time.sleep(0.02)
    applied = run(target, planned(target, places=50, values=3), seconds=1.0)
    assert applied.failed == []
    assert 0 < len(applied.done) < 150
    assert len(applied.done) + len(applied.left) == 150
    assert secrets_written(site) == len(applied.done)
    site.before = lambda _: None
    again = planned(target, places=50, values=3)
    assert sum(change.action == "unchanged" for change in again.changes) == len(applied.done)
    assert len(run(target, again, seconds=60).done) == len(applied.left)


def test_every_change_is_a_step() -> None:
    target = MemoryTarget(Site())
    steps: list[tuple[str, int, int]] = []
    context = Context({}, Masker(), Deadline(60))
    apply(planned(target, places=1, values=4), {"memory": target}, KEYS, context, lambda *step: steps.append(step))
    assert steps == [("writing", n, 4) for n in (1, 2, 3, 4)]


def test_a_run_that_is_stopped_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    site, third = Site(), threading.Event()
    target = MemoryTarget(site)

    def before(_: str) -> None:
        if secrets_written(site) == 3:
            third.set()
        time.sleep(0.02)

    def interrupted(work: Callable[[str], None], items: list[str], *_: object) -> None:
        thread = threading.Thread(target=work, args=(items[0],))
        thread.start()
        third.wait(10)
        raise Interrupted(2)

    site.before = before
    monkeypatch.setattr("keylease.pipelines.sync_apply.parallel", interrupted)
    with pytest.raises(Interrupted) as caught:
        run(target, planned(target, places=1, values=20), seconds=60)
    done = secrets_written(site)
    assert 3 <= done < 20
    assert caught.value.__notes__ == [f"{done} of 20 changes were carried out, the next run does the rest"]


def test_a_wait_beyond_the_deadline_is_told_once_and_ends_the_target() -> None:
    site = Site()
    target = MemoryTarget(site)

    def before(_: str) -> None:
        if secrets_written(site) == 4:
            raise DeadlineError("the next request may be sent in 2,000 s")

    site.before = before
    plan = planned(target, places=20, values=3)
    applied = run(target, plan, seconds=60)
    assert {failed.place.address for failed in applied.failed} == {"memory://1"}
    assert len(applied.failed) <= 2
    assert len(applied.left) == 60 - 6 + 1
    with pytest.raises(PartialError, match=r"55 more were not begun: the deadline came first"):
        verdict(Outcome(Report([]), plan, applied), Request("apply"), LOG)


def test_an_apply_that_was_cut_off_is_partial_and_says_how_to_go_on(caplog: pytest.LogCaptureFixture) -> None:
    target = MemoryTarget(Site())
    plan = planned(target, places=2, values=2)
    applied = Applied(done=[(plan.places[0], each) for each in plan.places[0].changes])
    applied.left = [(plan.places[1], each) for each in plan.places[1].changes]
    with pytest.raises(PartialError, match=r"2 of 4 changes are left") as caught, caplog.at_level("INFO"):
        verdict(Outcome(Report([]), plan, applied), Request("apply"), LOG)
    assert caught.value.exit_code == ExitCode.PARTIAL
    assert "run it again" in caught.value.change
    assert caplog.messages == ["2 changes carried out"]


def test_a_thousand_places_that_could_not_be_listed_in_time_are_one_message(caplog: pytest.LogCaptureFixture) -> None:
    plan = planned(MemoryTarget(Site()), places=1000, values=0)
    for place in plan.places:
        place.error = DeadlineError("the next request may be sent in 2,000 s")
    with pytest.raises(PartialError, match=r"1000 items could not be read"):
        verdict(Outcome(Report([]), plan), Request("plan"), LOG)
    assert len(caplog.messages) == 2
    assert caplog.messages[1] == "999 more could not be asked for in time"

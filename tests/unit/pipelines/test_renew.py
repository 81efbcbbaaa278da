"""Leases are renewed in time, and what can't be renewed is told once."""

import logging
import threading
import time

import pytest

from keylease.context import Context
from keylease.errors import RefusedError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Renewal
from keylease.pipelines import renew
from keylease.pipelines.renew import NothingNewerError, Renewer


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renew, "SHORTEST", 0.05)


def renewal(ttl: float, *answers: float | Exception) -> tuple[Renewal, list[float]]:
    calls: list[float] = []
    todo = list(answers)

    def ask() -> float:
        calls.append(time.monotonic())
        answer = todo.pop(0) if len(todo) > 1 else todo[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Renewal("database/creds/x", ttl, time.time() + ttl, ask), calls


def test_renewed_at_two_thirds_of_its_life_again_and_again(context: Context) -> None:
    lease, calls = renewal(0.3, 0.3)
    start = time.monotonic()
    with Renewer([lease], context):
        time.sleep(1.0)
    assert 3 <= len(calls) <= 6
    assert 0.15 <= calls[0] - start <= 0.3
    assert lease.expires_at > time.time()
    count = len(calls)
    time.sleep(0.4)
    assert len(calls) == count, "no renewal after the command has ended"


def test_several_leases_each_in_its_own_time(context: Context) -> None:
    short, short_calls = renewal(0.3, 0.3)
    long, long_calls = renewal(30, 30)
    with Renewer([long, short], context):
        time.sleep(0.6)
    assert short_calls
    assert not long_calls


def test_a_failure_is_tried_again_while_there_is_time(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    lease, calls = renewal(0.6, RefusedError("503"), 60.0)
    with caplog.at_level(logging.WARNING, "keylease"), Renewer([lease], context):
        time.sleep(0.9)
    assert len(calls) == 2
    assert "renewing failed" in caplog.text
    assert lease.expires_at > time.time() + 50


def test_giving_up_is_told_once(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    lease, _ = renewal(0.2, RefusedError("Vault: lease not found"))
    with caplog.at_level(logging.WARNING, "keylease"), Renewer([lease], context):
        time.sleep(0.8)
    assert caplog.text.count("could not be renewed and has expired") == 1


def test_the_maximum_lifetime_is_told(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    lease, calls = renewal(0.6, 0.1)
    with caplog.at_level(logging.WARNING, "keylease"), Renewer([lease], context):
        time.sleep(0.8)
    assert len(calls) == 1
    assert "reaches its maximum lifetime" in caplog.text


def test_nothing_to_renew_starts_no_thread(context: Context) -> None:
    before = threading.active_count()
    with Renewer([], context):
        assert threading.active_count() == before


@pytest.mark.parametrize("restart", [True, False])
def test_the_deadline_goes_on_where_the_run_is_to_end_by_it(restart: bool) -> None:
    context = Context({}, Masker(), Deadline(5.0))
    lease, calls = renewal(0.9, 60.0)
    with Renewer([lease], context, restart=restart):
        time.sleep(0.8)
    assert calls
    assert (context.deadline.remaining > 4.5) is restart


def test_a_token_that_is_replaced_late_is_waited_for_in_silence(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    """The kubelet replaces a projected token after four fifths of its life."""
    lease, calls = renewal(1.2, NothingNewerError("file: no newer token"), 60.0)
    with caplog.at_level(logging.WARNING, "keylease"), Renewer([lease], context):
        time.sleep(1.2)
    assert len(calls) == 2
    assert caplog.records == []
    assert lease.expires_at > time.time() + 50


def test_a_token_that_is_never_replaced_is_told_once_and_given_up(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    lease, calls = renewal(1.2, NothingNewerError("VARIABLE holds no newer token"))
    with caplog.at_level(logging.WARNING, "keylease"), Renewer([lease], context):
        time.sleep(1.6)
    assert 2 <= len(calls) <= 6
    (record,) = caplog.records
    assert record.getMessage() == "database/creds/x ends in 0 s: VARIABLE holds no newer token"
    count = len(calls)
    time.sleep(0.2)
    assert len(calls) == count


def test_a_defect_in_one_renewal_shows_no_value_and_stops_no_other(
    context: Context, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    broken, _ = renewal(0.2, ValueError("holds a value"))
    good, times = renewal(0.6, 0.6)
    with caplog.at_level(logging.WARNING, "keylease"), Renewer([broken, good], context):
        time.sleep(1.0)
    assert times
    assert "a defect of ours: ValueError" in caplog.text
    assert "holds a value" not in caplog.text + capfd.readouterr().err

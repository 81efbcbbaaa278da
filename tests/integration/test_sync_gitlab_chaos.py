"""Syncs to GitLab that end or fail at any moment: the next one carries on, and nothing foreign is touched."""

import contextlib
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keylease.errors import RefusedError, UnreachableError
from keylease.sync.model import Policy
from keylease.targets.gitlab import GitLabTarget
from keylease.vendors.gitlab_to import GitLabTo
from tests.fakes.gitlab_rest import Answer, GitLab
from tests.fakes.loopback import Exchange
from tests.integration.gitlab_sync import Sync, at_once, bad_gateway, lose, served, twice

__all__ = ["at_once"]  # a fixture

TRAINER = GitLabTo(project="acme/trainer")


class Stop(BaseException):
    """The run ends here, as by kill -9."""


names = st.sampled_from([f"N{n}" for n in range(6)])
contents = st.dictionaries(names, st.sampled_from(["value-aaaa", "value-bbbb", "$value=cccc"]), max_size=6)


class Chaos:
    """Faults by chance: requests lost before or after they were done, done twice or late, refused, and kills."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.late: list[Callable[[], Answer]] = []

    def __call__(self, exchange: Exchange, answered: Callable[[], Answer]) -> bool:
        late, self.late = self.late, []
        try:
            return self._do(exchange, answered)
        finally:
            for each in late:
                each()

    def _do(self, exchange: Exchange, answered: Callable[[], Answer]) -> bool:
        what = self.chance.random()
        if what > 0.3:
            return False
        kind = self.chance.choice(["drop", "lose", "twice", "late", "gateway", "refuse", "busy"])
        if kind == "refuse":
            code = self.chance.choice([403, 404, 409, 422])
            exchange.answer_json(code, {"message": f"{code} Chaos"})
        elif kind == "busy":
            code = self.chance.choice([429, 500, 503])
            exchange.answer(code, b"Retry later\n", {"Retry-After": "0"})
        elif kind == "twice":
            twice(exchange, answered)
        elif kind == "gateway":
            bad_gateway(exchange, answered)
        elif kind == "lose":
            lose(exchange, answered)
        else:
            if kind == "late":
                self.late.append(answered)
            exchange.reset()
        return True

    def flush(self) -> None:
        late, self.late = self.late, []
        for each in late:
            each()

    def killing(self, target: GitLabTarget) -> GitLabTarget:
        """`target`, whose run may be killed before or after any request."""
        ask = target._api._ask

        def asked(*arguments: Any, **more: Any) -> Any:
            if self.chance.random() < 0.03:
                raise Stop
            answer = ask(*arguments, **more)
            if self.chance.random() < 0.03:
                raise Stop
            return answer

        target._api._ask = asked  # type: ignore[method-assign]
        return target


@pytest.mark.parametrize("hidden", [False, True])
@given(steps=st.lists(contents, min_size=1, max_size=3), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_run_that_ends_anywhere_is_carried_on(
    hidden: bool, at_once: None, steps: list[dict[str, str]], seed: int
) -> None:
    chance = random.Random(seed)
    with served() as server:
        project = server.project("acme/trainer")
        for name in ("FOREIGN", "N0", "N1"):
            server.set(project, name, "somebody-elses", "review/*")
        foreign = [dict(each) for each in project.variables]
        policy = Policy(prune=True, adopt=True) if chance.random() < 0.3 else Policy(prune=True)
        sync = Sync(server, GitLabTo(project="acme/trainer", hidden=hidden), policy=policy, retries=2)

        def held() -> dict[str, str]:
            return {each["key"]: each["value"] for each in project.variables if each["environment_scope"] == "*"}

        lost: set[str] = set()
        for values in steps:
            _with_chaos(server, sync, values, chance, held)
            assert [each for each in project.variables if each["environment_scope"] == "review/*"] == foreign
            _settle(sync, values)
            changes = sync.planned(values)
            # What is left over from an interrupted run is never deleted, as it may be somebody else's by now.
            left = {change.slot.name for change in changes if change.action == "orphan"}
            # A hidden one that was made by a request which came twice could be anybody's: that is said, not guessed.
            lost |= {change.slot.name for change in changes if change.action == "blocked"}
            assert not lost or hidden
            expected = {n: v for n, v in values.items() if n not in lost}
            assert {n: v for n, v in held().items() if n not in left | lost} == expected
            assert all(c.action == "unchanged" for c in changes if c.slot.name not in left | lost)
            before = len(server.writes)
            sync.run(values)
            assert len(server.writes) == before, "nothing to do is nothing written"


def _settle(sync: Sync, values: Mapping[str, str]) -> None:
    applied = sync.run(values)
    assert not applied.failed


def _with_chaos(
    server: GitLab, sync: Sync, values: Mapping[str, str], chance: random.Random, held: Callable[[], dict[str, str]]
) -> None:
    chaos = Chaos(chance)
    for _ in range(chance.randrange(4)):
        owned = set(held())
        server.fault = chaos
        with contextlib.suppress(Stop, RefusedError, UnreachableError):
            sync.run(values, chaos.killing(sync.target()))
        server.fault = None
        with server.lock:
            chaos.flush()
        assert owned & set(values) <= set(held()), "nothing that stays wanted is ever missing in between"


@given(first=contents, second=contents, again=contents, seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_syncs_of_one_project_never_touch_each_others(
    at_once: None, first: dict[str, str], second: dict[str, str], again: dict[str, str], seed: int
) -> None:
    with served() as server:
        project = server.project("acme/trainer")
        one, two = Sync(server, TRAINER, name="one", retries=2), Sync(server, TRAINER, name="two", retries=2)
        one.run(first)
        two.run(second)
        theirs = {name: value for name, value in second.items() if name not in first}
        chaos = Chaos(random.Random(seed))
        server.fault = chaos
        with contextlib.suppress(Stop, RefusedError, UnreachableError):
            one.run(again, chaos.killing(one.target()))
        server.fault = None
        with server.lock:
            chaos.flush()
        one.run(again)
        now = {each["key"]: each["value"] for each in project.variables if each["environment_scope"] == "*"}
        assert theirs.items() <= now.items()
        assert not set(one.slots()) & set(two.slots())

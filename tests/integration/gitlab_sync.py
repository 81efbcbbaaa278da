"""A sync to one place of the fake GitLab, as the pipeline does it, without sources."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from keylease.context import Context
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.pipelines.sync import PlacePlan
from keylease.pipelines.sync_apply import Applied, apply_place
from keylease.secret import Secret
from keylease.sync import ledger as ledgers
from keylease.sync.ledger import Keys
from keylease.sync.model import Change, Policy, Slot, Wanted
from keylease.sync.planner import Case, plan_place
from keylease.targets.gitlab import GitLabTarget
from keylease.vendors.gitlab_settings import GitLabSettings
from keylease.vendors.gitlab_to import GitLabTo
from tests.fakes.gitlab_rest import Answer, GitLab, reply
from tests.fakes.loopback import Exchange

TOKEN = "glpat-of-the-sync"  # of the fake
PATHS = {"acme/trainer": 40, "acme/ml/server": 40, "acme": 50, "acme/ml": 50, "acme/team": 50, "acme/many": 50}
LONG = "a-value-that-can-be-masked"
KEYS = Keys.of(Secret("k" * 32), "a test")
PATTERN = "vault://kv/*"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between attempts."""
    monkeypatch.setattr("keylease.http._backoff", lambda _: 0.0)
    monkeypatch.setattr("keylease.vendors.gitlab_api._backoff", lambda _: 0.0)


@contextlib.contextmanager
def served(**more: Any) -> Iterator[GitLab]:
    """A GitLab with projects and groups, and a token that may write to all of them and is an administrator's."""
    with GitLab(**more) as server:
        for path, role in PATHS.items():
            server.project(path) if role == 40 else server.group(path)
        server.token(TOKEN, ["api"], admin=True, roles=PATHS)
        yield server


def connected(server: GitLab, token: str = TOKEN, *, retries: int = 4, deadline: float = 30) -> GitLabTarget:
    """A target as a new run has it."""
    env = {"SYNC_TOKEN": token}
    settings = GitLabSettings(url=server.url, token_env="SYNC_TOKEN", timeout=3.0, retries=retries)
    context = Context(env, Masker(), Deadline(deadline))
    return GitLabTarget("gitlab", GitLabTarget.complete(settings, env), context)


class Sync:
    """One sync, to the one place that `to` means."""

    def __init__(
        self, server: GitLab, to: GitLabTo, *, name: str = "one", policy: Policy | None = None, retries: int = 4
    ) -> None:
        self.server, self.to, self.name, self.retries = server, to, name, retries
        self.policy = policy or Policy(prune=True)
        self.seal = connected(server).context.seal

    def target(self) -> GitLabTarget:
        made = connected(self.server, retries=self.retries)
        self.seal = made.context.seal
        return made

    def plan(self, target: GitLabTarget, values: Mapping[str, str]) -> PlacePlan:
        [place] = target.places(self.to)
        listing = target.list(place)
        ledger = ledgers.read(place.address, self.name, listing.ledgers.get(self.name, {}), KEYS)
        wanted = [
            Wanted(
                target.slot(place, name), self.seal(value, name), f"vault://kv/{name}", PATTERN, options=place.options
            )
            for name, value in values.items()
        ]
        others = {
            slot: name
            for name, records in listing.ledgers.items()
            if name != self.name
            for slot in ledgers.claimed(records)
        }
        case = Case(wanted, listing, ledger, KEYS, self.policy, {PATTERN}, (), others)
        changes = plan_place(case, lambda each: target.check(place, each))
        return PlacePlan(self.name, place.address, "gitlab", {place.kind: place}, wanted, listing, ledger, changes)

    def planned(self, values: Mapping[str, str]) -> list[Change]:
        """What a run would do."""
        return self.plan(self.target(), values).changes

    def slots(self) -> list[Slot]:
        """What is ours."""
        ledger = self.plan(self.target(), {}).ledger
        assert ledger is not None
        return ledger.slots()

    def run(self, values: Mapping[str, str], target: GitLabTarget | None = None) -> Applied:
        """Plan and apply."""
        target, applied = target or self.target(), Applied()
        apply_place(self.plan(target, values), target, KEYS, applied)
        return applied


# Faults.


def lose(exchange: Exchange, answered: Callable[[], Answer]) -> None:
    """The request is done, its answer is lost."""
    answered()
    exchange.reset()


def twice(exchange: Exchange, answered: Callable[[], Answer]) -> None:
    """The request is done twice, as by a proxy that tries again."""
    answered()
    reply(exchange, answered())


def bad_gateway(exchange: Exchange, answered: Callable[[], Answer]) -> None:
    """The request is done, a proxy says that it was not."""
    answered()
    exchange.answer(502, b"<html>")

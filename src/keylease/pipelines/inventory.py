"""Collect an inventory: every collector that ``collect:`` names, each with a lease or credential of its own."""

import threading
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field

from keylease.audit.model import Inventory, Problem
from keylease.collectors.base import Access, Collector
from keylease.context import Context
from keylease.errors import KeyleaseError, UsageError, located
from keylease.model import Deliver, Origin, Plan, Provider, Revocation
from keylease.parallel import parallel
from keylease.pipelines.lease import LeaseRun, TokenSource
from keylease.registry import COLLECTORS, TARGETS
from keylease.targets.base import Target

Progress = Callable[[str, int, int], None]
"""(what, done, of how many)."""


class Collect(Struct, frozen=True):
    """One item of ``collect:``. provider, target: what it asks with; empty for none. needs: setting → where it is."""

    type: str
    settings: object
    needs: Mapping[str, Deliver]
    provider: str
    target: str
    origin: Origin


class InventoryPlan(Struct, frozen=True):
    """All that is to be collected, checked. plan: its providers. targets: by name."""

    plan: Plan
    collects: Sequence[Collect]
    targets: Mapping[str, Provider]


class Collected(Struct):
    """inventory: of all that could be asked. failures: of items of which nothing is known for it."""

    inventory: Inventory = field(default_factory=Inventory)
    failures: list[KeyleaseError] = field(default_factory=list)


class InventoryRun:
    """Logs in for each item by itself: what one vendor refuses keeps nobody from looking at the others.

    remember: told of all leases as soon as there is one, and in the end of those that could not be given back.
    shard: (which, of how many), from 1: collectors of many repositories take their part; others belong to the first.
    """

    def __init__(
        self,
        plan: InventoryPlan,
        context: Context,
        tokens: TokenSource,
        *,
        hold: Callable[[], None] = lambda: None,
        remember: Callable[[Sequence[Revocation]], None] = lambda _: None,
        shard: tuple[int, int] = (1, 1),
        progress: Progress = lambda *_: None,
    ) -> None:
        self._plan = plan
        self._context = context
        self._tokens = tokens
        self._hold = hold
        self._remember = remember
        self._shard = shard
        self._progress = progress
        self._lock = threading.Lock()
        self._leases: dict[int, Sequence[Revocation]] = {}
        self._runs: list[LeaseRun] = []
        self._done = 0

    def collected(self) -> Collected:
        """All of it; a vendor's refusal is one of `failures`, and a problem of its kinds.

        Raises UsageError for an item that can't be asked as it is written, such as without a credential: nobody was
        asked for it, and nobody will ever be. Raises DeadlineError.
        """
        found = Collected()
        items = [each for each in self._plan.collects if self._is_ours(each)]
        self._progress("collecting", 0, len(items))
        try:
            results = parallel(self._one, list(enumerate(items)), self._context.deadline, "collecting")
        finally:
            self._abandon()
        told = list(zip(items, results, strict=True))
        wrong = [located(result, item.origin) for item, result in told if isinstance(result, UsageError)]
        if wrong:
            wrong[0].also = [*wrong[0].also, *wrong[1:]]
            raise wrong[0]
        for item, result in told:
            if isinstance(result, Inventory):
                found.inventory.add(result)
            elif isinstance(result, KeyleaseError):
                found.failures.append(result)
                kinds = COLLECTORS.load(item.type).kinds
                found.inventory.kinds.update(kinds)  # asked for: its rules are not checked, with this reason
                what = f"{item.origin}: {result.summary}"
                found.inventory.failed.append(what)
                found.inventory.problems += [Problem(kind, what, result.change) for kind in kinds]
            else:
                raise result
        return found

    def _is_ours(self, item: Collect) -> bool:
        return self._shard[0] == 1 or COLLECTORS.load(item.type).sharded

    def _one(self, numbered: tuple[int, Collect]) -> Inventory:
        number, item = numbered
        kind = COLLECTORS.load(item.type)
        # Without `hold`: one item that is done must not keep a signal from ending the others.
        run = LeaseRun(self._plan.plan, self._context, self._tokens, lambda given: self._noted(number, given))
        with self._lock:
            self._runs.append(run)
        target: Target | None = None
        try:
            wanted = self._plan.targets.get(item.target)
            needs = [*item.needs.values(), *(wanted.needs.values() if wanted else ())]
            providers = [*([item.provider] if item.provider else []), *(need.read.provider for need in needs)]
            if providers:
                run.open(list(dict.fromkeys(providers)))
            if wanted is not None:
                target = self._target(wanted, run)
            settings = item.settings
            if item.needs:
                settings = kind.with_needs(settings, {name: run.value(need) for name, need in item.needs.items()})
            lease = run.lease(item.provider) if item.provider else None
            collector: Collector = kind(settings, self._context, Access(lease, target))
            collector.shard = self._shard
            return collector.collect()
        finally:
            if target is not None:
                target.close()
            run.abandon()
            with self._lock:
                self._done += 1
                self._progress("collecting", self._done, len(self._plan.collects))

    def _target(self, wanted: Provider, run: LeaseRun) -> Target:
        kind = TARGETS.load(wanted.type)
        given = {name: run.value(need) for name, need in wanted.needs.items()}
        return kind(wanted.name, kind.with_needs(wanted.settings, given) if given else wanted.settings, self._context)

    def _noted(self, number: int, given: Sequence[Revocation]) -> None:
        with self._lock:
            self._leases[number] = given
            self._remember([each for revocations in self._leases.values() for each in revocations])

    def _abandon(self) -> None:
        self._hold()
        with self._lock:
            runs = list(self._runs)
        self._remember([left for run in runs for left in run.abandon()])

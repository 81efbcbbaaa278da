"""The CI platform in memory: that the battery asks for what can be had."""

import pytest

from keylease.sync.model import Slot
from keylease.targets.base import Place, Target
from tests.contract.target_harness import TargetHarness
from tests.fakes.memory_target import MemoryTarget, Site


class MemoryHarness(TargetHarness):
    kinds = ("secret", "variable")
    addresses = (("memory://one",),)

    def __init__(self) -> None:
        self._site = Site()
        self.seal = self.target().context.seal

    def target(self) -> Target:
        return MemoryTarget(self._site)

    def place(self, kind: str, number: int = 1) -> Place:
        return Place(f"memory://{number}", kind, {})

    def plant(self, place: Place, slot: Slot, value: str) -> None:
        self._site.put(place.address, slot, value.encode())

    def stored(self, place: Place, slot: Slot) -> bytes | None:
        found = self._site.values.get(place.address, {}).get(slot)
        return found.value if found else None


def make(request: pytest.FixtureRequest) -> MemoryHarness:
    """See tests/contract/test_targets.py."""
    return MemoryHarness()

"""The memory provider, put in the registries for one test."""

from typing import Any

import pytest

from keylease.context import Context
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.registry import EXCHANGERS, MANAGERS
from tests.fakes import memory


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> memory.World:
    """A fresh memory server."""
    fresh = memory.World()
    monkeypatch.setattr(memory, "WORLD", fresh)
    tables: list[tuple[Any, str]] = [(EXCHANGERS, "MemoryExchanger"), (MANAGERS, "MemoryManager")]
    for registry, name in tables:
        monkeypatch.setattr(registry, "_table", {**registry._table, "memory": f"tests.fakes.memory:{name}"})
    return fresh


@pytest.fixture
def context() -> Context:
    """A context with ten seconds, of which two in reserve."""
    return Context({}, Masker(), Deadline(10, reserve=2))

"""hvac's parts, imported by several threads at once."""

import sys
import threading
import time
import types
from typing import Any

import pytest

from keylease.vendors import vault_api

NAME = "hvac.api.slow_part"


def test_no_thread_gets_a_module_that_another_is_just_importing(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def import_slowly(name: str) -> Any:
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)  # as Python does: before its code has run
        begun.set()
        time.sleep(0.2)
        module.Part = dict  # type: ignore[attr-defined]
        return module

    monkeypatch.setattr("importlib.import_module", import_slowly)
    monkeypatch.setattr(vault_api, "_complete", {})
    first = threading.Thread(target=vault_api.hvac_part, args=(NAME, "Part"))
    first.start()
    assert begun.wait(5)
    assert vault_api.hvac_part(NAME, "Part") is dict
    first.join()

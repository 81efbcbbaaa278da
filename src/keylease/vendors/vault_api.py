"""The parts of hvac that a lease needs, without the hundred modules that `hvac.Client` brings along.

Each of hvac's API classes takes an adapter and nothing else (hvac/api/vault_api_base.py); the client only puts them
together, after importing all of them. Here each is imported where it is first used.
"""

import importlib
import threading
from typing import Any

from keylease.lean import later, without_init

_lock = threading.RLock()
_complete: dict[str, Any] = {}
"""Modules that are imported to their end: ``sys.modules`` also has those that another thread is just importing."""


def hvac_part(module: str, name: str) -> Any:
    """The class `name` of hvac's `module`, imported without the ``__init__`` of the packages above it."""
    found = _complete.get(module)
    if found is None:
        with _lock:
            parents = [module[:at] for at, letter in enumerate(module) if letter == "."]
            with without_init(parents), later("inspect"):  # hvac.utils needs it for its deprecations only
                found = _complete[module] = importlib.import_module(module)
    return getattr(found, name)


class _Methods:
    """hvac's classes as attributes, made on first use for one adapter."""

    classes: dict[str, tuple[str, str]]

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter

    def __getattr__(self, name: str) -> Any:
        try:
            module, attribute = self.classes[name]
        except KeyError:
            raise AttributeError(name) from None
        made = hvac_part(module, attribute)(self._adapter)
        setattr(self, name, made)
        return made


class _Auth(_Methods):
    classes = {  # noqa: RUF012  # a table, never changed
        "jwt": ("hvac.api.auth_methods.jwt", "JWT"),
        "approle": ("hvac.api.auth_methods.approle", "AppRole"),
        "kubernetes": ("hvac.api.auth_methods.kubernetes", "Kubernetes"),
        "token": ("hvac.api.auth_methods.token", "Token"),
    }


class _System(_Methods):
    classes = {  # noqa: RUF012
        "lease": ("hvac.api.system_backend.lease", "Lease"),
        "wrapping": ("hvac.api.system_backend.wrapping", "Wrapping"),
    }


class VaultApi:
    """What `hvac.Client` is to its callers, as far as it is used here."""

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter
        self.auth = _Auth(adapter)
        self.sys = _System(adapter)

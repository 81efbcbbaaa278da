"""The static tables, and what they must keep to."""

import subprocess
import sys

import pytest

from keylease.errors import UsageError
from keylease.exchange.base import Exchanger
from keylease.identity.base import Identity
from keylease.managers.base import Manager
from keylease.registry import EXCHANGERS, IDENTITIES, MANAGERS, Registry


@pytest.mark.parametrize(
    ("registry", "base"),
    [(IDENTITIES, Identity), (EXCHANGERS, Exchanger), (MANAGERS, Manager)],
    ids=["identities", "exchangers", "managers"],
)
def test_every_entry_loads_and_keeps_the_contract(registry: Registry[object], base: type) -> None:
    for name in registry:
        loaded = registry.load(name)
        assert issubclass(loaded, base)
        assert not getattr(loaded, "__abstractmethods__", None), f"{name} leaves methods abstract"


def test_names_agree_with_the_classes() -> None:
    assert all(EXCHANGERS.load(name).kind == name for name in EXCHANGERS)
    assert all(MANAGERS.load(name).scheme == name for name in MANAGERS)
    assert all(MANAGERS.load(name).provider in EXCHANGERS for name in MANAGERS)
    assert all(IDENTITIES.load(name).name == name for name in IDENTITIES)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="provider: there is no 'valt'") as caught:
        EXCHANGERS.load("valt")
    assert caught.value.cause == "did you mean 'vault'?"
    assert "vault" in caught.value.change


def test_asking_imports_nothing() -> None:
    code = (
        "import sys; from keylease.registry import EXCHANGERS; list(EXCHANGERS); 'vault' in EXCHANGERS\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('hvac', 'requests', 'yaml', 'jwt', 'cryptography')]\n"
        "sys.exit(repr(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

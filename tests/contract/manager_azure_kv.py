"""Azure Key Vault: a fake that takes the tokens of Entra's fake, held against Microsoft's published description."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from keylease.managers.azure_kv import AzureKeyVaultManager
from keylease.model import Read, Seal
from tests.contract.harness_azure import AzureHarness
from tests.contract.harness_azure import make as make_exchange
from tests.contract.manager_harness import ManagerHarness
from tests.fakes.azure_keyvault import RBAC, VAULT, AzureKeyVault
from tests.fakes.misbehaving import Proxy

NEVER = "never-written"
CLOSED = "somebody-elses"


def read_of(name: str, vault: str = VAULT, **options: str) -> Read:
    """A reading of one secret."""
    return Read("azure", "azure-kv", f"{vault}/{name}", tuple(options.items()))


class KeyVaultHarness(ManagerHarness):
    path_pattern = "/secrets/*"
    odd_names = ("0", "A-b-9", "-x-", "x" * 127, "UPPER")
    bad_paths = (
        *("ml-prod", "ml/x", "ml--prod/x", "-ml/x", "ml-/x", "1ml/x", f"{'m' * 25}/x", "ml_prod/x", "mlé/x"),
        *("ml-prod.vault.azure.net/x", "evil.example/x", "ml-prod/x.y", "ml-prod/a b", f"ml-prod/{'x' * 128}"),
        *(
            "ml-prod/secrets/x",
            f"ml-prod/x/{'0' * 32}",
            "ml-prod/x/versions",
            "/ml-prod/x",
            "ml-prod/x?a=b",
            "ml-prod/é",
        ),
    )

    flat = True
    list_pattern = "/secrets"
    bad_patterns = ("*/x", "ml-*/x", "ml-prod/x/*")
    endless: ClassVar = {"value": [{"id": "https://x/secrets/x"}], "nextLink": "https://x/secrets?$skiptoken=1"}
    unlisted = "readMetadata"

    def __init__(self, azure: AzureHarness, vault: AzureKeyVault, proxy: Proxy) -> None:
        self.azure, self.vault, self.proxy = azure, vault, proxy

    @property
    def seal(self) -> Seal:  # type: ignore[override]  # of the present run, which a test may replace
        return self.azure.context.seal

    def manager(self, **settings: Any) -> AzureKeyVaultManager:
        given = {"vaults": {VAULT: self.proxy.url}, "resources": {}, **settings}
        exchanger = self.azure.exchanger(**given)
        return AzureKeyVaultManager(exchanger.exchange(self.azure.token()), self.azure.context)

    def put(self, name: str, fields: Mapping[str, object]) -> Read:
        return self.put_text(name, json.dumps(fields))

    def put_text(self, name: str, text: str, **bundle: Any) -> Read:
        self.vault.put(name, text, **bundle)
        return read_of(name)

    def missing(self) -> Read:
        return read_of(NEVER)

    def forbidden(self) -> Read:
        return read_of(CLOSED)

    def reads(self) -> int:
        return len(self.proxy.requests)

    def pattern(self, text: str) -> Read:
        return read_of(text) if text not in self.bad_patterns else Read("azure", "azure-kv", text)

    def close_lists(self) -> None:
        self.vault.list_refusal = ("ForbiddenByRbac", RBAC.format(name="x"))


def make(request: pytest.FixtureRequest) -> KeyVaultHarness:
    """See tests/contract/test_managers.py."""
    azure = make_exchange(request)
    vault = AzureKeyVault(azure.entra).start()
    request.addfinalizer(vault.stop)
    vault.put(CLOSED, "not for this job")
    vault.closed.add(CLOSED)
    proxy = Proxy(vault.url).start()
    request.addfinalizer(proxy.stop)
    return KeyVaultHarness(azure, vault, proxy)

"""Vault's KV on a real OpenBao."""

from collections.abc import Mapping
from urllib.parse import quote

import pytest

from keylease.managers.base import Manager
from keylease.model import Read
from tests.contract.manager_harness import ManagerHarness
from tests.fakes.misbehaving import Proxy
from tests.integration.vault_job import Job, read_of
from tests.servers.trust import Trust


class VaultHarness(ManagerHarness):
    whole_text = False
    odd_names = ("a b", "ü/中文", "q?x=1#y", "100%", "a+b&c;d", "dots.and-dashes_")
    bad_patterns = ("*/x",)
    unlisted = '["list"]'
    bad_paths = ("kv/../sys", "kv/./x", "kv//x", "kv/a\nb", "/kv/x")

    def __init__(self, trust: Trust, proxy: Proxy) -> None:
        self.proxy = proxy
        self._job = Job(trust, url=proxy.url)
        self._kv = trust.kv
        self.seal = self._job.context.seal
        self._trust = trust
        self.path_pattern = f"/v1/{self._kv.mount}/*"
        self.list_pattern = f"/v1/{self._kv.mount}/metadata*"

    def manager(self) -> Manager:
        return self._job.manager()

    def put(self, name: str, fields: Mapping[str, object]) -> Read:
        self._kv.put(quote(name), fields)
        return read_of(f"{self._kv.mount}/{name}")

    def missing(self) -> Read:
        return read_of(f"{self._kv.mount}/never/written")

    def forbidden(self) -> Read:
        return read_of("secret/of/somebody/else")

    def reads(self) -> int:
        return sum(count for path, count in self.proxy.counts.items() if path.startswith(f"/v1/{self._kv.mount}/"))

    def pattern(self, text: str) -> Read:
        return read_of(text if text in self.bad_patterns else f"{self._kv.mount}/{text}")

    def limit_lists(self, most: int) -> None:
        """A list has no more than so many keys: https://openbao.org/docs/concepts/policies/."""
        kv = self._kv.mount
        lists = f'path "{kv}/metadata/*" {{ capabilities = ["list"]\npagination_limit = {most} }}'
        self._trust.bao.policy(self._trust.policy, f'path "{kv}/data/*" {{ capabilities = ["read"] }}\n{lists}')

    def close_lists(self) -> None:
        self._trust.bao.policy(self._trust.policy, f'path "{self._kv.mount}/data/*" {{ capabilities = ["read"] }}')


def make(request: pytest.FixtureRequest) -> VaultHarness:
    """See tests/contract/test_managers.py."""
    return VaultHarness(request.getfixturevalue("trust"), request.getfixturevalue("proxy"))

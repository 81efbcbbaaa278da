"""Google Cloud's Secret Manager: a fake that takes the tokens of the fake STS."""

import json
from collections.abc import Mapping
from typing import ClassVar

import pytest

from keylease.managers.base import Manager
from keylease.managers.gcp_sm import GcpSecretManager
from keylease.model import Read
from tests.contract.harness_gcp import GcpHarness
from tests.contract.harness_gcp import make as make_cloud
from tests.contract.manager_harness import ManagerHarness
from tests.fakes.gcp_secretmanager import PROJECT, Stored


def read_of(path: str, **options: str) -> Read:
    return Read("cloud", "gcp-sm", path, tuple(options.items()))


class SecretManagerHarness(ManagerHarness):
    path_pattern = "/v1/projects/*/secrets/*"
    odd_names = ("a_b-c", "A" * 255, "7")
    bad_paths = (
        "a b",
        "a.b",
        "a:access",
        "a?b",
        "a%2e",
        "A" * 256,
        "\u00e9",
        "projects/acme-ml",
        "projects/acme-ml/secrets/a/versions/1",
        "projects/Acme/secrets/a",
        "projects/acme-ml/locations/x.evil.example/secrets/a",
        "locations/x/secrets/a",
    )

    flat = True
    list_pattern = f"/v1/projects/{PROJECT}/secrets"
    bad_patterns = ("projects/*/secrets/x", "projects/acme-ml/*")
    endless: ClassVar = {"secrets": [{"name": "projects/1/secrets/x"}], "nextPageToken": "again"}
    unlisted = "secretmanager.secrets.list"

    def __init__(self, cloud: GcpHarness) -> None:
        self.cloud = cloud
        self.proxy = cloud.proxy
        self.seal = cloud.context.seal
        self.store = cloud.sts.store

    def manager(self) -> Manager:
        lease = self.cloud.exchanger(project_id=PROJECT).exchange(self.cloud.token())
        return GcpSecretManager(lease, self.cloud.context)

    def put(self, name: str, fields: Mapping[str, object]) -> Read:
        return self.put_text(name, json.dumps(fields))

    def put_text(self, name: str, text: str) -> Read:
        self.store.add(name, text.encode())
        return read_of(name)

    def missing(self) -> Read:
        return read_of("never-written")

    def forbidden(self) -> Read:
        self.store.secrets[f"projects/{PROJECT}/secrets/others"] = Stored([b"x"], readable=False)
        return read_of("others")

    def reads(self) -> int:
        return sum(count for path, count in self.proxy.counts.items() if path.endswith(":access"))

    def pattern(self, text: str) -> Read:
        return read_of(text)

    def close_lists(self) -> None:
        self.store.listable = False


def make(request: pytest.FixtureRequest) -> SecretManagerHarness:
    """See tests/contract/test_managers.py."""
    return SecretManagerHarness(make_cloud(request))

"""Secrets Manager: moto's, behind a front that verifies signatures."""

import json
from collections.abc import Mapping
from typing import ClassVar

import pytest

from keylease.managers.aws_sm import AwsSecretsManager
from keylease.managers.base import Manager
from keylease.model import Read
from tests.contract.aws_stores import Stores, stores
from tests.contract.manager_harness import ManagerHarness


class SecretsManagerHarness(ManagerHarness):
    path_pattern = "/"
    odd_names = ("a+b=c@d.e_f-g", "very/deep/er", "ends-in-AbCdEf")
    bad_paths = ("a b", "a:b", "ü", "a%b", "a?b", "x" * 513, "/a//b", "arn:aws:secretsmanager:x:y:secret:z", "a*")

    list_pattern = "/"
    page = 100
    bad_patterns = ("arn:aws:secretsmanager:eu-central-1:123456789012:secret:*",)
    endless: ClassVar = {"SecretList": [{"Name": "x"}], "NextToken": "again"}
    unlisted = "secretsmanager:ListSecrets"

    def __init__(self, made: Stores) -> None:
        self.stores = made
        self.proxy = made.proxy
        self.seal = made.context.seal
        self._client = made.moto.client("secretsmanager")

    def manager(self) -> Manager:
        return AwsSecretsManager(self.stores.lease(), self.stores.context)

    def put(self, name: str, fields: Mapping[str, object]) -> Read:
        return self.put_text(name, json.dumps(fields))

    def put_text(self, name: str, text: str) -> Read:
        path = f"{self.stores.prefix}/{name}"
        self._client.create_secret(Name=path, SecretString=text)
        return Read("aws", "aws-sm", path)

    def missing(self) -> Read:
        return Read("aws", "aws-sm", f"{self.stores.prefix}/never/written")

    def forbidden(self) -> Read:
        path = f"other-{self.stores.prefix}/x"
        self._client.create_secret(Name=path, SecretString="somebody else's")
        return Read("aws", "aws-sm", path)

    def reads(self) -> int:
        return self.proxy.counts["/"]

    def pattern(self, text: str) -> Read:
        return Read("aws", "aws-sm", text if text in self.bad_patterns else f"{self.stores.prefix}/{text}")

    def close_lists(self) -> None:
        self.stores.front.policies.clear()


def make(request: pytest.FixtureRequest) -> SecretsManagerHarness:
    """See tests/contract/test_managers.py."""
    return SecretsManagerHarness(stores(request))

"""Parameter Store: moto's, behind a front that verifies signatures."""

import json
from collections.abc import Mapping
from typing import ClassVar

import pytest

from keylease.managers.aws_ssm import AwsParameterStore
from keylease.managers.base import Manager
from keylease.model import Read
from tests.contract.aws_stores import Stores, stores
from tests.contract.manager_harness import ManagerHarness


class ParameterStoreHarness(ManagerHarness):
    path_pattern = "/"
    odd_names = ("a.b-c_d", "very/deep/er", "..dots..")
    bad_paths = ("a b", "a+b", "ü", "a%b", "a?b", "a:3", "/a//b", "x" * 1012, "arn:aws:ssm:x:y:parameter/z", "a*")

    list_pattern = "/"
    page = 50
    bad_patterns = ("arn:aws:ssm:eu-central-1:123456789012:parameter/*",)
    endless: ClassVar = {"Parameters": [{"Name": "x"}], "NextToken": "again"}
    unlisted = "ssm:DescribeParameters"

    def __init__(self, made: Stores) -> None:
        self.stores = made
        self.proxy = made.proxy
        self.seal = made.context.seal
        self._client = made.moto.client("ssm")

    def manager(self) -> Manager:
        return AwsParameterStore(self.stores.lease(), self.stores.context)

    def put(self, name: str, fields: Mapping[str, object]) -> Read:
        return self.put_text(name, json.dumps(fields))

    def put_text(self, name: str, text: str) -> Read:
        path = f"/{self.stores.prefix}/{name}"
        self._client.put_parameter(Name=path, Value=text, Type="SecureString")
        return Read("aws", "aws-ssm", path)

    def missing(self) -> Read:
        return Read("aws", "aws-ssm", f"/{self.stores.prefix}/never/written")

    def forbidden(self) -> Read:
        path = f"/other-{self.stores.prefix}/x"
        self._client.put_parameter(Name=path, Value="somebody else's", Type="SecureString")
        return Read("aws", "aws-ssm", path)

    def reads(self) -> int:
        return self.proxy.counts["/"]

    def pattern(self, text: str) -> Read:
        return Read("aws", "aws-ssm", text if text in self.bad_patterns else f"/{self.stores.prefix}/{text}")

    def close_lists(self) -> None:
        self.stores.front.policies.clear()


def make(request: pytest.FixtureRequest) -> ParameterStoreHarness:
    """See tests/contract/test_managers.py."""
    return ParameterStoreHarness(stores(request))

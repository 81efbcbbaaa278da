"""Conjur's variables: a fake that takes the access tokens it issued."""

import json
from collections.abc import Mapping

import pytest

from keylease.managers.base import Manager
from keylease.managers.conjur import ConjurManager
from keylease.model import Read
from tests.contract.harness_conjur import ConjurHarness
from tests.contract.harness_conjur import make as make_server
from tests.contract.manager_harness import ManagerHarness


def read_of(path: str, **options: str) -> Read:
    return Read("conjur", "conjur", path, tuple(options.items()))


class ConjurManagerHarness(ManagerHarness):
    path_pattern = "/secrets*"
    odd_names = (
        "a b",
        "\u00fc/\u4e2d\u6587",
        "q?x=1#y",
        "100%",
        "a+b&c;d",
        "dots.and-dashes_",
        "x:y",
        "with,comma",
        "%2F",
    )

    list_pattern = "/resources/*"
    page = 100
    unlisted = "list resources"

    def __init__(self, conjur: ConjurHarness) -> None:
        self.conjur = conjur
        self.server = conjur.server
        self.proxy = conjur.proxy
        self.seal = conjur.context.seal

    def manager(self) -> Manager:
        return ConjurManager(self.conjur.exchanger().exchange(self.conjur.token()), self.conjur.context)

    def put(self, name: str, fields: Mapping[str, object]) -> Read:
        return self.put_text(name, json.dumps(fields))

    def put_text(self, name: str, text: str) -> Read:
        self.server.put(f"prod/{name}", text)
        return read_of(f"prod/{name}")

    def missing(self) -> Read:
        return read_of("prod/never/written")

    def forbidden(self) -> Read:
        self.server.put("others/password", "x", ())
        return read_of("others/password")

    def reads(self) -> int:
        return sum(count for path, count in self.proxy.counts.items() if path.startswith("/secrets"))

    def pattern(self, text: str) -> Read:
        return read_of(f"prod/{text}")

    def close_lists(self) -> None:
        self.server.listing = False


def make(request: pytest.FixtureRequest) -> ConjurManagerHarness:
    """See tests/contract/test_managers.py."""
    return ConjurManagerHarness(make_server(request))

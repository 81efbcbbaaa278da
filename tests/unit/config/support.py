"""What the tests of keylease.yml share."""

import pytest

from keylease import config
from keylease.errors import UsageError
from keylease.model import Deliver, Plan

HEAD = """\
version: 1
providers:
  vault: {type: vault, url: https://vault.example.com, role: ci}
leases:
"""

TWO = """\
version: 1
providers:
  a: {type: vault, url: https://a.example.com}
  b: {type: vault, url: https://b.example.com}
leases:
"""

PLATFORM = "belongs to the CI platform and is not sent to a provider"
A_LIST = "must be a list (lines that start with -)"
A_MAPPING = "must be a mapping (KEY: VALUE)"


def load(text: str) -> Plan:
    return config.load_text(text, "keylease.yml", {})


def refused(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load(text)
    return caught.value


def one(lease: str, head: str = HEAD) -> Deliver:
    (deliver,) = load(f"{head}  - {lease}\n").deliveries
    return deliver

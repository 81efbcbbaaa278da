"""Answers of AI services with anything in them: an error or a problem that names the service, never a crash."""

import json
import random
from typing import Any

import pytest

from keylease.audit.model import Inventory
from keylease.collectors.base import Collector
from keylease.errors import KeyleaseError
from tests.fakes.anthropic_admin import AnthropicAdmin
from tests.fakes.databricks_tokens import DatabricksTokens
from tests.fakes.huggingface_hub import HuggingFaceHub
from tests.fakes.loopback import Exchange, LoopbackServer
from tests.fakes.openai_admin import OpenAIAdmin
from tests.fakes.pinecone_admin import PineconeAdmin
from tests.integration.collecting import as_json, collector

ODD: tuple[Any, ...] = (
    None,
    [],
    {},
    [[]],
    [None],
    True,
    0,
    -1,
    10**400,
    1e300,
    float("nan"),
    "",
    "x" * 3000,
    "\ud800",
    "\x1b[31m\n",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    {"type": ["user"], "user": 7, "id": {}},
)


def spoiled(data: Any, chance: random.Random) -> Any:
    """`data` with one thing in it exchanged."""
    if isinstance(data, dict) and data and chance.random() < 0.85:
        key = chance.choice(sorted(data))
        return {**data, key: spoiled(data[key], chance)}
    if isinstance(data, list) and data and chance.random() < 0.85:
        index = chance.randrange(len(data))
        return [*data[:index], spoiled(data[index], chance), *data[index + 1 :]]
    return chance.choice(ODD)


class Spoiling(LoopbackServer):
    """Answers as `behind` does, now and then spoiled."""

    def __init__(self, behind: LoopbackServer, chance: random.Random) -> None:
        super().__init__()
        self.behind = behind
        self.chance = chance

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        send = exchange.answer_json

        def answer(status: int, data: Any, headers: Any = None) -> None:
            if self.chance.random() < 0.5:
                data = spoiled(json.loads(json.dumps(data)), self.chance)
            send(status, data, headers)

        exchange.answer_json = answer  # type: ignore[method-assign,assignment]
        self.behind.handle(exchange)


def openai() -> tuple[LoopbackServer, dict[str, Any], str]:
    server = OpenAIAdmin("key")
    server.project("proj_1", "Research")
    server.api_key("proj_1", "key_1", "sk-proj-abcdefgh-abcd", user="bea")
    server.api_key("proj_1", "key_2", "sk-proj-abcdefgh-abcd")
    server.service_account("proj_1", "sa")
    server.admin_key("key_3", "sk-admin-abcdefgh-abcd")
    server.provider("wip_1", "https://x", attribute_transformations=[{"attribute": "a", "expression": "b"}])
    server.rule("wip_1", "r", {"sub": "x"}, ["a"])
    return server, {"admin_key_env": "T"}, "/v1"


def anthropic() -> tuple[LoopbackServer, dict[str, Any], str]:
    server = AnthropicAdmin("key", "key")
    server.workspace("wrkspc_1", "Research")
    server.api_key("apikey_1", "sk-ant-api03-abcdefgh", workspace="wrkspc_1", user="user_1")
    server.issuer("fdis_1")
    server.rule("r", "fdis_1", {"claims": {"a": "b"}, "subject_prefix": "x"})
    return server, {"admin_key_env": "T", "token_env": "T"}, ""


def huggingface() -> tuple[LoopbackServer, dict[str, Any], str]:
    server = HuggingFaceHub()
    fine = {"global": ["a"], "scoped": [{"entity": {"type": "org", "name": "x"}, "permissions": ["repo.write"]}]}
    server.add("key", "fineGrained", fineGrained=fine)
    return server, {"token_env": "T"}, ""


def databricks() -> tuple[LoopbackServer, dict[str, Any], str]:
    server = DatabricksTokens("key")
    server.add("t1", "a@b", last_used_day=1_760_000_000_000, scopes=["sql"])
    return server, {"token_env": "T"}, ""


def pinecone() -> tuple[LoopbackServer, dict[str, Any], str]:
    server = PineconeAdmin("key")
    server.add("p1", "k1", "ProjectEditor", dated="2025-10-20T23:39:43.665754Z")
    return server, {"token_env": "T"}, ""


@pytest.mark.parametrize("make", [openai, anthropic, huggingface, databricks, pinecone], ids=lambda each: each.__name__)
def test_never_a_crash(make: Any) -> None:
    chance = random.Random(make.__name__)
    behind, settings, path = make()
    with Spoiling(behind, chance) as server:
        address = {"host" if make is databricks else "url": f"{server.url}{path}"}
        made: Collector = collector(make.__name__, {**settings, **address}, {"T": "key"}, seconds=60)
        ends = {"whole": 0, "problem": 0, "error": 0}
        for _ in range(150):
            made.inventory = Inventory()
            try:
                found = made.collect()
            except KeyleaseError as error:
                ends["error"] += "\n" not in error.summary
                continue
            assert "\x1b" not in as_json(found)
            assert all(isinstance(record.facts["name"], str) for record in found.records)
            ends["problem" if found.problems else "whole"] += 1
    assert ends["whole"]
    assert ends["error"] + ends["problem"]
    assert sum(ends.values()) == 150

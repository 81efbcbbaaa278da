"""The collectors of Hugging Face, Databricks and Pinecone against fakes, which the vendors' SDKs read as well."""

from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from huggingface_hub import HfApi

from keylease.collectors.base import Access
from keylease.errors import RefusedError, UnreachableError, UsageError
from keylease.model import Lease
from keylease.secret import Secret
from tests.fakes.databricks_tokens import DatabricksTokens
from tests.fakes.huggingface_hub import HuggingFaceHub
from tests.fakes.misbehaving import Misbehaving, reply
from tests.fakes.pinecone_admin import PineconeAdmin
from tests.integration.collecting import as_json, collector, one
from tests.leaks import Seeded

TOKEN = "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ" + "abcdWxyz"
FINE = {
    "canReadGatedRepos": True,
    "global": ["discussion.write"],
    "scoped": [{"entity": {"_id": "6", "type": "user", "name": "ada"}, "permissions": ["repo.write", 7]}, "odd"],
}


def test_huggingface_describes_the_token(seeded: Seeded) -> None:
    seeded.add(TOKEN)
    with HuggingFaceHub() as server:
        server.add(TOKEN, "fineGrained", fineGrained=FINE)
        found = collector("huggingface", {"token_env": "T", "url": server.url}, {"T": f" {TOKEN}\n"}).collect()
        assert found.of("huggingface.token")[0].facts == {
            "name": "ci",
            "holder": "user ada",
            "owner": "ada",
            "owner_sort": "user",
            "role": "fineGrained",
            "hint": "hf_…Wxyz",
            "active": True,
            "gated": True,
            "everywhere": ["discussion.write"],
            "scoped": [{"type": "user", "name": "ada", "permissions": ["repo.write"]}],
            "created_at": "2026-01-02T03:04:05Z",
        }
        assert len(server.requests) == 1
        assert TOKEN not in as_json(found)
        told = HfApi(endpoint=server.url, token=TOKEN).whoami()
        assert told["auth"]["accessToken"]["role"] == "fineGrained"


@pytest.mark.parametrize(
    ("answer", "records"),
    [
        ({"type": "app", "name": "acme", "auth": {"type": "oauth"}}, 0),
        ({"type": "user", "name": "ada", "auth": {"type": "access_token", "accessToken": {"role": "read"}}}, 1),
        ({"type": "user", "name": "ada", "auth": {"type": "access_token", "accessToken": {"role": None}}}, None),
        ({"type": "user", "name": "ada", "auth": None}, None),
        ({"name": "ada"}, None),
        ({}, None),
    ],
)
def test_huggingface_answers(answer: dict[str, Any], records: int | None) -> None:
    with Misbehaving() as server:
        server.on("/api/whoami-v2", reply(json=answer))
        made = collector("huggingface", {"token_env": "T", "url": server.url}, {"T": TOKEN})
        if records is None:
            with pytest.raises(UnreachableError, match="documented form"):
                made.collect()
        else:
            assert len(made.collect().of("huggingface.token")) == records


def test_huggingface_refuses() -> None:
    with HuggingFaceHub() as server, pytest.raises(RefusedError, match="Invalid username"):
        collector("huggingface", {"token_env": "T", "url": server.url}, {"T": TOKEN}).collect()


def test_a_mirror_gets_no_token() -> None:
    with pytest.raises(UsageError, match="own hosts"):
        collector("huggingface", {"token_env": "T", "url": "https://hf-mirror.example"}, {"T": TOKEN})


ADMIN = "dapi" + "0a1b2c3d" * 4


def test_databricks_tokens(seeded: Seeded) -> None:
    seeded.add(ADMIN)
    with DatabricksTokens(ADMIN) as server:
        server.add("t1", "ada@example.com", last_used_day=1_760_000_000_000)
        server.add("t2", "7c3b0f5e-8a41-4f0e-9d55-1b2c3d4e5f60", expiry_time=4_000_000_000_000, scopes=["sql"])
        server.add("t3", "ada@example.com", expiry_time=1_600_000_000_000)
        env = {"T": ADMIN, "DATABRICKS_HOST": server.url}
        found = collector("databricks", {"token_env": "T"}, env).collect()
        facts = {record.facts["id"]: record.facts for record in found.of("databricks.token")}
        assert facts["t1"]["expires_at"] is None
        assert facts["t1"]["last_used_at"] == "2025-10-09T08:53:20Z"
        assert facts["t1"]["created_at"] == "2025-08-24T01:46:40Z"
        assert (facts["t1"]["owner_sort"], facts["t2"]["owner_sort"]) == ("user", "service_account")
        assert facts["t2"]["expires_at"] == "2096-10-02T07:06:40Z"
        assert facts["t2"]["scopes"] == ["sql"]
        assert "scopes" not in facts["t1"]
        assert "last_used_at" not in facts["t2"], "not told is not never"
        assert facts["t3"]["active"] is False
        assert ADMIN not in as_json(found)
        client = WorkspaceClient(host=server.url, token=ADMIN, auth_type="pat")
        assert {info.token_id for info in client.token_management.list()} == set(facts)


def test_databricks_with_a_lease_and_nothing_there() -> None:
    with DatabricksTokens(ADMIN) as server:
        lease = Lease(
            "db", "databricks", {"DATABRICKS_TOKEN": Secret(ADMIN)}, None, plain={"DATABRICKS_HOST": server.url}
        )
        found = collector("databricks", {}, {}, Access(lease=lease)).collect()
        assert found.kinds == {"databricks.token"}
        assert found.records == []


def test_databricks_refuses() -> None:
    with DatabricksTokens(ADMIN) as server, pytest.raises(RefusedError, match="403") as caught:
        collector("databricks", {"token_env": "T", "host": server.url}, {"T": "dapi-no"}).collect()
    assert "admin" in caught.value.change


@pytest.mark.parametrize(
    "answer",
    [
        {"token_infos": None},
        {"token_infos": [{}]},
        {"next_page_token": "x"},
        {"token_infos": {}},
        {"error_code": "PERMISSION_DENIED", "message": "no"},
    ],
)
def test_databricks_answers_that_do_not_add_up(answer: dict[str, Any]) -> None:
    with Misbehaving() as server:
        server.on("/api/2.0/token-management/tokens", reply(json=answer))
        with pytest.raises(UnreachableError):
            collector("databricks", {"token_env": "T", "host": server.url}, {"T": ADMIN}).collect()


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"token_env": "T"}, "`host` is missing"), ({"token_env": "T", "host": "evil.example"}, "own hosts")],
)
def test_databricks_settings(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        collector("databricks", settings, {"T": ADMIN})


def test_pinecone_keys(seeded: Seeded) -> None:
    token = seeded.new("pinecone-access-token")
    with PineconeAdmin(token) as server:
        server.add("p1", "k1", "ProjectEditor", dated="2025-10-20T23:39:43.665754Z")
        server.add("p1", "k2", "DataPlaneViewer")
        server.add("p2", "k3", "ProjectEditor")
        server.refuse = {"/admin/projects/p2/api-keys": 403}
        found = collector("pinecone", {"token_env": "T", "url": server.url}, {"T": token}).collect()
        assert one(found, "pinecone.key", "key k1").facts == {
            "id": "k1",
            "name": "key k1",
            "level": "project",
            "project": "name of p1",
            "holder": "project name of p1",
            "roles": ["ProjectEditor"],
            "created_at": "2025-10-20T23:39:43Z",
        }
        assert "created_at" not in one(found, "pinecone.key", "key k2").facts
        assert [(each.kind, "403" in each.what) for each in found.problems] == [("pinecone.key", True)]
        assert token not in as_json(found)


def test_pinecone_refuses() -> None:
    with PineconeAdmin("a-token") as server, pytest.raises(RefusedError, match="401"):
        collector("pinecone", {"token_env": "T", "url": server.url}, {"T": "another"}).collect()


def test_pinecone_with_pages_that_nobody_documents() -> None:
    with Misbehaving() as server:
        server.on("/admin/projects", reply(json={"data": [], "pagination": {"next": "x"}}))
        with pytest.raises(UnreachableError, match="goes on"):
            collector("pinecone", {"token_env": "T", "url": server.url}, {"T": "t"}).collect()

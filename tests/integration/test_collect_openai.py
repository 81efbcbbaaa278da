"""The collector of OpenAI against a fake of its Admin API, which OpenAI's own SDK reads as well."""

from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from keylease.audit.model import Inventory
from keylease.audit.rules.ai_federation_rule_open import AiFederationRuleOpen
from keylease.errors import RefusedError, UnreachableError, UsageError
from tests.fakes.misbehaving import Misbehaving, reply
from tests.fakes.openai_admin import AT, OpenAIAdmin
from tests.integration.collecting import as_json, collector, one
from tests.leaks import Seeded

GITHUB = "https://token.actions.githubusercontent.com"


@pytest.fixture
def server(seeded: Seeded) -> Iterator[OpenAIAdmin]:
    key = f"sk-admin-{'q7' * 20}Wxyz"
    seeded.add(key)
    with OpenAIAdmin(key) as server:
        server.project("proj_1", "Research")
        server.project("proj_2", "Empty")
        server.service_account("proj_1", "user-svc", "owner")
        server.api_key("proj_1", "key_a", f"sk-proj-{'ab' * 20}Wxyz", last_used_at=AT + 5)
        server.api_key("proj_1", "key_b", f"sk-proj-{'cd' * 20}1234", user="bea", active=False, expires_at=AT + 60)
        server.admin_key("key_admin", key)
        server.provider("wip_1", GITHUB, attribute_transformations=[{"attribute": "team", "expression": "x"}])
        server.rule("wip_1", "rule_1", {"repository_id": "7", "fork": False}, ["api.model.request"])
        server.rule("wip_1", "rule_2", {"aud": "x"})
        yield server


def collect(server: OpenAIAdmin, **settings: Any) -> Inventory:
    given = {"admin_key_env": "ADMIN", "url": f"{server.url}/v1", **settings}
    return collector("openai", given, {"ADMIN": server.key}).collect()


def test_what_is_known_of_keys(server: OpenAIAdmin) -> None:
    found = collect(server)
    assert found.problems == []
    assert found.kinds == {"openai.key", "openai.service_account", "openai.federation_rule"}
    first = one(found, "openai.key", "key key_a")
    assert first.subject == "openai://proj_1/key/key_a"
    assert first.facts == {
        "id": "key_a",
        "name": "key key_a",
        "level": "project",
        "project": "Research",
        "holder": "project Research",
        "owner": "ci",
        "owner_sort": "service_account",
        "owner_active": True,
        "active": True,
        "hint": "sk-proj-aba...Wxyz",
        "created_at": "2025-08-24T01:46:40Z",
        "last_used_at": "2025-08-24T01:46:45Z",
        "expires_at": None,
    }
    second = one(found, "openai.key", "key key_b").facts
    assert second["owner"] == "bea@example.com"
    assert second["owner_sort"] == "user"
    assert second["owner_active"] is False
    assert second["last_used_at"] is None
    assert second["expires_at"] == "2025-08-24T01:47:40Z"
    assert second["active"] is False, "it has ended"
    assert one(found, "openai.key", "audit").facts["level"] == "admin"
    assert one(found, "openai.service_account", "ci").facts["role"] == "owner"
    assert server.key not in as_json(found)


def test_what_is_known_of_federation_rules(server: OpenAIAdmin) -> None:
    found = collect(server)
    facts = one(found, "openai.federation_rule", "rule_1").facts
    assert facts["issuer"] == GITHUB
    assert facts["matchers"] == {"repository_id": "7", "fork": False}
    assert (facts["permissions"], facts["scopes"]) == ("restricted", ["api.model.request"])
    assert facts["transformed"] == ["team"]
    assert one(found, "openai.federation_rule", "rule_2").facts["permissions"] == "service_account_default"


def test_the_sdk_reads_the_same(server: OpenAIAdmin) -> None:
    found = collect(server)
    server.largest = 1
    client = OpenAI(api_key="unused", admin_api_key=server.key, base_url=f"{server.url}/v1", max_retries=0)
    organization = client.admin.organization
    keys = {
        key.id
        for project in organization.projects.list()
        for key in organization.projects.api_keys.list(project.id, owner_project_access="any")
    }
    keys |= {key.id for key in organization.admin_api_keys.list()}
    rules = {
        rule.id
        for provider in organization.workload_identity_providers.list()
        for rule in organization.workload_identity_providers.federation_rules.list(provider.id)
    }
    accounts = {each.id for each in organization.projects.service_accounts.list("proj_1")}
    assert keys == {record.facts["id"] for record in found.of("openai.key")}
    assert rules == {record.facts["id"] for record in found.of("openai.federation_rule")}
    assert accounts == {record.facts["id"] for record in found.of("openai.service_account")}


def test_all_pages(server: OpenAIAdmin) -> None:
    server.largest = 7
    for number in range(40):
        server.api_key("proj_2", f"key_{number:02}", f"sk-proj-{number:040}abcd")
    found = collect(server)
    assert len(found.of("openai.key")) == 43
    assert sum("proj_2/api_keys" in request.path for request in server.requests) == 6


def test_least_requests(server: OpenAIAdmin) -> None:
    collect(server)
    assert len(server.requests) == 1 + 2 * 2 + 1 + 1 + 1  # projects, two lists each, admin keys, providers, their rules


def test_one_list_that_is_refused_is_a_problem(server: OpenAIAdmin) -> None:
    server.refuse = {"projects/proj_1/api_keys": 403, "workload_identity_providers": 404}
    found = collect(server)
    assert [(each.kind, "403" in each.what, "404" in each.what) for each in found.problems] == [
        ("openai.key", True, False),
        ("openai.federation_rule", False, True),
    ]
    assert all("Admin API key" in each.change for each in found.problems)
    assert "openai.federation_rule" in found.kinds
    assert [record.facts["name"] for record in found.of("openai.key")] == ["audit"]


def test_a_matcher_of_another_form_is_carried_and_told(server: OpenAIAdmin) -> None:
    server.provider("wip_2", "https://token.actions.githubusercontent.com")
    server.rule("wip_2", "r_list", {"repository": ["acme/trainer", "acme/site"]})
    found = collect(server)
    assert one(found, "openai.federation_rule", "r_list").facts["matchers"] == {
        "repository": ["acme/trainer", "acme/site"]
    }
    assert not any("r_list" in each.subject for each in AiFederationRuleOpen().check(found)), "nobody knows what it is"
    (problem,) = found.problems
    assert problem.kind == "openai.federation_rule"
    assert "r_list" in problem.what


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("projects", ["openai.key", "openai.service_account"]),
        ("admin_api_keys", ["openai.key"]),
        ("projects/proj_1/service_accounts", ["openai.service_account"]),
        ("workload_identity_providers/wip_1/federation_rules", ["openai.federation_rule"]),
    ],
)
def test_a_scope_that_lacks(server: OpenAIAdmin, path: str, kinds: list[str], status: int) -> None:
    server.refuse = {path: status}
    found = collect(server)
    assert [problem.kind for problem in found.problems] == kinds
    assert found.records


def test_a_key_that_is_refused_stops_it(server: OpenAIAdmin) -> None:
    env = {"ADMIN": "sk-admin-another"}
    made = collector("openai", {"admin_key_env": "ADMIN", "url": f"{server.url}/v1"}, env)
    with pytest.raises(RefusedError, match="401") as caught:
        made.collect()
    assert "Admin API key" in caught.value.change


@pytest.mark.parametrize(
    "answer",
    [
        {"data": None},
        {"data": [{"name": "no id"}]},
        {"data": ["text"]},
        {"has_more": "yes"},
        {"data": [], "has_more": True},
        {"has_more": True},  # the same page again and again
        {"has_more": True, "last_id": "key_b"},
    ],
)
def test_a_list_that_does_not_add_up_is_never_taken_for_whole(server: OpenAIAdmin, answer: dict[str, Any]) -> None:
    server.override = {"projects/proj_1/api_keys": answer}
    found = collect(server)
    (problem,) = found.problems
    assert problem.kind == "openai.key"
    server.override = {"projects": answer}
    assert [each.kind for each in collect(server).problems] == ["openai.key", "openai.service_account"]


def test_a_full_page_without_has_more_is_not_the_last(server: OpenAIAdmin) -> None:
    server.largest = 100
    for number in range(150):
        server.api_key("proj_2", f"key_{number:03}", f"sk-proj-{number:040}abcd")
    server.override = {"projects/proj_2/api_keys": {"has_more": None}}
    found = collect(server)
    assert found.problems == []
    assert len(found.of("openai.key")) == 153


def test_hostile_names(server: OpenAIAdmin) -> None:
    server.project("proj/../../x?a=b", "\x1b[31m\n::error::" + "x" * 5000)
    server.api_key(
        "proj/../../x?a=b", "key_x", "sk-proj-abcdefgh12345678", name="a\nb\u202e", redacted_value="sk-whole-one"
    )
    found = collect(server)
    assert any("404" in problem.what for problem in found.problems), "the fake knows no quoted path"
    assert all(".." not in request.path.replace("%2F", "").split("/") for request in server.requests)
    assert "\x1b" not in as_json(found)
    assert all("\n" not in problem.what and len(problem.what) < 1000 for problem in found.problems)


def test_a_value_that_is_not_redacted_is_not_kept(server: OpenAIAdmin) -> None:
    value = f"sk-proj-{'zz' * 20}"
    server.api_key("proj_1", "key_c", value, redacted_value=value)
    found = collect(server)
    assert "hint" not in one(found, "openai.key", "key key_c").facts
    assert value not in as_json(found)


def test_garbage() -> None:
    with Misbehaving() as server:
        server.on("/v1/organization/projects", reply(body=b"<html>", content_type="text/html"))
        made = collector("openai", {"admin_key_env": "A", "url": f"{server.url}/v1"}, {"A": "sk-admin-x"})
        with pytest.raises(UnreachableError):
            made.collect()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "no credential"),
        ({"admin_key_env": "NOT_THERE"}, "NOT_THERE is not set"),
        ({"admin_key_env": "TWO"}, "no credential"),
        ({"admin_key_env": "ADMIN", "url": "https://api.openai.example/v1"}, "own hosts"),
        ({"admin_key_env": "ADMIN", "url": "http://api.openai.com/v1"}, "plain http"),
        ({"admin_key_env": "ADMIN", "timeout": 0}, "timeout"),
    ],
)
def test_settings(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        collector("openai", settings, {"ADMIN": "sk-admin-x", "TWO": "two words"})

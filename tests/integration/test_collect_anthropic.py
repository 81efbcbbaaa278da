"""The collector of Anthropic against a fake of its Admin API, which Anthropic's own SDK reads as well."""

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic

from keylease.audit.model import Inventory
from keylease.audit.rules.ai_federation_rule_open import AiFederationRuleOpen
from keylease.collectors.base import Access
from keylease.errors import RefusedError, UnreachableError, UsageError
from keylease.model import Lease
from keylease.secret import Secret
from tests.fakes.anthropic_admin import GITHUB, AnthropicAdmin
from tests.integration.collecting import as_json, collector, one
from tests.leaks import Seeded

VALUE = f"sk-ant-api03-{'r2D' * 31}igAA"


@pytest.fixture
def server(seeded: Seeded) -> Iterator[AnthropicAdmin]:
    key, token = f"sk-ant-admin01-{'q7' * 45}", f"sk-ant-oat01-{'k3' * 45}"
    seeded.add(key, token)
    with AnthropicAdmin(key, token) as server:
        server.workspace("wrkspc_1", "Research")
        server.api_key("apikey_1", VALUE, workspace="wrkspc_1", expires_at="2099-01-02T03:04:05Z")
        server.api_key("apikey_2", VALUE, user="user_7")
        server.api_key("apikey_3", VALUE, account="svac_1", workspace="wrkspc_9", status="inactive")
        server.issuer("fdis_1")
        match = {"claims": {"repository_id": "7"}, "subject_prefix": None, "audience": "a", "condition": None}
        server.rule("fdrl_1", "fdis_1", match)
        server.rule("fdrl_2", "fdis_1", {"subject_prefix": "repo:*"}, applies_to_all_workspaces=True)
        yield server


def collect(server: AnthropicAdmin, access: Access | None = None, **settings: Any) -> Inventory:
    given = {"url": server.url, **(settings or {"admin_key_env": "ADMIN", "token_env": "TOKEN"})}
    return collector("anthropic", given, {"ADMIN": server.key, "TOKEN": server.token}, access).collect()


def test_what_is_known(server: AnthropicAdmin) -> None:
    found = collect(server)
    assert found.problems == []
    assert one(found, "anthropic.key", "key apikey_1").facts == {
        "id": "apikey_1",
        "name": "key apikey_1",
        "level": "workspace",
        "workspace": "Research",
        "holder": "workspace Research",
        "active": True,
        "created_by": "user_1",
        "hint": "sk-ant-api03-r2D...igAA",
        "created_at": "2026-01-02T03:04:05Z",
        "expires_at": "2099-01-02T03:04:05Z",
    }
    second = one(found, "anthropic.key", "key apikey_2").facts
    assert (second["level"], second["owner_sort"], second["owner"]) == ("organization", "user", "user_7")
    assert second["expires_at"] is None
    third = one(found, "anthropic.key", "key apikey_3").facts
    assert (third["active"], third["owner_sort"], third["workspace"]) == (False, "service_account", "wrkspc_9")
    rule = one(found, "anthropic.federation_rule", "fdrl_1").facts
    assert (rule["issuer"], rule["claims"], rule["scopes"]) == (GITHUB, {"repository_id": "7"}, ["workspace:inference"])
    assert (rule["all_workspaces"], rule["workspaces"], rule["subject_prefix"]) == (False, ["wrkspc_1"], "")
    assert one(found, "anthropic.federation_rule", "fdrl_2").facts["all_workspaces"] is True
    assert server.key not in as_json(found)
    assert server.token not in as_json(found)


def test_the_sdk_reads_the_same(server: AnthropicAdmin) -> None:
    found = collect(server)
    server.largest = 1
    admin = Anthropic(api_key=server.key, base_url=server.url, max_retries=0).organization
    # The SDK types what it gets: a field of another type would be the fake's fault.
    hints = {key.id: key.partial_key_hint for key in admin.api_keys.list()}
    assert hints == {record.facts["id"]: record.facts["hint"] for record in found.of("anthropic.key")}
    assert [each.name for each in admin.workspaces.list()] == ["Research"]
    oauth = Anthropic(auth_token=server.token, base_url=server.url, max_retries=0).organization.federation
    rules = {rule.id: rule.applies_to_all_workspaces for rule in oauth.rules.list()}
    told = {record.facts["id"]: record.facts["all_workspaces"] for record in found.of("anthropic.federation_rule")}
    assert rules == told
    assert [each.issuer_url for each in oauth.issuers.list()] == [GITHUB]


def test_all_pages(server: AnthropicAdmin) -> None:
    server.largest = 3
    for number in range(10):
        server.api_key(f"apikey_x{number}", VALUE, workspace="wrkspc_1")
        server.rule(f"fdrl_x{number}", "fdis_1", {"subject_prefix": "repo:acme/x:*"})
    found = collect(server)
    assert len(found.of("anthropic.key")) == 13
    assert len(found.of("anthropic.federation_rule")) == 12


def test_without_an_oauth_token_federation_rules_are_a_problem(server: AnthropicAdmin) -> None:
    found = collect(server, admin_key_env="ADMIN")
    (problem,) = found.problems
    assert problem.kind == "anthropic.federation_rule"
    assert "org:admin" in problem.change
    assert len(found.of("anthropic.key")) == 3


def test_an_admin_key_is_no_oauth_token(server: AnthropicAdmin) -> None:
    given = {"url": server.url, "admin_key_env": "ADMIN", "token_env": "ADMIN"}
    found = collector("anthropic", given, {"ADMIN": server.key}).collect()
    (problem,) = found.problems
    assert "401" in problem.what
    assert "org:admin" in problem.change


def test_the_lease_of_a_provider(server: AnthropicAdmin) -> None:
    lease = Lease("claude", "anthropic", {"ANTHROPIC_AUTH_TOKEN": Secret(server.token)}, session=None)
    found = collector("anthropic", {"url": server.url}, {}, Access(lease=lease)).collect()
    assert found.kinds == {"anthropic.federation_rule"}
    assert len(found.of("anthropic.federation_rule")) == 2
    assert not any("api_keys" in request.path for request in server.requests)


def test_no_credential(server: AnthropicAdmin) -> None:
    with pytest.raises(UsageError, match="no credential"):
        collector("anthropic", {"url": server.url}, {}).collect()


def test_refused_keys_stop_it(server: AnthropicAdmin) -> None:
    with pytest.raises(RefusedError, match="401"):
        collector("anthropic", {"url": server.url, "admin_key_env": "A"}, {"A": "sk-ant-admin01-x"}).collect()


def test_names_of_workspaces_may_be_refused(server: AnthropicAdmin) -> None:
    server.refuse = {"workspaces": 403}
    found = collect(server)
    assert one(found, "anthropic.key", "key apikey_1").facts["workspace"] == "wrkspc_1"


@pytest.mark.parametrize(
    "answer", [{"next_page": "page_0"}, {"next_page": 7}, {"has_more": True}, {"data": {}}, {"data": [{"id": 7}]}]
)
def test_rules_that_do_not_add_up(server: AnthropicAdmin, answer: dict[str, Any]) -> None:
    server.override = {"federation_rules": answer}
    (problem,) = collect(server).problems
    assert problem.kind == "anthropic.federation_rule"
    assert "federation rules" in problem.what


@pytest.mark.parametrize("name", ["match", "applies_to_all_workspaces"])
def test_a_rule_of_another_form_is_not_read_as_narrow(server: AnthropicAdmin, name: str) -> None:
    server.rules[0][name] = None
    assert [problem.kind for problem in collect(server).problems] == ["anthropic.federation_rule"]


def test_keys_that_do_not_add_up(server: AnthropicAdmin) -> None:
    server.override = {"api_keys": {"has_more": True}}
    with pytest.raises(UnreachableError, match="list keys"):
        collect(server)


def test_a_long_condition_is_not_cut(server: AnthropicAdmin) -> None:
    condition = " && ".join(f"claims.x{number} == 'a  b'" for number in range(40)) + " || true"
    server.rules[0]["match"] = {**server.rules[0]["match"], "condition": condition}
    assert condition in [each.facts["condition"] for each in collect(server).of("anthropic.federation_rule")]


def test_a_claim_of_another_form_is_carried_and_told(server: AnthropicAdmin) -> None:
    server.rule("fdrl_3", "fdis_1", {"claims": {"repository": ["acme/trainer"]}})
    found = collect(server)
    assert one(found, "anthropic.federation_rule", "fdrl_3").facts["claims"] == {"repository": ["acme/trainer"]}
    assert not any("fdrl_3" in each.subject for each in AiFederationRuleOpen().check(found)), "nobody knows what it is"
    (problem,) = found.problems
    assert (problem.kind, "fdrl_3" in problem.what) == ("anthropic.federation_rule", True)


@pytest.mark.parametrize("match", [{"claims": ["repository"]}, {"subject_prefix": 7}, {"condition": {"cel": "true"}}])
def test_a_rule_of_another_form_is_never_taken_for_an_open_one(server: AnthropicAdmin, match: dict[str, Any]) -> None:
    server.rule("fdrl_3", "fdis_1", match)
    found = collect(server)
    assert [each.kind for each in found.problems] == ["anthropic.federation_rule"]
    assert not any("fdrl_3" in each.subject for each in found.records)

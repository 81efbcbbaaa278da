"""The collector of GitLab on the fake: variables without values, and what is refused."""

from typing import Any

import msgspec
import pytest

from keylease.audit.model import Inventory
from keylease.collectors.base import Access
from keylease.collectors.gitlab import GitLabCollector, GitLabCollectSettings
from keylease.errors import RefusedError, UnreachableError
from tests.fakes.gitlab_inventory import GitLabInventory
from tests.fakes.gitlab_rest import GitLab
from tests.integration.collecting import as_json
from tests.integration.gitlab_sync import TOKEN, connected, served


def collected(server: GitLab, shard: tuple[int, int] = (1, 1), token: str = TOKEN, **settings: Any) -> Inventory:
    target = connected(server, token, retries=0)
    made = GitLabCollector.complete(GitLabCollectSettings(**settings), {})
    collector = GitLabCollector(made, target.context, Access(target=target))
    collector.shard = shard
    return collector.collect()


def site(server: GitLabInventory) -> GitLabInventory:
    """Groups below each other, and a project that is archived."""
    for path in ("acme/trainer", "acme/ml/server", "acme/ml/deep/one"):
        server.project(path)
    server.project("acme/old", archived=True)
    for path in ("acme", "acme/ml", "acme/ml/deep"):
        server.group(path)
        server.set(server.group(path), "TOKEN", "a-value-of-a-group")
    server.token(TOKEN, ["read_api"], roles={each.path: 50 for each in server.containers.values() if each.path})
    return server


def test_instance_variables_without_their_values() -> None:
    with served() as server:
        for number in range(230):
            server.set(server.instance, f"NAME_{number}", f"a-value-{number}", masked=bool(number % 2))
        server.set(server.instance, "PUSH", "glpat-" + "9fKq2LxVb7TzWm4RcYpD")
        found = collected(server, instance=True)
    assert len(found.of("gitlab.variable")) == 231
    push = found.of("gitlab.variable")[-1]
    assert push.facts["hint"] == "glpat-…cYpD"
    assert push.facts["looks_like"] == "GitLab token"
    assert push.facts["masked"] is False
    assert "a-value" not in as_json(found)
    assert "9fKq2" not in as_json(found)
    [token] = found.of("gitlab.token")
    assert token.facts["scopes"] == ["api"]
    assert token.facts["created_at"] == "2026-11-01T00:00:00Z"
    assert found.problems == []


def test_nothing_of_a_private_key_is_shown_and_what_is_found_is_sealed() -> None:
    key = "-----BEGIN PRIVATE KEY-----\n" + "aZ3kQ9xLm2Rt7Yb5Nc8V" * 5 + "\n-----END PRIVATE KEY-----"
    token = "glpat-" + "9fKq2LxVb7TzWm4RcYpD"
    with served() as server:
        server.set(server.instance, "DEPLOY_KEY", key, masked=False)
        server.set(server.instance, "PUSH", token, masked=False)
        target = connected(server, retries=0)
        settings = GitLabCollector.complete(GitLabCollectSettings(instance=True), {})
        found = GitLabCollector(settings, target.context, Access(target=target)).collect()
        assert token not in target.context.masker.scrub(f"oops: {token}")
    facts = {each.facts["name"]: each.facts for each in found.of("gitlab.variable")}
    assert facts["DEPLOY_KEY"]["looks_like"] == "private key"
    assert "hint" not in facts["DEPLOY_KEY"]
    assert facts["PUSH"]["hint"] == "glpat-…cYpD"


def test_a_refusal_is_a_problem_of_its_kind_with_the_role_to_grant() -> None:
    with served() as server:
        server.tokens[next(iter(server.tokens))].admin = False
        found = collected(server, instance=True)
    [problem] = found.problems
    assert problem.kind == "gitlab.variable"
    assert "administrator" in problem.change
    assert msgspec.json.encode(found.records)


def test_a_group_its_projects_and_their_tokens() -> None:
    listed = {"id": 42, "name": "ci", "scopes": ["api"], "access_level": 50, "active": True, "revoked": False}
    listed |= {"created_at": "2021-01-20T22:11:48.151Z", "expires_at": "2021-01-31", "last_used_at": None}
    trigger = {"id": 10, "description": "my\ntrigger", "token": "6d056f63e50fe6f8c5f8f4aa10edb7", "last_used": None}
    with GitLabInventory() as server:
        server.project("acme/trainer")
        server.group("acme")
        server.token(TOKEN, ["read_api"], roles={"acme/trainer": 40, "acme": 50})
        server.lists["projects/acme/trainer/access_tokens"] = [{**listed, "id": number} for number in range(250)]
        server.lists["projects/acme/trainer/triggers"] = [trigger]
        server.lists["projects/acme/trainer/job_token_scope/allowlist"] = [{"path_with_namespace": "acme/other"}]
        server.limited = False
        server.refused = {"deploy_tokens"}
        found = collected(server, group="acme")
    [project] = found.of("gitlab.project")
    assert project.facts["job_token_inbound_limited"] is False
    assert project.facts["job_token_allowlist"] == ["acme/other"]
    tokens = [record for record in found.of("gitlab.token") if record.facts["sort"] == "project"]
    assert len({record.subject for record in tokens}) == 250
    assert tokens[0].facts["access_level"] == "owner"
    assert tokens[0].facts["expires_at"] == "2021-01-31T00:00:00Z"
    assert [each.kind for each in found.problems] == ["gitlab.token"] * 2
    assert {each.change.rpartition(" of ")[2] for each in found.problems} == {"acme", "acme/trainer"}
    assert "6d056f63" not in as_json(found)


def test_subgroups_have_variables_and_tokens_of_their_own() -> None:
    with GitLabInventory() as server:
        site(server)
        server.lists["groups/acme/ml/deep/access_tokens"] = [{"id": 9, "name": "deep", "scopes": ["api"]}]
        found, alone = collected(server, group="acme"), collected(server, group="acme", subgroups=False)
    holders = {record.facts["holder"] for record in found.of("gitlab.variable")}
    assert holders == {"acme", "acme/ml", "acme/ml/deep"}
    assert {record.facts["path"] for record in found.of("gitlab.group")} == holders
    assert [record.facts["holder"] for record in found.of("gitlab.token") if record.facts["name"] == "deep"] == [
        "acme/ml/deep"
    ]
    assert {record.facts["path"] for record in alone.of("gitlab.group")} == {"acme"}
    assert {record.facts["path"] for record in alone.of("gitlab.project")} == {"acme/trainer", "acme/old"}


def test_archived_projects_are_there_and_said_to_be() -> None:
    with GitLabInventory() as server:
        found = collected(site(server), group="acme")
    archived = {record.facts["path"]: record.facts["archived"] for record in found.of("gitlab.project")}
    assert archived["acme/old"] is True
    assert archived["acme/trainer"] is False


def test_subjects_name_the_server() -> None:
    with GitLabInventory() as server:
        found = collected(site(server), group="acme")
    host = server.url.partition("://")[2]
    assert {record.subject.startswith(f"gitlab://{host}/") for record in found.records} == {True}
    assert f"gitlab://{host}/acme/ml/variable/TOKEN?scope=*" in {record.subject for record in found.records}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("settings", [{"group": "acme"}, {"project": "acme/trainer"}])
def test_shards_have_everything_once(count: int, settings: dict[str, Any]) -> None:
    with GitLabInventory() as server:
        whole = collected(site(server), **settings)
        parts = [collected(server, (number, count), **settings) for number in range(1, count + 1)]
    assert sorted(record.subject for part in parts for record in part.records) == sorted(
        record.subject for record in whole.records
    )


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        ("trainer", {"acme/trainer"}),
        ("ml/*", {"acme/ml/server"}),
        (["ml/*", "ml/*/*", "old"], {"acme/ml/server", "acme/ml/deep/one", "acme/old"}),
        ("nothing", set()),
    ],
)
def test_globs_choose_projects(names: Any, paths: set[str]) -> None:
    with GitLabInventory() as server:
        found = collected(site(server), group="acme", names=names)
    assert {record.facts["path"] for record in found.of("gitlab.project")} == paths


@pytest.mark.parametrize("settings", [{"instance": True}, {"group": "acme"}, {"project": "acme/trainer"}])
def test_a_token_that_nobody_knows_ends_it(settings: dict[str, Any]) -> None:
    with GitLabInventory() as server, pytest.raises(RefusedError, match="401"):
        collected(site(server), token="glpat-unknown", **settings)


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("groups/acme/descendant_groups", {"message": "no list"}),
        ("groups/acme/descendant_groups", [{"id": 3, "full_path": "../\x1b[31m"}]),
        ("groups/acme/descendant_groups", [{"id": "3", "full_path": "acme/x"}]),
        ("groups/acme/access_tokens", [{"name": "no id"}]),
        ("groups/acme/access_tokens", [{"id": 1, "expires_at": "tomorrow"}]),
        ("groups/acme/deploy_tokens", ["no object"]),
        ("projects/acme/trainer/job_token_scope", []),
    ],
)
def test_garbage_is_never_taken_for_an_empty_list(key: str, answer: object) -> None:
    with GitLabInventory() as server:
        site(server).answers[key] = answer
        with pytest.raises(UnreachableError):
            collected(server, group="acme")


def test_hostile_names_stay_in_facts_and_out_of_subjects() -> None:
    name = "\x1b[2J\n::error::**" + "x" * 5000
    with GitLabInventory() as server:
        site(server).lists["groups/acme/access_tokens"] = [{"id": 5, "name": name, "scopes": [name, None]}]
        found = collected(server, group="acme", subgroups=False)
    [token] = [record for record in found.of("gitlab.token") if record.facts["sort"] == "group"]
    assert token.facts["name"] == name
    assert token.subject.isprintable()
    assert len(token.subject) < 100

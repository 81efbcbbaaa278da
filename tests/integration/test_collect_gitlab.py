"""The collector of GitLab on the fake: variables without values, and what is refused."""

from typing import Any

import msgspec

from keylease.audit.model import Inventory
from keylease.collectors.base import Access
from keylease.collectors.gitlab import GitLabCollector, GitLabCollectSettings
from tests.fakes.gitlab_inventory import GitLabInventory
from tests.fakes.gitlab_rest import GitLab
from tests.integration.collecting import as_json
from tests.integration.gitlab_sync import TOKEN, connected, served


def collected(server: GitLab, **settings: Any) -> Inventory:
    target = connected(server, retries=0)
    made = GitLabCollector.complete(GitLabCollectSettings(**settings), {})
    return GitLabCollector(made, target.context, Access(target=target)).collect()


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

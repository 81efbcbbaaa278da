"""The collector of GitLab on the fake: variables without values, and what is refused."""

from typing import Any

import msgspec

from keylease.audit.model import Inventory
from keylease.collectors.base import Access
from keylease.collectors.gitlab import GitLabCollector, GitLabCollectSettings
from tests.fakes.gitlab_rest import GitLab
from tests.integration.collecting import as_json
from tests.integration.gitlab_sync import connected, served


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


def test_a_refusal_is_a_problem_of_its_kind_with_the_role_to_grant() -> None:
    with served() as server:
        server.tokens[next(iter(server.tokens))].admin = False
        found = collected(server, instance=True)
    [problem] = found.problems
    assert problem.kind == "gitlab.variable"
    assert "administrator" in problem.change
    assert msgspec.json.encode(found.records)

"""The inventory of GitHub, over the fake: what is in it, and how many requests it takes."""

import collections
import json
import time
from pathlib import Path
from typing import Any

import pytest

from keylease.audit.hints import Hint, parse
from keylease.audit.model import Inventory
from keylease.audit.policy import AuditPolicy
from keylease.collectors.github import GitHubCollector, GitHubCollectSettings
from keylease.errors import UsageError
from keylease.pipelines.audit import judge
from keylease.registry import RULES
from keylease.vendors.github_settings import Select
from tests.fakes.github_rest import GitHubRest
from tests.fakes.github_rest_audit import grant, key, removal
from tests.integration.github_inventory import WORKFLOW, an_organization, collected, host_of, only
from tests.integration.github_sync import target_of
from tests.leaks import Seeded


def test_a_repository_and_all_that_it_holds() -> None:
    with GitHubRest() as github:
        made = github.add_repository("Acme/Trainer", environments={"prod"}, visibility="internal")
        made.protection["prod"] = {
            "patterns": ["main", "v*"],
            "protection_rules": [
                {"id": 1, "node_id": "x", "type": "wait_timer", "wait_timer": 5},
                {
                    "id": 2,
                    "node_id": "x",
                    "type": "required_reviewers",
                    "prevent_self_review": True,
                    "reviewers": [{"type": "User"}, {"type": "Team"}],
                },
                {"id": 3, "node_id": "x", "type": "branch_policy"},
            ],
        }
        made.workflow_permissions = ("write", True)
        made.keys = [key(1, "old", read_only=False, last_used="2026-02-01T00:00:00Z"), key(2, "off", enabled=False)]
        made.files = {".github/workflows/ci.yml": WORKFLOW, ".github/workflows/README.md": b"secrets.X"}
        github.put("acme/trainer", "secret", "NPM_TOKEN", "v")
        github.put("acme/trainer", "dependabot", "NPM_TOKEN", "v")
        github.put("acme/trainer", "codespaces", "NPM_TOKEN", "v")
        github.put("acme/trainer", "variable", "REGION", "eu")
        github.put("acme/trainer?prod", "secret", "NPM_TOKEN", "v")
        github.put("acme/trainer?prod", "variable", "STAGE", "live")
        found = collected(github, repository="acme/trainer")
    assert found.problems == []
    assert found.kinds == {
        *("github.repository", "github.secret", "github.variable", "github.environment", "github.deploy_key"),
        *("github.usage", "github.token"),
    }
    [repository] = found.of("github.repository")
    host = host_of(github)
    assert repository.subject == f"github://{host}/acme/trainer"
    assert repository.facts == {
        "server": host,
        "name": "Acme/Trainer",
        "visibility": "internal",
        "archived": False,
        "fork": False,
        "default_branch": "main",
        "workflow_permissions": "write",
        "can_approve": True,
    }
    assert [each.subject for each in found.of("github.secret")] == [
        f"github://{host}/acme/trainer/secret/NPM_TOKEN",
        f"github://{host}/acme/trainer/dependabot-secret/NPM_TOKEN",
        f"github://{host}/acme/trainer/codespaces-secret/NPM_TOKEN",
        f"github://{host}/acme/trainer/environment/prod/secret/NPM_TOKEN",
    ]
    last = found.of("github.secret")[-1].facts
    assert (last["store"], last["level"], last["environment"], last["holder"]) == (
        "actions", "environment", "prod", "Acme/Trainer",
    )  # fmt: skip
    assert last["updated_at"].endswith("Z")
    [environment] = found.of("github.environment")
    assert environment.facts == {
        "server": host,
        "name": "prod",
        "repository": "Acme/Trainer",
        "reviewers": 2,
        "self_review_prevented": True,
        "wait_minutes": 5,
        "custom_rules": 0,
        "branches": "custom",
        "branch_patterns": ["main", "v*"],
        "admins_bypass": True,
        "secrets": 1,
    }
    old, off = found.of("github.deploy_key")
    assert (old.facts["read_only"], old.facts["last_used_at"], old.facts["active"]) == (
        False,
        "2026-02-01T00:00:00Z",
        True,
    )
    assert (off.facts["last_used_at"], off.facts["active"], off.facts["added_by"]) == (None, False, "ada")
    assert [each.facts["level"] for each in found.of("github.variable")] == ["repository", "environment"]
    assert all("value" not in each.facts for each in found.of("github.variable"))
    [usage] = found.of("github.usage")
    assert usage.facts == {
        "server": host,
        "repository": "Acme/Trainer",
        "names": ["DEPLOY_KEY", "IN_A_CONDITION", "NPM_TOKEN"],
        "dynamic": False,
        "inherits": False,
        "whole": True,
    }


def test_an_organization() -> None:
    with GitHubRest() as github:
        an_organization(github)
        found = collected(github)
    assert found.problems == []
    assert found.kinds == set(GitHubCollector.kinds)
    [facts] = [each.facts for each in found.of("github.organization")]
    assert facts == {
        "server": host_of(github),
        "name": "acme",
        "public": 1,
        "private": 2,
        "internal": 0,
        "active": 2,
        "complete": True,
        "workflow_permissions": "write",
        "can_approve": False,
        "members": ["ada", "Back"],
    }
    assert {each.facts["name"]: each.facts["archived"] for each in found.of("github.repository")} == {
        "acme/trainer": False,
        "acme/site": False,
        "acme/old": True,
    }
    some = only(found, "github.secret", "SOME")
    assert (some.subject, some.facts["repositories"]) == (
        f"github://{host_of(github)}/acme/secret/SOME",
        ["acme/trainer"],
    )
    assert "repositories" not in only(found, "github.secret", "EVERYWHERE").facts
    [app] = found.of("github.installation")
    assert (app.facts["repositories"], app.facts["permissions"], app.facts["active"]) == (
        "all",
        {"secrets": "write"},
        True,
    )
    [token] = found.of("github.token_grant")
    assert token.facts["created_at"] == "2026-01-01T00:00:00Z"
    assert (token.facts["expires_at"], token.facts["last_used_at"]) == (None, "2026-02-01T00:00:00Z")
    [gone] = found.of("github.departure")
    assert gone.facts["person"] == "bob"  # the last time; who came back is not gone


def test_repositories_that_cannot_be_seen_are_told_of() -> None:
    with GitHubRest() as github:
        an_organization(github)
        github.organization("acme").hidden = 2
        found = collected(github)
    assert {problem.what for problem in found.problems} == {"GitHub: 2 of the 5 repositories of acme can't be seen"}
    assert {problem.kind for problem in found.problems} >= {"github.repository", "github.secret", "github.usage"}


def test_a_variables_value_is_kept_nowhere(seeded: Seeded) -> None:
    value = "sk-proj-" + "aB3dE5fG7h" * 6 + "wxyz"
    seeded.add(value)
    with GitHubRest() as github:
        github.add_repository("acme/trainer")
        github.put("acme/trainer", "variable", "KEY", value)
        github.put("acme/trainer", "variable", "IN_JSON", json.dumps({"key": value}))
        github.put("acme/trainer", "variable", "KEYLEASE_LEDGER_X_0", "{}")
        github.put("acme/trainer", "variable", "STAGE", "production")
        target = target_of(github)
        found = collected(github, target=target, repository="acme/trainer")
        assert target.context.masker.scrub(f"it is {value}") != f"it is {value}"
    facts = only(found, "github.variable", "KEY").facts
    assert (facts["looks_like"], facts["hint"]) == ("OpenAI key", "sk-proj-…wxyz")
    assert parse(facts["hint"]) == Hint("sk-proj-", "wxyz")  # what matches it with its vendor's record
    assert only(found, "github.variable", "IN_JSON").facts["hint"] == "sk-proj-…"
    assert "looks_like" not in only(found, "github.variable", "STAGE").facts
    assert value not in repr(found)


def test_what_is_switched_off_is_not_called_whole() -> None:
    with GitHubRest() as github:
        an_organization(github)
        before = len(github.requests)
        found = collected(github, organization="acme", workflows=False, members=False)
        asked = [request.path for request in github.requests[before:]]
    assert set(GitHubCollector.kinds) - found.kinds == {"github.usage", "github.departure"}
    assert not any("contents" in path or "audit-log" in path or "members" in path for path in asked)


def test_lists_of_many_pages_and_no_request_too_many() -> None:
    with GitHubRest() as github:
        for number in range(130):
            github.add_repository(f"acme/r{number:03}", archived=number >= 1)
        made = github.repositories["acme/r000"]
        made.environments = {f"e{number:03}" for number in range(101)}
        made.keys = [key(number, "k") for number in range(1, 205)]
        for number in range(31):
            github.put("acme/r000", "variable", f"V{number}", "x")
        for number in range(100):
            github.put("acme/r000", "secret", f"S{number}", "x")
        github.organization("acme").log = [removal(f"p{number}", int(time.time())) for number in range(150)]
        found = collected(github)
    counts = collections.Counter(record.kind for record in found.records)
    assert found.problems == []
    assert counts["github.repository"] == 130
    assert (counts["github.environment"], counts["github.deploy_key"]) == (101, 204)
    assert (counts["github.variable"], counts["github.secret"], counts["github.departure"]) == (31, 100, 150)


def test_requests_of_fifty_repositories() -> None:
    files, environments = 2, 1
    with GitHubRest() as github:
        for number in range(50):
            made = github.add_repository(f"acme/r{number:02}", environments={"prod"})
            made.files = {f".github/workflows/{each}.yml": WORKFLOW + b"# %d" % each for each in range(files)}
            github.put(f"acme/r{number:02}?prod", "secret", "A", "x")
            made.protection["prod"] = {"deployment_branch_policy": PROTECTED}
        github.organization("acme").log = []
        target = target_of(github, token=github.add_token(kind="integration"))
        collected(github, target=target)
        paths = collections.Counter(request.target for request in github.requests)
        first = len(github.requests)
        assert max(paths.values()) == 1, paths.most_common(3)
        # One list each: permissions, three stores, variables, environments, keys, workflows; two of an environment.
        lower = 50 * (8 + 2 * environments) + files + 1 + 10
        assert lower <= first <= lower + 7 * files  # eight threads may ask for the same file at once
        github.statuses.clear()
        collected(github, target=target)
        assert len(github.requests) - first == lower - files  # a file is known by its hash
        assert github.statuses[200] == 1  # the audit log, which has no end that could be compared


PROTECTED = {"protected_branches": True, "custom_branch_policies": False}


def test_the_same_file_is_read_once_wherever_it_is() -> None:
    with GitHubRest() as github:
        for number in range(9):
            github.add_repository(f"acme/r{number}").files = {".github/workflows/ci.yml": WORKFLOW}
        target = target_of(github)
        found = collected(github, target=target)
        again = collected(github, target=target)
        blobs = [request for request in github.requests if "/git/blobs/" in request.path]
    assert len(blobs) < 9
    assert [each.facts for each in found.of("github.usage")] == [each.facts for each in again.of("github.usage")]
    assert len(found.of("github.usage")) == 9


def test_shards_are_all_of_it_together_and_the_organization_is_in_the_first() -> None:
    with GitHubRest() as github:
        an_organization(github)
        for number in range(12):
            github.add_repository(f"acme/r{number}")
        whole = collected(github)
        parts = [collected(github, (which, 3)) for which in (1, 2, 3)]
    merged = Inventory()
    for part in parts:
        merged.add(part)
    assert sorted(each.subject for each in merged.records) == sorted(each.subject for each in whole.records)
    assert [bool(part.of("github.organization")) for part in parts] == [True, False, False]
    assert all(len(part.of("github.repository")) < 15 for part in parts)
    assert "github.organization" not in parts[1].kinds


def test_selected_repositories() -> None:
    with GitHubRest() as github:
        for name in ("ml-a", "ml-b", "site"):
            github.add_repository(f"acme/{name}", topics=("ai",) if name == "ml-a" else ())
        found = collected(github, organization="acme", select=Select(names="ml-*"))
        tagged = collected(github, organization="acme", select=Select(topics="ai"))
    assert [each.facts["name"] for each in found.of("github.repository")] == ["acme/ml-a", "acme/ml-b"]
    assert [each.facts["name"] for each in tagged.of("github.repository")] == ["acme/ml-a"]
    assert [each.facts["active"] for each in tagged.of("github.organization")] == [3]


@pytest.mark.parametrize(
    "given",
    [{}, {"organization": "a", "repository": "a/b"}, {"repository": "a"}, {"organization": "a/../b"},
     {"repository": "a/b", "select": Select(names="x")}],
)  # fmt: skip
def test_settings_that_make_no_sense(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="GitHub"):
        GitHubCollector.complete(GitHubCollectSettings(**given), {})


def test_permissions_are_told_in_githubs_words() -> None:
    assert "Administration: read" in GitHubCollector.permissions
    assert "Organization personal access tokens: read" in GitHubCollector.permissions
    assert all(each.endswith(": read") for each in GitHubCollector.permissions)


def test_answers_are_kept_from_run_to_run_without_any_value(seeded: Seeded, tmp_path: Path) -> None:
    value = "hf_" + "qWeRtYuIoPaSdFgHjKlZxCvBnMqWeRtYuI"
    seeded.add(value)
    cache = tmp_path / "cache"
    with GitHubRest() as github:
        made = github.add_repository("acme/trainer", environments={"prod"})
        made.files = {".github/workflows/ci.yml": WORKFLOW}
        github.put("acme/trainer", "variable", "KEY", value)
        github.put("acme/trainer?prod", "variable", "STAGE", "a value of its own")
        token = github.add_token(kind="integration")
        first = collected(github, target=target_of(github, token=token, cache=str(cache)), repository="acme/trainer")
        github.statuses.clear()
        again = collected(github, target=target_of(github, token=token, cache=str(cache)), repository="acme/trainer")
        assert set(github.statuses) == {304}
        blobs = [request for request in github.requests if "/git/blobs/" in request.path]
    assert len(blobs) == 1
    assert [each.facts for each in again.records] == [each.facts for each in first.records]
    assert b"a value of its own" not in cache.read_bytes()
    assert only(again, "github.variable", "KEY").facts["hint"] == "hf_…tYuI"


def test_what_rules_make_of_it() -> None:
    with GitHubRest() as github:
        an_organization(github)
        made = github.repositories["acme/trainer"]
        made.files = {".github/workflows/ci.yml": WORKFLOW}
        made.environments = {"prod"}
        made.keys = [key(1, "bobs", read_only=False, added_by="Bob")]
        github.put("acme/trainer", "secret", "AWS_SECRET_ACCESS_KEY", "v")
        github.put("acme/trainer", "secret", "NPM_TOKEN", "v")
        github.put("acme/trainer", "secret", "EVERYWHERE", "v")
        github.put("acme/trainer", "codespaces", "NPM_TOKEN", "v")
        github.put("acme/trainer?prod", "secret", "NPM_TOKEN", "v")
        for place, kind in (("acme", "secret"), ("acme/trainer", "secret")):
            for each in github.store(place, kind).values.values():
                each.updated_at = "2026-01-01T00:00:00Z"
        github.organization("acme").grants = [grant(7, "mine", "ada", repository_selection="all")]
        found = collected(github)
    rules = [RULES.load(name)() for name in RULES if name.startswith("github-")]
    verdict = judge(found, rules, AuditPolicy())
    assert [each for each in verdict.not_checked if each.rule.startswith("github-")] == []
    told = {(each.rule, each.subject.removeprefix(f"github://{host_of(github)}/acme/")) for each in verdict.findings}
    assert told == {
        ("github-deploy-key-departed", "trainer/deploy-key/1"),
        ("github-deploy-key-write", "trainer/deploy-key/1"),
        ("github-environment-unprotected", "trainer/environment/prod"),
        ("github-installation-broad", "installation/deployer"),
        ("github-secret-all-repositories", "codespaces-secret/C"),
        ("github-secret-all-repositories", "dependabot-secret/D"),
        ("github-secret-all-repositories", "secret/EVERYWHERE"),
        ("github-secret-copies", "trainer/secret/NPM_TOKEN"),
        ("github-secret-shadowed", "trainer/secret/EVERYWHERE"),
        ("github-secret-since-departure", "secret/EVERYWHERE"),
        ("github-secret-since-departure", "trainer/secret/AWS_SECRET_ACCESS_KEY"),
        ("github-secret-static-key", "trainer/secret/AWS_SECRET_ACCESS_KEY"),
        ("github-secret-unused", "secret/EVERYWHERE"),
        ("github-secret-unused", "secret/SOME"),
        ("github-secret-unused", "trainer/secret/AWS_SECRET_ACCESS_KEY"),
        ("github-secret-unused", "trainer/secret/EVERYWHERE"),
        ("github-token-grant-broad", "token-grant/7"),
        ("github-workflow-write-default", f"github://{host_of(github)}/acme"),
    }


# The rule github_classic_token.
def test_a_credential_tells_of_itself() -> None:
    rule = RULES.load("github-classic-token")()
    with GitHubRest() as github:
        github.add_repository("acme/x")
        token = github.add_token()
        github.credentials[token].headers = {"X-OAuth-Scopes": "repo, read:org"}
        [own] = collected(github, target=target_of(github, token=token), repository="acme/x").of("github.token")
        assert own.facts["scopes"] == ["read:org", "repo"]
        assert own.facts["expires_at"] is None
        assert [each.severity for each in rule.check(Inventory([own]))] == ["high"]
        github.credentials[token].headers = {"GitHub-Authentication-Token-Expiration": "2027-01-31 12:00:00 UTC"}
        [own] = collected(github, target=target_of(github, token=token), repository="acme/x").of("github.token")
        assert own.facts["expires_at"] == "2027-01-31T12:00:00Z"
        assert "scopes" not in own.facts
        assert not list(rule.check(Inventory([own])))


def test_an_apps_token_tells_nothing_of_itself() -> None:
    with GitHubRest() as github:
        github.add_repository("acme/x")
        found = collected(github, repository="acme/x")
    assert found.of("github.token") == []
    assert "github.token" in found.kinds

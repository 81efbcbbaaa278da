"""The inventory of GitHub, over the fake: what is in it, what is not whole, and how many requests it takes."""

import collections
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from keylease.audit.model import Inventory, Record
from keylease.audit.policy import AuditPolicy
from keylease.collectors.base import Access
from keylease.collectors.github import GitHubCollector, GitHubCollectSettings
from keylease.errors import RefusedError, UnreachableError, UsageError
from keylease.pipelines.audit import judge
from keylease.registry import RULES
from keylease.vendors.github_settings import Select
from tests.fakes.github_rest import GitHubRest
from tests.fakes.github_rest_audit import grant, installed, key, removal
from tests.fakes.loopback import Received
from tests.integration.github_sync import target_of
from tests.leaks import Seeded

DAY = 86400
WORKFLOW = b"""\
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    if: secrets.IN_A_CONDITION != ''
    steps:
      - run: make
        env:
          A: ${{ secrets.NPM_TOKEN }}
          B: ${{ secrets['deploy_key'] }}
          C: ${{ secrets.GITHUB_TOKEN }}
"""


def collected(github: GitHubRest, shard: tuple[int, int] = (1, 1), target: Any = None, **given: Any) -> Inventory:
    target = target or target_of(github, token=github.add_token(kind="integration"))
    settings = given or {"organization": "acme"}
    complete = GitHubCollector.complete(GitHubCollectSettings(**settings), {})
    collector = GitHubCollector(complete, target.context, Access(target=target))
    collector.shard = shard
    found = collector.collect()
    assert github.problems == []
    assert all(record.kind in GitHubCollector.kinds for record in found.records)
    assert found.kinds <= set(GitHubCollector.kinds)
    json.dumps([record.facts for record in found.records])
    subjects = collections.Counter((record.kind, record.subject) for record in found.records)
    assert max(subjects.values(), default=1) == 1
    return found


def only(inventory: Inventory, kind: str, name: str) -> Record:
    [found] = [each for each in inventory.of(kind) if each.facts.get("name") == name]
    return found


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
        "github.usage",
    }
    [repository] = found.of("github.repository")
    assert repository.subject == "github://acme/trainer"
    assert repository.facts == {
        "name": "Acme/Trainer",
        "visibility": "internal",
        "archived": False,
        "fork": False,
        "default_branch": "main",
        "workflow_permissions": "write",
        "can_approve": True,
    }
    assert [each.subject for each in found.of("github.secret")] == [
        "github://acme/trainer/secret/NPM_TOKEN",
        "github://acme/trainer/dependabot-secret/NPM_TOKEN",
        "github://acme/trainer/codespaces-secret/NPM_TOKEN",
        "github://acme/trainer/environment/prod/secret/NPM_TOKEN",
    ]
    last = found.of("github.secret")[-1].facts
    assert (last["store"], last["level"], last["environment"], last["holder"]) == (
        "actions", "environment", "prod", "Acme/Trainer",
    )  # fmt: skip
    assert last["updated_at"].endswith("Z")
    [environment] = found.of("github.environment")
    assert environment.facts == {
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
        "repository": "Acme/Trainer",
        "names": ["DEPLOY_KEY", "IN_A_CONDITION", "NPM_TOKEN"],
        "dynamic": False,
        "inherits": False,
        "whole": True,
    }


def an_organization(github: GitHubRest) -> None:
    now = int(time.time())
    for name, visibility in (("trainer", "private"), ("site", "public"), ("old", "private")):
        github.add_repository(f"acme/{name}", visibility=visibility, archived=name == "old")
    github.put("acme", "secret", "EVERYWHERE", "v", visibility="all")
    chosen = github.repositories["acme/trainer"].id
    github.put("acme", "secret", "SOME", "v", visibility="selected", selected=[chosen])
    github.put("acme", "variable", "REGION", "eu")
    github.put("acme", "dependabot", "D", "v")
    github.put("acme", "codespaces", "C", "v")
    held = github.organization("acme")
    held.members = ["ada", "Back"]
    held.workflow_permissions = ("write", False)
    held.installations = [installed(1, "deployer", repository_selection="all", permissions={"secrets": "write"})]
    held.grants = [grant(7, "mine", "ada", token_last_used_at="2026-02-01T00:00:00Z")]
    held.log = [
        removal("bob", now - DAY),
        removal("back", now - 2 * DAY),
        removal("Bob", now - 3 * DAY),
        {"@timestamp": now * 1000, "action": "repo.create", "_document_id": "x"},
    ]


def test_an_organization() -> None:
    with GitHubRest() as github:
        an_organization(github)
        found = collected(github)
    assert found.problems == []
    assert found.kinds == set(GitHubCollector.kinds)
    [facts] = [each.facts for each in found.of("github.organization")]
    assert facts == {
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
    assert (some.subject, some.facts["repositories"]) == ("github://acme/secret/SOME", ["acme/trainer"])
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
    assert only(found, "github.variable", "IN_JSON").facts["hint"] == "sk-proj-…"
    assert "looks_like" not in only(found, "github.variable", "STAGE").facts
    assert value not in repr(found)


REFUSED = {
    "secrets": "github.secret",
    "dependabot_secrets": "github.secret",
    "codespaces_secrets": "github.secret",
    "environments": "github.secret",
    "actions_variables": "github.variable",
    "actions": "github.environment",
    "administration": "github.deploy_key",
    "contents": "github.usage",
    "organization_secrets": "github.secret",
    "organization_dependabot_secrets": "github.secret",
    "organization_codespaces_secrets": "github.secret",
    "organization_actions_variables": "github.variable",
    "organization_administration": "github.installation",
    "organization_personal_access_tokens": "github.token_grant",
    "members": "github.departure",
}


@pytest.mark.parametrize("lacking", REFUSED)
def test_what_may_not_be_read_is_a_problem_of_its_own(lacking: str) -> None:
    with GitHubRest() as github:
        an_organization(github)
        for name in ("trainer", "site"):
            github.repositories[f"acme/{name}"].environments = {"prod"}
        whole = collected(github)
        token = github.add_token(kind="integration", **{lacking: ""})
        found = collected(github, target=target_of(github, token=token))
    assert whole.problems == []
    assert REFUSED[lacking] in {problem.kind for problem in found.problems}
    assert all("read" in problem.change for problem in found.problems)
    assert found.kinds == whole.kinds
    assert found.of("github.repository")
    assert len(found.records) <= len(whole.records)
    named = [problem.what for problem in found.problems if "(acme/site, acme/trainer)" in problem.what]
    assert named or lacking.startswith("organization") or lacking in ("members", "contents", "actions")


def test_tokens_are_shown_to_apps_only_and_the_audit_log_to_enterprises() -> None:
    with GitHubRest() as github:
        an_organization(github)
        github.organization("acme").log = None
        found = collected(github, target=target_of(github))
    by_kind = {problem.kind: problem for problem in found.problems}
    assert set(by_kind) == {"github.token_grant", "github.departure"}
    assert "GitHub App" in by_kind["github.token_grant"].change
    assert "Enterprise Cloud" in by_kind["github.departure"].change


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


def test_hostile_names() -> None:
    nasty = "prod/../x?a=b#c%2F ::set\x1b[31m\n<script>é"
    with GitHubRest() as github:
        made = github.add_repository("acme/trainer", environments={nasty.lower(), ".."})
        made.keys = [key(1, nasty)]
        github.put(f"acme/trainer?{nasty}", "secret", "A", "x")
        found = collected(github, repository="acme/trainer")
    assert only(found, "github.deploy_key", nasty).facts["read_only"] is True
    named = only(found, "github.environment", nasty.lower())
    assert named.facts["secrets"] == 1
    assert named.subject.isascii()
    assert named.subject.isprintable()
    assert [problem.kind for problem in found.problems] == ["github.secret"]  # of `..`, which no client can ask for


def test_workflows_that_nobody_can_judge() -> None:
    with GitHubRest() as github:
        files = {
            "broken": b"a: [",
            "binary": b"\xff\xfe\0\1",
            "list": b"- a",
            "link": b"-> ../x.yml",
            "large": b"#" * (1024 * 1024 + 1),
        }
        for name, data in files.items():
            github.add_repository(f"acme/{name}").files = {".github/workflows/x.yml": data}
        github.add_repository("acme/dynamic").files = {
            ".github/workflows/x.yml": b"on: push\njobs:\n  a:\n    env: {X: '${{ secrets[inputs.name] }}'}\n"
        }
        github.add_repository("acme/all").files = {
            ".github/workflows/x.yml": b"on: push\njobs:\n  a:\n    env: {X: '${{ toJSON(secrets) }}'}\n"
        }
        for name, uses in (("elsewhere", "acme/x/.github/workflows/a.yml@v1"), ("local", "./.github/workflows/a.yml")):
            text = f"on: push\njobs:\n  a:\n    uses: {uses}\n    secrets: inherit\n"
            github.add_repository(f"acme/{name}").files = {".github/workflows/x.yaml": text.encode()}
        github.add_repository("acme/none")
        github.add_repository("acme/no-workflows").files = {"README.md": b"x"}
        found = collected(github)
    facts = {each.facts["repository"].partition("/")[2]: each.facts for each in found.of("github.usage")}
    assert {name for name in facts if not facts[name]["whole"]} == set(files)
    assert {name for name in facts if facts[name]["dynamic"]} == {"dynamic", "all"}
    assert {name for name in facts if facts[name]["inherits"]} == {"elsewhere"}
    assert set(facts) >= {"none", "no-workflows"}
    assert len([each for each in found.problems if each.kind == "github.usage"]) == len(files)


def test_a_credential_that_is_refused_ends_it() -> None:
    with GitHubRest() as github:
        an_organization(github)
        with pytest.raises(RefusedError, match="HTTP 401"):
            collected(github, target=target_of(github, token="github_pat_" + "x" * 30))


def test_an_organization_that_is_not_there() -> None:
    with GitHubRest() as github, pytest.raises(RefusedError, match="HTTP 404"):
        collected(github)


def test_a_list_that_changes_while_it_is_read_is_never_taken_for_whole() -> None:
    with GitHubRest() as github:
        made = github.add_repository("acme/trainer")
        made.keys = [key(number, "k") for number in range(1, 205)]
        for number in range(100):
            github.put("acme/trainer", "codespaces", f"S{number}", "x")
        github.put("acme", "secret", "A", "x")

        def before(request: Received) -> Any:
            if request.path.endswith("/keys") and request.query["page"] == ["2"]:
                made.keys = made.keys[1:]

        github.before = before
        found = collected(github, repository="acme/trainer")
    assert [problem.kind for problem in found.problems] == ["github.deploy_key"]
    assert not found.of("github.deploy_key")
    assert "changes each time" in found.problems[0].what


def test_a_list_that_moved_once_is_read_again() -> None:
    with GitHubRest() as github:
        github.add_repository("acme/trainer").keys = [key(number, "k") for number in range(1, 205)]
        moved: list[object] = []

        def before(request: Received) -> Any:
            if request.path.endswith("/keys") and request.query["page"] == ["2"] and not moved:
                moved.append(github.repositories["acme/trainer"].keys.pop(0))

        github.before = before
        found = collected(github, repository="acme/trainer")
    assert found.problems == []
    assert len(found.of("github.deploy_key")) == 203


def test_shuffled_lists_are_whole_or_a_problem() -> None:
    with GitHubRest() as github:
        made = github.add_repository("acme/trainer", environments={f"e{number}" for number in range(150)})
        made.keys = [key(number, "k") for number in range(1, 150)]
        github.shuffle = random.Random(3)
        found = collected(github, repository="acme/trainer")
    for kind, number in (("github.environment", 150), ("github.deploy_key", 149)):
        assert len(found.of(kind)) == number or kind in {problem.kind for problem in found.problems}


def test_garbage_is_a_problem() -> None:
    with GitHubRest() as github:
        github.add_repository("acme/trainer")
        for path in ("keys", "environments", "actions/secrets", "contents/.github/workflows"):
            github.before = lambda request, path=path: (  # type: ignore[misc]
                (lambda exchange: exchange.answer(200, b'{"total_count": 1}', {"Content-Type": "application/json"}))
                if request.path.endswith(path)
                else None
            )
            found = collected(github, repository="acme/trainer")
            assert found.problems, path
            assert all("is not the API's" in each.what for each in found.problems if "of environments" not in each.what)


def test_a_server_that_is_down_ends_it_soon() -> None:
    with GitHubRest() as github:
        for number in range(40):
            github.add_repository(f"acme/r{number}")
        github.before = lambda request: (
            (lambda exchange: exchange.answer(502, b"{}", {})) if "/repos/" in request.path else None
        )
        target = target_of(github, retries=0)
        with pytest.raises(UnreachableError):
            collected(github, target=target)
        assert len(github.requests) < 60


def test_rate_limits_are_waited_for() -> None:
    with GitHubRest() as github:
        github.add_repository("acme/trainer")
        github.limits.primary, github.limits.window = 6, 1.0
        found = collected(github, repository="acme/trainer")
    assert found.problems == []
    assert github.limits.hits <= 8
    assert found.of("github.usage")


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


def test_a_server_without_codespaces() -> None:
    with GitHubRest() as github:
        an_organization(github)
        github.before = lambda request: (
            (lambda exchange: exchange.answer(404, b'{"message": "Not Found"}', {"Content-Type": "application/json"}))
            if "/codespaces/" in request.path
            else None
        )
        found = collected(github)
    assert found.problems == []
    assert {each.facts["store"] for each in found.of("github.secret")} == {"actions", "dependabot"}


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
    told = {(each.rule, each.subject.removeprefix("github://acme/")) for each in verdict.findings}
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
        ("github-workflow-write-default", "github://acme"),
    }

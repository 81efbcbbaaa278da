"""The inventory of GitHub, over the fake: what may not be read, lists that change, garbage, limits, hostile names."""

import json
import random
import time
from typing import Any

import pytest

from keylease.errors import RefusedError, UnreachableError
from tests.fakes.github_rest import GitHubRest
from tests.fakes.github_rest_audit import key, removal
from tests.fakes.loopback import Received
from tests.integration.github_inventory import an_organization, collected, only
from tests.integration.github_sync import target_of

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


def answering(path: str, body: object, **headers: str) -> Any:
    """A fault: an answer of its own to what ends with `path`."""
    data = json.dumps(body).encode()
    more = {"Content-Type": "application/json", **headers}
    return lambda request: (lambda exchange: exchange.answer(200, data, more)) if request.path.endswith(path) else None


@pytest.mark.parametrize(
    ("link", "what"),
    [
        ("", "does not say where it goes on"),
        ('<http://x/?after=5>; rel="next"', "has no end"),
        ('<http://x/?before=5>; rel="prev"', ""),
        ('<http://x/?before=>; rel="next"', "does not say where it goes on"),
    ],
)
def test_an_audit_log_whose_pages_do_not_follow_each_other(link: str, what: str) -> None:
    events = [removal(f"p{number}", int(time.time())) for number in range(100)]
    with GitHubRest() as github:
        an_organization(github)
        github.before = answering("/audit-log", events, **({"Link": link} if link else {}))
        found = collected(github)
    assert [problem.kind for problem in found.problems] == ["github.departure"] * bool(what)
    assert all(what in problem.what for problem in found.problems)
    assert len(found.of("github.departure")) == (0 if what else 100)


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/installations", {"total_count": 1, "installations": [{"id": 1}]}, "github.installation"),
        ("/personal-access-tokens", [{"id": 1, "owner": None}], "github.token_grant"),
        ("/members", [{"login": 5}], "github.departure"),
        ("/audit-log", [{"action": "org.remove_member"}], "github.departure"),
        ("/audit-log", {}, "github.departure"),
        ("/keys", [{"id": 1, "title": "x", "read_only": "no"}], "github.deploy_key"),
        ("/actions/permissions/workflow", {"default_workflow_permissions": "all"}, "github.repository"),
        ("/actions/secrets", {"total_count": 1, "secrets": [{"name": "A", "updated_at": "soon"}]}, "github.secret"),
        ("/actions/secrets", {"total_count": -1, "secrets": []}, "github.secret"),
        ("/actions/secrets", {"total_count": True, "secrets": [{}]}, "github.secret"),
        ("/actions/variables", {"total_count": 1, "variables": [{"name": "A"}]}, "github.variable"),
        ("/environments", {"total_count": 1, "environments": [{"id": 1, "name": ""}]}, "github.environment"),
        ("/.github/workflows", {"type": "file"}, "github.usage"),
        ("/.github/workflows", [{}] * 3, "github.usage"),
    ],
)
def test_an_odd_item_is_a_problem_of_its_kind(path: str, body: object, kind: str) -> None:
    with GitHubRest() as github:
        an_organization(github)
        github.before = answering(path, body)
        found = collected(github)
    assert kind in {problem.kind for problem in found.problems}
    assert all("is not the API's" in each.what for each in found.problems if "of environments can't" not in each.what)


def test_repositories_that_are_not_the_organizations_are_not_asked_about() -> None:
    with GitHubRest() as github:
        an_organization(github)
        stranger = {"id": 1, "name": "x", "full_name": "stranger/x"}
        github.before = answering("/orgs/acme/repos", [stranger])
        with pytest.raises(UnreachableError, match="another account"):
            collected(github)
        github.before = answering("/orgs/acme/repos", [{"id": 1, "name": "../x", "full_name": "acme/../x"}])
        with pytest.raises(UnreachableError, match="is not the API's"):
            collected(github)
        assert not [request for request in github.requests if "stranger" in request.path or ".." in request.path]

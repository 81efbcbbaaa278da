"""Rules about GitLab's and Jenkins' inventories."""

from typing import Any

import pytest

from keylease.audit.model import Inventory, Record
from keylease.audit.rules.gitlab_deploy_key_write import GitlabDeployKeyWrite
from keylease.audit.rules.gitlab_deploy_token_write import DeployTokenWrite
from keylease.audit.rules.gitlab_job_token_open import JobTokenOpen
from keylease.audit.rules.gitlab_token_broad import Settings, TokenBroad
from keylease.audit.rules.gitlab_variable_exposed import VariableExposed
from keylease.audit.rules.gitlab_variable_scope import VariableScope
from keylease.audit.rules.gitlab_variable_shared import Settings as SharedSettings
from keylease.audit.rules.gitlab_variable_shared import VariableShared
from keylease.audit.rules.gitlab_variable_static_key import VariableStaticKey
from keylease.audit.rules.jenkins_credential_static_key import JenkinsStaticKey
from keylease.audit.rules.jenkins_credential_system_wide import CredentialSystemWide


@pytest.mark.parametrize(
    ("facts", "persona"),
    [
        ({"name": "NPM_TOKEN", "masked": False, "protected": True}, "regular"),
        ({"name": "NPM_TOKEN", "masked": True, "protected": False}, "pedantic"),
        ({"name": "NPM_TOKEN", "masked": False, "protected": True, "file": True}, ""),
        ({"name": "NPM_TOKEN"}, ""),
        ({"name": "TOKEN_URL", "masked": False, "protected": False}, ""),
    ],
)
def test_variables(facts: dict[str, Any], persona: str) -> None:
    found = list(VariableExposed().check(Inventory([Record("gitlab.variable", "gitlab://a/b/variable/x", facts)])))
    assert [each.persona for each in found] == ([persona] if persona else [])


@pytest.mark.parametrize("limited", [True, None, "false"])
def test_job_tokens_that_are_limited_or_not_known(limited: Any) -> None:
    record = Record("gitlab.project", "gitlab://a/b", {"path": "a/b", "job_token_inbound_limited": limited})
    assert list(JobTokenOpen().check(Inventory([record]))) == []


def one(kind: str, **facts: Any) -> Inventory:
    return Inventory([Record(kind, "gitlab://acme/a/x", facts)])


@pytest.mark.parametrize(
    ("facts", "rank"),
    [
        ({"scopes": ["sudo"]}, ("high", "regular")),
        ({"scopes": ["api"], "access_level": "owner"}, ("medium", "pedantic")),
        ({"scopes": ["write_repository"], "access_level": "maintainer"}, ("low", "pedantic")),
        ({"scopes": ["write_repository"], "access_level": "developer"}, None),
        ({"scopes": ["api"], "access_level": "owner", "name": "release-bot"}, None),
        ({"scopes": "api", "access_level": "owner"}, None),
    ],
)
def test_tokens_with_many_rights(facts: dict[str, Any], rank: tuple[str, str] | None) -> None:
    found = list(TokenBroad(Settings(allow=["release-*"])).check(one("gitlab.token", **facts)))
    assert [(each.severity, each.persona) for each in found] == ([rank] if rank else [])


def test_keys_and_tokens_of_another_sort_are_left_alone() -> None:
    token = one("gitlab.token", sort="project", scopes=["write_repository"], can_push=True)
    assert not list(DeployTokenWrite().check(token))
    assert not list(GitlabDeployKeyWrite().check(token))


@pytest.mark.parametrize(
    ("level", "environment", "count"), [("project", "*", 1), ("project", "prod/*", 0), ("instance", "*", 0)]
)
def test_scopes_of_variables(level: str, environment: str, count: int) -> None:
    given = one("gitlab.variable", name="A_TOKEN", level=level, environment=environment)
    assert len(list(VariableScope().check(given))) == count


def test_a_groups_secret_counts_the_projects_below_it() -> None:
    given = one("gitlab.variable", name="A_TOKEN", level="group", holder="acme")
    given.records += [
        Record("gitlab.project", f"gitlab://{path}", {"path": path}) for path in ("acme/a", "acme/b/c", "acmeb/c")
    ]
    assert not list(VariableShared(SharedSettings(projects=2)).check(given))
    [found] = VariableShared(SharedSettings(projects=1)).check(given)
    assert "2 projects" in found.message


def test_a_key_of_several_parts_is_one_finding() -> None:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    records = [
        Record("gitlab.variable", f"gitlab://acme/a/variable/{name}", {"name": name, "holder": "acme/a"})
        for name in names
    ]
    [found] = VariableStaticKey().check(Inventory(records))
    assert "AWS_ACCESS_KEY_ID" in found.message
    assert "AWS_SECRET_ACCESS_KEY" in found.message


def test_jenkins_credentials() -> None:
    given = one(
        "jenkins.credential", name="prod.aws-secret-access-key", store="system", domain="", used_by=["a/b", None]
    )
    assert len(list(JenkinsStaticKey().check(given))) == 1
    assert not list(CredentialSystemWide().check(given))

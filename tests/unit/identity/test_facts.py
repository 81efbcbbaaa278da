"""identity/facts.py: what the environment says of the job."""

import pytest

from keylease.identity.facts import environment_facts
from tests.fakes.github_oidc import OIDCIssuer

CASES: list[tuple[dict[str, str], dict[str, str]]] = [
    ({}, {}),
    ({"CI": "true"}, {}),
    (
        {
            "GITLAB_CI": "true",
            "CI_PROJECT_PATH": "acme/trainer",
            "CI_COMMIT_REF_NAME": "main",
            "CI_PIPELINE_ID": "574",
            "CI_JOB_URL": "https://gitlab.example.com/acme/trainer/-/jobs/302",
        },
        {
            "platform": "GitLab CI",
            "repository": "acme/trainer",
            "ref": "main",
            "run": "574",
            "url": "https://gitlab.example.com/acme/trainer/-/jobs/302",
        },
    ),
    (
        {
            "JENKINS_URL": "https://jenkins.example.com/",
            "JOB_NAME": "acme/trainer/main",
            "BUILD_NUMBER": "7",
            "BUILD_URL": "https://jenkins.example.com/job/acme/7/",
            "GIT_URL": "https://bot:pass-word@git.example.com/acme/trainer.git",
            "BRANCH_NAME": "main",
        },
        {
            "platform": "Jenkins",
            "repository": "https://git.example.com/acme/trainer.git",
            "ref": "main",
            "job": "acme/trainer/main",
            "run": "7",
            "url": "https://jenkins.example.com/job/acme/7/",
        },
    ),
    (
        {
            "CIRCLECI": "true",
            "CIRCLE_PROJECT_USERNAME": "acme",
            "CIRCLE_PROJECT_REPONAME": "trainer",
            "CIRCLE_TAG": "v1",
        },
        {"platform": "CircleCI", "repository": "acme/trainer", "ref": "v1"},
    ),
    (
        {"BITBUCKET_BUILD_NUMBER": "3", "BITBUCKET_GIT_HTTP_ORIGIN": "https://bitbucket.org/acme/trainer"},
        {
            "platform": "Bitbucket Pipelines",
            "run": "3",
            "url": "https://bitbucket.org/acme/trainer/addon/pipelines/home#!/results/3",
        },
    ),
    (
        {"BUILDKITE": "true", "BUILDKITE_REPO": "git@github.com:acme/trainer.git", "BUILDKITE_BRANCH": "main"},
        {"platform": "Buildkite", "repository": "git@github.com:acme/trainer.git", "ref": "main"},
    ),
    (
        {
            "TF_BUILD": "True",
            "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/",
            "SYSTEM_TEAMPROJECT": "ml",
            "BUILD_BUILDID": "9",
        },
        {"platform": "Azure DevOps", "run": "9", "url": "https://dev.azure.com/acme/ml/_build/results?buildId=9"},
    ),
]


@pytest.mark.parametrize(("env", "facts"), CASES)
def test_facts(env: dict[str, str], facts: dict[str, str]) -> None:
    assert environment_facts(env) == facts


def test_github(issuer: OIDCIssuer) -> None:
    facts = environment_facts(issuer.github_env())
    assert facts["platform"] == "GitHub Actions"
    assert facts["repository"] == "acme/trainer"
    assert facts["url"] == "https://github.com/acme/trainer/actions/runs/7421359018"
    assert issuer.request_token not in str(facts)


def test_values_are_one_short_printable_line() -> None:
    facts = environment_facts({"GITHUB_ACTIONS": "true", "GITHUB_REF": "a\n::error::b\x1b" + "x" * 900})
    assert facts["ref"].startswith("a?::error::b?x")
    assert len(facts["ref"]) == 500
    assert environment_facts({"GITLAB_CI": "true", "CI_JOB_URL": "https://[bad"})["url"] == "?"

"""What the environment says of the job, for people: a report's heading, `keylease whoami`.

Only names and numbers that the platforms publish in every log. The token's claims are what a provider believes.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from keylease.model import Env

# platform, how to tell, fact → variable or function of the environment. First match wins.
_PLATFORMS: list[tuple[str, Callable[[Env], bool], dict[str, str | Callable[[Env], str]]]] = [
    (
        "GitLab CI",
        lambda env: env.get("GITLAB_CI") == "true",
        {
            "repository": "CI_PROJECT_PATH",
            "ref": "CI_COMMIT_REF_NAME",
            "commit": "CI_COMMIT_SHA",
            "event": "CI_PIPELINE_SOURCE",
            "environment": "CI_ENVIRONMENT_NAME",
            "actor": "GITLAB_USER_LOGIN",
            "job": "CI_JOB_NAME",
            "run": "CI_PIPELINE_ID",
            "url": "CI_JOB_URL",
        },
    ),
    (
        "GitHub Actions",
        lambda env: env.get("GITHUB_ACTIONS") == "true",
        {
            "repository": "GITHUB_REPOSITORY",
            "ref": "GITHUB_REF",
            "commit": "GITHUB_SHA",
            "event": "GITHUB_EVENT_NAME",
            "actor": "GITHUB_ACTOR",
            "workflow": "GITHUB_WORKFLOW_REF",
            "job": "GITHUB_JOB",
            "run": "GITHUB_RUN_ID",
            "attempt": "GITHUB_RUN_ATTEMPT",
            "url": lambda env: _joined(env, "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}"),
        },
    ),
    (
        "CircleCI",
        lambda env: env.get("CIRCLECI") == "true",
        {
            "repository": lambda env: _joined(env, "{CIRCLE_PROJECT_USERNAME}/{CIRCLE_PROJECT_REPONAME}"),
            "ref": lambda env: env.get("CIRCLE_TAG") or env.get("CIRCLE_BRANCH", ""),
            "commit": "CIRCLE_SHA1",
            "actor": "CIRCLE_USERNAME",
            "job": "CIRCLE_JOB",
            "run": "CIRCLE_WORKFLOW_ID",
            "url": "CIRCLE_BUILD_URL",
        },
    ),
    (
        "Bitbucket Pipelines",
        lambda env: bool(env.get("BITBUCKET_BUILD_NUMBER")),
        {
            "repository": "BITBUCKET_REPO_FULL_NAME",
            "ref": lambda env: env.get("BITBUCKET_TAG") or env.get("BITBUCKET_BRANCH", ""),
            "commit": "BITBUCKET_COMMIT",
            "environment": "BITBUCKET_DEPLOYMENT_ENVIRONMENT",
            "run": "BITBUCKET_BUILD_NUMBER",
            "url": lambda env: _joined(
                env, "{BITBUCKET_GIT_HTTP_ORIGIN}/addon/pipelines/home#!/results/{BITBUCKET_BUILD_NUMBER}"
            ),
        },
    ),
    (
        "Buildkite",
        lambda env: env.get("BUILDKITE") == "true",
        {
            "repository": "BUILDKITE_REPO",
            "pipeline": lambda env: _joined(env, "{BUILDKITE_ORGANIZATION_SLUG}/{BUILDKITE_PIPELINE_SLUG}"),
            "ref": lambda env: env.get("BUILDKITE_TAG") or env.get("BUILDKITE_BRANCH", ""),
            "commit": "BUILDKITE_COMMIT",
            "event": "BUILDKITE_SOURCE",
            "job": "BUILDKITE_LABEL",
            "run": "BUILDKITE_BUILD_NUMBER",
            "url": "BUILDKITE_BUILD_URL",
        },
    ),
    (
        "Azure DevOps",
        lambda env: env.get("TF_BUILD", "").lower() == "true",
        {
            "repository": "BUILD_REPOSITORY_NAME",
            "pipeline": "BUILD_DEFINITIONNAME",
            "ref": "BUILD_SOURCEBRANCH",
            "commit": "BUILD_SOURCEVERSION",
            "event": "BUILD_REASON",
            "actor": "BUILD_REQUESTEDFOR",
            "job": "SYSTEM_JOBDISPLAYNAME",
            "run": "BUILD_BUILDID",
            "url": lambda env: _joined(
                env, "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}"
            ),
        },
    ),
    (
        "Jenkins",
        lambda env: bool(env.get("JENKINS_URL") or (env.get("BUILD_URL") and env.get("JOB_NAME"))),
        {
            "repository": "GIT_URL",
            "ref": lambda env: env.get("TAG_NAME") or env.get("BRANCH_NAME") or env.get("GIT_BRANCH", ""),
            "commit": "GIT_COMMIT",
            "job": "JOB_NAME",
            "run": "BUILD_NUMBER",
            "url": "BUILD_URL",
        },
    ),
]


def environment_facts(env: Env) -> dict[str, str]:
    """The job's facts by name, ``platform`` first; what is not known is left out. Empty outside of CI.

    platform is what the environment looks like, whichever way the identity token comes. Values are one printable
    line each; a URL's user and password are taken out.
    """
    for platform, here, facts in _PLATFORMS:
        if here(env):
            found = {"platform": platform}
            for fact, origin in facts.items():
                value = origin(env) if callable(origin) else env.get(origin, "")
                if value:
                    found[fact] = _clean(value)
            return found
    return {}


def _joined(env: Env, template: str) -> str:
    try:
        return template.format_map(env)
    except KeyError:
        return ""


def _clean(value: str) -> str:
    line = "".join(c if c.isprintable() else "?" for c in value)[:500]
    if "://" not in line:
        return line
    try:
        parts = urlsplit(line)
    except ValueError:
        return "?"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

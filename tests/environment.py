"""The environment of the machine that runs the tests, kept out of the tests.

The suite runs in CI itself, where GITHUB_*, VAULT_* and the like are set for real. `conftest.py` takes them
away from each test; `ORIGINAL_ENV` keeps them for e2e set-up, whose tools (pip, npm, apt, podman) must reach
their registries.
"""

import os
import re
from collections.abc import Mapping

ORIGINAL_ENV: Mapping[str, str] = dict(os.environ)

_SCRUBBED = re.compile(
    r"""
      CI | GITHUB_.* | CI_.* | GITLAB_.* | ACTIONS_.* | RUNNER_.* | INPUT_.* | STATE_.* | AGENT_.*
    | JENKINS_.* | BUILD_.* | JOB_.* | HUDSON_.* | BITBUCKET_.* | CIRCLE.* | BUILDKITE.* | SYSTEM_.* | TF_BUILD
    | WORKSPACE | EXECUTOR_NUMBER | NODE_NAME | NODE_LABELS
    | TRAVIS.* | DRONE.* | TEAMCITY_.* | CODEBUILD_.* | KUBERNETES_.* | NO_COLOR | FORCE_COLOR | CLICOLOR.*
    | AWS_.* | GOOGLE_.* | CLOUDSDK_.* | GCP_.* | GCLOUD_.* | AZURE_.* | ARM_.* | CONJUR_.*
    | VAULT_.* | BAO_.* | OPENBAO_.* | KEYLEASE_.* | OPENAI_.* | ANTHROPIC_.* | HF_.* | HUGGING.* | DATABRICKS_.*
    | REDIS.* | PG[A-Z]+ | .*_PROXY | .*_proxy | SSL_CERT_FILE | SSL_CERT_DIR | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE
    | NODE_EXTRA_CA_CERTS | NETRC | XDG_(CONFIG|DATA|STATE|CACHE)_HOME | BASH_ENV | ENV | PYTHONPATH
    """,
    re.VERBOSE,
)


def is_scrubbed(name: str) -> bool:
    """Whether a test must not see this variable of the machine."""
    return _SCRUBBED.fullmatch(name) is not None


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment for a child process of a test: what is set now (scrubbed already), and `extra`."""
    return {name: value for name, value in os.environ.items() if not is_scrubbed(name)} | extra

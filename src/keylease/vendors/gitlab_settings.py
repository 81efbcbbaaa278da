"""How a GitLab is reached, as the user writes it."""

from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from keylease.errors import UsageError
from keylease.model import Env
from keylease.secret import Secret
from keylease.vendors.endpoints import checked
from keylease.vendors.token_exchange import attempts

VENDOR = "GitLab"

DOCS = "sync-gitlab"

URL = "https://gitlab.com"

_Sealed = Annotated[Secret, msgspec.Meta(extra_json_schema={"not": {}, "description": "never written in a file"})]


class GitLabSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GitLab and the token to use there.

    url: the server's address. Falls back to ``CI_SERVER_URL``, then to ``https://gitlab.com``.
    token: a project, group or personal access token with the scope `api`, read with another provider's lease.
    token_env: the variable that holds it, instead.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    url: str = ""
    token: _Sealed | None = None
    token_env: str | None = None
    timeout: float | str = 30.0
    retries: int = 4

    @property
    def host(self) -> str:
        """What tells this GitLab from others in addresses; empty for gitlab.com."""
        return "" if self.url == URL else self.url.partition("://")[2].lower()


def complete(settings: GitLabSettings, env: Env) -> GitLabSettings:
    """The settings with fallbacks from `env` and everything checked. Raises :class:`UsageError` naming the key."""
    own = env.get("CI_SERVER_URL", "")
    timeout, retries = attempts(VENDOR, settings.timeout, settings.retries, docs=DOCS)
    if settings.token and settings.token_env:
        raise UsageError("GitLab: both `token` and `token_env` are given", change="give one of them", docs=DOCS)
    if settings.token_env == "CI_JOB_TOKEN":  # noqa: S105  # a variable's name
        raise UsageError(
            "GitLab: CI_JOB_TOKEN may not read or write CI/CD variables, whatever the project's settings",
            cause="the job token reaches a few APIs only: https://docs.gitlab.com/ci/jobs/ci_job_token/",
            change="make a project or group access token with the scope `api`, and name the variable that holds it:\n\n"
            "targets:\n  gitlab: {type: gitlab, token_env: SYNC_TOKEN}",
            docs=DOCS,
        )
    if not settings.token and not settings.token_env:
        raise UsageError(
            "GitLab: there is no token",
            change="name the variable that holds it, `token_env: SYNC_TOKEN`, or read it with a provider's lease: "
            "`token: {secret: vault://ci/gitlab#token}`",
            docs=DOCS,
        )
    try:
        url = checked(settings.url or own or URL, "url", VENDOR, _domains(own), env)
    except UsageError as error:
        error.cause = error.cause.replace("the job's identity token", "the token")
        raise
    if urlsplit(url).path.rstrip("/").endswith("/api/v4"):
        raise UsageError("GitLab: `url` is the API's path", change="leave /api/v4 out", docs=DOCS)
    return msgspec.structs.replace(settings, url=url, timeout=timeout, retries=retries)


def _domains(own: str) -> list[str]:
    # Within one of its jobs, the GitLab that runs it is as trusted as its runner is.
    try:
        host = urlsplit(own).hostname
    except ValueError:
        host = None
    return ["gitlab.com", *([host.lower()] if host else [])]

"""GitHub Actions (github.com, Enterprise Server, and runners that speak its protocol, such as act).

With `permissions: id-token: write` the runner sets two variables in every step; a GET to the URL, with
``&audience=`` appended, gives ``{"value": "<JWT>"}``.
https://docs.github.com/en/actions/reference/security/oidc#methods-for-requesting-the-oidc-token
The protocol is that of the toolkit's own client: https://github.com/actions/toolkit (packages/core/src/oidc-utils.ts)
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from keylease.context import Context
from keylease.errors import IdentityError
from keylease.http import Session
from keylease.identity.base import Identity
from keylease.identity.endpoint import SETTINGS, Endpoint
from keylease.identity.files import read_small
from keylease.model import IdentityToken, TokenEndpoint
from keylease.secret import Secret
from keylease.vendors import github_claims

URL = "ACTIONS_ID_TOKEN_REQUEST_URL"
TOKEN = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105  # a variable's name
MAX_EVENT = 4 * 1024 * 1024

PERMISSION = """\
add to the job (or to the whole workflow):
permissions:
  id-token: write
  contents: read   # naming one permission takes away the others"""

CALLER = """\
in the workflow that calls this one (a called workflow can't give itself more than its caller has):
jobs:
  call:
    permissions:
      id-token: write
      contents: read
    uses: {path}"""

ENDPOINT = Endpoint(
    title="GitHub",
    url_variable=URL,
    token_variable=TOKEN,
    method="GET",
    field="value",
    refused=f"run the job again; both {URL} and {TOKEN} must be the ones of this very job, "
    "which has `permissions: id-token: write`",
    docs="github-id-token",
)

# In runs of these events a fork's code runs, so GitHub withholds secrets and write permissions. The likes of
# pull_request_target and workflow_run run the base repository's code and keep them.
_FORK_EVENTS = ("pull_request", "pull_request_review", "pull_request_review_comment")


class GitHubIdentity(Identity):
    """A job of GitHub Actions."""

    name = "github"
    title = "GitHub"
    fetches = True
    meanings: ClassVar[Mapping[str, str]] = {
        "repository": "repository whose workflow runs",
        "repository_id": "its number: survives renames, is never given again",
        "repository_owner": "who owns it",
        "repository_owner_id": "the owner's number: survives renames, is never given again",
        "repository_visibility": "public, internal or private",
        "ref": "branch or tag that runs",
        "ref_type": "branch or tag",
        "ref_protected": "whether a branch protection or ruleset covers the ref",
        "sha": "commit that runs",
        "environment": "deployment environment of the job",
        "event_name": "what started the run",
        "actor": "who started the run",
        "workflow": "the workflow's name: anybody who may push can choose it",
        "workflow_ref": "file and ref of the workflow",
        "job_workflow_ref": "file and ref of the workflow that the job stands in; differs when it was called",
        "runner_environment": "github-hosted or self-hosted",
        "run_id": "the run",
        "run_attempt": "which attempt of the run",
        "enterprise": "the enterprise",
    }

    def __init__(self, context: Context, variables: Sequence[str] = ()) -> None:
        super().__init__(context, variables)
        self._session: Session | None = None

    def detect(self) -> bool:
        """``GITHUB_ACTIONS=true``, or one of the two request variables (they alone may be passed to a container)."""
        return self.value("GITHUB_ACTIONS") == "true" or bool(self.value(URL) or self.value(TOKEN))

    def token(self, audience: str) -> IdentityToken | None:
        """Mint a token. See :meth:`Identity.token`; an empty audience gives GitHub's default, the owner's URL."""
        if not self.detect():
            return None
        if not self.value(URL) or not self.value(TOKEN):
            raise self._missing()
        credential = self.context.seal(ENDPOINT.credential(self.value(TOKEN)), TOKEN)
        url = ENDPOINT.url(self.value(URL), {"audience": audience} if audience else {})
        if self._session is None:
            self._session = self.context.http.session("GitHub", SETTINGS)
        text = ENDPOINT.ask(self._session, url, credential, {})
        token = self.checked(text, audience, "the token endpoint")
        again = TokenEndpoint(url, Secret(f"Bearer {credential.reveal()}"), ENDPOINT.field)
        return msgspec.structs.replace(token, endpoint=again)

    @classmethod
    def recognises(cls, claims: Mapping[str, Any]) -> bool:
        """See :meth:`Identity.recognises`."""
        return github_claims.is_github(claims)

    @classmethod
    def explain(cls, claims: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """See :meth:`Identity.explain`; tells which of the two subject forms this is."""
        subject = github_claims.parse_subject(str(claims.get("sub", "")))
        return [
            (name, value, subject.describe() if name == "sub" else meaning)
            for name, value, meaning in super().explain(claims)
        ]

    def _missing(self) -> IdentityError:
        present, absent = (URL, TOKEN) if self.value(URL) else (TOKEN, URL)
        if self.value(present):
            return IdentityError(
                f"GitHub: {present} is set, but {absent} is not",
                cause="only one of the two was handed on (to a container, through `env:`, by sudo)",
                change=f"hand on both: docker run -e {URL} -e {TOKEN} …",
                docs="github-id-token",
            )
        summary = "GitHub: this job may not ask for an identity token"
        event = self.value("GITHUB_EVENT_NAME")
        fork = self._fork() if event in _FORK_EVENTS else ""
        if fork:
            return IdentityError(
                f"{summary}: it runs for a pull request from a fork",
                cause=f"GitHub gives no identity token to {event} runs from a fork ({fork}): whoever opened the "
                "pull request could use it; `permissions` don't change that",
                change="run this step for your own branches only:\n"
                "if: github.event.pull_request.head.repo.full_name == github.repository\n"
                "Don't turn to pull_request_target while checking out the fork's code: that hands your secrets to it.",
                docs="github-fork",
            )
        if "dependabot[bot]" in (self.value("GITHUB_ACTOR"), self.value("GITHUB_TRIGGERING_ACTOR")):
            return IdentityError(
                f"{summary}: it was started by Dependabot",
                cause="Dependabot's runs get a read-only token, whatever the repository's default is; only what the "
                "workflow itself grants is added",
                change=f"{PERMISSION}\nor run this step for people only: if: github.actor != 'dependabot[bot]'",
                docs="github-id-token",
            )
        called = self._called_workflow()
        if called:
            return IdentityError(
                f"{summary}: neither this workflow nor the one that called it grants `id-token: write`",
                cause=f"the job stands in the reusable workflow {called}, called by "
                f"{_path(self.value('GITHUB_WORKFLOW_REF'))}; the caller must grant it, and the called one must not "
                "take it away",
                change=CALLER.format(path=called),
                docs="github-id-token",
            )
        job = self.value("GITHUB_JOB")
        return IdentityError(
            summary,
            cause="`id-token: write` is not among its permissions"
            + (f" (job {job!r} of {_path(self.value('GITHUB_WORKFLOW_REF')) or 'the workflow'})" if job else ""),
            change=f"{PERMISSION}\nIf this is a reusable workflow, the job that calls it must grant the same.",
            docs="github-id-token",
        )

    def _fork(self) -> str:
        """The fork that a pull request comes from; empty when it is none or can't be told."""
        try:
            event = json.loads(read_small(self.value("GITHUB_EVENT_PATH"), MAX_EVENT))
            pull = event["pull_request"]
            base = pull["base"]["repo"]["full_name"]
            head = pull["head"]["repo"]
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            return ""
        if head is None:  # the fork was deleted meanwhile
            return "deleted since"
        name = head.get("full_name") if isinstance(head, dict) else None
        return name if isinstance(name, str) and name.isprintable() and name != base else ""

    def _called_workflow(self) -> str:
        """The reusable workflow that the job stands in; empty when it is none or can't be told.

        The environment only names the caller. The action hands on ``job.workflow_ref``, which newer runners have,
        as an input with that default.
        """
        mine = self.value("INPUT_JOB-WORKFLOW-REF") or self.value("INPUT_JOB_WORKFLOW_REF")
        caller = self.value("GITHUB_WORKFLOW_REF")
        return mine if mine and caller and _path(mine) != _path(caller) and mine.isprintable() else ""


def _path(workflow_ref: str) -> str:
    return workflow_ref.partition("@")[0]

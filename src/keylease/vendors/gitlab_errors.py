"""What GitLab's API answers, and what that means in people's words."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from msgspec import Struct

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError
from keylease.vendors.answers import one_line

if TYPE_CHECKING:
    import requests

DOCS = "sync-gitlab"

Level = Literal["project", "group", "instance"]


class Container(Struct, frozen=True):
    """What variables belong to. address: as in plans and errors. path: of a project or group."""

    level: Level
    path: str
    address: str

    @property
    def variables(self) -> str:
        """The API's path of its variables."""
        if self.level == "instance":
            return "/admin/ci/variables"
        return f"/{self.level}s/{quote(self.path, safe='')}/variables"

    @property
    def permission(self) -> str:
        """The least that a token needs to write its variables."""
        role = {"project": "role Maintainer", "group": "role Owner", "instance": "an administrator's token"}[self.level]
        return f"scope `api` and {role}"

    @property
    def scopes(self) -> bool:
        """Whether its variables have an environment scope."""
        return self.level != "instance"


class GitLabAnswer(Struct, frozen=True):
    """status: HTTP. data: the body as JSON; None if it is none. retry_after: seconds.

    next_page: of a list; empty on its last page. total: items of a list. None: GitLab did not tell.
    """

    status: int
    data: Any
    retry_after: float | None = None
    next_page: str | None = None
    total: int | None = None
    request_id: str = ""

    def __repr__(self) -> str:
        return f"<GitLabAnswer {self.status}>"

    @property
    def ok(self) -> bool:
        """Whether GitLab did what it was asked."""
        return self.status in (200, 201, 204)

    @property
    def message(self) -> str:
        """What GitLab says of a refusal, on one line: ``value: is invalid``."""
        return one_line(self.words)

    @property
    def words(self) -> str:
        """The same as it came: values that are quoted in it can be found."""
        data = self.data if isinstance(self.data, dict) else {}
        parts = [data.get("message"), data.get("error"), data.get("error_description")]
        return "; ".join(text for part in parts for text in _texts(part))

    @property
    def is_gone(self) -> bool:
        """Whether there is no such variable: GitLab says so, and 404 alone could be of its container or of a proxy."""
        return self.status == 404 and "variable not found" in self.message.lower()

    @property
    def is_taken(self) -> bool:
        """Whether a variable was not made because there is one of its name and scope."""
        return self.status == 400 and "has already been taken" in self.message


def _texts(part: object) -> Iterator[str]:
    # render_validation_error! sends {"field": ["message", …]}; a few endpoints one level more.
    if isinstance(part, str):
        yield part
    elif isinstance(part, list):
        yield from (each for each in part if isinstance(each, str))
    elif isinstance(part, dict):
        for field, said in part.items():
            yield from (f"{field}: {text}" if field != "base" else text for text in _texts(said))


def answer_of(response: "requests.Response") -> GitLabAnswer:
    """Read a response."""
    try:
        data = json.loads(response.content)
    except (ValueError, RecursionError):
        data = None
    headers = response.headers
    total = headers.get("X-Total", "")
    return GitLabAnswer(
        response.status_code,
        data,
        _pause(headers),
        headers["X-Next-Page"].strip() if "X-Next-Page" in headers else None,
        int(total) if total.isdecimal() and len(total) < 10 else None,
        one_line(headers.get("X-Request-Id", "")),
    )


def _pause(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, if a limit was met: https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/"""
    after, reset = headers.get("Retry-After", "").strip(), headers.get("RateLimit-Reset", "").strip()
    if after.isdecimal() and len(after) < 9:
        return float(after)
    if headers.get("RateLimit-Remaining", "").strip() == "0" and reset.isdecimal() and len(reset) < 12:
        return max(0.0, float(reset) - time.time()) + 0.1
    return None


def refusal(
    doing: str, answer: GitLabAnswer, container: Container | None, said: str, *, writing: bool
) -> KeyleaseError:
    """The error for an answer that is no success. said: its message, without values."""
    status = answer.status
    detail = {"status": status, **({"request id": answer.request_id} if answer.request_id else {})}
    if status in (408, 425, 429) or status >= 500:
        busy = status == 429
        return UnreachableError(
            f"GitLab: {doing}: HTTP {status} after all attempts",
            cause="too many requests: GitLab throttles this token" if busy else "the server has trouble",
            change="run it again; `retries` and `deadline` give it more time",
            docs="unreachable",
            detail=detail,
        )
    if status < 400 or not isinstance(answer.data, dict):
        return garbage(doing, answer)
    summary = f"GitLab: {doing}: HTTP {status}" + (f": {said.removeprefix(f'{status} ')}" if said else "")
    needs = container.permission if container else "scope `read_api` and membership of the group"
    if status == 401:
        return RefusedError(
            summary,
            cause="the token is wrong, expired or revoked, or of another GitLab",
            change=f"make a token with {needs}",
            docs=DOCS,
            detail=detail,
        )
    if status == 403:
        what = "write" if writing else "list"
        return RefusedError(
            summary,
            cause=f"the token may not {what} these variables: its scope or its role is too narrow",
            change=f"give it {needs}",
            docs=DOCS,
            detail=detail,
        )
    if status == 404:
        return NotFoundError(
            summary,
            cause="it is not there (deleted, renamed, a typing error), or the token's user is no member: "
            "GitLab says the same of both",
            change=f"check the path; the token needs {needs}",
            docs=DOCS,
            detail=detail,
        )
    cause = "GitLab has a rule that Keylease did not know beforehand, or somebody changed the variable meanwhile"
    if "value: is invalid" in said:
        cause = (
            "it would not mask the value: before 15.10, GitLab masks A-Z a-z 0-9 _+=/@:.~- only, whatever `raw` says"
        )
    return RefusedError(
        summary,
        cause=cause,
        change="run `keylease sync plan` again",
        docs=DOCS,
        detail=detail,
    )


def garbage(doing: str, answer: GitLabAnswer) -> UnreachableError:
    """The error for an answer that GitLab would not give."""
    return UnreachableError(
        f"GitLab: {doing}: the answer (HTTP {answer.status}) is not the API's",
        cause="a proxy or login page answered, or `url` is not a GitLab",
        change="check `url` and the proxy",
        docs="garbage",
        detail={"status": answer.status},
    )


def unknown(doing: str, error: KeyleaseError) -> UnreachableError:
    """The error for a write whose end is not known."""
    return UnreachableError(
        f"GitLab: {doing}: whether it was written is not known",
        cause=f"a connection broke in the middle; then: {error.summary}",
        change="run it again: it looks what is there",
        docs=DOCS,
    )

"""GitLab's REST API for CI/CD variables, through python-gitlab over our own session.

https://docs.gitlab.com/api/project_level_variables/ · …/group_level_variables/ · …/instance_level_ci_variables/
"""

import random
import threading
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from keylease.context import Context
from keylease.errors import DeadlineError, KeyleaseError, RefusedError, UnreachableError, UsageError
from keylease.http import TRANSIENT, HttpSettings, Session
from keylease.secret import Secret
from keylease.vendors.answers import one_line
from keylease.vendors.gitlab_errors import Container, GitLabAnswer, answer_of, garbage, refusal
from keylease.vendors.gitlab_errors import unknown as unknown_end
from keylease.vendors.gitlab_settings import GitLabSettings

if TYPE_CHECKING:
    import requests

DOCS = "sync-gitlab"

PAGE = 100
"""The most that GitLab lists at once: https://docs.gitlab.com/api/rest/#pagination"""

WARN_DAYS = 14
"""Before the token ends."""

_LONGEST_PAUSE = 5.0


class GitLabApi:
    """One GitLab, one token. Safe to share between threads."""

    def __init__(self, settings: GitLabSettings, context: Context) -> None:
        self.settings = settings
        self.context = context
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        self._may_write: KeyleaseError | bool = False
        self._version: tuple[int, int] | None = None
        self._clients: list[Any] = []

    # Variables.

    def items(
        self, path: str, doing: str, container: Container | None = None, query: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """All items of a list, page by page. Raises KeyleaseError; never returns less than there is."""
        for _ in range(3):
            found, totals = self._pages(path, doing, container, query or {})
            # An item that was deleted meanwhile moves others to a page that was read already.
            if totals <= {len(found)}:
                return found
        raise UnreachableError(
            f"GitLab: {doing}: the list has changed each time while it was read",
            change="run it again",
            docs=DOCS,
        )

    def read(self, path: str, doing: str) -> dict[str, Any]:
        """One thing. Raises KeyleaseError."""
        answer = self._ask("get", path)
        if not answer.ok:
            raise self._refusal(doing, answer, None, writing=False)
        if not isinstance(answer.data, dict):
            raise garbage(doing, answer)
        return answer.data

    def _pages(
        self, path: str, doing: str, container: Container | None, query: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], set[int]]:
        """(items, how many there are by each of the answers)."""
        found: list[dict[str, Any]] = []
        totals: set[int] = set()
        page = "1"
        while page:
            answer = self._ask("get", path, query={**query, "per_page": PAGE, "page": page})
            if not answer.ok:
                raise self._refusal(doing, answer, container, writing=False)
            if not isinstance(answer.data, list) or not all(isinstance(item, dict) for item in answer.data):
                raise garbage(doing, answer)
            found += answer.data
            following = answer.next_page
            if following is None:
                # A proxy may drop headers; a full page is never taken for the last one.
                following = str(int(page) + 1) if len(answer.data) >= PAGE else ""
            if following and (not following.isdecimal() or int(following) <= int(page) or not answer.data):
                raise garbage(doing, answer)
            totals |= set() if answer.total is None else {answer.total}
            page = following
        return found, totals

    def find(self, container: Container, key: str, scope: str) -> dict[str, Any] | None:
        """One variable; None if there is none."""
        answer = self._ask("get", f"{container.variables}/{key}", query=_filter(container, scope))
        if answer.is_gone:
            return None
        doing = f"{container.address}: read {key}"
        if not answer.ok:
            raise self._refusal(doing, answer, container, writing=False)
        return self._variable(doing, answer)

    def create(self, container: Container, body: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Make a variable: (what is there now, whether it is certain that we made it).

        Not sent again blindly: after an attempt whose end is not known, GitLab is asked first what is there. Raises
        RefusedError if certainly nothing was written, UnreachableError if that is not known.
        """
        key, scope = body["key"], body.get("environment_scope", "")
        doing = f"{container.address}: create {key}"
        attempt, unknown, refused = 0, False, False
        while True:
            answer: GitLabAnswer | None = None
            error: KeyleaseError
            try:
                answer = self._ask("post", container.variables, body=body, once=True)
            except DeadlineError:
                raise
            except UnreachableError as caught:
                unknown, error = True, caught
            if answer is not None:
                if answer.ok:
                    return self._variable(doing, answer), True
                error = self._refusal(doing, answer, container, writing=True)
                if answer.status not in TRANSIENT and not answer.is_taken:
                    raise unknown_end(doing, error) if unknown else error
            taken = answer is not None and answer.is_taken
            unknown = unknown or (answer is not None and answer.status not in (425, 429) and not taken)
            if unknown or taken:
                try:
                    there = self.find(container, key, scope)
                except RefusedError as caught:
                    raise unknown_end(doing, caught) from None
                if there is not None and (unknown or there.get("value") is not None):
                    return there, False
                if there is not None or (taken and refused):
                    raise error  # hidden, and not by any attempt of ours; or GitLab means a variable of another scope
                refused = taken
            asked = answer.retry_after if answer else None
            pause = _backoff(attempt) if asked is None else asked
            attempt += 1
            if attempt > self.settings.retries or pause >= self.context.deadline.remaining:
                raise error
            time.sleep(pause)

    def update(self, container: Container, key: str, scope: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change a variable, and only the one of this scope."""
        doing = f"{container.address}: update {key}"
        answer = self._ask("put", f"{container.variables}/{key}", body=body, query=_filter(container, scope))
        if not answer.ok:
            raise self._refusal(doing, answer, container, writing=True)
        return self._variable(doing, answer)

    def delete(self, container: Container, key: str, scope: str) -> None:
        """Delete a variable of this scope; one that is gone is no error."""
        answer = self._ask("delete", f"{container.variables}/{key}", query=_filter(container, scope))
        if not answer.ok and not answer.is_gone:
            raise self._refusal(f"{container.address}: delete {key}", answer, container, writing=True)

    def _variable(self, doing: str, answer: GitLabAnswer) -> dict[str, Any]:
        if not isinstance(answer.data, dict) or not isinstance(answer.data.get("key"), str):
            raise garbage(doing, answer)
        return answer.data

    # The token and the server.

    def check_may_write(self, container: Container) -> None:
        """Ask once what the token may do, before anything is written. Raises :class:`RefusedError`.

        A token that may read only would fail in the middle. What GitLab does not tell (of OAuth tokens) is let through.
        """
        with self._lock:
            if self._may_write is False:
                self._may_write = self._token_problem(container) or True
            if isinstance(self._may_write, KeyleaseError):
                raise self._may_write

    def _token_problem(self, container: Container) -> KeyleaseError | None:
        answer = self._ask("get", "/personal_access_tokens/self")
        if answer.status == 401:
            return self._refusal(f"{container.address}: write", answer, container, writing=True)
        scopes = answer.data.get("scopes") if isinstance(answer.data, dict) and answer.ok else None
        if not isinstance(scopes, list) or not {"read_api", "read_user", "self_rotate", "api"} & set(map(str, scopes)):
            return None  # nothing known, or a token of a kind that has its permissions elsewhere
        if "api" in scopes:
            self._warn_of_end(answer.data.get("expires_at"))
            return None
        return RefusedError(
            f"GitLab: {container.address}: the token may not write: it has the scopes "
            f"{one_line(', '.join(map(str, scopes)))}",
            cause="variables are written with the scope `api` alone; `read_api` is enough for `sync plan`",
            change=f"make a token with {container.permission}",
            docs=DOCS,
            detail={"status": answer.status},
        )

    def _warn_of_end(self, expires_at: object) -> None:
        try:
            left = (date.fromisoformat(str(expires_at)) - datetime.now(UTC).date()).days
        except ValueError:
            return
        if left <= WARN_DAYS:
            self.context.log.warning("GitLab: the token ends on %s, in %s days: make a new one", str(expires_at), left)

    def version(self) -> tuple[int, int]:
        """Of the server, as (17, 4); (0, 0) if it does not tell."""
        with self._lock:
            if self._version is None:
                answer = self._ask("get", "/version")
                text = answer.data.get("version") if isinstance(answer.data, dict) and answer.ok else None
                parts = str(text).split(".")
                known = len(parts) > 1 and parts[0].isdecimal() and parts[1].isdecimal()
                self._version = (int(parts[0]), int(parts[1])) if known else (0, 0)
            return self._version

    def instance_limit(self) -> int | None:
        """How many variables the instance may have; None if GitLab does not tell (it does so to administrators)."""
        answer = self._ask("get", "/application/plan_limits")
        found = answer.data.get("ci_instance_level_variables") if isinstance(answer.data, dict) and answer.ok else None
        return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None

    # Requests.

    def _ask(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        once: bool = False,
    ) -> GitLabAnswer:
        """Send and read. once: without the session's own retries."""
        answer = self._send(verb, path, query, body, once=once)
        pause = answer.retry_after or 0.0
        if answer.status == 429 and not once and 0 < pause < self.context.deadline.remaining:
            # The session waits for Retry-After, which not all of GitLab's limits send.
            time.sleep(pause)
            answer = self._send(verb, path, query, body, once=once)
        return answer

    def _send(
        self, verb: str, path: str, query: Mapping[str, Any] | None, body: Mapping[str, Any] | None, *, once: bool
    ) -> GitLabAnswer:
        try:
            response = self._client(once=once).http_request(
                verb,
                path,
                query_data=dict(query or {}),
                post_data=dict(body) if body is not None else None,
                obey_rate_limit=False,  # the session does, and within the deadline
                retry_transient_errors=False,
                max_retries=0,
            )
        except _NotDoneError as error:
            response = error.response
        return answer_of(response)

    def _client(self, *, once: bool) -> Any:
        with self._connecting:
            if not self._clients:
                self._clients = [self._connected(self.settings.retries), self._connected(0)]
        return self._clients[once]

    def _connected(self, retries: int) -> Any:
        import gitlab

        timeout = self.settings.timeout
        assert isinstance(timeout, float), "complete() makes it one"
        session = self.context.http.session("GitLab", HttpSettings(timeout=timeout, retries=retries))
        return gitlab.Gitlab(
            self.settings.url,
            oauth_token=self._token().reveal(),  # as a Bearer token GitLab takes those of all kinds
            user_agent=str(session.headers["User-Agent"]),
            session=_Sender(session),
        )

    def _token(self) -> Secret:
        settings = self.settings
        if settings.token is None:
            name = settings.token_env or ""
            value = self.context.env.get(name, "").strip()
            if not value:
                raise UsageError(
                    f"GitLab: the variable {name} is empty or not set",
                    cause="a protected variable is there on protected branches and tags only; a typing error",
                    change="set it to a project or group access token with the scope `api`, masked",
                    docs=DOCS,
                )
            token = self.context.seal(value, name)
        else:
            token = self.context.seal(settings.token.reveal().strip(), "GitLab: token")
        text = token.reveal()
        if not text.isascii() or not text.isprintable() or " " in text or not text:
            raise UsageError("GitLab: the token holds characters that no token has", docs=DOCS)
        return token

    def _refusal(
        self, doing: str, answer: GitLabAnswer, container: Container | None, *, writing: bool
    ) -> KeyleaseError:
        # Some servers quote what they refuse.
        return refusal(doing, answer, container, one_line(self.context.masker.scrub(answer.words)), writing=writing)


class _NotDoneError(Exception):
    """An answer that is no success, on its way past python-gitlab, which would keep its body and lose its headers."""

    def __init__(self, response: "requests.Response") -> None:
        super().__init__(str(response.status_code))
        self.response = response


class _Sender:
    """What python-gitlab takes for a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def request(self, method: str, url: str, **kwargs: Any) -> "requests.Response":
        """Send by our own session."""
        response = self._session.request(method, url, **kwargs)
        if not 200 <= response.status_code < 300:
            raise _NotDoneError(response)
        return response


def _backoff(attempt: int) -> float:
    return random.uniform(0.05, min(_LONGEST_PAUSE, 0.2 * 2**attempt))


def _filter(container: Container, scope: str) -> dict[str, Any]:
    # Without it GitLab picks one of several scopes, or refuses (409); groups know it since 16.9.
    return {"filter": {"environment_scope": scope}} if container.scopes else {}

"""GitHub's REST API through PyGithub, sent through our own HTTP sessions.

PyGithub makes the requests (addresses, authentication, headers); what it would send them with is replaced: its
connections follow redirects to other hosts, know no deadline and retry by themselves, and its debug log shows bodies.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from msgspec import Struct

from keylease import __version__
from keylease.context import Context
from keylease.errors import DeadlineError, RefusedError, UnreachableError
from keylease.http import TRANSIENT, HttpSettings, Session
from keylease.vendors.github_cache import Cache, Cached, CacheKey
from keylease.vendors.github_errors import Reply, error_of, garbage
from keylease.vendors.github_pace import Pace, number_of

API_VERSION = "2022-11-28"
"""https://docs.github.com/rest/about-the-rest-api/api-versions"""

PAGE = 100
"""Items on a page of a list, at the most; of variables: 30 (``variables-per-page`` of GitHub's OpenAPI)."""

VARIABLES_PAGE = 30
_LIST_ATTEMPTS = 3
_LIMIT_ATTEMPTS = 6

Item = dict[str, Any]


class Wire(Struct, frozen=True):
    """What all credentials of one target share.

    once: without retries, for writes: whoever sends one again must know what became of the first. retries: of those.
    scrub: hides the values that are known.
    """

    retries: int
    url: str
    session: Session
    once: Session
    pace: Pace
    cache: Cache
    scrub: Callable[[str], str]

    @classmethod
    def of(cls, context: Context, url: str, settings: HttpSettings, pace: Pace, cache: Cache) -> "Wire":
        """429 and 403 are for the pace, which knows how long to wait."""
        from msgspec.structs import replace

        usual = replace(settings, retry_statuses=TRANSIENT - {429})
        once = replace(usual, retries=0)
        sessions = context.http.session("GitHub", usual), context.http.session("GitHub", once)
        return cls(settings.retries, url, *sessions, pace, cache, context.masker.scrub)


TOLD = ("x-oauth-scopes", "github-authentication-token-expiration")
"""What answers say of the credential they were given to.

https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps,
https://docs.github.com/rest/authentication/authenticating-to-the-rest-api
"""


class Api:
    """One credential at one server. Safe for many threads. auth: PyGithub's. key: whose answers it gets.

    told: what the newest answers said of the credential, by :data:`TOLD`.
    """

    def __init__(self, wire: Wire, auth: Any, key: Callable[[], CacheKey]) -> None:
        self.told: Mapping[str, str] = {}
        self._wire = wire
        self._key = key
        self._requesters = (_requester(wire.url, wire.session, auth), _requester(wire.url, wire.once, auth))

    def send(
        self, verb: str, path: str, *, body: Any = None, query: Mapping[str, Any] | None = None, etag: str = "",
        retried: bool = True,
    ) -> Reply:  # fmt: skip
        """One request, as soon as it may be sent; rate limits are waited for. Answers of any other kind come back.

        retried: False: connection faults are the caller's to judge. Raises :class:`UnreachableError`.
        """
        url = f"{path}?{urlencode(query)}" if query else path
        who = self._key().name
        for attempt in range(_LIMIT_ATTEMPTS):
            with self._wire.pace.turn(who, write=verb != "GET"):
                reply = self._once(verb, url, body, etag, retried=retried)
            self._wire.pace.told(who, reply.headers)
            self.told = {name: reply.headers[name] for name in TOLD if name in reply.headers} or self.told
            if not self._wire.pace.limited(reply.status, reply.headers, reply.message, attempt):
                return reply
        raise UnreachableError(
            f"GitHub: {verb} {path}: still a rate limit after {_LIMIT_ATTEMPTS} times of waiting as long as asked",
            cause="others use the same credential, or GitHub has throttled it",
            change="run it again later, or take a credential of its own for this sync",
            docs="github-rate-limit",
            detail=reply.detail,
        )

    def _once(self, verb: str, url: str, body: Any, etag: str, *, retried: bool) -> Reply:
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION}
        if etag:
            headers["If-None-Match"] = etag
        requester = self._requesters[0 if retried else 1]
        try:
            status, found, text = requester.requestJson(verb, url, None, headers, body)
        except RuntimeError:
            # PyGithub's, for a redirect to another host. Not chained: it quotes addresses.
            status, found, text = 302, {}, ""
        try:
            data, is_json = (json.loads(text), True) if text else (None, False)
        except (ValueError, RecursionError):
            data, is_json = None, False
        return Reply(status, {str(name): str(value) for name, value in found.items()}, data, is_json, self._wire.scrub)

    def at_once(self, verb: str, path: str) -> int:
        """The status of one request that waits for no turn (a job that is cancelled has seconds), nor is sent again."""
        return self._once(verb, path, None, "", retried=False).status

    def get(self, path: str, doing: str, needs: str) -> Item:
        """An object. Raises KeyleaseError."""
        reply = self.send("GET", path)
        if reply.status != 200:
            raise error_of(reply, doing, needs)
        if not isinstance(reply.data, dict):
            raise garbage(doing, reply.status)
        return reply.data

    def write(self, verb: str, path: str, body: Any, doing: str, needs: str, also: int = 0) -> int:
        """PUT, PATCH, DELETE: what can be done twice. Returns the status: a success, or `also`.

        Raises KeyleaseError; RefusedError only where it is certain that no attempt was carried out.
        """
        reply, unsure = self._settled(verb, path, body)
        if reply.status not in (200, 201, 204, also):
            error = error_of(reply, doing, needs)
            raise uncertain(error) if unsure and isinstance(error, RefusedError) else error
        return reply.status

    def create(self, path: str, body: Any, doing: str, needs: str) -> bool:
        """POST what must not be there yet; False if it is there: an earlier attempt of ours may have made it."""
        reply, unsure = self._settled("POST", path, body)
        if reply.status not in (201, 409):
            error = error_of(reply, doing, needs)
            raise uncertain(error) if unsure and isinstance(error, RefusedError) else error
        return reply.status == 201

    def _settled(self, verb: str, path: str, body: Any) -> tuple[Reply, bool]:
        """(the last answer, whether an earlier attempt may have been carried out)."""
        unsure = False
        for attempt in range(self._wire.retries + 1):
            last = attempt == self._wire.retries
            pause = random.uniform(0.05, min(5.0, 0.2 * 2**attempt))
            try:
                reply = self.send(verb, path, body=body, retried=False)
                if last or reply.status not in TRANSIENT or reply.status == 429:
                    return reply, unsure
                pause = number_of(reply.headers, "retry-after") or pause
            except DeadlineError:
                raise
            except UnreachableError:
                if last:
                    raise
            unsure = True
            self._wire.pace.wait(pause, "GitHub has trouble and asked to wait")
        raise AssertionError("the last attempt returns or raises")

    def pages(self, path: str, key: str, doing: str, needs: str, *, values: bool = False) -> list[Item]:
        """All items of a counted list (``total_count`` and `key`); each has a ``name``, or an ``id``.

        Fails closed: an answer that does not add up is asked for again, and then an error. values: of variables.
        """
        for attempt in range(_LIST_ATTEMPTS):
            found = self._counted(path, key, doing, needs, values=values)
            if found is not None:
                return found
            if attempt + 1 < _LIST_ATTEMPTS:
                time.sleep(random.uniform(0.05, 0.2))
        raise garbage(doing, 200, "the list is not as long as it says; the answer")

    def _counted(self, path: str, key: str, doing: str, needs: str, *, values: bool) -> list[Item] | None:
        size = VARIABLES_PAGE if key == "variables" else PAGE
        found: dict[Any, Item] = {}
        total = None
        for number in range(1, 10_000):
            page = self._page(path, {"per_page": size, "page": number}, key, doing, needs, values=values)
            if total not in (None, page.total):
                break  # it has changed since the first page: items may have moved from one page to another
            total = page.total
            found |= {item.get("name") if key != "repositories" else item["id"]: item for item in page.items}
            if len(found) == page.total:
                return list(found.values())
            if not page.items or len(found) > page.total:
                break
        return None

    def _page(self, path: str, query: Mapping[str, Any], key: str, doing: str, needs: str, *, values: bool) -> Cached:
        def read(reply: Reply) -> Cached:
            data = reply.data
            total = data.get("total_count") if isinstance(data, dict) else None
            given = data.get(key) if isinstance(data, dict) else None
            if not isinstance(total, int) or isinstance(total, bool) or total < 0 or not isinstance(given, list):
                raise garbage(doing, reply.status)
            items = [_kept(item, key, values=values) for item in given]
            if any(item is None for item in items):
                raise garbage(doing, reply.status, "an item of the answer")
            return Cached(reply.headers.get("etag", ""), total, [item for item in items if item is not None], values)

        return self.asked(f"{path}?{urlencode(query)}", doing, needs, read, values=values)

    def asked(
        self, url: str, doing: str, needs: str, read: Callable[[Reply], Cached], *, name: str = "",
        values: bool = False, fixed: bool = False,
    ) -> Cached:  # fmt: skip
        """What `read` makes of an answer; one that has not changed costs GitHub nothing (304). Raises KeyleaseError.

        name: what it is kept as, if not as `url`: readers that keep other parts of the same answer need other names.
        fixed: it can't change (a blob): once known, it is not asked for again. values: see :class:`Cached`.
        """
        who, name = self._key(), name or url
        known = self._wire.cache.get(who, name, values=values)
        if known and fixed:
            return known
        reply = self.send("GET", url, etag=known.etag if known else "")
        if reply.status == 304 and known:
            return known
        if reply.status != 200:
            raise error_of(reply, doing, needs)
        page = read(reply)
        if page.etag or fixed:
            self._wire.cache.put(who, name, page)
        return page

    def every(self, path: str, doing: str, needs: str, query: Mapping[str, Any] | None = None) -> list[Item]:
        """All items of a plain list, by its ``Link`` headers. Raises KeyleaseError."""
        found: list[Item] = []
        for number in range(1, 10_000):
            reply = self.send("GET", path, query={**(query or {}), "per_page": PAGE, "page": number})
            if reply.status != 200:
                raise error_of(reply, doing, needs)
            if not isinstance(reply.data, list) or not all(isinstance(item, dict) for item in reply.data):
                raise garbage(doing, reply.status)
            found += reply.data
            link = reply.headers.get("link", "")
            # A proxy may drop the header: a full page without it is never taken for the last one.
            if 'rel="next"' not in link and (link or len(reply.data) < PAGE):
                break
        return found


def _kept(item: Any, key: str, *, values: bool) -> Item | None:
    """The parts of a list's item that are used, checked; None if it is none. Values: where wanted, and of ledgers."""
    from keylease.sync.ledger import part_of

    if not isinstance(item, dict):
        return None
    if key == "repositories":
        number, full = item.get("id"), item.get("full_name")
        return {"id": number, "full_name": full} if isinstance(number, int) and isinstance(full, str) else None
    name, at = item.get("name"), item.get("updated_at")
    if not (isinstance(name, str) and name and isinstance(at, str)):
        return None
    kept = {"name": name.upper(), "updated_at": at}
    if isinstance(item.get("visibility"), str):
        kept["visibility"] = item["visibility"]
    if key == "variables":
        if not isinstance(item.get("value"), str):
            return None
        kept["value"] = item["value"] if values or part_of(kept["name"]) else ""
    return kept


def uncertain(error: RefusedError) -> UnreachableError:
    """A refusal that follows an attempt whose answer was lost: that one may have been carried out."""
    return UnreachableError(
        f"{error.summary}; an earlier attempt had no answer, and may have been carried out",
        cause=error.cause,
        change=error.change,
        docs="unreachable",
        detail=error.detail,
    )


# PyGithub's Requester on our Session.


class _Answer:
    """What PyGithub asks of a response."""

    def __init__(self, response: Any) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self._response = response

    def getheaders(self) -> Any:
        return self.headers.items()

    def read(self) -> str:
        # Every answer is JSON, and so UTF-8 (RFC 8259 §8.1).
        return str(self._response.content.decode("utf-8", "replace"))


class _Connection:
    """What PyGithub asks of a connection. It may be handed to two threads at once: what one asks is kept apart."""

    session: Session
    origin: str

    def __init__(self, host: str, *_: Any, **__: Any) -> None:
        self.host = host
        self._asked = threading.local()

    def request(self, verb: str, url: str, input: Any, headers: dict[str, str], *_: Any) -> None:  # noqa: A002
        self._asked.what = verb, url, input, headers

    def getresponse(self) -> _Answer:
        verb, url, data, headers = self._asked.what
        self._asked.what = None
        response = self.session.request(verb, self.origin + url, data=data, headers=headers)
        if response.status_code == 202:
            # PyGithub would wait and ask again without end. Nothing that we ask for is answered so.
            response.status_code = 502
        return _Answer(response)

    def close(self) -> None:
        """The session is closed with the run."""


def _requester(url: str, session: Session, auth: Any) -> Any:
    from github.Requester import Requester

    parts = urlsplit(url)
    own = {"session": session, "origin": f"{parts.scheme}://{parts.netloc}"}
    connection: Any = type("Connection", (_Connection,), own)
    silent = logging.Logger("github", logging.CRITICAL + 1)  # noqa: LOG001  # its own: nobody can turn it on
    kind: Any = type("OwnRequester", (Requester,), {})
    kind.injectConnectionClasses(connection, connection)
    kind.injectLogger(silent)
    return kind(
        auth=auth,
        base_url=url,
        timeout=0,
        user_agent=f"keylease/{__version__}",
        per_page=PAGE,
        verify=True,
        retry=None,
        pool_size=None,
    )

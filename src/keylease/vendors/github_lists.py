"""GitHub's lists read to their end, with whatever parts of their items the caller keeps.

https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api. A list that does not add up, repeats
itself or has changed while it was read is read again, and is then an error: it is never taken for whole.
"""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from msgspec import Struct

from keylease.vendors.github_api import PAGE, Api, Item
from keylease.vendors.github_cache import Cached
from keylease.vendors.github_errors import Reply, error_of, garbage

_ATTEMPTS = 3
_KEPT = "audit 1"
"""How answers are called in the cache: with a new number once other parts of them are kept."""


Keep = Callable[[Item], Item | None]
"""The parts of an item that are kept, JSON without any secret; None for what is none of GitHub's."""


class Wanted(Struct, frozen=True):
    """What is asked for, and what for: `doing` and `needs` as in :meth:`Api.get`.

    kind: what the kept parts are called in the cache: other parts of the same answer need another name.
    """

    path: str
    doing: str
    needs: str
    kind: str
    keep: Keep
    query: Mapping[str, Any] = {}
    size: int = PAGE


def one(api: Api, wanted: Wanted) -> Item:
    """An object. Raises KeyleaseError."""

    def read(reply: Reply) -> Cached:
        item = wanted.keep(reply.data) if isinstance(reply.data, dict) else None
        if item is None:
            raise garbage(wanted.doing, reply.status)
        return Cached(reply.headers.get("etag", ""), 1, [item], complete=True)

    name = f"{_KEPT} {wanted.kind} {wanted.path}"
    return dict(api.asked(wanted.path, wanted.doing, wanted.needs, read, name=name).items[0])


def counted(api: Api, wanted: Wanted, key: str) -> list[Item]:
    """All items of a list with a ``total_count``; each must be told apart by its ``id``. Raises KeyleaseError."""

    def read(reply: Reply) -> Cached:
        data = reply.data if isinstance(reply.data, dict) else {}
        total = data.get("total_count")
        if not isinstance(total, int) or isinstance(total, bool) or total < 0:
            raise garbage(wanted.doing, reply.status)
        return Cached(reply.headers.get("etag", ""), total, _items(wanted, reply, data.get(key)), complete=True)

    for attempt in range(_ATTEMPTS):
        found: dict[Any, Item] = {}
        total = None
        for number in range(1, 10_000):
            page = _page(api, wanted, read, number)
            if total not in (None, page.total):
                break
            total = page.total
            found |= {item["id"]: item for item in page.items}
            if len(found) == total:
                return list(found.values())
            if not page.items or len(found) > total:
                break
        _pause(attempt)
    raise garbage(wanted.doing, 200, "the list is not as long as it says; the answer")


def linked(api: Api, wanted: Wanted) -> list[Item]:
    """All items of a list with ``Link`` headers, told apart by ``id``; what has several pages is looked at twice.

    Nothing says how long such a list is: one that shrinks while it is read would hide what moved to an earlier page.
    """
    for attempt in range(_ATTEMPTS):
        first = _pages(api, wanted)
        if len(first) == 1:
            return first[0]
        ids = [item["id"] for page in first for item in page]
        again = [item["id"] for page in _pages(api, wanted) for item in page]
        if ids == again and len(set(ids)) == len(ids):
            return [item for page in first for item in page]
        _pause(attempt)
    raise garbage(wanted.doing, 200, "the list changes each time it is read; the answer")


def following(api: Api, wanted: Wanted) -> list[Item]:
    """All items of a list whose pages follow each other by cursors (``after``), as the audit log's do."""
    found: list[Item] = []
    after = ""
    for _ in range(10_000):
        query = {**wanted.query, "per_page": wanted.size, **({"after": after} if after else {})}
        reply = api.send("GET", wanted.path, query=query)
        if reply.status != 200:
            raise error_of(reply, wanted.doing, wanted.needs)
        found += _items(wanted, reply, reply.data)
        link = reply.headers.get("link", "")
        cursor = _cursor(link)
        if not cursor:
            if 'rel="next"' in link or (len(reply.data) >= wanted.size and not link):
                raise garbage(wanted.doing, 200, "a page that does not say where it goes on; the answer")
            return found
        if cursor == after:
            break
        after = cursor
    raise garbage(wanted.doing, 200, "the list has no end; the answer")


def _pages(api: Api, wanted: Wanted) -> list[list[Item]]:
    def read(reply: Reply) -> Cached:
        items = _items(wanted, reply, reply.data)
        link = reply.headers.get("link", "")
        # A proxy may drop the header: a full page without it is never taken for the last one.
        more = 'rel="next"' in link or (not link and len(items) >= wanted.size)
        return Cached(reply.headers.get("etag", ""), int(more), items, complete=True)

    pages: list[list[Item]] = []
    for number in range(1, 10_000):
        page = _page(api, wanted, read, number)
        pages.append(page.items)
        if not page.total:
            return pages
    raise garbage(wanted.doing, 200, "the list has no end; the answer")


def _page(api: Api, wanted: Wanted, read: Callable[[Reply], Cached], number: int) -> Cached:
    url = f"{wanted.path}?{urlencode({**wanted.query, 'per_page': wanted.size, 'page': number})}"
    return api.asked(url, wanted.doing, wanted.needs, read, name=f"{_KEPT} {wanted.kind} {url}")


def _items(wanted: Wanted, reply: Reply, given: object) -> list[Item]:
    if not isinstance(given, list):
        raise garbage(wanted.doing, reply.status)
    found = []
    for each in given:
        item = wanted.keep(each) if isinstance(each, dict) else None
        if item is None:
            raise garbage(wanted.doing, reply.status, "an item of the answer")
        found.append(item)
    return found


def _cursor(link: str) -> str:
    """``after`` of the next page's address."""
    for part in link.split(","):
        address, _, rest = part.partition(">")
        if 'rel="next"' in rest:
            return parse_qs(urlsplit(address.strip().lstrip("<")).query).get("after", [""])[0]
    return ""


def _pause(attempt: int) -> None:
    if attempt + 1 < _ATTEMPTS:
        time.sleep(random.uniform(0.05, 0.2))

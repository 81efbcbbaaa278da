"""Lists of Microsoft Graph and Azure Resource Manager as an audit asks them: to the end, or why not.

https://learn.microsoft.com/graph/paging, https://learn.microsoft.com/graph/errors,
https://learn.microsoft.com/rest/api/azure/ (async operations, throttling, and errors)
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from keylease.context import Context
from keylease.errors import KeyleaseError, NoListError, RefusedError
from keylease.http import HttpSettings
from keylease.secret import Secret
from keylease.vendors.answers import Answer, check_list
from keylease.vendors.azure_settings import VENDOR

MAX_BODY = 64 * 1024 * 1024
"""Bytes of an answer: a page of 999 applications with their certificates has some megabytes."""

_PAGES = 10_000


class Wanted(Struct, frozen=True):
    """What is asked for. what: for messages. change: what lets it be listed."""

    what: str
    change: str


class AzureLists:
    """Of one server. Safe to share between threads."""

    def __init__(self, context: Context, url: str, token: Secret, timeout: float, retries: int) -> None:
        self.url = url
        self._token = token
        self._http = context.http.session(VENDOR, HttpSettings(timeout=timeout, retries=retries, max_body=MAX_BODY))

    def all(self, path: str, wanted: Wanted, **params: str) -> list[dict[str, Any]]:
        """The objects of every page. params: an ``_`` before a name stands for ``$``, another one for ``-``.

        A link to the next page is followed at this server alone. Raises RefusedError, NoListError, UnreachableError.
        """
        query: Mapping[str, str] | None = {
            f"${name[1:]}" if name.startswith("_") else name.replace("_", "-"): value for name, value in params.items()
        }
        found: list[dict[str, Any]] = []
        url, seen = f"{self.url}{path}", set[str]()
        for _ in range(_PAGES):
            response = self._http.get(url, params=query, headers={"Authorization": f"Bearer {self._token.reveal()}"})
            answer = Answer.of(response, "request-id")
            check_list(VENDOR, wanted.what, answer)
            if not answer.ok:
                raise _refused(answer, wanted)
            items = answer.at("value")
            link = answer.data.get("@odata.nextLink") or answer.data.get("nextLink") or ""
            if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
                raise no_list(wanted)
            found += items
            if not link:
                return found
            if not isinstance(link, str) or not self._is_ours(link, path):
                raise NoListError(
                    f"{VENDOR}: {wanted.what}: the next page is said to be elsewhere, and was not asked for",
                    cause="a proxy or gateway in between names another host",
                    change=f"let links keep to {self.url}",
                )
            if link in seen:
                raise NoListError(f"{VENDOR}: {wanted.what}: the list begins again: it has no end", change="report it")
            seen.add(link)
            url, query = link, None
        raise NoListError(f"{VENDOR}: {wanted.what}: the list has no end", change="report it")

    def _is_ours(self, link: str, path: str) -> bool:
        # The token goes there: the same address and list, written in signs that all parsers read alike.
        start = f"{self.url}{path}"
        return (
            re.fullmatch(r"""[!#-\[\]-~]{1,8000}""", link) is not None
            and "#" not in link
            and urlsplit(link).netloc.lower() == urlsplit(start).netloc.lower()
            and link.partition("?")[0].lower().rstrip("/") == start.lower()
        )


def no_list(wanted: Wanted) -> NoListError:
    """The error for an answer that is something else."""
    return NoListError(
        f"{VENDOR}: {wanted.what}: the answer is no list of them",
        cause="something else than Microsoft's API answered, or it has changed",
        change="check the address and the proxy",
    )


def _refused(answer: Answer, wanted: Wanted) -> KeyleaseError:
    said = ": ".join(filter(None, [answer.text("error", "code"), answer.text("error", "message")]))
    summary = f"{VENDOR}: {wanted.what}: {said or f'HTTP {answer.status}'}"
    if answer.status == 401:
        return RefusedError(
            summary,
            cause="the access token is over, or for another resource: Graph and Resource Manager take one each",
            change="give new ones: az account get-access-token --resource-type ms-graph (or arm); or `provider: azure`",
            docs="azure-inventory",
            detail=answer.detail,
        )
    return RefusedError(
        summary,
        cause="the credential may not list them, or there is no such tenant or subscription",
        change=wanted.change,
        docs="azure-inventory",
        detail=answer.detail,
    )

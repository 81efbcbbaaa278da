"""The admin APIs of AI services: one credential in a header, lists in pages of JSON. Read-only."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from keylease.context import Context
from keylease.errors import RefusedError, UnreachableError
from keylease.http import TRANSIENT, HttpSettings
from keylease.secret import Secret
from keylease.vendors.answers import Answer, server_trouble

REFUSED = "audit-services-refused"

MOST = 100_000
"""Items of one list: more than any organisation has keys."""


class ApiRefusedError(RefusedError):
    """The service said no. status: HTTP."""

    def __init__(self, summary: str, status: int, **more: Any) -> None:
        super().__init__(summary, **more)
        self.status = status


class ServiceApi:
    """One service, asked with one credential.

    header, scheme: where the credential goes: ``Authorization``, ``Bearer``. headers: further ones.
    permission: what the credential needs, for refusals.

    Safe to share between threads. Every method raises :class:`ApiRefusedError` for 400 to 499,
    :class:`UnreachableError` for no answer or one that is not the API's; none returns less of a list than there is.
    """

    def __init__(
        self,
        vendor: str,
        url: str,
        credential: Secret,
        context: Context,
        *,
        header: str = "Authorization",
        scheme: str = "Bearer ",
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        retries: int = 4,
        permission: str = "",
    ) -> None:
        self.vendor = vendor
        self.url = url
        self.permission = permission
        self._credential = credential
        self._header, self._scheme, self._headers = header, scheme, headers or {}
        # 529: https://platform.claude.com/docs/en/api/errors (overloaded_error)
        settings = HttpSettings(timeout=timeout, retries=retries, retry_statuses=TRANSIENT | {529})
        self._http = context.http.session(vendor, settings)

    def get(self, path: str, doing: str, query: Mapping[str, str] | None = None) -> Answer:
        """One JSON object."""
        headers = {**self._headers, self._header: f"{self._scheme}{self._credential.reveal()}"}
        answer = Answer.of(self._http.get(self.url + path, params=query or {}, headers=headers), "x-request-id")
        trouble = server_trouble(self.vendor, doing, answer)
        if trouble:
            raise trouble
        if not answer.ok:
            raise self._refused(doing, answer)
        return answer

    def after(self, path: str, doing: str, cursor: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """A list whose next page is asked for by the last item's id (`cursor`), as long as ``has_more`` says so.

        https://developers.openai.com/api/reference/resources/admin (``after``),
        https://platform.claude.com/docs/en/api/admin-api (``after_id``).
        """
        limit = int(query.get("limit", "0"))

        def following(answer: Answer, items: list[dict[str, Any]]) -> dict[str, str] | None:
            more = answer.data.get("has_more")
            if more is None:  # a full page is never taken for the last one
                more = bool(items) and len(items) >= limit
            if not isinstance(more, bool) or (more and not items):
                raise self.garbage(doing)
            return {cursor: answer.value("last_id") or str(items[-1]["id"])} if more else None

        return list(self._pages(path, doing, query, following))

    def by_token(self, path: str, doing: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """A list whose answers hold the next page's token: ``next_page``, sent as ``page``."""

        def following(answer: Answer, items: list[dict[str, Any]]) -> dict[str, str] | None:
            del items
            token = answer.data.get("next_page")
            if (token is not None and not isinstance(token, str)) or (not token and answer.data.get("has_more")):
                raise self.garbage(doing)
            return {"page": token} if token else None

        return list(self._pages(path, doing, query, following))

    def whole(self, path: str, doing: str, field: str, key: str = "id", *, empty: bool = False) -> list[dict[str, Any]]:
        """A list that comes at once. empty: the field is left out where there is nothing."""
        answer = self.get(path, doing)
        if answer.data.get("pagination") or answer.data.get("next_page_token") or answer.data.get("has_more"):
            raise self.garbage(doing, "the list goes on, which this API's documentation knows nothing of")
        if empty and not answer.data:  # what holds anything else is another answer: an error, with status 200
            return []
        return self._items(answer, doing, field, key)

    def _pages(
        self,
        path: str,
        doing: str,
        query: Mapping[str, str],
        following: Callable[[Answer, list[dict[str, Any]]], dict[str, str] | None],
    ) -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        cursors: set[str] = set()
        cursor: dict[str, str] | None = {}
        while cursor is not None:
            answer = self.get(path, doing, {**query, **cursor})
            items = self._items(answer, doing, "data", "id")
            for item in items:
                if item["id"] in seen or len(seen) >= MOST:
                    raise self.garbage(doing, "the list repeats itself, or does not end")
                seen.add(item["id"])
                yield item
            cursor = following(answer, items)
            mark = "".join((cursor or {}).values())
            if mark and mark in cursors:
                raise self.garbage(doing, "the list repeats itself, or does not end")
            cursors.add(mark)

    def _items(self, answer: Answer, doing: str, field: str, key: str) -> list[dict[str, Any]]:
        items = answer.data.get(field)
        if not isinstance(items, list) or not all(isinstance(item, dict) and _is_id(item.get(key)) for item in items):
            raise self.garbage(doing)
        return items

    def garbage(self, doing: str, what: str = "the answer is not of the documented form") -> UnreachableError:
        """The error for an answer that can't be trusted."""
        return UnreachableError(
            f"{self.vendor}: {doing}: {what}",
            cause="something in between answered, or the API has changed",
            change="check `url` and the proxy; if they are right, report it",
            docs="garbage",
        )

    def _refused(self, doing: str, answer: Answer) -> ApiRefusedError:
        status = answer.status
        said = answer.text("error", "message") or answer.text("error") or answer.text("message")
        cause = {
            401: "the credential is wrong, has ended or was revoked, or is of a kind that this API does not take",
            403: "the credential may not do that",
            404: "there is no such thing, or the credential may not see it",
        }.get(status, "")
        return ApiRefusedError(
            f"{self.vendor}: {doing}: HTTP {status}{f' ({said})' if said else ''}",
            status,
            cause=cause,
            change=f"it needs {self.permission}" if self.permission else "",
            docs=REFUSED,
            detail=answer.detail,
        )


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isascii() and value.isprintable()


def part(text: str) -> str:
    """An id from an answer, as one segment of a path."""
    # Clients take `.` and `..` out of a path, quoted or not: the request would be about something else.
    return quote(text, safe="").replace(".", "%2E") if text in (".", "..") else quote(text, safe="")

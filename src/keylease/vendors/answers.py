"""What a vendor's HTTP API answered, read with distrust: types are checked, texts cut, bodies never shown."""

import json
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from keylease.errors import KeyleaseError, NoListError, UnreachableError

if TYPE_CHECKING:
    import requests

_LONGEST = 300
_WORD = 24


class Answer(Struct, frozen=True):
    """status: HTTP. data: the body, if it is a JSON object; else empty. is_json: whether it is one."""

    status: int
    data: dict[str, Any]
    is_json: bool
    request_id: str = ""

    def __repr__(self) -> str:
        return f"<Answer {self.status}>"

    @classmethod
    def of(cls, response: "requests.Response", id_header: str = "") -> "Answer":
        """Read `response`. id_header: where the vendor puts the request's id, for `--debug`."""
        try:
            data = json.loads(response.content)
        except (ValueError, RecursionError):
            data = None
        is_json = isinstance(data, dict)
        number = one_line(response.headers.get(id_header, "")) if id_header else ""
        return cls(response.status_code, data if isinstance(data, dict) else {}, is_json, number)

    @property
    def ok(self) -> bool:
        """Whether it is a success with a JSON object in it."""
        return 200 <= self.status < 300 and self.is_json

    def at(self, *path: str) -> Any:
        """What stands at `path`, or None."""
        node: Any = self.data
        for step in path:
            node = node.get(step) if isinstance(node, dict) else None
        return node

    def text(self, *path: str) -> str:
        """The text at `path` as one printable line of at most 300 characters; empty if there is none.

        For codes and messages that a vendor documents, never for a value.
        """
        value = self.at(*path)
        return one_line(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""

    def value(self, *path: str) -> str | None:
        """The credential at `path`: text that can be a variable or header; None if there is none. Seal it at once."""
        found = self.at(*path)
        if isinstance(found, str) and found and found.isascii() and found.isprintable() and " " not in found:
            return found
        return None

    def seconds(self, *path: str) -> float | None:
        """The positive number (or a text with one) at `path`; None if there is none, or an absurd one."""
        found = self.at(*path)
        if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 10:
            found = int(found)
        if isinstance(found, int | float) and not isinstance(found, bool) and 0 < found < 10 * 365 * 86400:
            return float(found)
        return None

    @property
    def detail(self) -> dict[str, object]:
        """For `--debug`."""
        return {"status": self.status, **({"request id": self.request_id} if self.request_id else {})}


def one_line(text: str) -> str:
    """Printable, on one line, cut to 300 characters, and not within a long word: a part of a token is not masked."""
    flat = "".join(c if c.isprintable() else " " for c in text[: 4 * _LONGEST])
    flat = _without_part(flat, text[4 * _LONGEST :])
    flat = " ".join(flat.split())
    if len(flat) <= _LONGEST:
        return flat
    return _without_part(flat[: _LONGEST - 1], flat[_LONGEST - 1 :]) + "…"


def _without_part(kept: str, cut: str) -> str:
    """`kept` without its last word, if that goes on in what was `cut` off and is no word of a language."""
    word = kept.rpartition(" ")[2]
    return kept[: len(kept) - len(word)] if cut[:1].strip() and len(word) > _WORD else kept


def server_trouble(vendor: str, doing: str, answer: Answer) -> KeyleaseError | None:
    """The error for an answer that says nothing about us: overload, redirects, something that is no such API.

    None for a success with JSON in it, and for a refusal that the vendor words itself.
    """
    status = answer.status
    if status in (408, 425, 429) or status >= 500:
        busy = status == 429
        return UnreachableError(
            f"{vendor}: {doing}: HTTP {status} after all attempts",
            cause="too many requests: the vendor throttles this account" if busy else "the service has trouble",
            change="run the job again; `retries` and `deadline` give it more time",
            docs="unreachable",
            detail=answer.detail,
        )
    if 300 <= status < 400 or (status < 300 and not answer.is_json):
        return UnreachableError(
            f"{vendor}: {doing}: the answer (HTTP {status}) is not the API's",
            cause="a proxy or login page answered, or the address is not the API's",
            change="check the address and the proxy",
            docs="garbage",
            detail=answer.detail,
        )
    return None


def check_list(vendor: str, what: str, answer: Answer) -> None:
    """Raise :class:`NoListError` for an answer that says nothing about us, as :func:`server_trouble` has it."""
    trouble = server_trouble(vendor, f"listing {what}", answer)
    if trouble:
        raise NoListError(trouble.summary, cause=trouble.cause, change=trouble.change, detail=trouble.detail)

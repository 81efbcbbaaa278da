"""Read variables from CyberArk Conjur.

https://github.com/cyberark/conjur-openapi-spec (spec/secrets.yml); statuses: app/controllers/secrets_controller.rb of
https://github.com/cyberark/conjur
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from keylease.context import Context
from keylease.errors import KeyleaseError, UnreachableError, UsageError
from keylease.managers.base import MOST_FOUND, Manager, check_common
from keylease.model import Document, Lease, Read
from keylease.vendors.answers import Answer, server_trouble
from keylease.vendors.conjur_errors import garbage, refused_list, refused_read
from keylease.vendors.conjur_session import ConjurSession
from keylease.vendors.conjur_settings import VENDOR

MAX_QUERY = 4000
"""Characters. Servers and proxies take lines of 8 KiB and more; what is longer is asked for in several requests."""

PAGE = 100
"""Variables of a list's answer. A server may be set to give no more than so many (api_resource_list_limit_max: 500)."""

_EXAMPLE = "conjur://policy/path/variable"


class ConjurManager(Manager):
    """``conjur://policy/path/variable``. Whatever can be is read in a batch, also when it is one variable.

    The batch's answer names what it holds, so that nothing else passes for a secret; it tells what is forbidden (403)
    from what is not there (404), and carries bytes as base64.
    """

    scheme = "conjur"
    provider = "conjur"
    options = ("version",)

    def __init__(self, lease: Lease, context: Context) -> None:
        super().__init__(lease, context)
        assert isinstance(lease.session, ConjurSession)
        self._session = lease.session

    @classmethod
    def check(cls, read: Read) -> None:
        """See the base class."""
        check_common(read, cls, VENDOR, _EXAMPLE, "conjur-secret")
        version = dict(read.options).get("version")
        if version is not None and not (version.isascii() and version.isdigit() and 0 < int(version) < 2**31):
            raise UsageError(
                f"{VENDOR}: {read}: `version` is the number of a version", change="version: 3", docs="conjur-secret"
            )

    def grouped(self, reads: Sequence[Read]) -> list[list[Read]]:
        """See the base class. As many in one request as its line can hold."""
        groups = [[read] for read in reads if not _batchable(read)]
        room = 0
        for read in filter(_batchable, reads):
            length = len(self._id(read)) + 3
            if length > room:
                groups.append([])
                room = MAX_QUERY
            groups[-1].append(read)
            room -= length
        return groups

    def read_many(self, reads: Sequence[Read]) -> list[Document | KeyleaseError]:
        """See the base class. A batch fails as a whole: then each is asked for alone, to find out which it was."""
        if len(reads) == 1 or not all(map(_batchable, reads)):
            return super().read_many(reads)
        for read in reads:
            self.check(read)
        try:
            answer = self._batch(reads)
        except KeyleaseError as error:
            return [error for _ in reads]
        if answer.status in (403, 404, 406, 422):
            return super().read_many(reads)
        found: list[Document | KeyleaseError] = []
        for read in reads:
            try:
                found.append(self._document(read, answer))
            except KeyleaseError as error:
                found.append(error)
        return found

    def read(self, read: Read) -> Document:
        """See the base class."""
        self.check(read)
        if not _batchable(read):
            return self._single(read)
        answer = self._batch([read])
        # 406: the bytes are no text, and a proxy keeps our wish for base64 from the server.
        return self._single(read) if answer.status == 406 else self._document(read, answer)

    def find(self, read: Read, parent: str, prefix: str, *, deep: bool) -> list[str]:
        """See the base class. The variables that the host may see: what it may not is left out, without a word.

        Their text search is none for beginnings, so all are gone through. spec/resources.yml; the order, by id:
        app/models/resource.rb.
        """
        del parent, prefix, deep
        for _ in range(3):
            found = self._listed(read)
            if found is not None:
                return found
        raise UnreachableError(
            f"{VENDOR}: {read}: the list of variables changes while it is read",
            cause="a policy is being loaded",
            change="run it again when that has ended",
            docs="unreachable",
        )

    def _listed(self, read: Read) -> list[str] | None:
        """All of the list; None if it changed meanwhile. Each page begins with the last one's end, to tell."""
        found: list[str] = []
        while True:
            page = self._page(read, max(0, len(found) - 1))
            if found and page[:1] != found[-1:]:
                return None
            found += page[1:] if found else page
            if len(found) > MOST_FOUND:
                raise UsageError(
                    f"{VENDOR}: {read}: there are more than {MOST_FOUND} variables to choose from",
                    change="let the host see fewer, or name each variable",
                    docs="sync-pattern",
                )
            if len(page) < PAGE:
                return found

    def _page(self, read: Read, offset: int) -> list[str]:
        account = self._session.connection.account
        path, query = f"resources/{quote(account, safe='')}", f"kind=variable&limit={PAGE}&offset={offset}"
        response = self._session.get(path, query)
        answer = Answer.of(response, "x-request-id")
        if response.status_code == 200:
            try:
                items = json.loads(response.content)
            except (ValueError, RecursionError):
                items = None
            ids = (
                [item.get("id") if isinstance(item, dict) else None for item in items]
                if type(items) is list
                else [None]
            )
            start = f"{account}:variable:"
            if len(ids) > PAGE or not all(isinstance(each, str) and each.startswith(start) for each in ids):
                raise garbage(answer, str(read))
            return [str(each)[len(start) :] for each in ids]
        trouble = server_trouble(VENDOR, f"listing {read}", answer)
        if trouble:
            raise trouble
        raise refused_list(answer, read, self._session)

    def _id(self, read: Read) -> str:
        return quote(f"{self._session.connection.account}:variable:{read.path}", safe="")

    def _batch(self, reads: Sequence[Read]) -> "_Batch":
        query = "variable_ids=" + "%2C".join(map(self._id, dict.fromkeys(reads)))
        response = self._session.get("secrets", query, {"Accept-Encoding": "base64"})
        answer = Answer.of(response, "x-request-id")
        what = str(reads[0]) if len(reads) == 1 else f"{len(reads)} variables"
        trouble = server_trouble(VENDOR, f"reading {what}", answer)
        if trouble:
            raise trouble
        return _Batch(answer, response.headers)

    def _document(self, read: Read, batch: "_Batch") -> Document:
        if not batch.answer.ok:
            raise refused_read(batch.answer, read, self._session)
        name = f"{self._session.connection.account}:variable:{read.path}"
        return _document(read, batch.value(name, str(read)))

    def _single(self, read: Read) -> Document:
        version = dict(read.options).get("version")
        path = f"secrets/{quote(self._session.connection.account, safe='')}/variable/{quote(read.path, safe='')}"
        response = self._session.get(path, f"version={version}" if version else "", {"Accept": "*/*"})
        # The body is the value, of any kind: a page for people is all that can be told from one.
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if response.status_code == 200 and not is_page:
            return _document(read, response.content, version)
        answer = Answer.of(response, "x-request-id")
        raise (
            server_trouble(VENDOR, f"reading {read}", answer)
            or (garbage(answer, str(read)) if answer.status < 400 else None)
            or refused_read(answer, read, self._session, alone=True)
        )


class _Batch:
    """The answer to a batch. Values of it are given out one by one."""

    def __init__(self, answer: Answer, headers: Mapping[str, str]) -> None:
        self.answer = answer
        self.status = answer.status
        # The server says so if, and only if, it did (secrets_controller.rb, `batch`).
        self._encoded = headers.get("Content-Encoding", "").strip().lower() == "base64"

    def value(self, name: str, label: str) -> bytes:
        """What the variable `name` (``account:variable:id``) holds. Raises :class:`UnreachableError`."""
        value = self.answer.data.get(name)
        found: bytes | None = None
        if isinstance(value, str):
            try:
                # In lines of 60 characters, as Ruby's Base64.encode64 writes them.
                found = base64.b64decode("".join(value.split()), validate=True) if self._encoded else value.encode()
            except (binascii.Error, UnicodeEncodeError, ValueError):
                found = None
        if found is None:
            raise garbage(self.answer, label)
        return found


def _batchable(read: Read) -> bool:
    # A batch has the newest versions only, and takes a comma for the next name.
    return "," not in read.path and not dict(read.options).get("version")


def _document(read: Read, value: bytes, version: str | None = None) -> Document:
    try:
        text: str | bytes = value.decode()
    except UnicodeDecodeError:
        text = value
    return Document.of_text(str(read), text, version=version)

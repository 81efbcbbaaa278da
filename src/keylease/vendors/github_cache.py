"""Answers to list calls from one request to the next: one that has not changed costs GitHub nothing (304).

What is kept is metadata: names, times, visibility, ledgers. A variable's value is kept in memory only.

A file with it may come from a shared cache of CI that others can write to: each row is authenticated with a key made
from the credential, and one that is not believed is not used. ETags differ from credential to credential anyway.
"""

import contextlib
import hashlib
import hmac
import json
import os
import sqlite3
import threading
import time
from typing import Any

from msgspec import Struct

from keylease.errors import UsageError
from keylease.secret import Secret
from keylease.sync.ledger import part_of

_ID = 0x4B4C6763
"""The database's ``application_id`` (https://www.sqlite.org/fileformat.html, 1.3.12): no other file is touched."""

_MAGIC, _ID_AT = b"SQLite format 3\0", 68

_KEPT_FOR = 30 * 86400
"""Seconds that an answer is kept without being asked for."""

_TOUCHED_AFTER = 86400
"""Seconds until it is noted that an answer was asked for: each note is a write."""


class Cached(Struct, frozen=True):
    """A page of a list. complete: values of variables are in it."""

    etag: str
    total: int
    items: list[dict[str, Any]]
    complete: bool


class Cache:
    """In memory, and in the SQLite file `path` if there is one."""

    def __init__(self, path: str = "") -> None:
        self._lock = threading.Lock()
        self._pages: dict[tuple[str, str], Cached] = {}
        self._file = _open(path) if path else None

    def get(self, key: "CacheKey", url: str, *, values: bool) -> Cached | None:
        """The page of `url`. values: variables' values are wanted too."""
        with self._lock:
            found = self._pages.get((key.name, url)) or self._read(key, url)
        return found if found and (found.complete or not values) else None

    def put(self, key: "CacheKey", url: str, page: Cached) -> None:
        """Keep a page."""
        with self._lock:
            self._pages[key.name, url] = page
            if self._file is None:
                return
            kept = [{**item, "value": ""} if _is_open(item) else item for item in page.items]
            text = json.dumps([page.etag, page.total, kept, page.complete and kept == page.items])
            row = (key.name, url, int(time.time()), text, key.mac(url, text))
            with contextlib.suppress(sqlite3.Error):
                self._file.execute("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?)", row)

    def _read(self, key: "CacheKey", url: str) -> Cached | None:
        if self._file is None:
            return None
        try:
            row = self._file.execute(
                "SELECT body, mac, at FROM pages WHERE who = ? AND url = ?", (key.name, url)
            ).fetchone()
            if row is None or not hmac.compare_digest(str(row[1]).encode(), key.mac(url, str(row[0])).encode()):
                return None
            found = Cached(*json.loads(row[0]))
            now = int(time.time())
            if not now - _TOUCHED_AFTER < row[2] <= now:
                self._file.execute("UPDATE pages SET at = ? WHERE who = ? AND url = ?", (now, key.name, url))
        except (sqlite3.Error, ValueError, TypeError):
            return None
        self._pages[key.name, url] = found
        return found


class CacheKey:
    """Whose answers they are: a fingerprint of the credential, and the key that authenticates rows."""

    def __init__(self, token: Secret) -> None:
        data = token.reveal_bytes()
        self.name = hmac.digest(data, b"keylease github cache: name", "sha256").hex()[:32]
        self._key = hmac.digest(data, b"keylease github cache: key", "sha256")

    def mac(self, url: str, text: str) -> str:
        """Of one row."""
        return hmac.digest(self._key, hashlib.sha256(url.encode()).digest() + text.encode(), "sha256").hex()


def _is_open(item: dict[str, Any]) -> bool:
    return bool(item.get("value")) and part_of(str(item.get("name"))) is None


def _open(path: str) -> sqlite3.Connection:
    """The database, made anew if it is broken. Raises :class:`UsageError`: it can't be written, or is something else.

    The path comes from keylease.yml: a slip there must cost no other file its content.
    """
    try:
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb") as file:
            head = file.read(_ID_AT + 4)
            if head and not (head.startswith(_MAGIC) and int.from_bytes(head[_ID_AT:]) == _ID):
                raise _unusable(path, "it holds something else", "name another file, or delete this one")
            os.fchmod(file.fileno(), 0o600)
        try:
            return _prepared(path)
        except sqlite3.DatabaseError:
            os.truncate(path, 0)
            return _prepared(path)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "SQLite can't use it"
        change = "give the path of a file in a directory that can be written to, or leave `cache` out"
        raise _unusable(path, str(reason), change) from None


def _unusable(path: str, reason: str, change: str) -> UsageError:
    return UsageError(f"GitHub: `cache`: can't use {path!r}: {reason}", change=change, docs="github-cache")


def _prepared(path: str) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=2, isolation_level=None, check_same_thread=False)
    # A cache may be lost; it must not cost a disk flush per page.
    file.execute("PRAGMA synchronous = OFF")
    file.execute("PRAGMA journal_mode = MEMORY")
    file.execute(f"PRAGMA application_id = {_ID}")
    columns = "who TEXT, url TEXT, at INTEGER, body TEXT, mac TEXT, PRIMARY KEY (who, url)"
    file.execute(f"CREATE TABLE IF NOT EXISTS pages ({columns})")
    file.execute("DELETE FROM pages WHERE at < ?", (int(time.time()) - _KEPT_FOR,))
    file.execute("SELECT who, url, at, body, mac FROM pages LIMIT 1").fetchone()
    return file

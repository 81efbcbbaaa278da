"""Read secrets from Vault or OpenBao: KV of both versions, and whatever else an engine hands out.

https://openbao.org/api-docs/secret/
"""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from keylease.context import Context
from keylease.errors import KeyleaseError, NotFoundError, UnreachableError, UsageError
from keylease.managers.base import MOST_FOUND, Manager
from keylease.model import Document, Lease, Read, Renewal
from keylease.vendors.vault_client import Answer, VaultClient
from keylease.vendors.vault_errors import RENEW_LEASE, DataPath, refused_read, server_trouble
from keylease.vendors.vault_session import Mount, VaultSession, granted, unwrap
from keylease.vendors.vault_settings import seconds

_DEEPEST = 100
"""Folders in folders, after which a list is taken for one that leads nowhere."""

OPTIONS = ("kv", "version", "mount", "raw", "wrap_ttl", "unwrap_env")
"""kv: ``1`` or ``2``, when the version shall not be asked for. version: of a KV v2 secret.
mount: the mount's path when `kv` is given and it has several segments.
raw: ``true`` takes the path as the API's (``secret/data/ci``), as vault-action does.
wrap_ttl: have the answer response-wrapped; the document is then its wrapping token.
unwrap_env: the variable that holds a wrapping token; the path is ``sys/wrapping/unwrap``.
"""

UNWRAP = "sys/wrapping/unwrap"

KV2_PREFIXES = ("data", "metadata", "delete", "undelete", "destroy", "subkeys", "config")
"""What follows the mount in API paths of KV version 2. https://openbao.org/api-docs/secret/kv/kv-v2/"""

ENGINE_PREFIXES = ("creds", "static-creds", "issue", "sign", "datakey", "export", "keys", "cert", "sts", "roles")
"""What follows the mount in those of other engines: not worth a guess at KV."""

NEVER_KV = ("sys", "auth", "identity", "cubbyhole")


class _Target(Struct, frozen=True):
    """An API path (unquoted) to ask, and whether a KV v2 envelope is around the fields."""

    path: str
    kv2: bool


class VaultManager(Manager):
    """``vault://mount/path#field`` and raw API paths."""

    scheme = "vault"
    provider = "vault"
    options = OPTIONS

    def __init__(self, lease: Lease, context: Context) -> None:
        super().__init__(lease, context)
        assert isinstance(lease.session, VaultSession)
        self._session = lease.session
        self._client: VaultClient = lease.session.client

    @classmethod
    def check(cls, read: Read) -> None:
        """See the base class."""
        options = dict(read.options)
        unknown = [name for name in options if name not in OPTIONS]
        if unknown:
            raise _bad(read, f"there is no option {unknown[0]!r}", f"options: {', '.join(OPTIONS)}")
        parts = _clean(read.path).split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise _bad(read, "the path has an empty, `.` or `..` segment", "vault://mount/path")
        if read.path.startswith("/") and not read.raw:
            raise _bad(read, "the path begins with a slash", "vault://mount/path")
        if not read.path.isprintable():
            raise _bad(read, "the path holds control characters", "vault://mount/path")
        if options.get("kv", "2") not in ("1", "2"):
            raise _bad(read, "`kv` is 1 or 2", "kv: 2")
        version = options.get("version")
        if version is not None and not (version.isascii() and version.isdigit() and int(version) > 0):
            raise _bad(read, "`version` is the number of a version", "version: 3")
        if version is not None and options.get("kv") == "1":
            raise _bad(read, "KV version 1 keeps no versions", "leave `version` out")
        if options.get("raw", "false") not in ("true", "false"):
            raise _bad(read, "`raw` is true or false", "raw: true")
        if read.parameters is not None and ("kv" in options or "version" in options):
            raise _bad(read, "`with` is for engines that issue something, not for kv", "leave one of them out")
        if "wrap_ttl" in options and not seconds(options["wrap_ttl"]):
            raise _bad(read, "`wrap_ttl` is no duration", "wrap_ttl: 5m")
        mount = _clean(options.get("mount", parts[0]))
        if not f"{_clean(read.path)}/".startswith(f"{mount}/"):
            raise _bad(read, f"the path is not below the mount {mount!r}", f"vault://{mount}/…")
        if "unwrap_env" in options and _clean(read.path) != UNWRAP:
            raise _bad(read, "`unwrap_env` goes with one path only", f"vault://{UNWRAP}#FIELD")
        if len(parts) < 2:
            raise _bad(read, "a mount alone is no secret", "vault://mount/path")

    def read(self, read: Read) -> Document:
        """See the base class."""
        self.check(read)
        document = self._read(read)
        document.raw = read.raw
        return document

    def _read(self, read: Read) -> Document:
        options = dict(read.options)
        if "unwrap_env" in options:
            return self._unwrapped(read, options["unwrap_env"])
        path = _clean(read.path)
        if read.parameters is not None:
            return self._document(read, self._ask(read, _Target(path, False)), _Target(path, False))
        if read.raw:
            target = _Target(path, False)
            return self._document(read, self._ask(read, target), target)
        if "kv" in options:
            split = _clean(options.get("mount", path.partition("/")[0]))
            mount: Mount | None = Mount(split, "kv", int(options["kv"]))
        else:
            mount = self._mount(path)
        if mount is None:
            return self._guessed(read, path)
        target = self._target(read, path, mount)
        return self._document(read, self._ask(read, target), target)

    def find(self, read: Read, parent: str, prefix: str, *, deep: bool) -> list[str]:
        """See the base class. LIST of KV, one request a folder: https://openbao.org/api-docs/secret/kv/kv-v2/"""
        if not parent:
            raise _bad(read, "a pattern must name the mount", "vault://mount/path/*")
        options = dict(read.options)
        if "kv" in options:
            mount: Mount | None = Mount(
                _clean(options.get("mount", parent.partition("/")[0])), "kv", int(options["kv"])
            )
        else:
            mount = self._mount(parent)
        if mount is None:
            raise _bad(read, "the server does not tell which KV version this mount has", "say it: `kv: 2`")
        if mount.version is None:
            raise _bad(read, f"{mount.path} is a {mount.type} engine, which has nothing to list", "name each secret")
        found: list[str] = []
        folders = [parent[len(mount.path) :].strip("/")]
        while folders:
            folder = folders.pop()
            top = folder == parent[len(mount.path) :].strip("/")
            for key in self._keys(read, mount, folder):
                if top and not key.startswith(prefix):
                    continue
                below = f"{folder}/{key}" if folder else key
                if not key.endswith("/"):
                    found.append(f"{mount.path}/{below}")
                elif deep and below.count("/") > _DEEPEST:
                    raise UnreachableError(f"Vault: {read}: the folders do not end", docs="garbage")
                elif deep:
                    folders.append(below.rstrip("/"))
            if len(found) + len(folders) > MOST_FOUND:
                raise _bad(read, f"there are more than {MOST_FOUND} secrets below {parent}", "narrow the pattern")
        return found

    def _keys(self, read: Read, mount: Mount, folder: str) -> list[str]:
        """All keys of a folder.

        An OpenBao whose policy has a ``pagination_limit`` gives as many and says nothing of others, so it is asked for
        what comes after them (https://openbao.org/docs/rfcs/acl-paginated-lists). A Vault knows no pages, and says the
        same again.
        """
        path = "/".join(filter(None, [mount.path, "metadata" if mount.version == 2 else "", folder])) + "/"
        found: dict[str, None] = {}
        while len(found) <= MOST_FOUND:
            keys = self._page(read, path, next(reversed(found), ""))
            if not keys or found.keys() & keys:
                break
            found |= dict.fromkeys(keys)
        return list(found)

    def _page(self, read: Read, path: str, after: str) -> list[str]:
        answer = self._client.get(_quoted(path), {"list": "true", **({"after": after} if after else {})})
        if answer.status == 404 and answer.is_vaults and not answer.said:
            return []  # an empty folder is `{"errors": []}`: what a proxy says must not pass for one
        if not answer.ok:
            raise refused_read(self._client, answer, path, str(read), self._session.policies, listing=True)
        keys = answer.section("data").get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, str) and key.strip("/") for key in keys):
            raise UnreachableError(f"Vault: {read}: the list has no keys", docs="garbage", detail=answer.detail)
        return keys

    # Where it is.

    def _mount(self, path: str) -> Mount | None:
        """The mount of `path`, asked for once; None when we may not know.

        ``sys/internal/ui/mounts/PATH`` answers whoever may do something below the mount, whatever its policies say
        about ``sys/``. It is what the CLIs ask as well.
        """
        mounts = self._session.mounts
        found = mounts.known(path)
        if found:
            return found
        with mounts.lock_for(path):
            found = mounts.known(path)
            if found:
                return found
            answer = self._client.get(f"sys/internal/ui/mounts/{_quoted(path)}")
            if answer.ok:
                return mounts.add(_mount_of(answer, path))
            trouble = server_trouble(self._client, answer, f"looking up the mount of {path}")
            if trouble:
                raise trouble
            return None

    def _target(self, read: Read, path: str, mount: Mount) -> _Target:
        version = dict(read.options).get("version")
        if mount.version == 2:
            rest = path[len(mount.path) :].strip("/")
            if not rest:
                raise _bad(read, f"{mount.path} is a mount, not a secret", f"vault://{mount.path}/PATH")
            return _Target(f"{mount.path}/data/{rest}", True)
        if version is not None:
            kind = f"KV version {mount.version}" if mount.version else f"a {mount.type} engine"
            raise _bad(read, f"`version` needs KV version 2, but {mount.path} is {kind}", "leave `version` out")
        return _Target(path, False)

    def _guessed(self, read: Read, path: str) -> Document:
        """Try KV v2 with the first segment as the mount, then the path as it is: the server would not tell."""
        first, _, rest = path.partition("/")
        kv2, plain = _Target(f"{first}/data/{rest}", True), _Target(path, False)
        answer = self._send(read, kv2)
        if answer.ok:
            self._session.mounts.add(Mount(first, "kv", 2))
            return self._document(read, answer, kv2)
        if dict(read.options).get("version") is None and answer.status in (400, 403, 404, 405):
            other = self._send(read, plain)
            if other.ok:
                return self._document(read, other, plain)
            if other.status == 404 and answer.status == 403:
                raise self._refused(read, other, plain)
        raise self._refused(read, answer, kv2, alternative=path if answer.status == 403 else "")

    # What it says.

    def _ask(self, read: Read, target: _Target) -> Answer:
        answer = self._send(read, target)
        if not answer.ok:
            raise self._refused(read, answer, target)
        return answer

    def _send(self, read: Read, target: _Target) -> Answer:
        options = dict(read.options)
        path = _quoted(target.path)
        wrap = options.get("wrap_ttl")
        ttl = f"{max(1, round(seconds(wrap) or 1))}s" if wrap else None
        if read.parameters is not None:
            return self._client.post(path, dict(read.parameters), ttl)
        version = options.get("version")
        return self._client.get(path, {"version": version} if version else None, ttl)

    def _refused(self, read: Read, answer: Answer, target: _Target, alternative: str = "") -> Exception:
        return refused_read(
            self._client,
            answer,
            target.path,
            str(read),
            self._session.policies,
            write=read.parameters is not None,
            alternative=alternative,
            data_path=self._with_data(target.path) if read.raw and answer.status == 403 else None,
        )

    def _with_data(self, path: str) -> DataPath | None:
        """What was perhaps meant by an API path without ``data/``; asks for the mount."""
        try:
            mount = self._mount(path)
        except KeyleaseError:
            mount = None
        where = mount.path if mount else path.partition("/")[0]
        rest = path[len(where) :].strip("/")
        head = rest.partition("/")[0]
        if head in KV2_PREFIXES or (mount and mount.version != 2):
            return None
        if not mount and (where in NEVER_KV or head in ENGINE_PREFIXES):
            return None
        return DataPath(where, f"{where}/data/{rest}", mount is not None)

    def _document(self, read: Read, answer: Answer, target: _Target) -> Document:
        label = str(read)
        revocation = self.lease.revocation
        given = revocation is not None and not revocation.own_token
        if answer.section("wrap_info"):
            if given and not target.kv2:
                self._not_revoked(label, "a lease that may be inside the response-wrapped answer")
            return _wrapped(label, answer.section("wrap_info"))
        data = answer.section("data")
        inner, metadata = data.get("data"), data.get("metadata")
        options = dict(read.options)
        # An unwrapped answer may have the envelope as well.
        raw_kv2 = (read.raw or "unwrap_env" in options) and isinstance(inner, Mapping)
        if (target.kv2 or raw_kv2) and isinstance(metadata, Mapping):
            version = metadata.get("version")
            return Document(
                label, inner if isinstance(inner, Mapping) else {}, version=str(version) if version else None
            )
        if not data and answer.section("auth"):
            data = answer.section("auth")  # auth/token/create and logins: the issued token is the secret
            # Only a child of our own token ends with it.
            if given or data.get("orphan") is not False:
                self._not_revoked(label, "a token that does not end with ours")
            ttl = data.get("lease_duration")
            return Document(label, data, expires_at=time.time() + ttl if isinstance(ttl, int) and ttl > 0 else None)
        if not data:
            raise NotFoundError(
                f"Vault: {label}: the answer holds no data",
                cause="this path does something, but has nothing to hand out",
                docs="vault-404",
                detail=answer.detail,
            )
        return self._dynamic(label, answer, data)

    def _dynamic(self, label: str, answer: Answer, data: Mapping[str, Any]) -> Document:
        lease_id, ttl = answer.body.get("lease_id"), answer.body.get("lease_duration")
        if not isinstance(lease_id, str) or not lease_id:
            # pki tells when the certificate ends. KV's lease_duration is a hint for caches, no expiry.
            end = data.get("expiration")
            return Document(label, data, expires_at=float(end) if isinstance(end, int) and end > 0 else None)
        if self.lease.revocation:
            self.lease.revocation.add_child(lease_id)
        granted_now = float(ttl) if isinstance(ttl, int | float) else 0.0
        expires_at = time.time() + granted_now if granted_now > 0 else None
        renewal = None
        if answer.body.get("renewable") is True and expires_at is not None:
            renewal = Renewal(label, granted_now, expires_at, lambda: self._renew(lease_id))
        return Document(label, data, expires_at=expires_at, renewal=renewal)

    def _not_revoked(self, label: str, what: str) -> None:
        self.context.log.warning(
            "Vault: %s: %s is not revoked at the end of the job; give it a short life", label, what
        )

    def _renew(self, lease_id: str) -> float:
        return granted(self._client, self._client.ask(lambda c: c.sys.lease.renew_lease(lease_id)), RENEW_LEASE)

    def _unwrapped(self, read: Read, variable: str) -> Document:
        value = self.context.env.get(variable, "").strip()
        if not value or not value.isascii() or not value.isprintable():
            raise UsageError(
                f"Vault: {read}: the variable {variable} (`unwrap_env`) holds no wrapping token",
                change=f"set {variable} from a masked secret",
                docs="vault-unwrap",
            )
        wrapping = self.context.seal(value, f"{read}: {variable}")
        return self._document(read, unwrap(self._client, wrapping, str(read)), _Target(UNWRAP, False))


def _bad(read: Read, what: str, change: str) -> UsageError:
    return UsageError(f"Vault: {read}: {what}", change=change, docs="vault-reference")


def _clean(path: str) -> str:
    return path.strip("/")


def _quoted(path: str) -> str:
    """Each segment percent-encoded (RFC 3986): a ``?`` or ``#`` in a secret's name stays a part of it."""
    return "/".join(quote(part, safe="") for part in path.split("/"))


def _mount_of(answer: Answer, path: str) -> Mount:
    data = answer.section("data")
    where = data.get("path")
    mount = where.strip("/") if isinstance(where, str) and where.strip("/") else path.partition("/")[0]
    kind = data.get("type")
    options = data.get("options")
    version = None
    if kind in ("kv", "generic"):
        # A kv mount without options is version 1 (https://openbao.org/docs/secrets/kv/).
        version = 2 if isinstance(options, Mapping) and str(options.get("version")) == "2" else 1
    return Mount(mount, str(kind), version)


def _wrapped(label: str, info: Mapping[str, Any]) -> Document:
    ttl = info.get("ttl")
    shown = {"wrapping_token": info.get("token"), "wrapping_accessor": info.get("accessor"), "ttl": ttl}
    shown["creation_path"] = info.get("creation_path")
    expires_at = time.time() + ttl if isinstance(ttl, int | float) and ttl > 0 else None
    return Document(label, shown, expires_at=expires_at)

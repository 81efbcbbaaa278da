"""What a Vault or OpenBao knows: roles and their bounds, policies, tokens, SecretIDs, ages of secrets, audit devices.

https://openbao.org/api-docs/system/ (auth, policies, mounts, audit), https://openbao.org/api-docs/auth/jwt/,
https://openbao.org/api-docs/auth/approle/, https://openbao.org/api-docs/auth/token/,
https://openbao.org/api-docs/secret/kv/kv-v2/, https://openbao.org/api-docs/secret/databases/
"""

# long file: each list has its own permission, and its own refusal

import fnmatch
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from keylease.audit.collectors.policies import jwt_role
from keylease.audit.credentials import stamp, utc
from keylease.audit.model import Inventory
from keylease.audit.vault_policies import is_read
from keylease.collectors.base import Access, Collector
from keylease.context import Context
from keylease.errors import DOCS, UnreachableError, UsageError
from keylease.parallel import given, parallel
from keylease.vendors.answers import one_line
from keylease.vendors.vault_client import Answer, VaultClient
from keylease.vendors.vault_errors import refused_read, server_trouble
from keylease.vendors.vault_session import VaultSession

ROLE, POLICY, TOKEN, SECRET_ID = "vault.jwt_role", "vault.policy", "vault.token", "vault.approle_secret_id"
APPROLE, SECRET, MOUNT, SERVER = "vault.approle", "vault.secret", "vault.auth_mount", "vault.server"
STATIC, DATABASE, ENGINE = "vault.database_role", "vault.database", "vault.mount"

_DEEPEST = 100
"""Folders in folders, after which a list is taken for one that leads nowhere."""

_CAPABILITIES = {
    "sys/audit": ("read", "sudo"),
    "auth/token/accessors": ("list", "sudo"),
    "auth/token/lookup-accessor": ("update",),
}


class VaultAudit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a server to look at.

    auth, kv, databases: globs of mounts. secrets: whether KV is walked through. tokens: whether tokens are looked up.
    most: how many secrets, and how many tokens, are looked up before the rest is said not to be known.
    """

    auth: list[str] = msgspec.field(default_factory=lambda: ["*"])
    kv: list[str] = msgspec.field(default_factory=lambda: ["*"])
    databases: list[str] = msgspec.field(default_factory=lambda: ["*"])
    secrets: bool = True
    tokens: bool = True
    most: int = 10_000


class VaultCollector(Collector):
    """One server, one namespace: that of the provider."""

    type = "vault"
    kinds = (ROLE, POLICY, TOKEN, APPROLE, SECRET_ID, SECRET, MOUNT, SERVER, STATIC, DATABASE, ENGINE)
    permissions = (f"a policy as in {DOCS}/inventory/vault.md: read and list of configuration, never of values",)
    via = "provider"
    via_types = ("vault",)
    Settings = VaultAudit

    settings: VaultAudit

    def __init__(self, settings: Any, context: Context, access: Access) -> None:
        super().__init__(settings, context, access)
        assert access.lease is not None
        assert isinstance(access.lease.session, VaultSession)
        self._session = access.lease.session
        self._client: VaultClient = self._session.client
        where = urlsplit(self._client.connection.url).netloc.rpartition("@")[2]
        self._root = "/".join(filter(None, [f"vault://{where}", (self._client.connection.namespace or "").strip("/")]))
        self.server = self._root.removeprefix("vault://")

    @classmethod
    def complete(cls, settings: VaultAudit, env: Mapping[str, str]) -> VaultAudit:
        """See the base class."""
        del env
        if settings.most < 1:
            raise UsageError("audit: vault: `most` is the number of secrets to look up", change="most: 10000")
        return settings

    def collect(self) -> Inventory:
        """See the base class."""
        self._auth_mounts()
        self._policies()
        if self.settings.tokens:
            self._tokens()
        self._engines()
        self._audit_devices()
        return self.inventory

    # Asking.

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        answer = self._client.get(quote(path, safe="/"), params)
        return self._checked(answer, path)

    def _checked(self, answer: Answer, path: str) -> Answer:
        """The answer, if it is about the request. Raises for what makes all requests fail."""
        trouble = server_trouble(self._client, answer, f"reading {path}")
        if trouble:
            raise trouble
        if answer.status == 403 and not self._client.is_alive():
            raise refused_read(self._client, answer, path, "audit", self._session.policies)
        return answer

    def _refused(self, kinds: Sequence[str], answer: Answer, path: str, *, listing: bool = False) -> None:
        """Problems of `kinds`, with the stanza to add."""
        error = refused_read(self._client, answer, path, "audit", self._session.policies, listing=listing)
        change = error.change
        if path in _CAPABILITIES:
            given = 'capabilities = ["list"]' if listing else 'capabilities = ["read"]'
            wanted = ", ".join(f'"{each}"' for each in _CAPABILITIES[path])
            change = change.replace(given, f"capabilities = [{wanted}]")
        for kind in kinds:
            self.problem(kind, error, change)

    def _list(self, path: str, kinds: Sequence[str]) -> list[str] | None:
        """All keys, [] for none, None where a problem says why.

        An OpenBao whose policy has a ``pagination_limit`` cuts a list and says nothing, so it is asked for what comes
        after the last key (https://openbao.org/docs/rfcs/acl-paginated-lists). A Vault says the same again.
        """
        found: dict[str, None] = {}
        while True:
            last = next(reversed(found), "")
            answer = self._get(path, {"list": "true", **({"after": last} if last else {})})
            if answer.status == 404 and answer.is_vaults and not answer.said:
                return list(found)  # nothing there is `{"errors": []}`
            if not answer.ok:
                self._refused(kinds, answer, path.rstrip("/"), listing=True)
                return None
            keys = answer.section("data").get("keys")
            if not isinstance(keys, list) or not all(isinstance(key, str) and key.strip("/") for key in keys):
                raise UnreachableError(
                    f"Vault: audit: the list {path} has no keys", docs="garbage", detail=answer.detail
                )
            if not keys or found.keys() & keys:
                return list(found | dict.fromkeys(keys))
            found |= dict.fromkeys(keys)

    def _each(
        self, kind: str, what: str, names: Sequence[str], paths: Callable[[str], str]
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """``data`` of each path, side by side. Those that may not be read are one problem; one that is gone is none."""
        results = parallel(lambda name: self._get(paths(name)), names, self.context.deadline, f"Vault: reading {what}")
        yield from self._good(kind, what, names, results, f'path "{paths("*")}" {{ capabilities = ["read"] }}')

    def _good(
        self, kind: str, what: str, names: Sequence[str], results: Sequence[Answer | Exception], stanza: str
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        bad = 0
        status = 0
        for name, result in zip(names, results, strict=True):
            answer = given(result)
            data = answer.section("data")
            if answer.ok and data:
                yield name, data
            elif not _is_gone(answer):
                bad, status = bad + 1, answer.status
        if bad:
            change = f"add to a policy of the audit's token\n\n{stanza}" if status == 403 else ""
            self.problem(kind, f"Vault: {bad} of {len(names)} {what} can't be read ({status})", change)

    def _subject(self, kind: str, *names: str) -> str:
        return "/".join([self._root, kind.partition(".")[2], *names])

    # Who gets in.

    def _auth_mounts(self) -> None:
        kinds = (MOUNT, ROLE, APPROLE, SECRET_ID)
        self.whole(*kinds)
        answer = self._get("sys/auth")
        if not answer.ok:
            self._refused(kinds, answer, "sys/auth")
            return
        for name, sort, _ in self._mounts(answer, "sys/auth"):
            if not _wanted(name, self.settings.auth):
                continue
            self.record(MOUNT, self._subject(MOUNT, name), name=name, type=sort)
            if sort in ("jwt", "oidc"):
                self._roles(name)
            elif sort == "approle":
                self._approles(name)

    def _mounts(self, answer: Answer, path: str) -> list[tuple[str, str, Mapping[str, Any]]]:
        """(path, type, all of it) of each mount: there always are some."""
        found: list[tuple[str, str, Mapping[str, Any]]] = []
        for name, mount in sorted(answer.section("data").items()):
            sort = mount.get("type") if isinstance(mount, Mapping) else None
            if not isinstance(sort, str):
                found = []
                break
            found.append((name.rstrip("/"), sort, mount))
        if not found:
            raise UnreachableError(f"Vault: audit: {path} is no list of mounts", docs="garbage", detail=answer.detail)
        return found

    def _roles(self, mount: str) -> None:
        config: Mapping[str, Any] = {}
        answer = self._get(f"auth/{mount}/config")
        if answer.ok:
            config = answer.section("data")
        elif answer.status != 404:
            self._refused((ROLE,), answer, f"auth/{mount}/config")
        more = {
            "issuer": config.get("bound_issuer") or config.get("oidc_discovery_url") or None,
            "keys_url": config.get("jwks_url") or None,
        }
        names = self._list(f"auth/{mount}/role", (ROLE,)) or []
        for name, data in self._each(ROLE, f"roles of auth/{mount}", names, lambda n: f"auth/{mount}/role/{n}"):
            facts = jwt_role(data, name, mount)
            facts["token_no_default_policy"] = data.get("token_no_default_policy") is True
            for key in ("bound_claims", "claim_mappings"):
                facts.setdefault(key, {})
            for key in ("bound_audiences", "token_policies", "token_bound_cidrs"):
                facts.setdefault(key, [])
            facts |= {key: value for key, value in more.items() if value}
            self.record(ROLE, self._subject(ROLE, mount, name), default=config.get("default_role") == name, **facts)

    def _approles(self, mount: str) -> None:
        names = self._list(f"auth/{mount}/role", (APPROLE, SECRET_ID)) or []
        for name, data in self._each(APPROLE, f"roles of auth/{mount}", names, lambda n: f"auth/{mount}/role/{n}"):
            wanted = ("bind_secret_id", "secret_id_ttl", "secret_id_num_uses", "secret_id_bound_cidrs")
            more = ("token_policies", "token_ttl", "token_max_ttl", "token_bound_cidrs")
            facts = {key: data.get(key) for key in (*wanted, *more)}
            self.record(APPROLE, self._subject(APPROLE, mount, name), name=name, mount=mount, **facts)
        for name in names:
            accessors = self._list(f"auth/{mount}/role/{name}/secret-id", (SECRET_ID,)) or []
            lookup = f"auth/{mount}/role/{name}/secret-id-accessor/lookup"
            key, stanza = "secret_id_accessor", f'path "{lookup}" {{ capabilities = ["update"] }}'
            for accessor, data in self._looked_up(SECRET_ID, f"SecretIDs of {name}", accessors, lookup, key, stanza):
                short = _short(accessor)
                self.record(
                    SECRET_ID,
                    self._subject(SECRET_ID, mount, name, short),
                    name=f"{name} {short}",
                    role=name,
                    holder=f"auth/{mount}/role/{name}",
                    mount=mount,
                    created_at=utc(data.get("creation_time")),
                    expires_at=utc(data.get("expiration_time")),
                    uses_left=data.get("secret_id_num_uses") or None,
                    cidrs=data.get("cidr_list") or [],
                )

    def _looked_up(
        self, kind: str, what: str, accessors: Sequence[str], path: str, key: str, stanza: str
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        def ask(accessor: str) -> Answer:
            answer = self._client.post(quote(path, safe="/"), {key: accessor})
            # One that is gone meanwhile: AppRole's answer is `{"data": {"error": …}}`, without `errors`.
            return answer if answer.status in (403, 404) else self._checked(answer, path)

        results = parallel(ask, accessors, self.context.deadline, f"Vault: looking up {what}")
        yield from self._good(kind, what, accessors, results, stanza)

    # What they may do.

    def _policies(self) -> None:
        self.whole(POLICY)
        names = self._list("sys/policies/acl", (POLICY,))
        for name, data in self._each(POLICY, "policies", names or [], lambda n: f"sys/policies/acl/{n}"):
            text = data.get("policy")
            if name != "root":  # it has no text
                if not isinstance(text, str) or not is_read(text):
                    self.problem(POLICY, f"Vault: the policy {one_line(name)} can't be judged: it is not understood")
                    continue
                facts = {"name": name, "text": text}
                self.record(POLICY, self._subject(POLICY, name), updated_at=utc(data.get("modified")), **facts)

    def _tokens(self) -> None:
        self.whole(TOKEN)
        accessors = self._list("auth/token/accessors", (TOKEN,)) or []
        if len(accessors) > self.settings.most:
            self.problem(TOKEN, f"Vault: {len(accessors)} tokens are more than `most`", "raise `most` of the collector")
            accessors = accessors[: self.settings.most]
        path = "auth/token/lookup-accessor"
        stanza = f'path "{path}" {{ capabilities = ["update"] }}'
        for accessor, data in self._looked_up(TOKEN, "tokens", accessors, path, "accessor", stanza):
            name = str(data.get("display_name") or "token")
            name = "" if name == "token" else f"{name.removeprefix('token-')} "
            self.record(
                TOKEN,
                self._subject(TOKEN, _short(accessor)),
                name=name + _short(accessor),
                holder=data.get("path"),
                created_at=utc(data.get("issue_time")) or stamp(data.get("creation_time")),
                expires_at=utc(data.get("expire_time")),
                period=data.get("period") or None,
                explicit_max_ttl=data.get("explicit_max_ttl") or None,
                policies=_strings(data.get("policies")) + _strings(data.get("identity_policies")),
                orphan=data.get("orphan") is True,
                renewable=data.get("renewable") is True,
                sort=data.get("type"),
                uses_left=data.get("num_uses") or None,
            )

    # What lies there.

    def _engines(self) -> None:
        kinds = (*((SECRET,) if self.settings.secrets else ()), STATIC, DATABASE, ENGINE)
        self.whole(*kinds)
        answer = self._get("sys/mounts")
        if not answer.ok:
            self._refused(kinds, answer, "sys/mounts")
            return
        for name, sort, mount in self._mounts(answer, "sys/mounts"):
            options = mount.get("options")
            config = mount.get("config")
            clear = {
                f"{key}_keys": _strings(config.get(f"audit_non_hmac_{key}_keys"))
                for key in ("request", "response")
                if isinstance(config, Mapping)
            }
            self.record(ENGINE, self._subject(ENGINE, name), name=name, type=sort, **clear)
            if sort == "database" and _wanted(name, self.settings.databases):
                self._database(name)
            elif sort in ("kv", "generic") and self.settings.secrets and _wanted(name, self.settings.kv):
                version = options.get("version") if isinstance(options, Mapping) else None
                self._kv(name, two=version == "2")

    def _kv(self, mount: str, *, two: bool) -> None:
        base = f"{mount}/metadata" if two else mount
        names: list[str] = []
        folders = [""]
        left = self.settings.most - len([each for each in self.inventory.records if each.kind == SECRET])
        while folders:
            folder = folders.pop()
            for key in self._list(f"{base}/{folder}", (SECRET,)) or []:
                if not key.endswith("/"):
                    names.append(f"{folder}{key}")
                elif folder.count("/") < _DEEPEST:
                    folders.append(f"{folder}{key}")
                else:
                    raise UnreachableError(f"Vault: {mount}: the folders do not end", docs="garbage")
            if len(names) > left:
                names, folders = names[: max(0, left)], []
                change = "raise `most` of the collector, or name mounts by `kv`"
                self.problem(SECRET, f"Vault: {mount} has more secrets than `most` leaves room for", change)
        if not two:  # version 1 keeps no dates
            for name in names:
                self._secret(mount, name)
            return
        for name, data in self._each(SECRET, f"secrets of {mount}", names, lambda n: f"{base}/{n}"):
            current, versions = data.get("current_version"), data.get("versions")
            now = versions.get(str(current)) if isinstance(versions, Mapping) else None
            facts: dict[str, Any] = {"version": current, "created_at": utc(data.get("created_time"))}
            if isinstance(now, Mapping):
                gone = bool(now.get("destroyed") or now.get("deletion_time"))
                facts |= {"updated_at": utc(now.get("created_time")), "active": not gone}
            custom = data.get("custom_metadata")
            # Their values can be anything; the names tell who was asked to be responsible.
            facts["custom_metadata"] = sorted(map(str, custom)) if isinstance(custom, Mapping) else []
            self._secret(mount, name, **facts)

    def _secret(self, mount: str, name: str, **facts: Any) -> None:
        self.record(
            SECRET, self._subject(SECRET, mount, name), name=name, holder=mount, mount=mount, path=name, **facts
        )

    def _database(self, mount: str) -> None:
        names = self._list(f"{mount}/static-roles", (STATIC,)) or []
        for name, data in self._each(STATIC, f"static roles of {mount}", names, lambda n: f"{mount}/static-roles/{n}"):
            facts = {key: data.get(key) for key in ("rotation_period", "rotation_schedule") if data.get(key)}
            facts |= {"database": data.get("db_name"), "updated_at": utc(data.get("last_vault_rotation"))}
            self.record(
                STATIC, self._subject(STATIC, mount, name), name=name, holder=mount, mount=mount, sort="static", **facts
            )
        names = self._list(f"{mount}/config", (DATABASE,)) or []
        for name, data in self._each(DATABASE, f"connections of {mount}", names, lambda n: f"{mount}/config/{n}"):
            # Whether and when its root password was rotated, the server does not tell.
            rotates = bool(data.get("root_credentials_rotate_statements"))
            facts = {"plugin": data.get("plugin_name"), "allowed_roles": data.get("allowed_roles")}
            subject = self._subject(DATABASE, mount, name)
            self.record(DATABASE, subject, name=name, holder=mount, mount=mount, rotate_statements=rotates, **facts)

    def _audit_devices(self) -> None:
        self.whole(SERVER)
        answer = self._get("sys/audit")
        if not answer.ok:
            self._refused((SERVER,), answer, "sys/audit")
            return
        self.record(SERVER, self._root, name=self._root, audit_devices=len(answer.section("data")))


def _is_gone(answer: Answer) -> bool:
    """Whether the server itself says that there is no such thing any more: a proxy's 404 says nothing of it."""
    gone = answer.status == 404 and (answer.is_vaults or "error" in answer.section("data"))
    return gone or "invalid accessor" in answer.said


def _wanted(mount: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(mount, glob.strip("/")) for glob in globs)


def _short(accessor: str) -> str:
    """What stands for an accessor, which revokes what it is of."""
    return hashlib.sha256(accessor.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _strings(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []

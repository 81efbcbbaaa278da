"""What is done with a Vault token once it is there: find mounts, renew, unwrap, revoke."""

import threading
from collections.abc import Sequence

from msgspec import Struct, field

from keylease.context import Context
from keylease.errors import KeyleaseError, RefusedError
from keylease.model import Revocation
from keylease.parallel import parallel
from keylease.secret import Secret
from keylease.vendors.vault_client import Answer, Connection, VaultClient
from keylease.vendors.vault_errors import (
    RENEW_LEASE,
    REVOKE_LEASE,
    REVOKE_SELF,
    refused_read,
    server_trouble,
    stanza,
)


class Mount(Struct, frozen=True):
    """A secrets engine: its path without a slash at the end, its type, and for kv its version."""

    path: str
    type: str
    version: int | None


class Mounts(Struct):
    """The mounts found so far. Several threads may ask for one at once; one of them asks the server.

    Mounts are never nested, so a known one that is a prefix of a path is the path's.
    """

    _known: dict[str, Mount] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def lock_for(self, path: str) -> threading.Lock:
        """One lock per first segment: different mounts are looked up side by side."""
        with self._lock:
            return self._locks.setdefault(path.partition("/")[0], threading.Lock())

    def known(self, path: str) -> Mount | None:
        """The mount that `path` is in, if it was seen before."""
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            mount = self._known.get("/".join(parts[:count]))
            if mount:
                return mount
        return None

    def add(self, mount: Mount) -> Mount:
        """Remember it."""
        self._known[mount.path] = mount
        return mount


class VaultSession(Struct):
    """What a lease hands to the manager. policies: the token's, as the login told (for messages)."""

    client: VaultClient
    policies: Sequence[str]
    mounts: Mounts = field(default_factory=Mounts)


def granted(client: VaultClient, answer: Answer, path: str) -> float:
    """Seconds granted by a renewal. Raises when it was refused."""
    if not answer.ok:
        trouble = server_trouble(client, answer, f"renewing ({path})")
        if trouble:
            raise trouble
        forbidden = answer.status == 403
        raise RefusedError(
            f"Vault: renewing was refused: {answer.said or answer.status}",
            cause="the policies do not allow it" if forbidden else "it has expired, was revoked, or can't be renewed",
            change=stanza(path, "update") if forbidden else "",
            docs="vault-renew",
            detail=answer.detail,
        )
    section = answer.section("auth") if path != RENEW_LEASE else answer.body
    seconds = section.get("lease_duration")
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def unwrap(client: VaultClient, wrapping: Secret, label: str) -> Answer:
    """What a response-wrapping token holds. It can be had once.

    https://openbao.org/docs/concepts/response-wrapping/
    """
    # The wrapping token authorises its own unwrapping: our policies need not allow it.
    answer = client.ask_as(wrapping, lambda c: c.sys.wrapping.unwrap())
    if answer.ok:
        return answer
    trouble = server_trouble(client, answer, "unwrapping")
    raise trouble or RefusedError(
        f"Vault: {label}: the wrapping token was refused: {answer.said or answer.status}",
        cause="it has expired, is of another server or namespace, or SOMEBODY ELSE unwrapped it first",
        change="if you can't explain it, treat what it held as stolen: revoke it, then wrap a new one",
        docs="vault-unwrap",
        detail=answer.detail,
    )


def revoke(revocation: Revocation, context: Context) -> None:
    """End a token of ours (its leases end with it), or the leases taken with somebody else's token.

    A 403 can mean "gone already" or "not allowed": a token that is gone gets a 403 for everything, also for what
    needs no policy (see :meth:`VaultClient.is_alive`); then all is well, since its leases went with it.
    """
    connection = Connection.from_data(revocation.data)
    for warning in connection.warnings(context):
        context.log.warning("%s", warning)
    if revocation.token is None:
        return
    client = VaultClient(connection, context, revocation.token)
    if not revocation.own_token:
        _revoke_leases(client, revocation.children)
        return
    answer = client.ask(lambda c: c.auth.token.revoke_self())
    if answer.ok:
        return
    trouble = server_trouble(client, answer, "revoking the token")
    if trouble:
        raise trouble
    if answer.status == 403 and not client.is_alive():
        return
    _revoke_leases(client, revocation.children)
    if "batch token" in answer.said:
        raise RefusedError(
            "Vault: the token can't be revoked: it is a batch token",
            cause="the role has token_type=batch; the token lives until its TTL is over (its leases are revoked)",
            change="token_type=service on the role",
            docs="vault-revoke",
            detail=answer.detail,
        )
    raise RefusedError(
        f"Vault: the token was not revoked: {answer.said or answer.status}",
        cause="its policies do not let it revoke itself (its leases are revoked one by one)",
        change=stanza(REVOKE_SELF, "update"),
        docs="vault-revoke",
        detail=answer.detail,
    )


def _revoke_leases(client: VaultClient, leases: Sequence[str]) -> None:
    if not leases:
        return
    results = parallel(lambda lease: _revoke_lease(client, lease), leases, client.context.deadline, "Vault: revoking")
    failures = [result for result in results if isinstance(result, KeyleaseError)]
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, KeyleaseError):
            raise result
    if failures:
        failures[0].also = list(failures[1:])
        raise failures[0]


def _revoke_lease(client: VaultClient, lease: str) -> None:
    # `sync` makes the server answer when the user is really gone, or say why not.
    # https://openbao.org/api-docs/system/leases/#revoke-lease
    body = {"lease_id": lease, "sync": True}
    answer = client.ask(lambda c: c.adapter.put(f"/v1/{REVOKE_LEASE}", json=body))
    if answer.ok or (answer.status == 403 and not client.is_alive()):
        return
    if answer.status == 400 and ("not found" in answer.said or "invalid lease" in answer.said):
        return
    label = f"lease {lease.rpartition('/')[0]}"
    raise refused_read(client, answer, REVOKE_LEASE, label, [], write=True)

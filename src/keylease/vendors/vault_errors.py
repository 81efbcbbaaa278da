"""What a Vault or OpenBao answer that is not a success means, and what to change."""

import json
import shlex
from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError
from keylease.vendors.vault_client import RETRIED, Answer, VaultClient

SELF_POLICY = "keylease-self"
"""A policy that lets a token renew and revoke itself and its leases, and nothing else."""

REVOKE_SELF = "auth/token/revoke-self"
RENEW_SELF = "auth/token/renew-self"
RENEW_LEASE = "sys/leases/renew"
REVOKE_LEASE = "sys/leases/revoke"

_REDIRECTS = (301, 302, 303, 307, 308)
_STATES = RETRIED | {472, 473, 501}  # sys/health: 472 disaster-recovery secondary, 473 performance standby


class DataPath(Struct, frozen=True):
    """The API path that a path without ``data/`` may have meant. sure: the server said that it is KV version 2."""

    mount: str
    path: str
    sure: bool


def stanza(path: str, *capabilities: str) -> str:
    """A policy stanza (HCL) that allows exactly this path.

    https://openbao.org/docs/concepts/policies/: a trailing ``*`` and a ``+`` segment would be wildcards.
    """
    if path.endswith("*") or "+" in path.split("/"):
        return f"# {json.dumps(path)} can't be named alone in a policy: its * or + would be a wildcard there"
    return f"path {json.dumps(path)} {{ capabilities = {json.dumps(list(capabilities))} }}"


def server_trouble(client: VaultClient, answer: Answer, doing: str) -> UnreachableError | None:
    """The error for a server that can't serve now, or None when the answer is about the request.

    Asks ``sys/health`` once to tell sealed, not initialised, standby and throttling apart.
    """
    url = client.connection.url
    if answer.status in _REDIRECTS:
        return _redirected(client, answer, doing)
    if answer.status == 403 and not answer.is_vaults:
        return UnreachableError(
            f"Vault: {doing} was refused (403) by something in front of {url}",
            cause="the answer is not the server's own: a firewall, a proxy or an address list keeps this runner out",
            change="let this runner through, or correct `url`",
            docs="garbage",
            detail=answer.detail,
        )
    if answer.status == 404 and not answer.is_vaults and not answer.body.keys() & {"data", "warnings"}:
        # Or a load balancer without a server behind it would pass for a secret that is not there, which may be allowed,
        # and which a sync prunes. A gateway's may be JSON too (Kong: `{"message": …, "request_id": …}`).
        return UnreachableError(
            f"Vault: {doing} was answered with a 404 that is not the server's own",
            cause=f"a proxy, a load balancer or another service answers at {url}",
            change="correct `url`: the API's address without a path, unless a proxy maps one",
            docs="garbage",
            detail=answer.detail,
        )
    if answer.status not in _STATES and answer.status < 500:
        return None
    health = client.health()
    known = {"detail": {**answer.detail, "version": str(health.get("version", "unknown"))[:40]}}
    if health.get("initialized") is False:
        return UnreachableError(
            f"Vault: {url} is not initialised",
            cause="a new server: it has no keys and no data yet",
            change="run `bao operator init` and unseal it, or correct `url`",
            docs="vault-uninitialised",
            **known,
        )
    if health.get("sealed") is True:
        return UnreachableError(
            f"Vault: {url} is sealed",
            cause="it was restarted, or an operator sealed it; it serves nothing until it is unsealed",
            change="`bao operator unseal`, or mend its auto-unseal; then run the job again",
            docs="vault-sealed",
            **known,
        )
    if health.get("standby") is True:
        return _standby(url, **known)
    if answer.status == 429:
        return UnreachableError(
            f"Vault: {url} is throttling: {doing} was refused {client.connection.retries + 1} times",
            cause=answer.said or "a rate limit quota, or too many jobs at once",
            change="raise the quota (`bao read sys/quotas/rate-limit/NAME`), or start fewer jobs at once",
            docs="vault-throttled",
            **known,
        )
    if answer.status == 412:
        return UnreachableError(
            f"Vault: {url}: the replica has not caught up with this token",
            cause="performance replication is slow; tokens reach replicas late",
            change="raise `retries`, or give the primary cluster's address as `url`",
            docs="vault-replica",
            **known,
        )
    return UnreachableError(
        f"Vault: {doing} failed with status {answer.status}" + (f": {answer.said}" if answer.said else ""),
        cause="a fault of the server, of the service behind this secret, or of a proxy in between",
        change="look at the server's log at this time",
        docs="vault-5xx",
        **known,
    )


def _standby(url: str, **known: dict[str, object]) -> UnreachableError:
    return UnreachableError(
        f"Vault: {url} is a standby node and can't reach the active one",
        cause="request forwarding is off or broken, or a leader is being elected",
        change="give the load balancer's or the active node's address as `url`",
        docs="vault-standby",
        **known,
    )


def _redirected(client: VaultClient, answer: Answer, doing: str) -> UnreachableError:
    parts = urlsplit(answer.location or "")
    host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.hostname else "elsewhere"
    host = client.context.masker.scrub("".join(c if c.isprintable() else "?" for c in host)[:200])
    return UnreachableError(
        f"Vault: {client.connection.url} sends us to {host} instead of {doing}; tokens are never sent along",
        cause="a standby node that points to the active one, or a proxy that wants a login",
        change=f"if {host} is your server, write it as `url`",
        docs="vault-standby",
        detail=answer.detail,
    )


def refused_read(
    client: VaultClient,
    answer: Answer,
    path: str,
    label: str,
    policies: Sequence[str],
    *,
    write: bool = False,
    listing: bool = False,
    alternative: str = "",
    data_path: DataPath | None = None,
) -> KeyleaseError:
    """The error for a request on an API path (unquoted) that was answered with no secret.

    policies: those of our token, as the login told. write: it was a POST. listing: it was a LIST.
    alternative: another API path that was tried as well, since the KV version could not be detected.
    data_path: the API path that may have been meant.
    """
    doing = f"{'writing to' if write else 'listing' if listing else 'reading'} {path}"
    trouble = server_trouble(client, answer, doing)
    if trouble:
        return trouble
    if answer.status == 403:
        if not _alive(client):
            return RefusedError(
                f"Vault: {label}: the token is not valid any more",
                cause="it has expired (a short token_ttl, token_num_uses), or somebody revoked it",
                change="give the role a token_ttl as long as the job needs; `keylease exec` renews it meanwhile",
                docs="vault-token",
                detail=answer.detail,
            )
        lines = [stanza(path, "update" if write else "list" if listing else "read")]
        if alternative:
            lines.append(f"# where this is no KV version 2 mount: {stanza(alternative, 'read')}")
        return _forbidden(client, answer, path, label, policies, lines, data_path)
    if answer.status == 404:
        return _missing(answer, path, label)
    if answer.status == 405 or "unsupported operation" in answer.said:
        return RefusedError(
            f"Vault: {label}: {path} can't be {'written to' if write else 'read'}",
            cause="this engine wants " + ("a read" if write else "parameters (pki/issue, ssh/sign, transit/datakey …)"),
            change="leave `with:` out" if write else "add `with: {…}` to the lease in keylease.yml",
            docs="vault-parameters",
            detail=answer.detail,
        )
    return RefusedError(
        f"Vault: {label}: {doing} was refused" + (f": {answer.said}" if answer.said else f" ({answer.status})"),
        cause="the engine does not accept this request as it is",
        change="compare path and `with:` with the engine's API documentation" if write else "",
        docs="vault-refused",
        detail=answer.detail,
    )


def _alive(client: VaultClient) -> bool:
    try:
        return client.is_alive()
    except UnreachableError:
        return True  # nothing known: the refusal itself is what to tell


def _forbidden(
    client: VaultClient,
    answer: Answer,
    path: str,
    label: str,
    policies: Sequence[str],
    lines: Sequence[str],
    meant: DataPath | None,
) -> RefusedError:
    listed = ", ".join(policies) or "(unknown: the token was given, and may not look itself up)"
    cause = f"none of the token's policies allows it: {listed}"
    where = in_namespace(client.connection.namespace)
    own = [name for name in policies if name not in (SELF_POLICY, "default")]
    if own:
        shown = shlex.quote(own[0])
        change = (
            f"add the stanza below to {'one of ' if len(own) > 1 else ''}the job's "
            f"{'policies' if len(own) > 1 else 'policy'} {', '.join(own)} and keep what is there:\n"
            f"`bao policy read {where}{shown}` shows it; `bao policy write {where}{shown} FILE` replaces it whole"
        )
    elif policies:
        change = (
            "the job has no policy of its own: write one with the stanza below, name it in the role's token_policies"
        )
    else:
        change = "add the stanza below to a policy of the token (`bao token lookup` shows their names)"
    if meant and meant.sure:
        cause = f"{meant.mount} is a KV version 2 mount, whose API paths have data/ in them"
        change = f"{meant.path} in place of {path}; if that is refused too:\n{change}"
        lines = [stanza(meant.path, "read")]
    elif meant:
        change = f"where {meant.mount} is a KV version 2 mount, ask for {meant.path}; otherwise:\n{change}"
    return RefusedError(
        f"Vault: {label}: permission denied on {path}",
        cause=cause,
        change="\n".join([change, "", *lines]),
        docs="vault-403",
        detail=answer.detail,
    )


def in_namespace(namespace: str | None) -> str:
    """The option of `bao` for it, with a blank after it; empty for the root namespace."""
    return f"-namespace={shlex.quote(namespace)} " if namespace else ""


def _missing(answer: Answer, path: str, label: str) -> NotFoundError:
    metadata = answer.section("data").get("metadata")
    if isinstance(metadata, dict) and "version" in metadata:
        gone = "destroyed" if metadata.get("destroyed") else "deleted"
        when = metadata.get("deletion_time")
        since = f" since {when}" if isinstance(when, str) and when and when.isprintable() else ""
        secret = shlex.quote(path.replace("/data/", "/", 1))
        undelete = f"`bao kv undelete -versions={int(metadata['version'])} {secret}`, or "
        return NotFoundError(
            f"Vault: {label}: version {int(metadata['version'])} is {gone}{since}",
            cause="somebody deleted this version; older ones may still be there",
            change=("" if gone == "destroyed" else undelete) + "ask for another one: version: N",
            docs="vault-deleted",
            detail=answer.detail,
        )
    if any("no handler for route" in text for text in answer.errors):
        return NotFoundError(
            f"Vault: {label}: nothing is mounted at {path}",
            cause="a typing error in the mount, or the mount is in another namespace",
            change="`bao secrets list` shows the mounts; `namespace:` says where to look",
            docs="vault-404",
            detail=answer.detail,
        )
    if any("versioned K/V" in text for text in answer.warnings):
        mount, _, rest = path.partition("/")
        return NotFoundError(
            f"Vault: {label}: {mount} is a KV version 2 mount, whose API path has data/ in it",
            change=f"{mount}/data/{rest}  (or, in keylease.yml: vault://{mount}/{rest})",
            docs="vault-404",
            detail=answer.detail,
        )
    hints = []
    if "/data/data/" in path:
        hints.append("data/ is part of the API path only: leave it out of the reference")
    return NotFoundError(
        f"Vault: {label}: there is nothing at {path}",
        cause="; ".join([*hints, "a typing error in the path, or it was never written"]),
        change="`bao kv list` (or `bao list`) on the level above shows what there is",
        docs="vault-404",
        detail=answer.detail,
    )

"""Addresses of vendors' services, as settings give them."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from keylease.errors import UsageError
from keylease.model import Env

ALLOWED = "KEYLEASE_ALLOW_HOSTS"
"""The job's own variable with further hosts, separated by blanks or commas: a proxy or private endpoint."""

_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1", re.ASCII)

# Only what all parsers read alike: urlsplit takes a backslash for a part of the host's name, and urllib3, which
# connects, for its end, so https://evil.example\.vendor.example is below vendor.example for the one alone.
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
    r"""(/[!"$->@-\[\]-~]*)?""",  # no # ? or backslash
    re.ASCII | re.IGNORECASE,
)


def checked(url: str, key: str, vendor: str, domains: Sequence[str], env: Env) -> str:
    """`url` without a trailing slash, if an identity token may be sent there.

    Where a vendor has one audience for everybody, whoever gets the token can use it there. keylease.yml may come from a
    pull request, so only the vendor's own `domains` (and what is below them), this machine, and hosts that the job
    itself allows by KEYLEASE_ALLOW_HOSTS will do. Raises :class:`UsageError` naming `key`.

    domains: none below which customers have hosts of their own.
    """
    text = url.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable, parts = False, urlsplit("")
    if not usable or parts.scheme not in ("https", "http"):
        raise _wrong(vendor, key, "is not an https address", "write it with https:// in front")
    if parts.username is not None or parts.password is not None or "?" in text or "#" in text:
        raise _wrong(vendor, key, "holds a user, a query or a fragment", "leave them out")
    found = _ADDRESS.fullmatch(text)
    if not found:
        raise _wrong(vendor, key, "is not an https address", "letters, digits, - and . in the host's name, no blanks")
    host = found["host"].strip("[]").lower()
    if _LOOPBACK.fullmatch(host):
        return text
    if found["scheme"].lower() != "https":
        raise _wrong(vendor, key, "is plain http: the identity token could be read on the way", "write https://")
    if host in _allowed(env) or any(host == domain or host.endswith("." + domain) for domain in domains):
        return text
    whose = f"{vendor}'" if vendor.endswith("s") else f"{vendor}'s"
    raise _wrong(
        vendor,
        key,
        f"is not one of {whose} own hosts",
        f"use one below {', '.join(domains) or 'a host that the job allows'}; or, for a proxy or private endpoint, set "
        f"{ALLOWED}={host} in the job",
        "this file may come from a pull request, and the job's identity token would go to a stranger's host",
    )


# What vendors expect of everybody, and a part of what they expect of one customer.
_SHARED = re.compile(
    r"sts\.amazonaws\.com|api://AzureADTokenExchange\w*|(https:)?//iam\.googleapis\.com/.*|https://api\.openai\.com/v1"
    r"|https://api\.anthropic\.com|https://huggingface\.co|https://[^/]*databricks[^/]*/oidc/.*"
)


def check_audience(audience: str, url: str, vendor: str, env: Env) -> None:
    """Refuse to send a token that another vendor takes (`audience`) to a server of the file's choice.

    Else all that :func:`checked` keeps from strangers could be had by naming a Vault at their host. Hosts that the job
    allows by KEYLEASE_ALLOW_HOSTS may have any. Raises :class:`UsageError`.
    """
    host = (urlsplit(url).hostname or "").lower()
    if _SHARED.fullmatch(audience) and not _LOOPBACK.fullmatch(host) and host not in _allowed(env):
        raise _wrong(
            vendor,
            "audience",
            "is another vendor's",
            f"leave it out, and have {vendor} expect its own address; or set {ALLOWED}={host} in the job",
            "this file may come from a pull request, and its server could use the identity token there",
        )


def _allowed(env: Env) -> list[str]:
    return re.split(r"[\s,]+", env.get(ALLOWED, "").strip().lower())


def _wrong(vendor: str, key: str, what: str, change: str, cause: str = "") -> UsageError:
    return UsageError(f"{vendor}: `{key}` {what}", cause=cause, change=change, docs="endpoint")

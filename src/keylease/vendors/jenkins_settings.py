"""How a Jenkins server and its stores of credentials are reached, as the user writes it."""

import os
import re
from typing import Annotated, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec

from keylease.errors import UsageError
from keylease.model import Env
from keylease.secret import Secret
from keylease.vendors.endpoints import ALLOWED
from keylease.vendors.pem import is_pem_source, pem_text
from keylease.vendors.token_exchange import attempts

VENDOR = "Jenkins"
DOCS = "sync-jenkins"

Kind = Literal["secret-text", "username-password", "secret-file", "ssh-key"]
Scope = Literal["GLOBAL", "SYSTEM"]

GLOBAL_DOMAIN = "_"
"""The URL name of the domain that has no name: CredentialsStoreAction.java of the Credentials plugin, `getUrlName`."""

_Sealed = Annotated[Secret, msgspec.Meta(extra_json_schema={"not": {}, "description": "never written in a file"})]

_LONGEST_TEXT = 200
_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|::1")


class JenkinsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Jenkins server with the Credentials plugin, by its REST API.

    url: the server's address, with the path that it has. Falls back to ``JENKINS_URL``; on another host than that one's
        the job must allow it (``KEYLEASE_ALLOW_HOSTS``).
    user: whose token it is. Falls back to ``JENKINS_USER_ID``.
    token: an API token of that user; or the password, where there must be one: writes then need a crumb, and get it.
    token_env: the variable that holds the token; ``JENKINS_API_TOKEN`` unless given.
    ca_certificate: of the server: a path, PEM text, or PEM in base64.
    timeout: of one attempt, in seconds or like ``10s``, ``500ms``, ``1m``. retries: attempts after the first one.
    """

    url: str = ""
    user: str = ""
    token: _Sealed | None = None
    token_env: str = ""
    ca_certificate: str = ""
    timeout: float | str = 10.0
    retries: int = 4

    def __repr__(self) -> str:
        # A certificate may stand here as text: never the generated repr.
        return f"<JenkinsSettings {self.url} {self.user}>"


class JenkinsTo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A domain of a store of credentials, and what is written there.

    folder: whose store it is, by its full name (``team/app``); empty for the system's own.
    domain: the credentials domain in that store; empty for the global one.
    kind: the type of credential.
    username: of the kinds that have one; without it, the value is a JSON object that has it.
    scope: in the system store; GLOBAL unless given, but an existing credential keeps its own.
    description: shown in Jenkins, with our mark behind it; an existing credential keeps its own unless one is given.
    file_name: of a secret file; the ID unless given, but an existing credential keeps its own.
    server: host and path, as canonical addresses have them; must be the target's own.
    """

    folder: str = ""
    domain: str = ""
    kind: Kind = "secret-text"
    username: str = ""
    scope: Scope | None = None
    description: str = ""
    file_name: str = ""
    server: str = ""


def complete(settings: JenkinsSettings, env: Env) -> JenkinsSettings:
    """The settings with fallbacks from `env` and everything checked. Raises :class:`UsageError` naming the key.

    Variables: https://www.jenkins.io/doc/book/managing/cli/ (JENKINS_URL, JENKINS_USER_ID, JENKINS_API_TOKEN).
    """
    s = settings
    timeout, retries = attempts(VENDOR, s.timeout, s.retries, docs=DOCS)
    user = (s.user or env.get("JENKINS_USER_ID", "")).strip()
    if not user or not user.isprintable() or ":" in user:
        raise _wrong("user", "has a colon or control characters in it" if user else "is missing", "user: keylease")
    if s.token is not None and s.token_env:
        raise _wrong("token_env", "is given as well as `token`", "give one of them")
    return msgspec.structs.replace(
        s,
        url=_url(s.url or env.get("JENKINS_URL", ""), env),
        user=user,
        token_env="" if s.token is not None else s.token_env or "JENKINS_API_TOKEN",
        ca_certificate=_certificate(s.ca_certificate),
        timeout=timeout,
        retries=retries,
    )


def is_cleartext(url: str) -> bool:
    """Whether what is sent to `url` can be read on the way: plain http to another machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not _LOOPBACK.fullmatch(parts.hostname or "")


def server_of(url: str) -> str:
    """Host, port (unless it is the scheme's) and path of a server: what an address begins with."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = f":{parts.port}" if parts.port and parts.port != default else ""
    return host + port + parts.path.rstrip("/")


def address_of(url: str, to: JenkinsTo) -> str:
    """The canonical address of a domain of a store: ``jenkins://ci.example.com?domain=x&folder=team/app``.

    Folders' names are one whatever their case (AbstractFolder.java of the Folders plugin, `items`), domains' are not.
    """
    where = {"domain": to.domain, "folder": to.folder.lower()}
    query = urlencode([(k, v) for k, v in where.items() if v], quote_via=quote, safe="/")
    return f"jenkins://{server_of(url)}" + (f"?{query}" if query else "")


def path_of(to: JenkinsTo) -> str:
    """The path of a domain below the server's address (docs/user.adoc of the Credentials plugin, "REST API")."""
    folders = "".join(f"/job/{quote(name, safe='')}" for name in to.folder.split("/") if name)
    store = "folder" if to.folder else "system"
    return f"{folders}/credentials/store/{store}/domain/{quote(to.domain or GLOBAL_DOMAIN, safe='')}"


def parse(address: str) -> JenkinsTo:
    """From a short form: ``jenkins://?folder=team/app&domain=x&kind=secret-file``. Raises :class:`UsageError`."""
    try:
        parts = urlsplit(address)
        server = parts.netloc.lower() + parts.path.rstrip("/")
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), max_num_fields=20)
    except ValueError:
        raise _bad_address(address, "is no address of a store") from None
    keys = [key for key, _ in pairs]
    known = [name for name in JenkinsTo.__struct_fields__ if name != "server"]
    unknown = [key for key in keys if key not in known]
    if parts.scheme != "jenkins" or parts.fragment or "@" in server or not server.isprintable():
        raise _bad_address(address, "is no address of a store")
    if unknown:
        raise _bad_address(address, f"has no key {unknown[0]!a}: there are {', '.join(known)}")
    if len(set(keys)) != len(keys):
        raise _bad_address(address, "says one thing twice")
    try:
        made = msgspec.convert({**dict(pairs), "server": server}, JenkinsTo)
    except msgspec.ValidationError as error:
        raise _bad_address(address, str(error)) from None
    return checked(made)


def checked(to: JenkinsTo) -> JenkinsTo:
    """`to` in one form for what is one place. Raises :class:`UsageError` naming the key."""
    folder = to.folder.strip("/")
    parts = folder.split("/")
    if folder and (not folder.isprintable() or any(part.strip() in ("", ".", "..") for part in parts)):
        raise _wrong("folder", "is no folder's full name", "folder: team/app, without /job/ in between")
    domain = "" if to.domain == GLOBAL_DOMAIN else to.domain
    if not domain.isprintable() or re.search(r"[/\\]", domain) or domain.strip() in (".", ".."):
        raise _wrong("domain", "is no domain's name", "domain: production; leave it out for the global one")
    for key in ("username", "description", "file_name"):
        text: str = getattr(to, key)
        if not text.isprintable() or len(text) > _LONGEST_TEXT:
            raise _wrong(key, "is longer than 200 characters or holds control characters", "shorten it")
    if to.username and to.kind not in ("username-password", "ssh-key"):
        raise _wrong("username", f"is given, but a {to.kind} has none", "leave it out, or give another `kind`")
    if to.file_name and to.kind != "secret-file":
        raise _wrong("file_name", f"is given, but a {to.kind} has none", "leave it out, or write kind: secret-file")
    if re.search(r"[/\\]", to.file_name):
        raise _wrong("file_name", "has a slash in it", "file_name: kubeconfig")
    if "[keylease" in to.description:
        raise _wrong("description", "holds the mark that is put at its end", "leave the mark out")
    if to.scope == "SYSTEM" and folder:
        raise _wrong("scope", "can't be SYSTEM in a folder: that is for the system's own store", "leave it out")
    return msgspec.structs.replace(to, folder=folder, domain=domain, description=to.description.strip())


def _url(text: str, env: Env) -> str:
    text = text.strip().rstrip("/")
    if not text:
        raise _wrong("url", "is missing", "url: https://jenkins.example.com  (or set JENKINS_URL)")
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable, parts = False, urlsplit("")
    if not usable or parts.scheme not in ("http", "https") or not text.isprintable() or " " in text:
        raise _wrong("url", "is not an http(s) address", "url: https://jenkins.example.com, with the scheme in front")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise _wrong("url", "holds a user, a query or a fragment", "leave them out; `user` and `token_env` log in")
    # keylease.yml may come from a pull request, and whoever gets the token can use it: the job says where it goes.
    host = (parts.hostname or "").lower()
    allowed = re.split(r"[\s,]+", env.get(ALLOWED, "").strip().lower())
    if host not in (*allowed, _host(env.get("JENKINS_URL", ""))) and not _LOOPBACK.fullmatch(host):
        raise UsageError(
            f"{VENDOR}: `url` is on the host {host}, which the job does not name",
            cause="this file may come from a pull request, and the token would go to a stranger's host",
            change=f"set {ALLOWED}={host} in the job, or JENKINS_URL={text}",
            docs=DOCS,
        )
    return text


def _host(url: str) -> str:
    try:
        return (urlsplit(url.strip()).hostname or "").lower()
    except ValueError:
        return ""


def _certificate(value: str) -> str:
    if value and not is_pem_source(value):
        raise UsageError(
            f"{VENDOR}: `ca_certificate` is no file here, no PEM text and no PEM in base64",
            cause="the file is not there, or not visible inside the container (only the workspace is mounted)",
            change="ca_certificate: path/inside/the/workspace.pem, or the PEM text itself",
            docs="tls",
        )
    return value if not value or pem_text(value) else os.path.abspath(value)


def _wrong(key: str, what: str, change: str) -> UsageError:
    return UsageError(f"{VENDOR}: `{key}` {what}", change=change, docs=DOCS)


def _bad_address(address: str, what: str) -> UsageError:
    return UsageError(f"{VENDOR}: {address[:200]!a} {what}", change="jenkins://?folder=team/app&domain=prod", docs=DOCS)

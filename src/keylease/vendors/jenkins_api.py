"""What is asked of a Jenkins server, and how it says no.

Credentials plugin, docs/user.adoc ("REST API") and CredentialsStoreAction.java. What that code does and its
documentation leaves out: a POST to ``config.xml`` answers 200 also when nothing was updated; what the user may not view
is 404; a login page may answer 200. So whoever writes looks afterwards whether it is there.
"""

import base64
import http.cookies
import json
import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from keylease.context import Context
from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.http import HttpSettings
from keylease.secret import Secret
from keylease.vendors.answers import Answer, one_line, server_trouble
from keylease.vendors.jenkins_settings import VENDOR, JenkinsSettings, is_cleartext
from keylease.vendors.pem import PemFiles

if TYPE_CHECKING:
    import requests

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's or cookie's name: RFC 9110 §5.6.2, RFC 6265 §4.1.1."""

_GROUPS = {
    "com.cloudbees.plugins.credentials.CredentialsProvider": "Credentials",
    "hudson.model.Hudson": "Overall",
    "hudson.model.Item": "Job",
}
"""Permissions as the pages for authorization call them, by their ids (hudson/security/Permission.java, `getId`)."""

RIGHTS = "Credentials/View, Credentials/Create, Credentials/Update and Credentials/Delete"


class Item(Struct, frozen=True):
    """A credential as a list shows it. name: what people see. type_name: in English, unless the server insists."""

    id: str
    name: str
    type_name: str
    description: str


class UsedItem(Item, frozen=True):
    """used_by: full names of jobs and names of nodes; None: Jenkins tells of no use, and not whether it tracks."""

    used_by: list[str] | None = None


class _Crumb(Struct, frozen=True):
    """header: the crumb's. cookie: of the session that it is good for; None where the issuer needs no session."""

    header: str
    value: Secret
    cookie: Secret | None


class JenkinsApi:
    """One server. `url`: without a slash at its end; paths are percent-encoded and begin with one."""

    def __init__(self, settings: JenkinsSettings, context: Context) -> None:
        self.url = settings.url
        self.user = settings.user
        token = settings.token
        if token is None:
            text = context.env.get(settings.token_env, "")
            if not text.strip():
                raise UsageError(
                    f"{VENDOR}: the variable {settings.token_env}, which should hold the API token, is not set",
                    change=f"give the step an API token of {self.user} in {settings.token_env}, or name another "
                    "variable: `token_env: NAME`",
                    docs="sync-jenkins",
                )
            token = context.seal(text.strip(), f"{VENDOR}: {settings.token_env}")
        login = base64.b64encode(self.user.encode() + b":" + token.reveal_bytes().strip()).decode("ascii")
        self._login = context.seal(login, f"{VENDOR}: login")
        self._seal = context.seal
        self._crumb: _Crumb | None = None
        self._pem = PemFiles()
        assert isinstance(settings.timeout, float), "complete() makes it one"
        ca = self._pem.path("ca", settings.ca_certificate)
        self._http = context.http.session(
            VENDOR, HttpSettings(timeout=settings.timeout, retries=settings.retries, ca_certificate=ca)
        )
        if is_cleartext(self.url):
            context.log.warning(
                "%s: %s is plain http: the token and the secrets can be read on the way", VENDOR, self.url
            )

    # Requests.

    def items(self, path: str, place: str) -> list[Item]:
        """The credentials of a domain. Raises NotFoundError, RefusedError, UnreachableError."""
        doing = f"{place}: listing credentials"
        tree = "credentials%5Bid,typeName,displayName,description%5D"
        response = self._send("GET", f"{path}/api/json?tree={tree}")
        if response.status_code != 200:
            raise self.refused(response, doing)
        listed = Answer.of(response).data.get("credentials")
        if not isinstance(listed, list):
            raise _garbage(doing)
        return [_item(each, doing) for each in listed]

    def domains(self, path: str, place: str) -> list[str]:
        """Names of the domains of the store that `path` is in; the global one's is empty."""
        doing = f"{place}: listing domains"
        response = self._send("GET", f"{path.rpartition('/domain/')[0]}/api/json?tree=domains%5BurlName%5D")
        if response.status_code != 200:
            raise self.refused(response, doing)
        found = Answer.of(response).data.get("domains")
        if not isinstance(found, dict) or not found:
            raise _garbage(doing)
        return ["" if name == "_" else str(name) for name in found]

    def used_items(self, path: str, place: str) -> list[UsedItem]:
        """The credentials of a domain, with who used them (Fingerprint.java, `_getUsages`)."""
        doing = f"{place}: listing credentials"
        tree = "credentials%5Bid,typeName,displayName,description,fingerprint%5Busage%5Bname%5D%5D%5D"
        response = self._send("GET", f"{path}/api/json?tree={tree}")
        if response.status_code != 200:
            raise self.refused(response, doing)
        listed = Answer.of(response).data.get("credentials")
        if not isinstance(listed, list):
            raise _garbage(doing)
        found = []
        for each in listed:
            item = _item(each, doing)
            print_ = each.get("fingerprint")
            usage = print_.get("usage") if isinstance(print_, dict) else None
            users = usage if isinstance(usage, list) else []
            names = [str(user.get("name")) for user in users if isinstance(user, dict)]
            found.append(
                UsedItem(
                    item.id, item.name, item.type_name, item.description, names if isinstance(usage, list) else None
                )
            )
        return found

    def item(self, path: str, name: str, place: str) -> Item | None:
        """One credential; None if there is none (or none that the user may view)."""
        doing = f"{place}: reading about the credential {name}"
        response = self._send("GET", f"{path}/credential/{name}/api/json?tree=id,typeName,displayName,description")
        if response.status_code == 404:
            return None
        if response.status_code != 200:
            raise self.refused(response, doing)
        found = _item(Answer.of(response).data, doing)
        if found.id != name:
            raise _garbage(doing)
        return found

    def config(self, path: str, name: str, place: str) -> str:
        """The ``config.xml`` of a credential, which shows all but its secrets."""
        response = self._send("GET", f"{path}/credential/{name}/config.xml")
        if response.status_code != 200:
            raise self.refused(response, f"{place}: reading the configuration of the credential {name}")
        try:
            return response.content.decode("utf-8")
        except UnicodeDecodeError:
            return response.content.decode("latin-1")

    def create(self, path: str, body: bytes) -> "requests.Response":
        """POST to ``createCredentials``; any answer."""
        return self._send("POST", f"{path}/createCredentials", body)

    def update(self, path: str, name: str, body: bytes) -> "requests.Response":
        """POST to ``config.xml``; any answer."""
        return self._send("POST", f"{path}/credential/{name}/config.xml", body)

    def delete(self, path: str, name: str) -> "requests.Response":
        """DELETE of ``config.xml``; any answer. (``doDelete`` would answer with a redirect, whatever happened.)"""
        return self._send("DELETE", f"{path}/credential/{name}/config.xml")

    def _send(self, method: str, path: str, body: bytes | None = None) -> "requests.Response":
        response = self._once(method, path, body)
        if method != "GET" and _wants_crumb(response) and self._new_crumb():
            # CrumbFilter.java refuses before anything else looks at the request: nothing has happened yet.
            response = self._once(method, path, body)
        return response

    def _once(self, method: str, path: str, body: bytes | None = None) -> "requests.Response":
        headers = {
            "Authorization": f"Basic {self._login.reveal()}",
            # Types of credentials are told in the language that is asked for.
            "Accept-Language": "en",
        }
        if body is not None:
            headers["Content-Type"] = "application/xml; charset=utf-8"
        if self._crumb and method != "GET":
            headers[self._crumb.header] = self._crumb.value.reveal()
            if self._crumb.cookie is not None:
                headers["Cookie"] = self._crumb.cookie.reveal()
        return self._http.request(method, self.url + path, data=body, headers=headers)

    def _new_crumb(self) -> bool:
        """Whether there is one now.

        https://www.jenkins.io/doc/book/security/csrf-protection/: API tokens need none; a crumb for a password is good
        with the session that it was issued in (DefaultCrumbIssuer.java), so that session's cookie goes along, and to
        this server only.
        """
        self._crumb = None
        response = self._once("GET", "/crumbIssuer/api/json")
        answer = Answer.of(response)
        header, value = answer.at("crumbRequestField"), answer.value("crumb")
        pairs = []
        for line in response.raw.headers.getlist("Set-Cookie"):
            try:
                cookies = http.cookies.SimpleCookie(line)
            except http.cookies.CookieError:
                continue
            pairs += [f"{name}={morsel.coded_value}" for name, morsel in cookies.items() if morsel.value]
        usable = all(pair.isascii() and pair.isprintable() and len(pair) < 4096 for pair in pairs)
        if not answer.ok or value is None or not usable or not isinstance(header, str) or not _TOKEN.fullmatch(header):
            return False
        cookie = self._seal("; ".join(pairs), f"{VENDOR}: session") if pairs else None
        self._crumb = _Crumb(header, self._seal(value, f"{VENDOR}: crumb"), cookie)
        return True

    # Refusals.

    def refused(self, response: "requests.Response", doing: str) -> KeyleaseError:
        """The error for an answer that is no success. Never its body: Jenkins shows parts of a request in its pages."""
        status = response.status_code
        trouble = server_trouble(VENDOR, doing, Answer(status, {}, is_json=True))
        if trouble is not None:
            return trouble
        if status == 401:
            return RefusedError(
                f"{VENDOR}: {doing}: HTTP 401: the token of the user {self.user} was not accepted",
                cause="it was revoked, is another user's, or is a password where only API tokens are taken",
                change=f"make a new one as {self.user}: {self.url}/me/security, API Token; store it where it is read",
                docs="sync-jenkins-login",
                detail={"status": 401},
            )
        if status == 403:
            return self._forbidden(response, doing)
        if status == 404:
            return NotFoundError(
                f"{VENDOR}: {doing}: HTTP 404: not there, or {self.user} lacks Credentials/View",
                cause="there is no such folder or domain, or the user may not view it (Jenkins tells no difference): "
                "that takes Overall/Read, Job/Read on each folder of the path, and Credentials/View",
                change=f"check `url`, `folder` and `domain` (a domain is not made here); give {self.user} {RIGHTS} "
                "there; the plugins needed are credentials, and cloudbees-folder for folders",
                docs="sync-jenkins-404",
            )
        return RefusedError(
            f"{VENDOR}: {doing}: HTTP {status}",
            cause="Jenkins, or something in front of it, does not take the request",
            change="look at the server's log, and at that of the proxy before it",
            docs="sync-jenkins-write",
        )

    def _forbidden(self, response: "requests.Response", doing: str) -> KeyleaseError:
        if _wants_crumb(response):
            return RefusedError(
                f"{VENDOR}: {doing}: HTTP 403: no valid crumb",
                cause="a password takes a crumb and the session that it was issued in, and a proxy or load balancer "
                "lost one of them",
                change=f"use an API token of {self.user}, which needs no crumb: {self.url}/me/security",
                docs="sync-jenkins-login",
            )
        lacks = _permission(response.headers.get("X-Required-Permission", ""))
        return RefusedError(
            f"{VENDOR}: {doing}: HTTP 403" + (f": {self.user} lacks the permission {lacks}" if lacks else ""),
            cause="the user may not do this there" if lacks else "the user may not do this, or a proxy refused it",
            change=f"give {self.user} {RIGHTS} at this store, and Overall/Read: for folders in the folder's "
            "configuration or a role, for the system store in Manage Jenkins, Security, Authorization",
            docs="sync-jenkins-403",
        )


def _wants_crumb(response: "requests.Response") -> bool:
    # CrumbFilter.java: 403 "No valid crumb was included in the request". A missing permission is in a header.
    refused = response.status_code == 403 and "X-Required-Permission" not in response.headers
    return refused and b"valid crumb" in response.content


def _permission(text: str) -> str:
    """``Credentials/Create`` of an id; AccessDeniedException3.java, `reportAsHeaders`."""
    group, _, name = one_line(text).rpartition(".")
    return f"{_GROUPS[group]}/{name}" if group in _GROUPS else one_line(text)


def _item(data: Any, doing: str) -> Item:
    fields = data if isinstance(data, dict) else {}
    texts = [fields.get(key) or "" for key in ("id", "displayName", "typeName", "description")]
    if not fields.get("id") or not all(isinstance(text, str) for text in texts):
        raise _garbage(doing)
    return Item(*texts)


def _garbage(doing: str) -> UnreachableError:
    return UnreachableError(
        f"{VENDOR}: {doing}: the answer is not the API's",
        cause="a login page or a proxy answered, or the address is not that of Jenkins",
        change="check `url`: the address of Jenkins with its path, as under Manage Jenkins, System, Jenkins URL",
        docs="garbage",
    )


def shown(item: Item) -> str:
    """Stands for all that a list shows of a credential: another one when anything of it was changed."""
    import hashlib

    return hashlib.sha256(json.dumps([item.name, item.description]).encode()).hexdigest()[:16]

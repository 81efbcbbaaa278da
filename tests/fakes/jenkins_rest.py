"""A Jenkins, as far as the REST API of its Credentials plugin goes: stateful, with folders, permissions and crumbs.

Written from the sources, as no Jenkins can be had here: CredentialsStoreAction.java, SystemCredentialsProvider.java,
SecretBytes.java and the credentials' classes of credentials-plugin, plain-credentials-plugin, ssh-credentials-plugin;
FolderCredentialsProvider.java of cloudbees-folder-plugin; Secret.java, CrumbFilter.java, DefaultCrumbIssuer.java and
AccessDeniedException3.java of Jenkins itself.

What it can't show: a real XStream, which takes more than is written here and words its faults otherwise (any fault in
the XML is one plain page with 500 here); how a servlet container in front treats odd paths; authorization by roles,
matrices and projects (here a user has permissions, everywhere or below one folder); stores of other providers; that a
fingerprint follows a used credential; a Jenkins that restarts, or is saved to disk; FIPS mode; other locales than the
server's own (German here, so that whoever asks for no language gets types that are not English) and English.
"""

import base64
import binascii
import hashlib
import html
import json
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from tests.fakes.jenkins_credentials import CLASSES, Credential, UnreadableError, read, redacted
from tests.fakes.loopback import Exchange, LoopbackServer

VIEW, CREATE, UPDATE, DELETE = (
    f"com.cloudbees.plugins.credentials.CredentialsProvider.{name}" for name in ("View", "Create", "Update", "Delete")
)
READ, ITEM_READ = "hudson.model.Hudson.Read", "hudson.model.Item.Read"
ALL = frozenset({VIEW, CREATE, UPDATE, DELETE, READ, ITEM_READ})


class Refused(Exception):  # noqa: N818  # an answer
    """Ends a request with a page."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers or {}


class Lost(Exception):  # noqa: N818  # no answer
    """Ends a connection without an answer. late: what was asked for is done only when the next list is asked for."""

    def __init__(self, *, late: bool = False) -> None:
        super().__init__()
        self.late = late


@dataclass
class User:
    """below: the folder that the permissions are good for; None for everywhere."""

    name: str
    token: str
    password: str
    permissions: set[str] = field(default_factory=lambda: set(ALL))
    below: str | None = None


Domains = dict[str, dict[str, Credential]]


class FakeJenkins(LoopbackServer):
    """A server below `prefix`.

    stores: folder's full name in lower case ("" for the system's) → domain ("" for the global one) → ID → credential.
    crumbs: whether POSTs of those who log in by a password need one.
    before: called with a description of each change that is about to be made, and may raise `Refused` or `Lost`; after:
        with each that was made, likewise.
    drops_updates: a POST to `config.xml` answers 200 and changes nothing (a concurrent modification).
    """

    def __init__(self, *, prefix: str = "", crumbs: bool = True) -> None:
        super().__init__()
        self.prefix = prefix
        self.crumbs = crumbs
        self.stores: dict[str, Domains] = {"": {"": {}}}
        self.users: dict[str, User] = {}
        self.sessions: dict[str, str] = {}
        self.missing_plugins: set[str] = set()
        self.drops_updates = False
        self.used_by: dict[str, list[str]] = {}
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self.changes: list[str] = []
        self._late: list[Callable[[], object]] = []
        self.encrypted: dict[str, str] = {}
        self._salt = secrets.token_hex(8)
        self._lock = threading.RLock()

    # For tests.

    def add_user(self, name: str, *, token: str = "", password: str = "") -> User:
        """With all permissions."""
        user = self.users[name] = User(name, token, password)
        return user

    def add_folder(self, name: str, *domains: str) -> None:
        """With its parents, the global domain, and `domains`."""
        parts = name.lower().split("/")
        for n in range(len(parts)):
            self.stores.setdefault("/".join(parts[: n + 1]), {"": {}})
        for domain in domains:
            self.stores[name.lower()][domain] = {}

    def credentials(self, folder: str = "", domain: str = "") -> dict[str, Credential]:
        """Of one domain of one store."""
        return self.stores[folder.lower()][domain]

    def plant(self, folder: str, domain: str, credential: Credential) -> None:
        """As somebody does it with the form."""
        with self._lock:
            self.credentials(folder, domain)[credential.id] = credential

    def encrypt(self, text: str) -> str:
        """What this Jenkins would write to its disk for a secret: Secret.java, PAYLOAD_V1."""
        iv, code = secrets.token_bytes(16), secrets.token_bytes(16)
        payload = b"\1" + len(iv).to_bytes(4, "big") + len(code).to_bytes(4, "big") + iv + code
        made = "{" + base64.b64encode(payload).decode() + "}"
        self.encrypted[made] = text
        return made

    def end_sessions(self) -> None:
        """As a restart does."""
        self.sessions.clear()

    # Requests.

    def handle(self, exchange: Exchange) -> None:
        """See LoopbackServer."""
        try:
            with self._lock:
                self._answer(exchange)
        except Lost:
            exchange.reset()
        except Refused as error:
            page = (
                f"<html><head><title>Error {error.status}</title></head><body>{html.escape(error.text)}</body></html>"
            )
            headers = {"Content-Type": "text/html;charset=utf-8", **error.headers}
            exchange.answer(error.status, page.encode(), headers)

    def _answer(self, exchange: Exchange) -> None:
        request = exchange.request
        path = urlsplit(request.target).path
        if not path.startswith(self.prefix + "/"):
            raise Refused(404, "Not Found")
        path = path[len(self.prefix) :]
        user, by_token, session = self._login(exchange)
        if request.method == "POST" and self.crumbs and not by_token:
            self._check_crumb(exchange, user, session)
        self._need(user, READ, "")
        if path == "/crumbIssuer/api/json":
            self._issue_crumb(exchange, user, session)
            return
        store = re.fullmatch(r"((?:/job/[^/]+)*)/credentials/store/(system|folder)/api/json", path)
        if store:
            self._domains(exchange, user, "/".join(unquote(part) for part in store[1].split("/job/") if part).lower())
            return
        found = re.fullmatch(
            r"((?:/job/[^/]+)*)/credentials/store/(system|folder)/domain/([^/]+)(/credential/([^/]+))?/(.+)", path
        )
        if not found:
            raise Refused(404, "Not Found")
        folders = [unquote(part) for part in found[1].split("/job/") if part]
        folder = "/".join(folders).lower()
        if (found[2] == "folder") != bool(folder) or folder not in self.stores or self._hidden(user, folder):
            raise Refused(404, "Not Found")
        domain = "" if found[3] == "_" else unquote(found[3])
        if not self._may(user, VIEW, folder) or domain not in self.stores[folder] or unquote(found[3]) == "":
            # ViewCredentialsAction.java, `getStore`: what may not be viewed is not there.
            raise Refused(404, "Not Found")
        name = unquote(found[5]) if found[5] else None
        if name is not None and name not in self.stores[folder][domain]:
            raise Refused(404, "Not Found")
        self._act(exchange, user, folder, domain, name, found[6])

    def _domains(self, exchange: Exchange, user: User | None, folder: str) -> None:
        if folder not in self.stores or self._hidden(user, folder) or not self._may(user, VIEW, folder):
            raise Refused(404, "Not Found")
        exchange.answer_json(200, {"domains": {name or "_": {"urlName": name or "_"} for name in self.stores[folder]}})

    def _act(
        self, exchange: Exchange, user: User | None, folder: str, domain: str, name: str | None, what: str
    ) -> None:
        method, held = exchange.request.method, self.stores[folder][domain]
        if what == "api/json" and method == "GET":
            while name is None and self._late:
                self._late.pop(0)()
            self._export(exchange, held, name)
        elif name is None and what == "createCredentials":
            if method != "POST":
                raise Refused(405, "Method Not Allowed", {"Allow": "POST"})
            self._need(user, CREATE, folder)
            made = self._read(exchange)
            if made.id in held:
                raise Refused(409, "Conflict")
            self._change(f"create {made.id}", lambda: held.setdefault(made.id, made))
            exchange.answer(200, b"")
        elif name is not None and what == "config.xml" and method == "GET":
            exchange.answer(200, redacted(held[name]).encode("latin-1", "replace"), {"Content-Type": "application/xml"})
        elif name is not None and what == "config.xml" and method == "POST":
            self._need(user, UPDATE, folder)
            made = self._read(exchange)
            if made.id != name:
                raise Refused(500, "Credentials' IDs do not match, will not update.")
            if not self.drops_updates:
                self._change(f"update {name}", lambda: held.update({name: made} if name in held else {}))
            exchange.answer(200, b"")
        elif name is not None and what == "config.xml" and method == "DELETE":
            self._need(user, DELETE, folder)
            self._change(f"delete {name}", lambda: held.pop(name, None))
            exchange.answer(200, b"")
        elif what == "config.xml":
            raise Refused(400, "Bad Request")
        else:
            raise Refused(404, "Not Found")

    def _change(self, what: str, does: Callable[[], object]) -> None:
        try:
            self.before(what)
        except Lost as lost:
            if lost.late:
                self._late.append(does)
            raise
        does()
        self.changes.append(what)
        self.after(what)

    # Who asks.

    def _login(self, exchange: Exchange) -> tuple[User | None, bool, str]:
        """(who, by an API token?, session)."""
        session = ""
        for pair in exchange.request.header("Cookie").split("; "):
            key, _, value = pair.partition("=")
            if key.startswith("JSESSIONID") and value in self.sessions:
                session = value
        header = exchange.request.header("Authorization")
        if not header:
            return None, False, session
        kind, _, encoded = header.partition(" ")
        try:
            name, _, given = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            raise Refused(401, "Invalid authentication header") from None
        user = self.users.get(name)
        if kind == "Basic" and user and given and given == user.token:
            return user, True, session
        if kind == "Basic" and user and given and given == user.password:
            return user, False, session
        realm = {"WWW-Authenticate": 'Basic realm="Jenkins"'}
        raise Refused(401, f"Invalid password/token for user: {name}", realm)

    def _crumb(self, user: User | None, session: str) -> str:
        text = f"{user.name if user else 'anonymous'};{session}"
        return hashlib.sha256((text + self._salt).encode()).hexdigest()

    def _check_crumb(self, exchange: Exchange, user: User | None, session: str) -> None:
        given = exchange.request.header("Jenkins-Crumb")
        if not given or not session or given != self._crumb(user, session):
            raise Refused(403, "No valid crumb was included in the request")

    def _issue_crumb(self, exchange: Exchange, user: User | None, session: str) -> None:
        if not self.crumbs:
            raise Refused(404, "Not Found")
        headers = {"X-Jenkins": "2.528"}
        if not session:
            session = f"node0{secrets.token_hex(10)}.node0"
            self.sessions[session] = user.name if user else ""
            headers["Set-Cookie"] = f"JSESSIONID.{self._salt[:8]}={session}; Path={self.prefix or '/'}; HttpOnly"
        crumb = self._crumb(user, session)
        answer = {
            "_class": "hudson.security.csrf.DefaultCrumbIssuer",
            "crumb": crumb,
            "crumbRequestField": "Jenkins-Crumb",
        }
        exchange.answer_json(200, answer, headers)

    def _may(self, user: User | None, permission: str, folder: str) -> bool:
        if user is None or permission not in user.permissions:
            return False
        at = user.below
        return at is None or permission == READ or folder == at or folder.startswith(f"{at}/")

    def _hidden(self, user: User | None, folder: str) -> bool:
        if not folder:
            return False
        near = user is not None and user.below is not None and user.below.startswith(folder)
        return not (self._may(user, ITEM_READ, folder) or (near and user is not None and ITEM_READ in user.permissions))

    def _need(self, user: User | None, permission: str, folder: str) -> None:
        if not self._may(user, permission, folder):
            who = user.name if user else "anonymous"
            headers = {"X-You-Are-Authenticated-As": who, "X-Required-Permission": permission}
            raise Refused(403, f"{who} is missing the permission", headers)

    # What is shown.

    def _export(self, exchange: Exchange, held: dict[str, Credential], name: str | None) -> None:
        language = exchange.request.header("Accept-Language")
        [tree] = exchange.request.query.get("tree", [""])
        inner = tree if name is not None else (re.fullmatch(r"credentials\[(.*)\]", tree) or ["", ""])[1]
        wanted = inner.split(",")

        def one(credential: Credential) -> dict[str, object]:
            _, english, german, _, _ = CLASSES[credential.kind]
            known = {
                "id": credential.id,
                "typeName": english if language.startswith("en") else german,
                "displayName": credential.name,
                "description": credential.description,
            }
            if credential.id in self.used_by and "fingerprint[usage[name]]" in wanted:
                usage = [{"name": name} for name in self.used_by[credential.id]]
                return {**{key: known[key] for key in wanted[:4]}, "fingerprint": {"usage": usage}}
            return {key: known[key] for key in wanted if key in known}

        kind = "com.cloudbees.plugins.credentials.CredentialsStoreAction$"
        if name is not None:
            answer: dict[str, object] = {"_class": f"{kind}CredentialsWrapper", **one(held[name])}
        else:
            answer = {"_class": f"{kind}DomainWrapper", "credentials": [one(each) for each in held.values()]}
        body = json.dumps(answer, ensure_ascii=False).encode()
        exchange.answer(200, body, {"Content-Type": "application/json;charset=utf-8", "X-Jenkins": "2.528"})

    # What is sent.

    def _read(self, exchange: Exchange) -> Credential:
        content_type = exchange.request.header("Content-Type")
        if not content_type.startswith(("application/xml", "text/xml")):
            raise Refused(400, "This page expects a form submission")
        charset = re.search(r"charset=([\w-]+)", content_type)
        # Servlet specification, §3.11 "Request data encoding": ISO-8859-1 where none is told.
        text = exchange.request.body.decode(charset[1] if charset else "latin-1", "replace")
        try:
            made = read(text, self.encrypted)
        except UnreadableError as error:
            raise Refused(500, str(error)) from None
        if made.kind in self.missing_plugins:
            raise Refused(500, f"CannotResolveClassException: {made.kind}: {text}")
        return made

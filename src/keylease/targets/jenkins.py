"""Credentials of Jenkins: a domain of the system's store, or of a folder's.

An ID is one credential of its domain, whatever its type, so all types are one kind of slot, and the type is an option.

Jenkins tells neither values nor times. Each of our writes puts a mark with the date and a random number at the end of
the description: it shows whether our write arrived, and that a credential is no longer the one we wrote when somebody
replaced it, or changed what a list shows. **A value that somebody types into the form, leaving the rest alone, is not
seen.**
"""

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from keylease.errors import KeyleaseError, RefusedError, UnreachableError, UsageError
from keylease.model import Env
from keylease.secret import Secret
from keylease.sync.ledger import part_of, variable_of
from keylease.sync.model import Listing, Option, Remote, Slot, Wanted
from keylease.targets.base import Place, Target
from keylease.vendors import jenkins_settings
from keylease.vendors.jenkins_api import RIGHTS, Item, JenkinsApi, shown
from keylease.vendors.jenkins_settings import (
    VENDOR,
    JenkinsSettings,
    JenkinsTo,
    Scope,
    address_of,
    path_of,
    server_of,
)
from keylease.vendors.jenkins_xml import KIND_OF_NAME, Existing, Parts, UnfitError, document, existing, parts_of

KIND = "credential"

_ID = re.compile(r"[A-Za-z0-9_.-]+")
"""What Jenkins' own form takes (BaseStandardCredentials.java, `doCheckId`); the API would take anything."""

_MARK = re.compile(r" ?\[keylease (SYSTEM )?\d{4}-\d\d-\d\d ([0-9a-f]{12})\]$")

_UNREADABLE = "?"
"""The text of a part of a ledger that is there and shows none."""


class JenkinsTarget(Target):
    """One request per list and one more per part of a ledger; a write is looked at once more."""

    kind = "jenkins"
    Settings = JenkinsSettings
    To = JenkinsTo
    # A person sees it in one field of a form. Jenkins reads and writes the store's file as a whole with every change.
    record_size = 32 * 1024

    settings: JenkinsSettings

    def __init__(self, name: str, settings: JenkinsSettings, context: Any) -> None:
        super().__init__(name, settings, context)
        self._api = JenkinsApi(settings, context)
        self._stores: dict[str, JenkinsTo] = {}
        self._descriptions: dict[tuple[str, str], str] = {}

    @property
    def api(self) -> JenkinsApi:
        """What it asks with, for who lists all of a store."""
        return self._api

    @classmethod
    def complete(cls, settings: JenkinsSettings, env: Env) -> JenkinsSettings:
        """See the base class."""
        return jenkins_settings.complete(settings, env)

    @classmethod
    def checked(cls, to: JenkinsTo) -> JenkinsTo:
        """See the base class."""
        return jenkins_settings.checked(to)

    @classmethod
    def parse(cls, address: str) -> JenkinsTo:
        """See the base class."""
        return jenkins_settings.parse(address)

    def permissions(self, tos: Sequence[JenkinsTo]) -> Sequence[str]:
        """See the base class."""
        lines = ["Overall/Read"]
        for to in tos:
            folders = to.folder.split("/") if to.folder else []
            lines += [f"Job/Read on the folder {'/'.join(folders[: n + 1])}" for n in range(len(folders))]
            lines.append(f"{RIGHTS} " + (f"on the folder {to.folder}" if to.folder else "for the system store"))
        return list(dict.fromkeys(lines))

    def places(self, to: JenkinsTo) -> list[Place]:
        """See the base class. Asks nothing."""
        own = server_of(self.settings.url)
        if to.server and to.server != own:
            raise UsageError(
                f"{VENDOR}: the address is on {to.server!a}, the target {self.name!a} on {own!a}",
                change="leave the server out: jenkins://?folder=team/app; or name another `target:`",
                docs="sync-jenkins",
            )
        options: dict[str, Option] = {"kind": to.kind}
        for key in ("username", "scope", "description", "file_name"):
            if getattr(to, key):
                options[key] = getattr(to, key)
        address = address_of(self.settings.url, to)
        self._stores[address] = to
        return [Place(address, KIND, options)]

    def slot(self, place: Place, name: str) -> Slot:
        """See the base class."""
        return Slot(place.kind, name)

    # What is there.

    def list(self, place: Place) -> Listing:
        """See the base class. updated_at: stands for all that the list shows of a credential."""
        path = self._path(place)
        remotes: dict[Slot, Remote] = {}
        ledgers: dict[str, dict[int, str]] = {}
        for item in self._api.items(path, place.address):
            part = part_of(item.id)
            if part:
                text = existing(self._api.config(path, item.id, place.address))
                ledgers.setdefault(part[0], {})[part[1]] = (text.username if text else "") or _UNREADABLE
                continue
            slot = Slot(KIND, item.id)
            remotes[slot] = Remote(slot, shown(item), None, _options(item))
            self._descriptions[place.address, item.id] = item.description
        return Listing(remotes, ledgers)

    def check(self, place: Place, wanted: Wanted) -> str:
        """See the base class."""
        del place
        name = wanted.slot.name
        if not _ID.fullmatch(name) or not name.strip("."):
            return "it is no ID of a credential: letters, digits, and _ . - are taken"
        if part_of(name):
            return "it is the name of a part of a ledger"
        try:
            self._parts(wanted)
        except UnfitError as error:
            return str(error)
        return ""

    # Writes.

    def put(self, place: Place, wanted: Wanted, *, exists: bool) -> None:
        """See the base class. What is not declared stays as it is, also where the credential becomes another type."""
        options, name = wanted.options, wanted.slot.name
        try:
            parts = self._parts(wanted)
        except UnfitError as error:
            raise UsageError(f"{VENDOR}: {place.address}: {name}: {error}", docs="sync-jenkins") from None
        kind = str(options["kind"])
        scope: Scope = "SYSTEM" if options.get("scope") == "SYSTEM" else "GLOBAL"
        file_name = str(options.get("file_name", ""))
        if exists and ("scope" not in options or (kind == "secret-file" and not file_name)):
            now = self._existing(place, name)
            scope = options.get("scope") or now.scope or "GLOBAL"  # type: ignore[assignment]
            file_name = file_name or now.file_name
        text = str(options.get("description") or _plain(self._descriptions.get((place.address, name), "")))
        self._write(place, name, kind, scope, text, parts, exists=exists, file_name=file_name or name)

    def delete(self, place: Place, slot: Slot) -> None:
        """See the base class."""
        path, doing = self._path(place), f"{place.address}: deleting the credential {slot.name}"
        response = self._api.delete(path, slot.name)
        if response.status_code not in (200, 404, 409):
            raise self._api.refused(response, doing)
        # 409: it was gone in the meantime (`removeCredentials` found none), or could not be removed. 404: gone before,
        # or a proxy's. What is only believed to be gone would be nobody's.
        if self._api.item(path, slot.name, place.address) is not None:
            raise UnreachableError(
                f"{VENDOR}: {doing}: it is still there (HTTP {response.status_code})",
                cause="somebody wrote it at the same moment, or the store can't be changed",
                change="run it again",
                docs="sync-jenkins-write",
            )

    def record(self, place: Place, sync: str, texts: Mapping[int, str], there: Mapping[int, str]) -> None:
        """See the base class.

        The text is the hidden user name of a credential: readable in its configuration, and shown in no list to choose
        from, where a description would be. SYSTEM keeps it from jobs.
        """
        scope: Scope = "GLOBAL" if self._store(place).folder else "SYSTEM"
        for number, text in texts.items():
            if text == there.get(number, ""):
                continue
            name = variable_of(sync, number)
            if not text:
                self.delete(place, Slot(KIND, name))
                continue
            about = f"Keylease's record of what the sync {sync} owns here: leave it as it is"
            parts = Parts(Secret("none"), Secret(text), hidden=True)
            self._write(place, name, "username-password", scope, about, parts, exists=number in there)

    def _write(
        self,
        place: Place,
        name: str,
        kind: str,
        scope: Scope,
        description: str,
        parts: Parts,
        *,
        exists: bool,
        file_name: str = "",
    ) -> None:
        path, doing = self._path(place), f"{place.address}: writing the credential {name}"
        number = secrets.token_hex(6)
        system = "SYSTEM " if scope == "SYSTEM" else ""
        mark = f"[keylease {system}{time.strftime('%Y-%m-%d', time.gmtime())} {number}]"
        body = document(kind, name, scope, f"{description} {mark}".strip(), parts, file_name=file_name)
        response = self._api.update(path, name, body) if exists else self._api.create(path, body)
        status = response.status_code
        if status not in (200, 409):
            raise self._api.refused(response, doing) if status != 500 else _failed(doing, kind)
        # 409 also after an answer that was lost on the way, to the same request.
        now = self._api.item(path, name, place.address)
        if now is not None and number in now.description:
            return
        if status == 409:
            raise RefusedError(
                f"{VENDOR}: {doing}: HTTP 409: there is a credential with this ID already",
                cause="it was made since the plan was",
                change="run it again: the next plan shows it",
                docs="sync-jenkins-write",
            )
        raise UnreachableError(
            f"{VENDOR}: {doing}: HTTP 200, but it is not there as it was sent",
            cause="somebody wrote it at the same moment (Jenkins answers 200 then too), or something else than Jenkins "
            "answered",
            change="run it again",
            docs="sync-jenkins-write",
        )

    def _parts(self, wanted: Wanted) -> Parts:
        label = f"{self.name}: {wanted.source}"
        return parts_of(str(wanted.options["kind"]), wanted.options, wanted.value, self.context.seal, label)

    def _existing(self, place: Place, name: str) -> Existing:
        found = existing(self._api.config(self._path(place), name, place.address))
        if found is None:
            raise UnreachableError(
                f"{VENDOR}: {place.address}: the configuration of the credential {name} is not Jenkins' XML",
                cause="a login page or a proxy answered",
                change="check `url` and the proxy",
                docs="garbage",
            )
        return found

    def _store(self, place: Place) -> JenkinsTo:
        # The folder as the user writes it; another run's address has it in lower case, which is the same folder.
        return self._stores.get(place.address) or jenkins_settings.parse(place.address)

    def _path(self, place: Place) -> str:
        return path_of(self._store(place))


def _plain(description: str) -> str:
    return _MARK.sub("", description)


def _options(item: Item) -> dict[str, Option]:
    """What a list shows of how a credential is stored. The scope stands in our mark, as it was when we wrote."""
    found: dict[str, Option] = {}
    kind = KIND_OF_NAME.get(item.type_name)
    if kind:
        found["kind"] = kind
    mark = _MARK.search(item.description)
    if mark is None:
        return found
    found["scope"] = "SYSTEM" if mark[1] else "GLOBAL"
    found["description"] = _plain(item.description)
    # StandardUsernamePasswordCredentials.java and FileCredentials.java, `NameProvider`.
    name = item.name.removesuffix(f" ({item.description.strip()})")
    if name != item.name and kind == "secret-file":
        found["file_name"] = name
    elif name != item.name and kind in ("username-password", "ssh-key"):
        found["username"] = name.removesuffix("/******") if kind == "username-password" else name
    return found


def _failed(doing: str, kind: str) -> KeyleaseError:
    plugin = {"secret-text": "plain-credentials", "secret-file": "plain-credentials", "ssh-key": "ssh-credentials"}
    return UnreachableError(
        f"{VENDOR}: {doing}: HTTP 500 after all attempts",
        cause=f"Jenkins could not read the credential: is the plugin {plugin.get(kind, 'credentials')} installed? In "
        "FIPS mode it also refuses passwords of less than 14 characters and some kinds of keys",
        change="the server's log has the reason",
        docs="sync-jenkins-write",
    )

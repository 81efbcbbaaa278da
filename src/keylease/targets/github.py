"""GitHub: secrets and variables of Actions, secrets of Dependabot and Codespaces.

https://docs.github.com/rest/actions/secrets, …/actions/variables, …/dependabot/secrets,
…/codespaces/organization-secrets, …/codespaces/repository-secrets.
"""

import base64
import threading
from collections.abc import Collection, Container, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from keylease.context import Context
from keylease.errors import RefusedError, UsageError
from keylease.model import Env
from keylease.secret import Secret
from keylease.sync.ledger import claimed, part_of, variable_of
from keylease.sync.model import Listing, Option, Remote, Slot, Wanted
from keylease.targets.base import Place, Target
from keylease.vendors import github_settings as settings_of
from keylease.vendors.github_api import Api, Wire, uncertain
from keylease.vendors.github_auth import AppCredentials, Credentials, TokenCredentials
from keylease.vendors.github_cache import Cache
from keylease.vendors.github_errors import garbage, permission
from keylease.vendors.github_pace import pace_of
from keylease.vendors.github_select import selected
from keylease.vendors.github_settings import KINDS, GitHubSettings, GitHubTo, address_of
from keylease.vendors.github_values import key_of, limits_of, needs_of, path_of, problem_of, shown
from keylease.vendors.pem import PemFiles


class GitHubTarget(Target):
    """One server with one credential; used by many threads.

    What is not targeted and not claimed by any ledger is not listed: each kind costs a request per place.
    """

    kind = "github"
    Settings = GitHubSettings
    To = GitHubTo
    record_size = 40_000

    settings: GitHubSettings

    def __init__(self, name: str, settings: GitHubSettings, context: Context) -> None:
        super().__init__(name, settings, context)
        self._lock = threading.Lock()
        self._kinds: dict[str, set[str]] = {}
        self._selecting: set[tuple[str, str]] = set()
        self._visible: dict[tuple[str, Slot], str] = {}
        self._public_keys: dict[str, tuple[str, Any]] = {}
        self._ids: dict[str, int] = {}
        self._files = PemFiles()
        self._made: Credentials | None = None

    # Settings and places.

    @classmethod
    def complete(cls, settings: Any, env: Env) -> Any:
        """See :meth:`Target.complete`."""
        return settings_of.complete(settings, env)

    @classmethod
    def checked(cls, to: Any) -> Any:
        """See :meth:`Target.checked`."""
        return settings_of.checked(to)

    @classmethod
    def parse(cls, address: str) -> Any:
        """See :meth:`Target.parse`."""
        return settings_of.parse(address)

    def permissions(self, tos: Sequence[Any]) -> Sequence[str]:
        """Of a fine-grained token or a GitHub App."""
        found = {permission("metadata", "read")}
        for to in tos:
            found |= {needs_of(to.level, to.kind, "write"), needs_of(to.level, "variable", "write")}
            if to.select is not None and to.select.properties:
                found.add(permission("organization_custom_properties", "read"))
        return sorted(found)

    def places(self, to: GitHubTo) -> list[Place]:
        """See :meth:`Target.places`. A selector costs one request per 100 repositories, two with properties."""
        host = self.settings.host
        if to.host not in ("", host):
            raise UsageError(
                f"GitHub: {to.host} is not the server of target {self.name!a}",
                change=f"its server is {host or 'github.com'}: leave `host` out, or name another target",
                docs="github-to",
            )
        to = replace(to, host=host)
        options: dict[str, Option] = {}
        if to.visibility is not None:
            options["visibility"] = to.visibility
        if to.repositories is not None:
            options["repositories"] = to.repositories
        repositories = [""] if to.select is None else selected(self._api(to.owner), to.organization, to.select)
        found = [Place(address_of(to, each), to.kind, options) for each in repositories]
        with self._lock:
            for place in found:
                self._kinds.setdefault(place.address, set()).add(place.kind)
                if to.repositories is not None:
                    self._selecting.add((place.address, place.kind))
        return found

    def slot(self, place: Place, name: str) -> Slot:
        """GitHub keeps names in upper case, however they are written."""
        return Slot(place.kind, name.upper())

    # What is there.

    def list(self, place: Place) -> Listing:
        """Two requests for a place with up to 100 secrets and 30 variables."""
        at = settings_of.parse(place.address)
        with self._lock:
            kinds = self._kinds.get(place.address, set()) | {place.kind}
        variables = self._items(at, place.address, "variable", values="variable" in kinds)
        ledgers: dict[str, dict[int, str]] = {}
        for item in variables:
            part = part_of(item["name"])
            if part:
                ledgers.setdefault(part[0], {})[part[1]] = item["value"]
        owned = {slot for records in ledgers.values() for slot in claimed(records)}
        remotes: dict[Slot, Remote] = {}
        for item in variables:
            if not part_of(item["name"]):
                value = self._held(item, owned) if "variable" in kinds else None
                self._add(remotes, place.address, "variable", item, value)
        # A ledger may still name a kind that nothing is written to any more.
        kinds |= {slot.kind for slot in owned if slot.kind in KINDS[at.level]}
        for kind in sorted(kinds - {"variable"}):
            for item in self._items(at, place.address, kind):
                self._add(remotes, place.address, kind, item, None)
        for slot in {slot for slot in owned if (place.address, slot.kind) in self._selecting}:
            remote = remotes.get(slot)
            if remote is not None and remote.options.get("visibility") == "selected":
                names = [item["full_name"].rpartition("/")[2].lower() for item in self._repositories(at, place, slot)]
                options = {**remote.options, "repositories": tuple(sorted(names))}
                remotes[slot] = Remote(slot, remote.updated_at, remote.value, options)
        return Listing(remotes, ledgers, limits_of(at.level, sum(map(len, ledgers.values()))))

    def written(self, place: Place, slots: Collection[Slot]) -> Mapping[Slot, str]:
        """Of the kinds that were written, only: one request less for a repository's secrets."""
        at = settings_of.parse(place.address)
        found = {}
        for kind in sorted({slot.kind for slot in slots}):
            items = self._items(at, place.address, kind, values=kind == "variable")
            found.update({Slot(kind, item["name"]): item["updated_at"] for item in items})
        return {slot: found[slot] for slot in slots if slot in found}

    def _items(self, at: GitHubTo, address: str, kind: str, *, values: bool = False) -> Sequence[dict[str, Any]]:
        key = "variables" if kind == "variable" else "secrets"
        doing = f"{address}: listing {shown(kind, 2)}"
        return self._api(at.owner).pages(path_of(at, kind), key, doing, needs_of(at.level, kind, "read"), values=values)

    def _held(self, item: Mapping[str, Any], owned: Container[Slot]) -> Secret:
        # Other people's variables hold words like `production`, which must not vanish from our own output.
        name, value = item["name"], item["value"]
        mine = Slot("variable", name) in owned
        return self.context.seal(value, f"GitHub variable {name}") if mine else Secret(value)

    def _add(
        self, remotes: dict[Slot, Remote], address: str, kind: str, item: Mapping[str, Any], value: Secret | None
    ) -> None:
        slot = Slot(kind, item["name"])
        visibility = item.get("visibility")
        if visibility:
            self._visible[address, slot] = visibility
        remotes[slot] = Remote(slot, item["updated_at"], value, {"visibility": visibility} if visibility else {})

    # What is written.

    def check(self, place: Place, wanted: Wanted) -> str:
        """GitHub's rules of names and sizes."""
        return problem_of(settings_of.parse(place.address).level, wanted.slot, wanted.value)

    def put(self, place: Place, wanted: Wanted, *, exists: bool) -> None:
        """See :meth:`Target.put`. An organisation's value keeps its visibility and its selected repositories."""
        at, slot = settings_of.parse(place.address), wanted.slot
        access = self._access(at, place, wanted, exists=exists) if at.level == "organization" else {}
        if slot.kind == "variable":
            self._put_variable(at, place.address, slot.name, wanted.value.reveal(), access, exists=exists)
            return
        doing = f"{place.address}: writing {slot}"
        needs = needs_of(at.level, slot.kind, "write")
        body = {**self._sealed(at, place.address, slot.kind, wanted.value), **access}
        self._api(at.owner).write("PUT", f"{path_of(at, slot.kind)}/{slot.name}", body, doing, needs)

    def _put_variable(
        self, at: GitHubTo, address: str, name: str, value: str, access: Mapping[str, Any], *, exists: bool
    ) -> None:
        api, path = self._api(at.owner), path_of(at, "variable")
        doing, needs = f"{address}: writing variable {name}", needs_of(at.level, "variable", "write")
        body = {"name": name, "value": value, **access}
        if exists:
            if api.write("PATCH", f"{path}/{name}", body, doing, needs, also=404) != 404:
                return
            # It was deleted since it was listed; or it may not be seen, and then this fails too.
            if at.level == "organization":
                body = {"visibility": "private", **body}
        if not api.create(path, body, doing, needs):
            # Our own request, come twice or with its answer lost; or somebody else's variable: that is left alone.
            try:
                there = api.get(f"{path}/{name}", doing, needs).get("value")
            except RefusedError as error:
                raise uncertain(error) from None
            if not isinstance(there, str) or Secret(there) != Secret(value):
                raise RefusedError(
                    f"GitHub: {doing}: it was created there a moment ago, with another value",
                    cause="somebody else, or another run of this sync, writes at the same time",
                    change="run it again when the other one is done",
                    docs="github-refused",
                )

    def _access(self, at: GitHubTo, place: Place, wanted: Wanted, *, exists: bool) -> dict[str, Any]:
        """Who sees an organisation's value: as declared, else as it is, else private repositories."""
        slot, declared = wanted.slot, wanted.options.get("visibility")
        if exists and (place.address, slot) not in self._visible:
            self.list(place)
        there = self._visible.get((place.address, slot)) if exists else None
        visibility = declared or there or "private"
        if visibility != "selected":
            return {"visibility": visibility}
        names = wanted.options.get("repositories")
        if isinstance(names, tuple):
            ids = [self._id(at, place.address, name) for name in names]
        elif there != "selected":
            ids = []
        elif slot.kind == "variable":
            return {}  # what a PATCH does not name stays
        else:
            # A PUT without them would take the secret away from all of them.
            ids = [item["id"] for item in self._repositories(at, place, slot)]
        return {"visibility": visibility, "selected_repository_ids": ids}

    def _repositories(self, at: GitHubTo, place: Place, slot: Slot) -> Sequence[dict[str, Any]]:
        path = f"{path_of(at, slot.kind)}/{slot.name}/repositories"
        doing = f"{place.address}: listing the repositories of {slot}"
        return self._api(at.owner).pages(path, "repositories", doing, needs_of(at.level, slot.kind, "read"))

    def _id(self, at: GitHubTo, address: str, name: str) -> int:
        full = f"{at.organization}/{name}"
        with self._lock:
            found = self._ids.get(full)
        if found is None:
            doing = f"{address}: looking for the repository {full}"
            given = self._api(at.owner).get(f"/repos/{full}", doing, permission("metadata", "read")).get("id")
            if not isinstance(given, int) or isinstance(given, bool):
                raise garbage(doing, 200)
            found = given
            with self._lock:
                self._ids[full] = found
        return found

    def _sealed(self, at: GitHubTo, address: str, kind: str, value: Secret) -> dict[str, Any]:
        """The value in a box that GitHub alone can open. One key per place and kind, asked for when it is needed."""
        from nacl.public import PublicKey, SealedBox

        path = f"{path_of(at, kind)}/public-key"
        with self._lock:
            found = self._public_keys.get(path)
        if found is None:
            doing = f"{address}: getting the public key for {shown(kind, 2)}"
            data = self._api(at.owner).get(path, doing, needs_of(at.level, kind, "read"))
            try:
                key = PublicKey(base64.b64decode(str(data.get("key")), validate=True))
                found = str(data["key_id"]), SealedBox(key)
            except (ValueError, TypeError, KeyError):
                raise garbage(doing, 200) from None
            with self._lock:
                self._public_keys[path] = found
        box = found[1].encrypt(value.reveal_bytes())
        return {"encrypted_value": base64.b64encode(box).decode("ascii"), "key_id": found[0]}

    def delete(self, place: Place, slot: Slot) -> None:
        """See :meth:`Target.delete`."""
        at, api = settings_of.parse(place.address), self._api(settings_of.parse(place.address).owner)
        path, needs = f"{path_of(at, slot.kind)}/{slot.name}", needs_of(at.level, slot.kind, "write")
        doing = f"{place.address}: deleting {slot}"
        # 404: gone already; or GitHub won't say that this credential may not delete it, or no longer sees the place.
        doubtful = api.write("DELETE", path, None, doing, needs, also=404) == 404
        if doubtful and any(item["name"] == slot.name for item in self._items(at, place.address, slot.kind)):
            refused = f"GitHub: {doing}: HTTP 404, and it is still there"
            raise RefusedError(refused, change=f"grant the credential `{needs}`", docs="github-permission")

    def record(self, place: Place, sync: str, texts: Mapping[int, str], there: Mapping[int, str]) -> None:
        """See :meth:`Target.record`. An organisation's ledgers are shown to no repository."""
        at = settings_of.parse(place.address)
        self._check_permissions(at, place)
        access = {"visibility": "selected", "selected_repository_ids": []} if at.level == "organization" else {}
        for number, text in texts.items():
            name, exists = variable_of(sync, number), number in there
            if text == there.get(number, ""):
                continue
            try:
                if text:
                    self._put_variable(at, place.address, name, text, access, exists=exists)
                else:
                    self.delete(place, Slot("variable", name))
            except RefusedError as error:
                error.cause = f"{error.cause}; the ledger, which says what is this sync's own, is kept in variables"
                raise

    def _check_permissions(self, at: GitHubTo, place: Place) -> None:
        """Before the first write of a place, as far as GitHub tells what a credential may do."""
        kinds = self._kinds.get(place.address, set()) | {place.kind}
        lacking = self._all().lacking(at.owner, {key_of(at.level, kind) for kind in kinds})
        if lacking:
            names = ", ".join(f"`{permission(key, 'write')}`" for key in lacking)
            raise RefusedError(
                f"GitHub: {place.address}: the App lacks {names}; nothing was written",
                cause="the App was not given it, or the organisation has not yet accepted the change",
                change=f"grant the App {names}, and accept it where the App is installed",
                docs="github-permission",
            )

    def close(self) -> None:
        """See :meth:`Target.close`: an App's tokens are good for an hour, for all that the App may do."""
        with self._lock:
            made = self._made
        for left in made.give_back() if made else ():
            self.context.log.warning("GitHub: %s could not be revoked: it is good for an hour at the most", left)

    def _all(self) -> Credentials:
        with self._lock:
            if self._made is None:
                self._made = self._credentials()
            return self._made

    def api(self, owner: str) -> Api:
        """What asks about an account, as fast as GitHub wants it. Raises KeyleaseError."""
        return self._all().api(owner)

    _api = api

    def _credentials(self) -> Credentials:
        settings, context = self.settings, self.context
        host = settings.host or "github.com"
        pace = pace_of(context, host, settings.writes_per_minute, settings.points_per_minute)
        http = replace(settings.http, ca_certificate=self._files.path("ca", settings.ca_certificate))
        wire = Wire.of(context, settings.url, http, pace, Cache(settings.cache))
        if settings.app_id is not None:
            key = self._given("private_key", "GitHub App private key", settings.private_key_file)
            return AppCredentials(wire, context.seal, str(settings.app_id), key, settings.installation_id or 0)
        return TokenCredentials(wire, self._given("token", "GitHub token"))

    def _given(self, name: str, label: str, path: str | None = None) -> Secret:
        """A credential from a manager, a variable or a file, sealed."""
        value: Secret | None = getattr(self.settings, name)
        if value is not None:
            text = value.reveal() if value.is_text else ""
        elif path is not None:
            try:
                with open(path, encoding="utf-8") as file:
                    text = file.read(64 * 1024)
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is no text"
                raise UsageError(f"GitHub: `{name}_file`: can't read {path!r}: {reason}", docs="github-app") from None
        else:
            text = self.context.env.get(str(getattr(self.settings, f"{name}_env")), "")
        if not text.strip():
            raise UsageError(f"GitHub: `{name}` is empty", docs="github-credential")
        return self.context.seal(text.strip(), label)

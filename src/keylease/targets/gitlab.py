"""CI/CD variables of GitLab's projects, groups and instance.

Values can be read back, unless they are hidden, and so are compared themselves. GitLab tells no time of a change: of a
hidden variable, a change by somebody else can't be seen at all; its options and its absence can.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from keylease.context import Context
from keylease.errors import KeyleaseError, NotFoundError, RefusedError, UnreachableError, UsageError
from keylease.model import Env
from keylease.secret import Secret
from keylease.sync.ledger import part_of, variable_of
from keylease.sync.model import Limit, Listing, Option, Remote, Slot, Wanted
from keylease.sync.naming import matches
from keylease.targets.base import Place, Target
from keylease.vendors import gitlab_rules as rules
from keylease.vendors.gitlab_api import GitLabApi
from keylease.vendors.gitlab_errors import Container, Level
from keylease.vendors.gitlab_settings import GitLabSettings, complete
from keylease.vendors.gitlab_to import LEDGER_SCOPE, OPTIONS, PATH, GitLabTo, Projects, checked, listed, parse

DOCS = "sync-gitlab"

KIND = "variable"

_FIELDS = {"type": "variable_type"}
_MOST: Mapping[Level, int] = {"project": 8_000, "group": 30_000}
"""On gitlab.com, and elsewhere unless an administrator changed it (https://docs.gitlab.com/ci/variables/)."""

FILTER_SINCE = (16, 9)
"""Since when a group's variables of one name and several scopes can be told apart in the API."""


class GitLabTarget(Target):
    """Variables by GitLab's REST API."""

    kind = "gitlab"
    Settings = GitLabSettings
    To = GitLabTo
    record_size = rules.INSTANCE_VALUE

    settings: GitLabSettings

    def __init__(self, name: str, settings: GitLabSettings, context: Context) -> None:
        super().__init__(name, settings, context)
        self._api = GitLabApi(settings, context)
        self._there: dict[str, Mapping[Slot, Remote]] = {}
        """Address → what was there when it was listed."""
        self._one_scope: set[str] = set()
        """Addresses of groups where GitLab is too old to tell a name's scopes apart."""

    @property
    def api(self) -> GitLabApi:
        """What it asks with, for who lists more than variables."""
        return self._api

    # What the configuration says.

    @classmethod
    def complete(cls, settings: GitLabSettings, env: Env) -> GitLabSettings:
        """See the base class."""
        return complete(settings, env)

    @classmethod
    def checked(cls, to: GitLabTo) -> GitLabTo:
        """See the base class."""
        return checked(to)

    @classmethod
    def parse(cls, address: str) -> GitLabTo:
        """See the base class."""
        return parse(address)

    def permissions(self, tos: Sequence[GitLabTo]) -> Sequence[str]:
        """See the base class."""
        found = []
        for to in tos:
            levels: list[Level] = ["project"] if to.project or to.projects else ["group"] if to.group else ["instance"]
            found += [f"{level}s: {Container(level, '', '').permission}" for level in levels]
            if to.projects:
                found.append("to find a group's projects: membership of the group (a group access token has it)")
        return list(dict.fromkeys(found))

    # Where.

    def places(self, to: GitLabTo) -> list[Place]:
        """See the base class; of a group's projects, one list."""
        options: dict[str, Option] = {"scope": to.scope} if not to.instance else {}
        options |= {key: value for key in OPTIONS if (value := getattr(to, key)) is not None}
        if not to.hidden:
            # A variable that is hidden already can't be shown again: that is no difference.
            del options["hidden"]
        if to.host and to.host.lower() != (self.settings.host or "gitlab.com"):
            raise UsageError(
                f"GitLab: `host` {to.host!a} is not that of the target {self.name!a}",
                change="name the target of that GitLab, or leave `host` out",
                docs=DOCS,
            )
        if to.instance:
            containers = [self._container("instance", "")]
        elif to.projects is not None:
            containers = [self._container("project", path) for path in self._selected(to.group, to.projects)]
        else:
            level: Level = "group" if to.group else "project"
            containers = [self._container(level, path) for path in listed(to.project) or [to.group]]
        return [Place(container.address, KIND, options) for container in containers]

    def _selected(self, group: str, wanted: Projects) -> list[str]:
        """Paths of a group's projects. https://docs.gitlab.com/api/groups/#list-projects"""
        names, topics = listed(wanted.names), listed(wanted.topics)
        query = {
            "archived": "false",
            "with_shared": "false",
            "simple": "true",
            "order_by": "id",
            "sort": "asc",
            "include_subgroups": "true" if wanted.subgroups else "false",
        }
        if topics:
            query["topic"] = topics[0]
        doing = f"gitlab://{group}?level=group: list its projects"
        found = []
        for item in self._api.items(f"/groups/{quote(group, safe='')}/projects", doing, query=query):
            path, has = item.get("path_with_namespace"), item.get("topics")
            if not isinstance(path, str) or not PATH.fullmatch(path):
                raise UnreachableError(f"GitLab: {doing}: the answer is not the API's", docs="garbage")
            if not path.lower().startswith(f"{group.lower()}/"):
                # The group has another name now, or it is another's: values go to what the configuration names.
                raise UnreachableError(
                    f"GitLab: {doing}: there is {path}, which is not below {group}",
                    cause="the group was renamed or moved",
                    change="name it as it is called now",
                    docs=DOCS,
                )
            below = path[len(group) + 1 :]
            named = not names or any(matches(glob, each) for glob in names for each in (below, path.split("/")[-1]))
            if named and item.get("archived") is not True and set(topics) <= set(has if isinstance(has, list) else []):
                found.append(path)
        if not found:
            raise NotFoundError(
                f"GitLab: {group}: no project of the group is selected",
                cause=f"names: {', '.join(names) or 'all'}; topics: {', '.join(topics) or 'all'}; no archived ones",
                change="check `projects:`, and that the token's user is a member",
                docs=DOCS,
            )
        return found

    def _container(self, level: Level, path: str) -> Container:
        # GitLab finds paths whatever their case, and has no two that differ in it alone.
        query = [] if not self.settings.host else [("host", self.settings.host)]
        query += [] if level == "project" else [("level", level)]
        text = "&".join(f"{key}={quote(value, safe='/:.')}" for key, value in query)
        return Container(level, path.lower(), f"gitlab://{path.lower()}" + (f"?{text}" if text else ""))

    def _of(self, place: Place) -> Container:
        parts = urlsplit(place.address)
        level = dict(parse_qsl(parts.query)).get("level", "project")
        return self._container(level, (parts.netloc + parts.path).strip("/"))  # type: ignore[arg-type]

    def slot(self, place: Place, name: str) -> Slot:
        """See the base class: variables of one name are told apart by their environment scope."""
        return Slot(KIND, name, str(place.options.get("scope", "*")) if self._of(place).scopes else "")

    # What is there.

    def list(self, place: Place) -> Listing:
        """See the base class."""
        container = self._of(place)
        items = self._api.items(container.variables, f"{container.address}: list the variables", container)
        remotes: dict[Slot, Remote] = {}
        ledgers: dict[str, dict[int, str]] = {}
        for item in items:
            remote = self._remote(container, item)
            part = part_of(remote.slot.name)
            if part is None:
                remotes[remote.slot] = remote
            elif remote.slot.scope == _ledger_scope(container) and remote.value is not None:
                ledgers.setdefault(part[0], {})[part[1]] = remote.value.reveal()
        self._there[place.address] = remotes
        names = [slot.name for slot in remotes]
        if container.level == "group" and len(names) != len(set(names)) and self._api.version() < FILTER_SINCE:
            self._one_scope.add(place.address)
        return Listing(remotes, ledgers, self._limits(container, len(items) - len(remotes)))

    def _remote(self, container: Container, item: Mapping[str, Any]) -> Remote:
        name, value, scope = item.get("key"), item.get("value"), item.get("environment_scope", "*")
        if not isinstance(name, str) or not isinstance(scope, str) or not isinstance(value, str | None):
            raise UnreachableError(
                f"GitLab: {container.address}: list the variables: the answer is not the API's", docs="garbage"
            )
        masked = item.get("masked") is True
        secret = None
        if value is not None and item.get("hidden") is not True:
            # What is not masked is no secret by its owner's word: masking `production` would wreck the log. It stays in
            # its container all the same.
            secret = self.context.seal(value, f"{container.address} {name}") if masked else Secret(value)
        options: dict[str, Option] = {"scope": scope} if container.scopes else {}
        for key in OPTIONS:
            found = item.get(_FIELDS.get(key, key))
            if isinstance(found, str | bool):
                options[key] = found
        if "description" in item:
            options.setdefault("description", "")
        return Remote(Slot(KIND, name, scope if container.scopes else ""), "", secret, options)

    def _limits(self, container: Container, ledgers: int) -> Sequence[Limit]:
        if container.level == "instance":
            most = self._api.instance_limit()
            text = f"{most} variables per instance (an administrator may raise it)"
        else:
            # Elsewhere an administrator may have raised it: there GitLab's own answer decides.
            most = _MOST[container.level] if not self.settings.host else None
            text = f"{most} variables per {container.level}"
        if most is None:
            return []
        left = max(1, most - ledgers - 1)  # one for a part of the ledger that comes
        return [Limit(frozenset({KIND}), left, f"{text}, of which ledgers leave {left}")]

    # What may be written.

    def check(self, place: Place, wanted: Wanted) -> str:
        """See the base class."""
        container, options, slot = self._of(place), wanted.options, wanted.slot
        problem = rules.name_problem(slot.name)
        if problem:
            return problem
        if not wanted.value.is_text:
            return "it is binary, or has a NUL: GitLab's variables are text; store it in base64 at its source"
        there = self._there.get(place.address, {}).get(slot)
        before = there.options if there else {}
        effective = {**before, **options}
        value = wanted.value.reveal()
        if there and options.get("hidden") and not before.get("hidden"):
            return "it is there unhidden, and GitLab hides new variables only: delete it there, or leave `hidden` out"
        if before.get("hidden") and not effective.get("masked"):
            return "it is hidden there, and so stays masked: leave `masked` out, or delete it there"
        if effective.get("masked"):
            problem = rules.mask_problem(value, raw=effective.get("raw") is True)
        problem = problem or rules.size_problem(
            slot.name, value, level=container.level, file=effective.get("type") == "file"
        )
        if not problem and place.address in self._one_scope and self._has_other_scope(place, slot):
            problem = (
                "GitLab before 16.9 can't tell a group's variables of one name by their scope: it may change another"
            )
        return problem

    def _has_other_scope(self, place: Place, slot: Slot) -> bool:
        there = self._there.get(place.address, {})
        return any(each.name == slot.name and each.scope != slot.scope for each in there)

    # Writes.

    def put(self, place: Place, wanted: Wanted, *, exists: bool) -> None:
        """See the base class."""
        container, slot = self._of(place), wanted.slot
        self._api.check_may_write(container)
        body = {_FIELDS.get(key, key): value for key, value in wanted.options.items() if key in OPTIONS}
        body["value"] = wanted.value.reveal()
        hidden = body.pop("hidden", False)
        if exists:
            found = self._api.update(container, slot.name, slot.scope, body)
            try:
                self._must_be(container, found, body, slot)
            except RefusedError as error:  # the value was written
                raise UnreachableError(error.summary, cause=error.cause, change=error.change, docs=DOCS) from None
            return
        if hidden:
            # GitLab before 17.4 does not know the one: it masks at least by the other.
            body |= {"masked_and_hidden": True, "masked": True}
        self._create(container, slot, body)

    def _create(self, container: Container, slot: Slot, body: Mapping[str, Any]) -> None:
        scope = {"environment_scope": slot.scope} if container.scopes else {}
        found, ours = self._api.create(container, {"key": slot.name, **scope, **body})
        try:
            self._must_be(container, found, body, slot)
        except RefusedError as error:
            if ours:
                self._undo(container, found, error)
            raise

    def _must_be(self, container: Container, found: Mapping[str, Any], body: Mapping[str, Any], slot: Slot) -> None:
        """Raise :class:`RefusedError` unless GitLab says that it stored what it was sent.

        What a GitLab does not know it leaves out without a word: a scope of a group in the free tier, `hidden` before
        17.4, `raw` before 15.7.
        """
        asked = {key: value for key, value in body.items() if key not in ("value", "masked_and_hidden", "description")}
        if body.get("masked_and_hidden"):
            asked["hidden"] = True
        elif found.get("value") is not None and found.get("value") != body["value"]:
            raise RefusedError(
                f"GitLab: {container.address}: {slot}: there is another value now",
                cause="somebody else wrote it at the same time",
                change="run it again",
                docs=DOCS,
            )
        if container.scopes:
            asked["environment_scope"] = slot.scope
        for key, value in asked.items():
            if found.get(key) != value:
                raise RefusedError(
                    f"GitLab: {container.address}: {slot}: it left out `{key}`",
                    cause="this GitLab is too old for it (raw: 15.7, hidden: 17.4), or its tier does not have it "
                    "(scopes of a group's variables are in Premium and Ultimate)",
                    change=f"leave `{'scope' if key == 'environment_scope' else key}` out of `to:`",
                    docs=DOCS,
                )

    def _undo(self, container: Container, found: Mapping[str, Any], error: KeyleaseError) -> None:
        # It was made in this moment, by us, and is not what was asked for: visible, or for every environment.
        try:
            self._api.delete(container, str(found["key"]), str(found.get("environment_scope", "")))
        except KeyleaseError:
            raise UnreachableError(
                error.summary, cause=f"{error.cause}; and it could not be deleted again", change=error.change, docs=DOCS
            ) from None

    def delete(self, place: Place, slot: Slot) -> None:
        """See the base class."""
        container = self._of(place)
        self._api.check_may_write(container)
        if place.address in self._one_scope and self._has_other_scope(place, slot):
            raise RefusedError(
                f"GitLab: {place.address}: {slot}: another scope's variable could be deleted instead",
                cause="GitLab before 16.9 can't tell a group's variables of one name by their scope",
                change="delete it there by hand",
                docs=DOCS,
            )
        self._api.delete(container, slot.name, slot.scope)

    def record(self, place: Place, sync: str, texts: Mapping[int, str], there: Mapping[int, str]) -> None:
        """See the base class."""
        container = self._of(place)
        self._api.check_may_write(container)
        scope = _ledger_scope(container)
        for number, text in texts.items():
            name = variable_of(sync, number)
            if text == there.get(number, ""):
                continue
            if not text:
                self._api.delete(container, name, scope)
            elif number in there:
                self._api.update(container, name, scope, {"value": text})
            else:
                # Of no use to any job: a project's has a scope of its own, and no other branch than protected ones
                # gets it. Not masked, as it is no secret and has to be read back; raw, so that it comes back as it is.
                body = {"value": text, "variable_type": "env_var", "masked": False, "protected": True, "raw": True}
                self._create(container, Slot(KIND, name, scope), body)


def _ledger_scope(container: Container) -> str:
    # Groups have scopes in Premium and Ultimate only.
    return {"project": LEDGER_SCOPE, "group": "*", "instance": ""}[container.level]

"""GitHub: who holds which secrets, how they are protected, and who may use them.

https://docs.github.com/rest. Requests: 8 for each repository and those of github_repository.py; for an organisation one
for each 100 repositories, and some ten of its own. What has not changed since the last run with the same ``cache:`` of
the target costs nothing of the hour's limit.
"""

import datetime as dt
import hashlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import msgspec

from keylease.audit.model import Inventory, Record
from keylease.collectors import github_items as items
from keylease.collectors.base import Collector
from keylease.collectors.github_repository import (
    STORES,
    RepositoryReader,
    secret_subject,
    secrets_of,
    subject_of,
    variables,
    without_id,
)
from keylease.errors import DeadlineError, KeyleaseError, RefusedError, UnreachableError, UsageError
from keylease.model import Env
from keylease.parallel import given, parallel
from keylease.vendors.github_api import VARIABLES_PAGE, Api, Item
from keylease.vendors.github_errors import permission
from keylease.vendors.github_lists import Wanted, counted, following, linked, one
from keylease.vendors.github_select import chosen
from keylease.vendors.github_settings import GitHubTo, Select, checked

_AUDIT_LOG_DAYS = 180
"""How long GitHub keeps events:
https://docs.github.com/enterprise-cloud@latest/organizations/keeping-your-organization-secure/managing-security-settings-for-your-organization/reviewing-the-audit-log-for-your-organization"""

_FAULTS = 10
"""Requests that may go unanswered, after all attempts, until it is taken that all will."""

_NAMED = 3
PUBLIC_HOST = "github.com"
_APP_ONLY = (
    "ask with a GitHub App (`app_id` of the target) that has "
    f"`{permission('organization_personal_access_tokens', 'read')}`: GitHub shows this list to no token"
)
_ENTERPRISE = (
    "needs GitHub Enterprise Cloud, and a credential with "
    f"`{permission('organization_administration', 'read')}` of an owner; else turn it off with `members: false`"
)

T = TypeVar("T")


class GitHubCollectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of GitHub is looked at.

    organization: ``acme``, with its repositories. repository: ``acme/trainer`` alone. select: which repositories of the
        organisation; archived ones are listed, and not looked into.
    workflows: read which secrets the workflows use. members: see who left the organisation (its audit log).
    """

    organization: str = ""
    repository: str = ""
    select: Select | None = None
    workflows: bool = True
    members: bool = True


class GitHubCollector(Collector):
    """One organisation, or one repository. shard: (which, of how many), from 1: the first one has the organisation."""

    type = "github"
    kinds = (
        "github.repository",
        "github.organization",
        "github.secret",
        "github.variable",
        "github.environment",
        "github.deploy_key",
        "github.token_grant",
        "github.installation",
        "github.usage",
        "github.departure",
        "github.token",
    )
    permissions = tuple(
        permission(key, "read")
        for key in (
            "metadata",
            "actions",
            "administration",
            "contents",
            "secrets",
            "actions_variables",
            "dependabot_secrets",
            "codespaces_secrets",
            "environments",
            "organization_secrets",
            "organization_actions_variables",
            "organization_dependabot_secrets",
            "organization_codespaces_secrets",
            "organization_administration",
            "organization_personal_access_tokens",
            "members",
        )
    )
    via = "target"
    via_types = ("github",)
    Settings = GitHubCollectSettings
    sharded = True

    settings: GitHubCollectSettings

    @classmethod
    def complete(cls, settings: Any, env: Env) -> Any:
        """See :meth:`Collector.complete`."""
        del env
        to = checked(
            GitHubTo(organization=settings.organization, repository=settings.repository, select=settings.select)
        )
        return msgspec.structs.replace(settings, organization=to.organization, repository=to.repository)

    def collect(self) -> Inventory:
        """See :meth:`Collector.collect`."""
        target, settings = self.access.target, self.settings
        if target is None or target.kind != "github":
            raise UsageError("GitHub: the inventory needs a target of type github", change="give `target: NAME`")
        self._lock = threading.Lock()
        self._faults = 0
        self._down: KeyleaseError | None = None
        self._refused: dict[tuple[str, str, str], list[str]] = {}
        self.server = target.settings.host or PUBLIC_HOST
        owner = settings.organization or settings.repository.partition("/")[0]
        api: Api = cast(Any, target).api(owner)
        repositories = self._repositories(api)
        if settings.organization and self.shard[0] == 1:
            self._organization(api, repositories)
        reader = RepositoryReader(
            api, self._attempt, self.context.seal, workflows=settings.workflows, server=self._is_server
        )
        wanted = self._wanted(api, repositories)
        for found in parallel(reader.read, wanted, self.context.deadline, "collecting from GitHub") if wanted else ():
            self._take(given(found))
        self.whole(*self.kinds[0:1], *self.kinds[2:6], *(["github.usage"] if settings.workflows else []))
        if self.shard[0] == 1:
            self._own(api, owner)
        self._tell()
        return self.inventory

    @property
    def _is_server(self) -> bool:
        return self.server != PUBLIC_HOST

    def record(self, kind: str, subject: str, /, **facts: Any) -> None:
        """See :meth:`Collector.record`. Subjects begin with an Enterprise Server's name; github.com's is left out."""
        if self._is_server:
            subject = subject.replace("github://", f"github://{self.server}/", 1)
        super().record(kind, subject, **facts)

    def _take(self, records: Sequence[Record]) -> None:
        for each in records:
            self.record(each.kind, each.subject, **each.facts)

    def _own(self, api: Api, owner: str) -> None:
        """What the credential in hand says of itself: a classic token its scopes, any token with an end that."""
        self.whole("github.token")
        told = items.credential(api.told)
        if told:
            assert self.access.target is not None
            name = self.access.target.name
            self.record("github.token", subject_of(owner, "token", name), name=name, holder=owner, **told)

    # Repositories.

    def _repositories(self, api: Api) -> list[Item]:
        settings, needs = self.settings, permission("metadata", "read")
        if settings.repository:
            path, doing = f"/repos/{settings.repository}", f"looking at {settings.repository}"
            return [one(api, Wanted(path, doing, needs, "repository", items.repository))]
        path, doing = f"/orgs/{settings.organization}/repos", f"listing repositories of {settings.organization}"
        # By age: one that is made meanwhile comes last, and moves no other.
        query = {"type": "all", "sort": "created", "direction": "asc"}
        found = linked(api, Wanted(path, doing, needs, "repository", items.repository, query))
        own = f"{settings.organization}/".lower()
        if any(not each["full_name"].lower().startswith(own) for each in found):
            raise UnreachableError(
                f"GitHub: {doing}: a repository of another account in the answer",
                change="check `url` and the proxy",
                docs="garbage",
            )
        return sorted(found, key=lambda each: str(each["full_name"]).lower())

    def _wanted(self, api: Api, repositories: list[Item]) -> list[Item]:
        """Those to look into: selected, of this shard, and able to run anything; the others are told of only."""
        settings = self.settings
        if settings.select is not None:
            named = {each.lower() for each in chosen(api, settings.organization, settings.select, repositories)}
            repositories = [each for each in repositories if each["full_name"].lower() in named]
        mine = [each for each in repositories if self._is_ours(f"github://{each['full_name'].lower()}")]
        for each in mine:
            if each["archived"] or each["disabled"]:
                facts = {name: each[name] for name in ("visibility", "fork", "default_branch")}
                name = str(each["full_name"])
                self.record("github.repository", subject_of(name), name=name, archived=True, **facts)
        return [each for each in mine if not each["archived"] and not each["disabled"]]

    def _is_ours(self, address: str) -> bool:
        which, of = self.shard
        return int.from_bytes(hashlib.sha256(address.encode()).digest()[:8]) % of == which - 1

    # The organisation's own.

    def _organization(self, api: Api, repositories: list[Item]) -> None:
        name = self.settings.organization
        facts: Item = {"name": name}
        for seen in ("public", "private", "internal"):
            facts[seen] = sum(each["visibility"] == seen for each in repositories)
        facts["active"] = sum(not each["archived"] and not each["disabled"] for each in repositories)
        needs = permission("organization_administration", "read")
        wanted = Wanted(f"/orgs/{name}", "looking at the organisation", needs, "organization", items.organization)
        whole = self._attempt("github.organization", name, lambda: one(api, wanted))
        facts["complete"] = whole is not None and whole["repositories"] == len(repositories)
        if whole is not None and (whole["repositories"] or 0) > len(repositories):
            unseen = whole["repositories"] - len(repositories)
            what = f"GitHub: {unseen} of the {whole['repositories']} repositories of {name} can't be seen"
            change = "give the credential all repositories (of an App: Install App, Configure, All repositories)"
            for kind in (self.kinds[0], *self.kinds[2:6], *(["github.usage"] if self.settings.workflows else [])):
                self.problem(kind, what, change)
        path, doing = f"/orgs/{name}/actions/permissions/workflow", "reading what workflows may by default"
        wanted_permissions = Wanted(path, doing, needs, "permissions", items.workflow_permissions)
        facts |= self._attempt("github.organization", name, lambda: one(api, wanted_permissions)) or {}
        members = self._members(api) if self.settings.members else None
        if members is not None:
            facts["members"] = sorted(members, key=str.lower)
        self.record("github.organization", subject_of(name), **facts)
        for store in STORES:
            self._organization_secrets(api, store)
        self._organization_variables(api)
        self._grants(api)
        self._installations(api)
        if self.settings.members:
            if members is not None:  # else nobody knows who has come back
                self._departures(api, members)
            self.whole("github.departure")
        self.whole("github.organization", "github.token_grant", "github.installation")

    def _organization_secrets(self, api: Api, store: str) -> None:
        name, (path, key, words) = self.settings.organization, STORES[store]
        base, needs = f"/orgs/{name}/{path}", permission(f"organization_{key}", "read")
        wanted = Wanted(base, f"listing {words} of the organisation", needs, "secrets", items.secret)
        absent = self._is_server and store == "codespaces"
        for each in self._attempt("github.secret", name, lambda: secrets_of(api, wanted, absent=absent)) or ():
            facts = {**without_id(each), "store": store, "level": "organization", "holder": name}
            if each.get("visibility") == "selected":
                doing = f"listing the repositories of {words} of the organisation"
                some = Wanted(f"{base}/{each['name']}/repositories", doing, needs, "names", items.full_name)
                found = self._attempt("github.secret", name, partial(counted, api, some, "repositories"))
                if found is not None:
                    facts["repositories"] = sorted(repository["full_name"] for repository in found)
            self.record("github.secret", secret_subject(name, store, each["name"]), **facts)

    def _organization_variables(self, api: Api) -> None:
        name, needs = self.settings.organization, permission("organization_actions_variables", "read")
        wanted = Wanted(
            f"/orgs/{name}/actions/variables",
            "listing variables of the organisation",
            needs,
            "variables",
            lambda item: items.variable(item, self.context.seal),
            size=VARIABLES_PAGE,
        )
        found = self._attempt("github.variable", name, lambda: counted(api, wanted, "variables"))
        self._take(variables(found or [], name, "organization"))

    def _grants(self, api: Api) -> None:
        name, needs = self.settings.organization, permission("organization_personal_access_tokens", "read")
        path, doing = f"/orgs/{name}/personal-access-tokens", "listing fine-grained tokens of the organisation"
        wanted = Wanted(path, doing, needs, "grants", items.token_grant)
        for each in self._attempt("github.token_grant", name, lambda: linked(api, wanted), _APP_ONLY) or ():
            self.record("github.token_grant", subject_of(name, "token-grant", str(each["id"])), **each, holder=name)

    def _installations(self, api: Api) -> None:
        name, needs = self.settings.organization, permission("organization_administration", "read")
        wanted = Wanted(
            f"/orgs/{name}/installations", "listing installed Apps", needs, "installations", items.installation
        )
        for each in self._attempt("github.installation", name, lambda: counted(api, wanted, "installations")) or ():
            self.record("github.installation", subject_of(name, "installation", each["app"]), **each, holder=name)

    def _members(self, api: Api) -> list[str] | None:
        name, needs = self.settings.organization, permission("members", "read")
        wanted = Wanted(f"/orgs/{name}/members", "listing members", needs, "members", items.member)
        found = self._attempt("github.departure", name, lambda: linked(api, wanted))
        return None if found is None else [str(each["login"]) for each in found]

    def _departures(self, api: Api, members: list[str]) -> None:
        """Who was removed, and has not come back."""
        name, needs = self.settings.organization, permission("organization_administration", "read")
        since = (dt.datetime.now(dt.UTC) - dt.timedelta(days=_AUDIT_LOG_DAYS)).date()
        query = {"phrase": f"action:org.remove_member created:>={since}", "include": "web"}
        wanted = Wanted(f"/orgs/{name}/audit-log", "reading the audit log", needs, "log", items.departure, query)
        there = {each.lower() for each in members}
        last: dict[str, Item] = {}
        for each in self._attempt("github.departure", name, lambda: following(api, wanted), _ENTERPRISE) or ():
            person = str(each["person"])
            known = last.get(person.lower())
            if person and each["at"] and person.lower() not in there and (not known or known["at"] < each["at"]):
                last[person.lower()] = each
        for each in last.values():
            facts = {"person": each["person"], "organization": name, "at": each["at"]}
            self.record("github.departure", subject_of(name, "departure", each["person"].lower()), **facts)

    # What can't be had.

    def _attempt(self, kind: str, place: str, work: Callable[[], T], change: str = "") -> T | None:
        """See :class:`keylease.collectors.github_repository.Attempt`. Raises for what makes all of it impossible."""
        if self._down is not None:
            raise self._down
        try:
            return work()
        except DeadlineError:
            raise
        except KeyleaseError as error:
            if error.detail.get("status") == 401:
                raise
            with self._lock:
                self._faults += isinstance(error, UnreachableError)
                if self._faults >= _FAULTS:
                    self._down = error
                    raise
                said = change if change and isinstance(error, RefusedError) else error.change
                self._refused.setdefault((kind, error.summary, said), []).append(place)
            return None

    def _tell(self) -> None:
        """One problem for all places that refuse the same."""
        for (kind, what, change), places in sorted(self._refused.items()):
            some = sorted(set(places), key=str.lower)
            more = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
            self.problem(kind, f"{what} ({', '.join(some[:_NAMED])}{more})", change)

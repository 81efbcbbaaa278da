"""What one repository holds: secrets, variables, environments, deploy keys, and which secrets its workflows use.

Requests of a repository with nothing in it: 8 (permissions, secrets of three stores, variables, environments, deploy
keys, the directory of workflows); 2 more for each environment, one for its patterns of branches, and one for each
workflow file that was not seen before. Lists have 100 items a page; of variables: 30.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol, TypeVar
from urllib.parse import quote

from keylease.audit.model import Record
from keylease.audit.workflows import shown
from keylease.collectors import github_items as items
from keylease.collectors.github_usage import usage
from keylease.errors import NotFoundError
from keylease.model import Seal
from keylease.vendors.github_api import VARIABLES_PAGE, Api, Item
from keylease.vendors.github_errors import permission
from keylease.vendors.github_lists import Wanted, counted, linked, one

STORES = {
    "actions": ("actions/secrets", "secrets", "secrets"),
    "dependabot": ("dependabot/secrets", "dependabot_secrets", "Dependabot secrets"),
    "codespaces": ("codespaces/secrets", "codespaces_secrets", "Codespaces secrets"),
}
"""Store → path, GitHub's name of the permission, words."""

T = TypeVar("T")


class Attempt(Protocol):
    """Runs a request; one that is refused becomes a problem of `kind` at `place`, and gives None."""

    def __call__(self, kind: str, place: str, work: Callable[[], T]) -> T | None: ...


def subject_of(place: str, kind: str = "", name: str = "") -> str:
    """``github://acme/trainer/secret/NAME``. place: ``acme``, ``acme/trainer``; names are as GitHub compares them."""
    return "/".join(["github:/", *place.lower().split("/"), *([kind, quote(name, safe="")] if kind else [])])


class RepositoryReader:
    """Asks about repositories of one account; used by many threads. server: it is no github.com."""

    def __init__(self, api: Api, attempt: Attempt, seal: Seal, *, workflows: bool, server: bool) -> None:
        self._api = api
        self._attempt = attempt
        self._seal = seal
        self._workflows = workflows
        self._server = server
        self._proven = False

    def read(self, repository: Item) -> list[Record]:
        """All records of a repository."""
        return list(self._records(repository))

    def _records(self, repository: Item) -> Iterator[Record]:
        full = str(repository["full_name"])
        facts = {name: repository[name] for name in ("visibility", "archived", "fork", "default_branch")}
        path = f"/repos/{full}/actions/permissions/workflow"
        wanted = Wanted(
            path,
            "reading what workflows may by default",
            permission("administration", "read"),
            "permissions",
            items.workflow_permissions,
        )
        held = self._attempt("github.repository", full, lambda: one(self._api, wanted))
        yield Record("github.repository", subject_of(full), {"name": full, **facts, **(held or {})})
        for store in STORES:
            yield from self._secrets(full, store) or ()
        yield from self._variables(full, "")
        yield from self._environments(full)
        yield from self._keys(full)
        if self._workflows:
            yield from self._usage(repository)

    def _secrets(self, full: str, store: str) -> list[Record]:
        path, key, words = STORES[store]
        doing, needs = f"listing {words}", permission(key, "read")
        wanted = Wanted(f"/repos/{full}/{path}", doing, needs, "secrets", items.secret)
        absent = self._server and store == "codespaces"
        found = self._attempt("github.secret", full, lambda: secrets_of(self._api, wanted, absent=absent))
        facts = {"store": store, "level": "repository", "holder": full}
        return [
            Record("github.secret", secret_subject(full, store, each["name"]), {**without_id(each), **facts})
            for each in found or ()
        ]

    def _variables(self, full: str, environment: str) -> list[Record]:
        base, level, key = f"/repos/{full}/actions", "repository", "actions_variables"
        if environment:
            base, level, key = _environment_path(full, environment), "environment", "environments"
        doing, needs = f"listing variables of {'environments' if environment else 'Actions'}", permission(key, "read")
        wanted = Wanted(
            f"{base}/variables",
            doing,
            needs,
            "variables",
            lambda item: items.variable(item, self._seal),
            size=VARIABLES_PAGE,
        )
        found = self._attempt("github.variable", full, lambda: counted(self._api, wanted, "variables"))
        return variables(found or [], full, level, environment)

    def _environments(self, full: str) -> Iterator[Record]:
        path, needs = f"/repos/{full}/environments", permission("actions", "read")
        wanted = Wanted(path, "listing environments", needs, "environments", items.environment)
        found = self._attempt("github.environment", full, lambda: counted(self._api, wanted, "environments"))
        if found is None:
            # Without their names nobody can ask for their secrets either.
            self._attempt("github.secret", full, lambda: _unknown("secrets"))
            self._attempt("github.variable", full, lambda: _unknown("variables"))
        for each in found or ():
            yield from self._environment(full, each)

    def _environment(self, full: str, environment: Item) -> Iterator[Record]:
        name = str(environment["name"])
        facts = {**without_id(environment), "repository": full, "branch_patterns": []}
        if name in (".", ".."):  # clients take these out of a path, quoted or not
            self._attempt("github.secret", full, lambda: _unknown("secrets"))
            yield Record("github.environment", subject_of(full, "environment", name), facts)
            return
        base, needs = _environment_path(full, name), permission("environments", "read")
        wanted = Wanted(f"{base}/secrets", "listing secrets of environments", needs, "secrets", items.secret)
        secrets = self._attempt("github.secret", full, lambda: secrets_of(self._api, wanted))
        if secrets is not None:
            facts["secrets"] = len(secrets)
        facts |= self._protection(full, base, environment, held=bool(secrets))
        yield Record("github.environment", subject_of(full, "environment", name), facts)
        more = {"store": "actions", "level": "environment", "holder": full, "environment": name}
        for each in secrets or ():
            subject = f"{subject_of(full, 'environment', name)}/secret/{quote(each['name'], safe='')}"
            yield Record("github.secret", subject, {**without_id(each), **more})
        yield from self._variables(full, name)

    def _protection(self, full: str, base: str, environment: Item, *, held: bool) -> Item:
        """What takes a request of its own: patterns; the rules of Apps, where nothing else protects its secrets."""
        needs = permission("actions", "read")
        if environment["branches"] == "custom":
            path = f"{base}/deployment-branch-policies"
            wanted = Wanted(path, "listing branches that may deploy", needs, "branches", items.branch_policy)
            found = self._attempt("github.environment", full, lambda: counted(self._api, wanted, "branch_policies"))
            return {} if found is None else {"branch_patterns": sorted(each["name"] for each in found)}
        if held and environment["branches"] == "all" and not environment["reviewers"]:
            path = f"{base}/deployment_protection_rules"
            wanted = Wanted(path, "listing protection rules", needs, "rules", items.protection_rules)
            return self._attempt("github.environment", full, lambda: one(self._api, wanted)) or {"custom_rules": None}
        return {}

    def _keys(self, full: str) -> list[Record]:
        needs = permission("administration", "read")
        wanted = Wanted(f"/repos/{full}/keys", "listing deploy keys", needs, "keys", items.deploy_key)
        found = self._attempt("github.deploy_key", full, lambda: linked(self._api, wanted))
        return [
            Record("github.deploy_key", subject_of(full, "deploy-key", str(each["id"])), {**each, "holder": full})
            for each in found or ()
        ]

    def _usage(self, repository: Item) -> Iterator[Record]:
        full, public = str(repository["full_name"]), repository["visibility"] == "public"
        found = self._attempt("github.usage", full, lambda: usage(self._api, full, proven=self._proven or public))
        if found is None:
            return
        self._proven |= not public
        facts, unread = found
        for why in unread:
            self._attempt("github.usage", full, partial(_unread, why))
        yield Record("github.usage", subject_of(full, "usage", "workflows"), facts)


def secret_subject(place: str, store: str, name: str) -> str:
    """Of a repository's or an organisation's secret."""
    return subject_of(place, "secret" if store == "actions" else f"{store}-secret", name)


def secrets_of(api: Api, wanted: Wanted, *, absent: bool = False) -> list[Item]:
    """A list of secrets. absent: there may be no such store: an Enterprise Server has no Codespaces."""
    try:
        return counted(api, wanted, "secrets")
    except NotFoundError:
        if absent:
            return []
        raise


def without_id(item: Item) -> Item:
    """The facts of an item."""
    return {name: value for name, value in item.items() if name != "id"}


def variables(found: list[Item], holder: str, level: str, environment: str = "") -> list[Record]:
    """Records of variables; ledgers of a sync are none."""
    records = []
    for each in found:
        if "ledger" in each:
            continue
        facts = {**without_id(each), "level": level, "holder": holder}
        subject = subject_of(holder, "variable", each["name"])
        if environment:
            facts["environment"] = environment
            where = subject_of(holder, "environment", environment)
            subject = f"{where}/variable/{quote(each['name'], safe='')}"
        records.append(Record("github.variable", subject, facts))
    return records


def _environment_path(full: str, environment: str) -> str:
    return f"/repos/{full}/environments/{quote(environment, safe='')}"


def _unknown(what: str) -> None:
    raise NotFoundError(
        f"GitHub: the {what} of environments can't be listed: which environments there are is not known",
        change=f"grant the credential `{permission('actions', 'read')}`",
    )


def _unread(why: str) -> None:
    raise NotFoundError(f"GitHub: a workflow can't be judged: {shown(why, 160)}", change="mend the file")

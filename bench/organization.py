"""A GitHub organisation of any size, with known faults: as an inventory, on the tests' fake GitHub, and what is found.

All three come from :class:`Repo`, so that what is collected and what is written by hand are judged alike.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keylease.audit.model import Inventory, Record
from keylease.registry import COLLECTORS

if TYPE_CHECKING:
    from tests.fakes.github_rest import GitHubRest

NAME = "acme"
SHARED = "NPM_TOKEN"
"""The organisation's own secret, which all its repositories see."""

SECRETS = 10
"""Of each repository, its environment's included."""

_FRESH, _STALE, _ROTTEN = 20, 200, 400
"""Days since a secret was changed; 180 are allowed, and twice that is worse."""


@dataclass(frozen=True)
class Repo:
    """The repository of this number. Every tenth has an environment with one of its secrets; and so on."""

    index: int

    @property
    def full(self) -> str:
        """``acme/model-0007``."""
        return f"{NAME}/model-{self.index:04}"

    @property
    def secrets(self) -> dict[str, int]:
        """Name → days since it was changed. The last one is used by no workflow."""
        names = [f"SECRET_{number:02}" for number in range(SECRETS)]
        if self.shadows:
            names[5] = SHARED
        if self.stores_key:
            names[6] = "OPENAI_API_KEY"
        ages = [_STALE, _ROTTEN] + [_FRESH] * (SECRETS - 2)
        return dict(zip(names, ages, strict=True))

    @property
    def used(self) -> list[str]:
        """What its workflow uses."""
        return list(self.secrets)[:-1]

    @property
    def shadows(self) -> bool:
        """Whether it has a secret of the organisation's name."""
        return self.index % 50 == 0

    @property
    def stores_key(self) -> bool:
        """Whether one of its secrets is a key in place of which OIDC would do."""
        return self.index % 25 == 1

    @property
    def environment(self) -> str:
        """The name of an environment that nothing protects, if it has one; it holds the secret before the last."""
        return "prod" if self.index % 10 == 2 else ""

    @property
    def writes(self) -> bool:
        """Whether its workflows may write by default."""
        return self.index % 8 == 3

    @property
    def key(self) -> bool:
        """Whether it has a deploy key that may write."""
        return self.index % 20 == 4

    @property
    def workflow(self) -> str:
        """Its text; no two are alike."""
        lines = [f"          {name}: ${{{{ secrets.{name} }}}}\n" for name in self.used]
        return (
            f"name: {self.full}\non: push\njobs:\n  build:\n    runs-on: ubuntu-24.04\n    environment: prod\n"
            f"    steps:\n      - run: make test\n        env:\n{''.join(lines)}"
        )

    def held(self) -> Iterator[tuple[str, str, int]]:
        """(environment or nothing, name, days since it was changed)."""
        for number, (name, days) in enumerate(self.secrets.items()):
            yield (self.environment if number == SECRETS - 2 else ""), name, days


def repositories(number: int) -> list[Repo]:
    """So many."""
    return [Repo(index) for index in range(number)]


def inventory(number: int, now: dt.datetime) -> Inventory:
    """What a collector would make of it."""
    return Inventory(list(_records(repositories(number), now)), set(COLLECTORS.load("github").kinds), now=now)


def _records(repos: list[Repo], now: dt.datetime) -> Iterator[Record]:
    count = {"public": 0, "private": len(repos), "internal": 0, "active": len(repos), "complete": True}
    default = {"workflow_permissions": "read", "can_approve": False, "members": ["ada"]}
    yield Record("github.organization", f"github://{NAME}", {"name": NAME, **count, **default})
    facts = {"store": "actions", "level": "organization", "holder": NAME, "visibility": "all", **_dates(now, _FRESH)}
    yield Record("github.secret", f"github://{NAME}/secret/{SHARED}", {"name": SHARED, **facts})
    for repo in repos:
        subject = f"github://{repo.full}"
        given = {"visibility": "private", "archived": False, "fork": False, "default_branch": "main"}
        may = {"workflow_permissions": "write" if repo.writes else "read", "can_approve": False}
        yield Record("github.repository", subject, {"name": repo.full, **given, **may})
        for environment, name, days in repo.held():
            where = f"{subject}/environment/{environment}" if environment else subject
            more = {"level": "environment", "environment": environment} if environment else {"level": "repository"}
            facts = {"name": name, "store": "actions", "holder": repo.full, **more, **_dates(now, days)}
            yield Record("github.secret", f"{where}/secret/{name}", facts)
        if repo.environment:
            open_to_all: dict[str, Any] = {
                "reviewers": 0,
                "self_review_prevented": False,
                "wait_minutes": 0,
                "custom_rules": 0,
            }
            open_to_all |= {"branches": "all", "branch_patterns": [], "admins_bypass": True, "secrets": 1}
            about: dict[str, Any] = {"name": repo.environment, "repository": repo.full, **open_to_all}
            yield Record("github.environment", f"{subject}/environment/{repo.environment}", about)
        if repo.key:
            deploy: dict[str, Any] = {
                "name": "deploy",
                "read_only": False,
                "active": True,
                "added_by": "ada",
                "holder": repo.full,
            }
            deploy |= {"id": repo.index, "created_at": _text(now, _FRESH), "last_used_at": _text(now, 1)}
            yield Record("github.deploy_key", f"{subject}/deploy-key/{repo.index}", deploy)
        uses = {"names": sorted(repo.used), "dynamic": False, "inherits": False, "whole": True}
        yield Record("github.usage", f"{subject}/usage/workflows", {"repository": repo.full, **uses})


def fill(server: "GitHubRest", number: int, now: dt.datetime) -> None:
    """The same on the fake."""
    from tests.fakes.github_rest_audit import key
    from tests.fakes.github_rest_state import Value

    for repo in repositories(number):
        more = {"environments": {repo.environment}} if repo.environment else {}
        made = server.add_repository(repo.full, visibility="private", **more)
        made.workflow_permissions = ("write" if repo.writes else "read", False)
        made.files[".github/workflows/ci.yml"] = repo.workflow.encode()
        if repo.key:
            dates = {"created_at": _text(now, _FRESH), "last_used": _text(now, 1)}
            made.keys.append(key(repo.index, "deploy", read_only=False, **dates))
        for environment, name, days in repo.held():
            place = f"{repo.full}?{environment}" if environment else repo.full
            server.store(place, "secret").values[name] = Value(b"x", _text(now, days), _text(now, days))
    date = _text(now, _FRESH)
    server.store(NAME, "secret").values[SHARED] = Value(b"x", date, date, visibility="all")
    organization = server.organization(NAME)
    organization.members, organization.log = ["ada"], []


def expected(number: int) -> Counter[str]:
    """Findings by rule, of every persona."""
    repos = repositories(number)
    found = Counter(
        {
            "credential-stale": 2 * number,
            "github-secret-unused": number,
            "github-secret-all-repositories": 1,
            "github-secret-shadowed": sum(repo.shadows for repo in repos),
            "github-secret-static-key": sum(repo.stores_key for repo in repos),
            "github-environment-unprotected": sum(bool(repo.environment) for repo in repos),
            "github-workflow-write-default": sum(repo.writes for repo in repos),
            "github-deploy-key-write": sum(repo.key for repo in repos),
        }
    )
    return +found


def least(number: int, *, again: bool = False) -> int:
    """Requests that no collector could do without, by GitHub's documentation.

    The repositories by 100; ten lists of the organisation's own; of each repository eight (its permissions, secrets of
    three stores, variables, environments, deploy keys, the directory of workflows) and its one workflow file, unless a
    cache has it (again); of each environment three: secrets, variables, and rules of Apps, as nothing else protects it.
    """
    environments = sum(bool(repo.environment) for repo in repositories(number))
    return -(-number // 100) + 10 + number * (8 if again else 9) + 3 * environments


def twice(number: int) -> int:
    """Requests above it: a list of several pages is read again, as one that shrinks meanwhile hides what moved. They
    are answered 304, which costs nothing."""
    pages = -(-number // 100)
    return pages if pages > 1 else 0


def _dates(now: dt.datetime, days: int) -> dict[str, str]:
    return {"created_at": _text(now, days), "updated_at": _text(now, days)}


def _text(now: dt.datetime, days: int) -> str:
    return (now - dt.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")

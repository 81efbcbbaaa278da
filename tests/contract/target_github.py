"""GitHub's secrets and variables, on the fake that is held against GitHub's own description."""

import pytest

from keylease.context import Context
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.sync.model import Slot
from keylease.targets.base import Place
from keylease.targets.github import GitHubTarget
from keylease.vendors.github_settings import GitHubSettings
from keylease.vendors.github_values import LARGEST
from tests.contract.target_harness import WireHarness
from tests.fakes.github_rest import GitHubRest
from tests.fakes.misbehaving import Proxy
from tests.leaks import Seeded

_HIGH = {"writes_per_minute": 10_000, "points_per_minute": 0}


class GitHubHarness(WireHarness):
    """The battery runs for each kind at a repository, and for what differs at environments and organisations.

    A harness's kind is a place's: ``secret``, ``secret@environment`` …
    """

    kinds = (
        *("secret", "variable", "dependabot", "codespaces", "secret@environment", "variable@environment"),
        *("secret@organization", "variable@organization", "dependabot@organization", "codespaces@organization"),
    )
    largest = LARGEST
    good_names = ("A", "DB_PASSWORD_2", "_X", "A" * 200)
    bad_names = ("1A", "A-B", "A B", "", "É", "GITHUB_TOKEN", "github_x", "A\n", "A/B")
    bad_addresses = (
        *("github://", "github:///x", "github://acme/", "github://acme/a/b", "github://acme/..", "gitlab://acme/x"),
        *("github://acme/x?environment=", "github://acme/x?environment=a&environment=b", "github://acme/x?nosuch=1"),
        *("github://acme/x?kind=other", "github://acme?environment=prod", "github://acme/x?visibility=all"),
        *("github://acme/x?environment=prod&kind=dependabot", "github://acme?visibility=some", "github://-/x"),
        *("github://acme/x#y", "github://acme/x\n", "github://a b/x", "acme/x"),
    )
    list_permission = "Secrets: read"
    write_permission = "Secrets: read and write"
    ledger_permission = "Variables: read and write"
    list_pattern = "/*"
    write_pattern = "/*"

    def __init__(self, server: GitHubRest, proxy: Proxy, seeded: Seeded) -> None:
        self.github, self.proxy, self._seeded = server, proxy, seeded
        for number in (1, 2):
            server.add_repository(f"acme{number}/trainer", environments={"prod"})
        self._token = server.add_token()
        self.context = self.new_context()
        self.seal = self.context.seal
        host = proxy.url.partition("://")[2]
        self.addresses = (
            ("github://acme1/trainer", "github://ACME1/Trainer?kind=variable", f"github://acme1/trainer?host={host}"),
            ("github://acme1/trainer?environment=prod", "github://acme1/trainer?kind=variable&environment=PROD"),
            ("github://acme1", "github://Acme1?visibility=all", "github://acme1?kind=codespaces"),
        )

    def new_context(self, seconds: float = 30) -> Context:
        return Context({}, Masker(), Deadline(seconds))

    def target(self, token: str = "", **settings: object) -> GitHubTarget:
        context = self.new_context()
        self._seeded.add(token or self._token)
        sealed = context.seal(token or self._token, "token")
        given = {"url": self.proxy.url, "token": sealed, **_HIGH, **settings}
        return GitHubTarget("github", GitHubTarget.complete(GitHubSettings(**given), {}), context)  # type: ignore[arg-type]

    def without(self, what: str) -> GitHubTarget:
        lacking = {"list": {"secrets": ""}, "write": {"secrets": "read"}, "ledger": {"actions_variables": "read"}}
        return self.target(self.github.add_token(**lacking[what]))

    def place(self, kind: str, number: int = 1) -> Place:
        kind, _, level = kind.partition("@")
        return self._place(f"acme{number}", "trainer", kind, level)

    def missing(self, kind: str) -> Place:
        kind, _, level = kind.partition("@")
        return self._place("nobody", "nothing", kind, level)

    def _place(self, owner: str, name: str, kind: str, level: str) -> Place:
        path = owner if level == "organization" else f"{owner}/{name}"
        to = GitHubTarget.parse(
            f"github://{path}?kind={kind}" + ("&environment=prod" if level == "environment" else "")
        )
        [place] = self.target().places(to)
        return place

    def plant(self, place: Place, slot: Slot, value: str) -> None:
        self.github.put(_at(place), slot.kind, slot.name, value)

    def stored(self, place: Place, slot: Slot) -> bytes | None:
        return self.github.value(_at(place), slot.kind, slot.name)

    def tick(self) -> None:
        self.github.clock.skip(2)

    def many_of(self, kind: str) -> int:
        # A page has 100 secrets or 30 variables; a repository holds 100 secrets.
        return 90 if "codespaces" in kind or "organization" not in kind else 250

    def others(self, place: Place) -> tuple[Slot, ...]:
        kinds = ("secret", "variable") if "environment=" in place.address else GitHubHarness.kinds[:4]
        return tuple(Slot(kind, "OF_ANOTHER_KIND") for kind in kinds if kind != place.kind)


def _at(place: Place) -> str:
    to = GitHubTarget.parse(place.address)
    return str(to.organization) or str(to.repository) + (f"?{to.environment}" if to.environment else "")


def make(request: pytest.FixtureRequest) -> GitHubHarness:
    """See tests/contract/test_targets.py."""
    server = GitHubRest().start()
    request.addfinalizer(server.stop)
    proxy = Proxy(server.url).start()
    request.addfinalizer(proxy.stop)
    harness = GitHubHarness(server, proxy, request.getfixturevalue("seeded"))

    def in_order() -> None:
        assert server.problems == []

    request.addfinalizer(in_order)
    return harness

"""GitLab's projects: the fake of its API, which has its documented rules and errors."""

from collections.abc import Sequence

import pytest

from keylease.context import Context
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.sync.model import Slot
from keylease.targets.base import Place, Target
from keylease.targets.gitlab import GitLabTarget
from keylease.vendors.gitlab_settings import GitLabSettings
from keylease.vendors.gitlab_to import GitLabTo
from tests.contract.target_harness import WireHarness
from tests.fakes.gitlab_rest import GitLab
from tests.fakes.misbehaving import Proxy

PROJECTS = ("acme/trainer", "acme/ml/Server")
SCOPE = "staging"


class GitLabHarness(WireHarness):
    kinds = ("variable",)
    good_names = ("A", "DB_PASSWORD_2", "_x", "lower", "9", "X" * 255)
    bad_names = ("", "A-B", "A B", "É", "A.B", "X" * 256, "KEYLEASE_LEDGER_ONE__1")
    bad_addresses = (
        *("gitlab://", "gitlab://acme", "gitlab://acme/trainer?nonsense=1", "gitlab://acme/tr ainer", "gitlab:///"),
        *("gitlab://acme/trainer?level=galaxy", "gitlab://acme?level=instance", "gitlab://?level=group"),
        *("gitlab://acme/trainer?masked=perhaps", "gitlab://acme/trainer?scope=a%00b", "gitlab://acme/../x"),
        *("gitlab://acme/trainer?scope=a&scope=b", "gitlab://acme/trainer?type=dir", "gitlab://acme/trainer#x"),
        *("gitlab://acme/trainer?hidden=true&masked=false", "gitlab://?level=instance&scope=production"),
    )
    list_pattern = "*/variables"
    write_pattern = "*/variables"
    write_method = "POST"
    list_permission = r"403"
    write_permission = r"scopes read_api"
    ledger_permission = r"scopes read_api"

    def __init__(self, gitlab: GitLab, proxy: Proxy) -> None:
        self.gitlab, self.proxy = gitlab, proxy
        for path in PROJECTS:
            gitlab.project(path)
        everywhere = dict.fromkeys(PROJECTS, 40)
        gitlab.token("glpat-may-write", ["api"], roles=everywhere)
        gitlab.token("glpat-read-only", ["read_api"], roles=everywhere)
        gitlab.token("glpat-developer", ["api"], roles=dict.fromkeys(PROJECTS, 30))
        self.addresses = (
            ("gitlab://acme/trainer", "gitlab://ACME/Trainer/", "gitlab://acme/trainer?scope=production&masked=false"),
            ("gitlab://acme/ml/server?raw=false", "gitlab://acme/ml/Server"),
        )
        self._context = self._made("glpat-may-write").context

    @property
    def seal(self):  # type: ignore[no-untyped-def,override]
        """Of the present run."""
        return self._context.seal

    def _made(self, token: str) -> Target:
        env = {"SYNC_TOKEN": token}
        context = Context(env, Masker(), Deadline(30))
        given = GitLabSettings(url=self.proxy.url, token_env="SYNC_TOKEN", timeout=2.0)
        return GitLabTarget("gitlab", GitLabTarget.complete(given, env), context)

    def target(self) -> Target:
        made = self._made("glpat-may-write")
        self._context = made.context
        return made

    def without(self, what: str) -> Target:
        made = self._made("glpat-developer" if what == "list" else "glpat-read-only")
        self._context = made.context
        return made

    def place(self, kind: str, number: int = 1) -> Place:
        # Not masked: the battery's values are of all kinds.
        [place] = self._made("").places(GitLabTo(project=PROJECTS[number - 1], masked=False))
        return place

    def missing(self, kind: str) -> Place:
        [place] = self._made("").places(GitLabTo(project="acme/nowhere", masked=False))
        return place

    def _container(self, place: Place):  # type: ignore[no-untyped-def]
        path = place.address.removeprefix("gitlab://").partition("?")[0]
        return self.gitlab.containers["project", path]

    def plant(self, place: Place, slot: Slot, value: str) -> None:
        self.gitlab.set(self._container(place), slot.name, value, slot.scope)

    def stored(self, place: Place, slot: Slot) -> bytes | None:
        found = self.gitlab.value(self._container(place), slot.name, slot.scope)
        return None if found is None else found.encode()

    def others(self, place: Place) -> Sequence[Slot]:
        return [Slot("variable", name, SCOPE) for name in ("GONE", "STAYS")]


def make(request: pytest.FixtureRequest) -> GitLabHarness:
    """See tests/contract/test_targets.py."""
    gitlab = GitLab().start()
    request.addfinalizer(gitlab.stop)
    proxy = Proxy(gitlab.url).start()
    request.addfinalizer(proxy.stop)
    return GitLabHarness(gitlab, proxy)

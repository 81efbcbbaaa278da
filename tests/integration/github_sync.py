"""Ways to a target at the fake GitHub."""

from typing import Any

from keylease.context import Context
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.sync.model import Wanted
from keylease.targets.base import Place
from keylease.targets.github import GitHubTarget
from keylease.vendors.github_settings import GitHubSettings, GitHubTo
from tests.fakes.github_rest import GitHubRest


def target_of(github: GitHubRest, seconds: float = 60, **settings: Any) -> GitHubTarget:
    context = Context({}, Masker(), Deadline(seconds))
    if "app_id" not in settings:
        settings["token"] = context.seal(settings.get("token") or github.add_token(), "token")
    given = {"url": github.url, "writes_per_minute": 10_000, "points_per_minute": 0, **settings}
    return GitHubTarget("github", GitHubTarget.complete(GitHubSettings(**given), {}), context)


def to(**given: Any) -> GitHubTo:
    made = GitHubTarget.checked(GitHubTo(**given))
    assert isinstance(made, GitHubTo)
    return made


def place_of(target: GitHubTarget, **given: Any) -> Place:
    [place] = target.places(to(**given))
    return place


def put(target: GitHubTarget, place: Place, name: str, value: str = "value", *, exists: bool = False) -> None:
    wanted = Wanted(target.slot(place, name), target.context.seal(value, name), "vault://kv/x", "vault://kv/*")
    target.put(place, Wanted(wanted.slot, wanted.value, "s", "p", "", place.options), exists=exists)


def stored(github: GitHubRest, kind: str, name: str = "NAME", place: str = "acme") -> Any:
    return github.store(place, kind).values[name]

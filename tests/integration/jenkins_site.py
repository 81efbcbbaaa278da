"""A fake Jenkins with a user and a folder, and targets of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from keylease.context import Context
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.pipelines.sync import PlacePlan, Planned
from keylease.pipelines.sync_apply import Applied, apply_place
from keylease.secret import Secret
from keylease.sync import ledger as ledgers
from keylease.sync.ledger import Keys
from keylease.sync.model import Change, Policy, Slot, Wanted
from keylease.sync.planner import Case, plan_place
from keylease.targets.base import Place
from keylease.targets.jenkins import JenkinsTarget
from keylease.vendors.jenkins_settings import JenkinsSettings, complete
from tests.fakes.jenkins_rest import FakeJenkins
from tests.leaks import Seeded

USER = "keylease"
KEYS = Keys.of(Secret("k" * 32), "a test")


@contextmanager
def site(seeded: Seeded) -> Iterator[FakeJenkins]:
    """With a folder ``team/app``, a domain ``prod`` there and in the system store, and a user with a token."""
    server = FakeJenkins()
    server.add_user(USER, token=seeded.new("token"), password=seeded.new("password"))
    server.add_folder("team/app", "prod")
    server.stores[""]["prod"] = {}
    with server:
        yield server


def target_of(server: FakeJenkins, *, password: bool = False, retries: int = 4, url: str = "") -> JenkinsTarget:
    """As a run makes one."""
    user = server.users[USER]
    context = Context({"JENKINS_API_TOKEN": user.password if password else user.token}, Masker(), Deadline(60))
    made = complete(JenkinsSettings(url=url or server.url, user=USER, retries=retries), {})
    return JenkinsTarget("jenkins", made, context)


def at(target: JenkinsTarget, address: str = "jenkins://?folder=Team/App") -> Place:
    """The place of an address."""
    [place] = target.places(target.parse(address))
    return place


def wanted(place: Place, name: str, value: str | bytes) -> Wanted:
    """As the pipeline asks for it."""
    return Wanted(Slot("credential", name), Secret(value), f"vault://kv/ci#{name}", "vault://kv/*", "1", place.options)


def put(target: JenkinsTarget, place: Place, name: str, value: str | bytes, *, exists: bool = False) -> None:
    """Check, then put."""
    each = wanted(place, name, value)
    assert target.check(place, each) == ""
    target.put(place, each, exists=exists)


def planned(target: JenkinsTarget, place: Place, values: Mapping[str, str], policy: Policy) -> Planned:
    """As SyncRun plans one place, without the sources."""
    listing = target.list(place)
    ledger = ledgers.read(place.address, "one", listing.ledgers.get("one", {}), KEYS)
    all_of = [wanted(place, name, value) for name, value in values.items()]
    changes = plan_place(
        Case(all_of, listing, ledger, KEYS, policy, {"vault://kv/*"}), lambda each: target.check(place, each)
    )
    return Planned([PlacePlan("one", place.address, "jenkins", {place.kind: place}, all_of, listing, ledger, changes)])


def changes_of(
    target: JenkinsTarget,
    place: Place,
    values: Mapping[str, str],
    policy: Policy = Policy(prune=True),  # noqa: B008
) -> list[Change]:
    """What a plan of `values` would change."""
    return planned(target, place, values, policy).changes


def actions(target: JenkinsTarget, place: Place, values: Mapping[str, str]) -> dict[str, str]:
    """{name: what would be done}."""
    return {change.slot.name: change.action for change in changes_of(target, place, values)}


def run(target: JenkinsTarget, place: Place, values: Mapping[str, str], **policy: Any) -> Applied:
    """Plan and apply."""
    applied = Applied()
    for each in planned(target, place, values, Policy(prune=True, **policy)).places:
        apply_place(each, target, KEYS, applied)
    return applied

"""Revoking: all are tried, failures are values, and whoami's advice."""

import time

from keylease.context import Context
from keylease.errors import DeadlineError, IdentityError, KeyleaseError, UnreachableError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import IdentityToken, Plan, Provider, Revocation
from keylease.pipelines.revoke import give_back, revoke, until
from keylease.pipelines.whoami import advise
from tests.fakes.memory import MemorySettings, MemoryTokens, World


def revocation(name: str, expires_at: float | None = None) -> Revocation:
    return Revocation("memory", name, {"name": name}, None, expires_at=expires_at)


def test_one_failure_does_not_keep_the_others_from_being_tried(world: World, context: Context) -> None:
    world.faults = {"revoke b": [UnreachableError("b is down")]}
    failed = revoke([revocation("a"), revocation("b"), revocation("c")], context)
    assert [(f.revocation.label, str(f.error)) for f in failed] == [("b", "b is down")]
    assert sorted(world.revoked) == ["a", "c"]


def test_a_defect_is_a_failure_too(world: World, context: Context) -> None:
    world.faults = {"revoke a": [ZeroDivisionError("the value")]}
    (failed,) = revoke([revocation("a")], context)
    assert str(failed.error) == "a: revoking failed with a defect of ours: ZeroDivisionError"


def test_one_that_hangs_leaves_all_unsure(world: World) -> None:
    world.delays = {"revoke a": 3}
    failed = revoke([revocation("a")], Context({}, Masker(), Deadline(0.2)))
    assert isinstance(failed[0].error, DeadlineError)


def test_giving_back_has_time_of_its_own(world: World) -> None:
    context = Context({}, Masker(), Deadline(0.0))
    world.delays = {"revoke a": 0.2}
    assert give_back([revocation("a")], context) == []
    assert world.revoked == ["a"]


def test_until() -> None:
    assert until(revocation("a", 0.0)) == "1970-01-01 00:00:00Z"
    assert until(revocation("a")) == "its own expiry (unknown)"
    assert time.strftime("%Y") in until(revocation("a", time.time()))


def test_advice_for_each_provider(world: World, context: Context) -> None:
    providers = {
        "one": Provider("one", "memory", MemorySettings()),
        "two": Provider("two", "memory", MemorySettings(wanted=None)),
    }
    one, two = advise(Plan(providers), context, MemoryTokens())
    assert one.trust is not None
    assert one.trust.text == "allow repo:acme/trainer"
    assert (two.audience, two.trust) == (None, None)


def test_advice_without_a_token_tells_why(world: World, context: Context) -> None:
    class Broken:
        def token(self, audience: str, *, fresh: bool = False) -> IdentityToken:
            raise IdentityError("GitHub: no permission")

    (one,) = advise(Plan({"one": Provider("one", "memory", MemorySettings())}), context, Broken())
    assert isinstance(one.error, KeyleaseError)
    assert one.trust is None


def test_an_expiry_beyond_all_calendars_is_unknown() -> None:
    assert until(revocation("a", 1e300)) == "its own expiry (unknown)"

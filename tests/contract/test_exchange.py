"""What every exchanger keeps to. One harness per implementation; the battery runs on each."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from keylease.context import Context
from keylease.errors import RefusedError, UnreachableError, UsageError
from keylease.exchange.base import Exchanger
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import IdentityToken, Lease, Revocation, fingerprint
from keylease.registry import EXCHANGERS
from keylease.secret import Secret
from tests.fakes.misbehaving import Proxy, drop, status
from tests.integration.vault_job import Job
from tests.servers.trust import Trust

LOGINS = "/v1/auth/*/login"


class Harness(ABC):
    """A real server that trusts one job, behind a proxy that can misbehave."""

    proxy: Proxy
    login_pattern: str

    @abstractmethod
    def exchanger(self, url: str | None = None) -> Exchanger:
        """With complete settings for the trusting server (or another address)."""

    @abstractmethod
    def token(self, **claims: Any) -> IdentityToken:
        """The job's identity token; changed claims make it another job's."""

    @abstractmethod
    def is_alive(self, lease: Lease) -> bool:
        """Whether the issued credential works, asked without the code under test."""

    @abstractmethod
    def secret_values(self, lease: Lease) -> list[str]:
        """Everything secret that was issued."""


class VaultHarness(Harness):
    login_pattern = LOGINS

    def __init__(self, trust: Trust, proxy: Proxy) -> None:
        self.proxy = proxy
        self._job = Job(trust, url=proxy.url)

    def exchanger(self, url: str | None = None) -> Exchanger:
        return self._job.exchanger(**({"url": url} if url else {}))

    def token(self, **claims: Any) -> IdentityToken:
        return self._job.token(**claims)

    def is_alive(self, lease: Lease) -> bool:
        return self._job.trust.bao.token_lookup(lease.fields["VAULT_TOKEN"].reveal()) is not None

    def secret_values(self, lease: Lease) -> list[str]:
        return [value.reveal() for value in lease.fields.values()]


@pytest.fixture(params=["vault"])
def harness(request: pytest.FixtureRequest, proxy: Proxy) -> Harness:
    """Each implementation in turn."""
    make: Mapping[str, Callable[[], Harness]] = {
        "vault": lambda: VaultHarness(request.getfixturevalue("trust"), proxy),
    }
    return make[request.param]()


def test_every_registered_exchanger_is_in_this_battery() -> None:
    params = harness._fixture_function_marker.params
    assert set(params or ()) == set(EXCHANGERS)


@pytest.mark.parametrize("kind", list(EXCHANGERS))
def test_missing_settings_are_named(kind: str) -> None:
    exchanger = EXCHANGERS.load(kind)
    with pytest.raises(UsageError) as caught:
        exchanger.complete(exchanger.Settings(), {})
    assert "`" in caught.value.summary
    assert caught.value.change


@pytest.mark.parametrize("kind", list(EXCHANGERS))
def test_settings_refuse_unknown_keys(kind: str) -> None:
    settings = EXCHANGERS.load(kind).Settings
    assert settings.__struct_config__.forbid_unknown_fields
    assert settings.__struct_config__.frozen


def test_a_lease_tells_what_it_is(harness: Harness) -> None:
    before = time.time()
    lease = harness.exchanger().exchange(harness.token())
    assert lease.provider
    assert lease.type in EXCHANGERS
    assert lease.fields
    assert all(isinstance(value, Secret) for value in lease.fields.values())
    assert lease.account
    assert lease.expires_at is not None
    assert before < lease.expires_at < before + 24 * 3600
    assert lease.fingerprint in {fingerprint(value) for value in lease.fields.values()}
    assert harness.is_alive(lease)


def test_no_value_shows_up_in_a_lease_or_its_state(harness: Harness) -> None:
    exchanger = harness.exchanger()
    lease = exchanger.exchange(harness.token())
    assert lease.revocation is not None
    shown = repr(lease) + repr(exchanger.settings) + json.dumps(lease.revocation.data) + repr(lease.plain)
    for value in [*harness.secret_values(lease), harness.token().jwt.reveal()]:
        assert value not in shown


def test_issued_values_are_masked(harness: Harness) -> None:
    exchanger = harness.exchanger()
    lease = exchanger.exchange(harness.token())
    for value in harness.secret_values(lease):
        assert value not in exchanger.context.masker.scrub(f"x {value} y")


def test_the_audience_is_asked_for(harness: Harness) -> None:
    exchanger = harness.exchanger()
    audience = exchanger.audience()
    assert audience
    assert audience == harness.token().audience


def test_another_job_is_refused_at_once(harness: Harness) -> None:
    exchanger = harness.exchanger()
    started = time.monotonic()
    with pytest.raises(RefusedError) as caught:
        exchanger.exchange(harness.token(repository="evil/fork"))
    assert time.monotonic() - started < 0.5
    assert len(harness.proxy.requests) == 1, "a refusal is final"
    error = caught.value
    assert error.claims["repository"] == "evil/fork"
    assert error.claims["environment"] is None, "shown as MISSING"
    assert error.cause
    assert error.change
    assert error.docs
    assert not error.retry_with_new_token


def test_an_expired_token_asks_for_a_new_one(harness: Harness) -> None:
    with pytest.raises(RefusedError) as caught:
        harness.exchanger().exchange(harness.token(lifetime=-600))
    assert caught.value.retry_with_new_token


@pytest.mark.parametrize("fault", [status(503), drop(), status(429)], ids=["503", "drop", "429"])
def test_one_fault_of_the_login_is_survived(harness: Harness, fault: Any) -> None:
    harness.proxy.fail(harness.login_pattern, fault)
    assert harness.is_alive(harness.exchanger().exchange(harness.token()))
    assert len(harness.proxy.requests) == 2


def test_no_server_is_unreachable(harness: Harness) -> None:
    from tests.servers.process import free_port

    with pytest.raises(UnreachableError, match="refused"):
        harness.exchanger(f"http://127.0.0.1:{free_port()}").exchange(harness.token())


def test_revoking_ends_it_and_can_be_repeated(harness: Harness) -> None:
    exchanger = harness.exchanger()
    lease = exchanger.exchange(harness.token())
    kept = lease.revocation
    assert kept is not None
    # As another process has it: from JSON, and with nothing else of this one.
    again = Revocation(
        kept.provider,
        kept.label,
        json.loads(json.dumps(kept.data)),
        kept.token,
        kept.own_token,
        list(kept.children),
        kept.expires_at,
    )
    elsewhere = Context({}, Masker(), Deadline(10))
    type(exchanger).revoke(again, elsewhere)
    assert not harness.is_alive(lease)
    type(exchanger).revoke(again, elsewhere)


def test_the_trust_names_this_job_and_no_other(harness: Harness) -> None:
    exchanger = harness.exchanger()
    claims = harness.token().claims
    trust = exchanger.trust(claims)
    assert claims["repository_id"] in trust.text or claims["sub"] in trust.text
    assert "*" not in trust.text
    assert exchanger.trust({**claims, "repository_id": "1", "sub": "x"}).text != trust.text

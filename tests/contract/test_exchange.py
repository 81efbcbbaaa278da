"""What every exchanger keeps to. One harness per implementation; the battery runs on each.

Faults of the network and the vendor: test_exchange_faults.py.
"""

import importlib
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from keylease.context import Context
from keylease.errors import RefusedError, UnreachableError, UsageError
from keylease.http import Deadline
from keylease.masking import Masker
from keylease.model import Revocation, fingerprint
from keylease.registry import EXCHANGERS
from keylease.secret import Secret
from tests.contract.harness import Harness

DOCS = Path(__file__).parents[2] / "docs" / "providers"


@pytest.fixture(params=list(EXCHANGERS))
def harness(request: pytest.FixtureRequest) -> Harness:
    """Each registered implementation in turn: `make` of tests/contract/harness_<kind>.py."""
    module = importlib.import_module(f"tests.contract.harness_{request.param}")
    made: Harness = module.make(request)
    return made


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
    state = json.dumps(lease.revocation.data) if lease.revocation else ""
    shown = repr(lease) + repr(exchanger.settings) + state + repr(lease.plain)
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
        exchanger.exchange(harness.token(**harness.other))
    assert time.monotonic() - started < 0.5
    assert len(harness.proxy.requests) == 1, "a refusal is final"
    error = caught.value
    for name, value in harness.other.items():
        assert error.claims[name] == value
    assert error.claims["environment"] is None, "shown as MISSING"
    assert error.cause
    assert error.change
    assert error.docs
    assert not error.retry_with_new_token


def test_an_expired_token_asks_for_a_new_one(harness: Harness) -> None:
    with pytest.raises(RefusedError) as caught:
        harness.exchanger().exchange(harness.token(lifetime=-600))
    assert caught.value.retry_with_new_token


@pytest.mark.parametrize("claims", [{"audience": "https://elsewhere.example"}, {"iss": "https://evil.example"}])
def test_a_wrong_audience_or_issuer_is_refused(harness: Harness, claims: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        harness.exchanger().exchange(harness.token(**claims))
    assert caught.value.cause
    assert caught.value.change
    assert len(harness.proxy.requests) == 1


def test_a_forged_token_is_refused(harness: Harness) -> None:
    with pytest.raises(RefusedError):
        harness.exchanger().exchange(harness.token(forged=True))


def test_no_server_is_unreachable(harness: Harness) -> None:
    from tests.servers.process import free_port

    with pytest.raises(UnreachableError, match="refused"):
        harness.exchanger(f"http://127.0.0.1:{free_port()}").exchange(harness.token())


def test_revoking_ends_it_and_can_be_repeated(harness: Harness) -> None:
    exchanger = harness.exchanger()
    lease = exchanger.exchange(harness.token())
    kept = lease.revocation
    if kept is None:  # the vendor has no revocation: its page must say so
        page = (DOCS / f"{lease.type}.md").read_text(encoding="utf-8")
        assert re.search(r"(?i)can(?:'t|not) be revoked|no revocation", page)
        return
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
